"""From text to `Program`: Python's grammar through `ast`, our own meaning. Nothing of the text is ever executed."""

from __future__ import annotations

import ast
import math
import warnings

from .errors import ProgramError, nearest
from .folding import ELEMENTWISE, fits, fold, overflows
from .program import (
    Operand,
    Program,
    Slot,
    Statement,
    call_node,
    literal_node,
    number_temporaries,
    shape_of,
    shapes_after,
)
from .quantities import counted
from .vocabulary import DIALECTS, ELSEWHERE, FUNCTIONS, KEPT, NUMBERS, SHAPES, SIZES, Shape

MAX_BYTES = 20_000
MAX_NESTING = 40
MAX_STATEMENTS = 500
MAX_DIGITS = 40
MAX_NAME = 64
"""Limits on the text, checked before Python's parser sees it (which takes half a minute for a million statements)."""

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "power",
}

_WHAT_IS_ALLOWED = "a program is one function: assignments to names, then one return"

_WHERE = "write where(a > b, x, y)"
_EXPRESSIONS: dict[type[ast.AST], str] = {
    ast.Await: "an await",
    ast.BoolOp: "an 'and' or 'or'",
    ast.Dict: "a dictionary",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.JoinedStr: "an f-string",
    ast.Lambda: "a lambda",
    ast.List: "a list",
    ast.ListComp: "a comprehension",
    ast.NamedExpr: "an assignment inside an expression (':=')",
    ast.Set: "a set",
    ast.SetComp: "a comprehension",
    ast.Starred: "a '*' before an expression",
    ast.Tuple: "a tuple inside an expression",
    ast.Yield: "a yield",
    ast.YieldFrom: "a yield",
    # Operators.
    ast.BitAnd: "the operator '&'",
    ast.BitOr: "the operator '|'",
    ast.BitXor: "the operator '^'",
    ast.FloorDiv: "the operator '//'",
    ast.Invert: "the operator '~'",
    ast.LShift: "the operator '<<'",
    ast.MatMult: "the operator '@'",
    ast.Mod: "the operator '%'",
    ast.Not: "a 'not'",
    ast.RShift: "the operator '>>'",
    ast.UAdd: "a '+' before an expression",
}
"""What a person calls the expressions and operators of Python that the language does not have."""

_STATEMENTS: dict[str, str] = {
    "AnnAssign": "an assignment with an annotation",
    "AsyncFor": "'for'",
    "AsyncFunctionDef": "a function inside the function",
    "AsyncWith": "'with'",
    "Delete": "'del'",
    "Expr": "an expression that is assigned to no name",
    "FunctionDef": "a function inside the function",
    "ClassDef": "'class'",
    "ImportFrom": "'import'",
    "TryStar": "'try'",
    "TypeAlias": "'type'",
}
"""The same for statements; the others are called by their keyword."""


def parse(text: str, *, finite: bool = False) -> Program:
    """Return the program that `text` spells; see `Program.parse`.

    Args:
        text: the program's text.
        finite: whether to refuse constants that float32 cannot hold, such as ``exp(1000)``. Texts that people write are
            read so. Programs of a search are not: they count as invalid before they are tried (see `search.mutation`).
    """
    _check_text(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's own about escapes in docstrings and the like
            tree = ast.parse(text)
    except SyntaxError as error:
        raise ProgramError(f"not Python: {error.msg}", error.lineno) from None
    except (ValueError, RecursionError, MemoryError, OverflowError):
        raise ProgramError("not Python: the text cannot be parsed") from None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        line = next((node.lineno for node in tree.body if not isinstance(node, ast.FunctionDef)), None)
        raise ProgramError(f"expected one function 'def update(...)' and nothing else; {_WHAT_IS_ALLOWED}", line)
    try:
        return number_temporaries(_Flattener(tree.body[0], finite).program())
    except RecursionError:
        raise ProgramError(f"nested too deeply; at most {MAX_NESTING} levels are allowed") from None


def _check_text(text: str) -> None:
    if len(text) > MAX_BYTES:
        raise ProgramError(f"the text has {len(text):,} characters; at most {MAX_BYTES:,} are allowed")
    depth = statements = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.isascii():
            odd = next(character for character in line if not character.isascii())
            raise ProgramError(f"{odd!r} (U+{ord(odd):04X}) is not ASCII; names and numbers are plain ASCII", number)
        odd = next((c for c in line if not c.isprintable() and c not in "\t\r"), None)
        if odd is not None:
            raise ProgramError(f"control character U+{ord(odd):04X} in the text", number)
        code = line.split("#", 1)[0]
        statements += code.count("=") + code.count(";")
        if statements > 3 * MAX_STATEMENTS:
            raise ProgramError(f"too many statements; at most {MAX_STATEMENTS} are allowed", number)
        run = longest = 0
        prefixes = 0
        for character in code:
            if character in "([{":
                depth += 1
            elif character in ")]}":
                depth = max(0, depth - 1)
            # Signs in a row nest as brackets do.
            prefixes = prefixes + 1 if character in "-+~" else prefixes if character == " " else 0
            if depth + prefixes > MAX_NESTING:
                raise ProgramError(f"nested too deeply; at most {MAX_NESTING} levels are allowed", number)
            run = run + 1 if character.isdigit() else 0
            longest = max(longest, run)
        if longest > MAX_DIGITS:
            raise ProgramError(f"a number with {longest} digits; at most {MAX_DIGITS} are allowed", number)


class _Flattener:
    """Walks one function's syntax tree and collects flat statements."""

    def __init__(self, function: ast.FunctionDef, finite: bool) -> None:
        self.function = function
        self.constants: dict[str, float] | None = {**NUMBERS} if finite else None
        self.statements: list[Statement] = []
        self.temporaries = 0

    def program(self) -> Program:
        function = self.function
        if function.name not in DIALECTS:
            raise ProgramError(
                f"the function is called {function.name!r}; it must be 'update' (or 'drift')", function.lineno
            )
        self.dialect = DIALECTS[function.name]
        if function.decorator_list or function.returns or getattr(function, "type_params", None):
            raise ProgramError("decorators, return annotations and type parameters are not allowed", function.lineno)
        inputs, states, hyperparameters = self.signature(function.args)
        if self.constants is not None:
            self.constants |= dict(hyperparameters)
        self.defined = {*inputs, *(name for name, _ in hyperparameters), *self.dialect.constants}
        body = function.body
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            if not isinstance(body[0].value.value, str):
                raise ProgramError(f"a bare number does nothing; {_WHAT_IS_ALLOWED}", body[0].lineno)
            body = body[1:]  # a docstring
        if not body or not isinstance(body[-1], ast.Return):
            raise ProgramError("the return is missing: a program ends with 'return update, states...'", self.end())
        for node in body[:-1]:
            self.statement(node)
        returns = self.returned(body[-1], states)
        body = tuple(self.statements)
        return Program(tuple(inputs), tuple(states), tuple(hyperparameters), body, returns, self.dialect.function)

    def end(self) -> int | None:
        return self.function.end_lineno

    def signature(self, arguments: ast.arguments) -> tuple[list[str], list[Slot], list[tuple[str, float]]]:
        line = self.function.lineno
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs:
            raise ProgramError("'*', '**' and '/' are not allowed in the signature", line)
        names = [argument.arg for argument in arguments.args]
        first_default = len(names) - len(arguments.defaults)
        inputs: list[str] = []
        states: list[Slot] = []
        hyperparameters: list[tuple[str, float]] = []
        for position, argument in enumerate(arguments.args):
            name, line = argument.arg, argument.lineno
            if name in names[:position]:
                raise ProgramError(f"duplicate argument {name!r}", line)
            if name.startswith("_"):
                raise ProgramError(f"{name!r}: names do not begin with '_'", line)
            if name not in NUMBERS or position < first_default:  # `eps=1e-8` is a common hyperparameter
                self.check_name(name, line)
            if position >= first_default:
                if name in self.dialect.inputs or argument.annotation:
                    raise ProgramError(f"{name!r} is an input or annotated, and takes no default", line)
                default = arguments.defaults[position - first_default]
                hyperparameters.append((name, self.number(default, f"the default of {name!r}")))
                continue
            if argument.annotation is not None and name in self.dialect.inputs:
                raise ProgramError(f"{name!r} is an input and takes no annotation", line)
            inputs.append(name)
            if name not in self.dialect.inputs:
                states.append(self.state(argument))
        if len(states) > self.dialect.states:
            if not self.dialect.states:
                known = self.dialect.inputs
                name = states[0].name
                meant = ELSEWHERE[self.dialect.function].get(name)
                hint = f" (did you mean {meant!r}?)" if meant else nearest(name, known)
                hint += f"; it has {', '.join(known)}"
                raise ProgramError(f"{name!r} is no input of a {self.dialect.function}{hint}", self.function.lineno)
            message = f"{len(states)} states; at most {self.dialect.states} are allowed{self.read_as_states(states)}"
            raise ProgramError(message, self.function.lineno)
        return inputs, states, hyperparameters

    def read_as_states(self, states: list[Slot]) -> str:
        """Return what to add to an error that may come from a name that was meant as an input."""
        names = [repr(slot.name) for slot in states]
        if not names:
            return ""
        read = "was read as a state" if len(names) == 1 else "were read as states"
        return f"; {', '.join(names)} {read}: the inputs are {', '.join(self.dialect.inputs)}"

    def check_name(self, name: str, line: int) -> None:
        if name in FUNCTIONS or name in SHAPES or name in NUMBERS or name in SIZES:
            raise ProgramError(f"{name!r} is a word of the vocabulary; take another name", line)
        if name in KEPT:
            meant = ELSEWHERE[self.dialect.function].get(name)
            hint = f"the input is called {meant!r}" if meant else "take another name"
            raise ProgramError(f"{name!r} is a word that exported files use; {hint}", line)
        if len(name) > MAX_NAME:
            raise ProgramError(f"a name of more than {MAX_NAME} letters", line)

    def state(self, argument: ast.arg) -> Slot:
        name = argument.arg
        match argument.annotation:
            case None:
                return Slot(name, Shape.FULL)
            case ast.Name(id=shape) if shape in SHAPES:
                return Slot(name, SHAPES[shape])
            case ast.Call(func=ast.Name(id=shape), args=[start], keywords=[]) if shape in SHAPES:
                if not isinstance(start, ast.Name):
                    return Slot(name, SHAPES[shape], self.number(start, f"what {name!r} begins with"))
                if start.id != "w" or SHAPES[shape] is not Shape.FULL or "w" not in self.dialect.inputs:
                    raise ProgramError(f"{name!r} begins with a number, as scalar(1), or is full(w)", argument.lineno)
                return Slot(name, Shape.FULL, "w")
        raise ProgramError(f"the shape of {name!r} is one of {', '.join(SHAPES)}", argument.lineno)

    def number(self, node: ast.expr, what: str) -> float:
        sign = 1.0
        while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = -sign if isinstance(node.op, ast.USub) else sign
            node = node.operand
        if not isinstance(node, ast.Constant) or type(node.value) not in (int, float):
            raise ProgramError(f"{what} must be a number", node.lineno)
        try:
            value = float(node.value)  # pyright: ignore[reportArgumentType]
        except OverflowError:
            value = math.inf
        if not fits(value):
            raise ProgramError(f"{what} is too large for float32", node.lineno)
        return sign * value or 0.0  # of the two zeros the language has one

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.AugAssign):
            operator = _OPERATORS.get(type(node.op))
            if operator is None or not isinstance(node.target, ast.Name):
                raise ProgramError("unknown assignment; write 'name = expression'", node.lineno)
            left = self.operand(ast.copy_location(ast.Name(node.target.id), node))
            self.assign(self.target(node.target), operator, (left, self.operand(node.value)), node.lineno)
            return
        if isinstance(node, ast.Return):
            raise ProgramError("only the last statement may be a return", node.lineno)
        if not isinstance(node, ast.Assign):
            kind = type(node).__name__
            what = _STATEMENTS.get(kind, f"'{kind.lower()}'")
            hint = f"{_WHERE}; " if kind == "If" else ""
            raise ProgramError(f"{what} is not part of the language; {hint}{_WHAT_IS_ALLOWED}", node.lineno)
        if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            raise ProgramError("assign to one plain name at a time", node.lineno)
        name = self.target(node.targets[0])
        value = self.operand(node.value)
        if isinstance(value, str) and value.startswith("_") and self.statements[-1].target == value:
            self.statements[-1] = self.statements[-1]._replace(target=name)  # the expression was computed for this name
        else:
            self.assign(name, "multiply", (value, 1.0), node.lineno)  # a copy: the language has no statement for it
        self.defined.add(name)

    def target(self, node: ast.Name) -> str:
        name = node.id
        if name.startswith("_") and not name[1:].isdigit():
            raise ProgramError(f"{name!r}: names do not begin with '_'", node.lineno)
        self.check_name(name, node.lineno)
        return f"_{name}" if name.startswith("_") else name  # kept apart from the temporaries made here

    def assign(self, target: str, function: str, operands: tuple[Operand, ...], line: int) -> None:
        if len(self.statements) >= MAX_STATEMENTS:
            raise ProgramError(f"too many statements; at most {MAX_STATEMENTS} are allowed", line)
        if self.constants is not None:
            self.fold(self.constants, target, function, operands, line)
        self.statements.append(Statement(target, function, operands))
        self.defined.add(target)

    def fold(
        self, constants: dict[str, float], target: str, function: str, operands: tuple[Operand, ...], line: int
    ) -> None:
        """Keep the value of a constant; hyperparameters count as their defaults."""
        values = [constants.get(operand) if isinstance(operand, str) else operand for operand in operands]
        known = [value for value in values if value is not None]
        constants.pop(target, None)
        if function not in ELEMENTWISE or len(known) < len(values):
            return
        if overflows(function, known):
            shown = ast.unparse(call_node(function, [literal_node(value) for value in known]))
            raise ProgramError(f"{shown} is too large: float32 ends at 3.4e38", line)
        value = fold(function, known)
        if value is not None:
            constants[target] = value

    def operand(self, node: ast.expr) -> Operand:
        """Return the operand that stands for an expression, after adding the statements that compute it."""
        match node:
            case ast.Constant():
                return self.number(node, "a literal")
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
                return self.number(node, "a literal")
            case ast.Name():
                return self.variable(node)
            case ast.UnaryOp(op=ast.USub()):
                return self.compute("negative", [node.operand], node.lineno)
            case ast.BinOp() if type(node.op) in _OPERATORS:
                return self.compute(_OPERATORS[type(node.op)], [node.left, node.right], node.lineno)
            case ast.Call():
                return self.call(node)
            case ast.Compare():
                raise ProgramError("a comparison stands only in where(a > b, x, y)", node.lineno)
            case ast.Attribute() | ast.Subscript():
                raise ProgramError("attributes and subscripts are not part of the language", node.lineno)
            case ast.IfExp():
                raise ProgramError(f"an 'if' inside an expression is not part of the language; {_WHERE}", node.lineno)
        kind = type(node.op if isinstance(node, ast.BinOp | ast.UnaryOp) else node)
        what = _EXPRESSIONS.get(kind, "this expression")
        raise ProgramError(f"{what} is not part of the language", node.lineno)

    def variable(self, node: ast.Name) -> str:
        name = f"_{node.id}" if node.id.startswith("_") else node.id
        if name not in self.defined:
            if node.id in FUNCTIONS:
                raise ProgramError(f"{node.id!r} is a function; call it", node.lineno)
            if node.id in self.dialect.inputs:
                raise ProgramError(f"{node.id!r} is used but is not in the signature", node.lineno)
            known = [name for name in self.defined if not name.startswith("_")]
            raise ProgramError(f"{node.id!r} is used before it is assigned{nearest(node.id, known)}", node.lineno)
        return name

    def call(self, node: ast.Call) -> Operand:
        if not isinstance(node.func, ast.Name):
            attributes = "attributes are not part of the language; " if isinstance(node.func, ast.Attribute) else ""
            raise ProgramError(f"{attributes}call a function by its plain name", node.lineno)
        name = node.func.id
        if name not in FUNCTIONS:
            raise ProgramError(f"unknown function {name!r}{nearest(name, FUNCTIONS)}", node.lineno)
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise ProgramError(f"{name} takes plain arguments only", node.lineno)
        arguments = list(node.args)
        if name == "where":
            compare = arguments[0] if arguments else None
            if len(arguments) != 3 or not isinstance(compare, ast.Compare) or len(compare.ops) != 1:
                raise ProgramError(_WHERE, node.lineno)
            left, right = compare.left, compare.comparators[0]
            if isinstance(compare.ops[0], ast.Lt):
                left, right = right, left
            elif not isinstance(compare.ops[0], ast.Gt):
                raise ProgramError("where compares with '>' or '<' only", node.lineno)
            arguments = [left, right, *arguments[1:]]
        function = FUNCTIONS[name]
        if function.kind not in self.dialect.kinds:
            raise ProgramError(
                f"{name} looks at the weights of a network; a {self.dialect.function} has elementwise functions only",
                node.lineno,
            )
        if len(arguments) != function.arity:
            takes = f"{name}({', '.join(function.parameters)})"
            raise ProgramError(f"{name} takes {function.arity} arguments, {takes}, not {len(arguments)}", node.lineno)
        return self.compute(name, arguments, node.lineno)

    def compute(self, function: str, arguments: list[ast.expr], line: int) -> str:
        operands = tuple(self.operand(argument) for argument in arguments)
        self.temporaries += 1
        target = f"_t{self.temporaries}"
        self.assign(target, function, operands, line)
        return target

    def returned(self, node: ast.Return, states: list[Slot]) -> tuple[Operand, ...]:
        if node.value is None:
            raise ProgramError("the return is empty: it gives the update, then the new states", node.lineno)
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        if len(values) != 1 + len(states):
            expected = ", ".join([self.dialect.function, *(slot.name for slot in states)])
            more = f", and the new value of each state: return {expected}" if states else " alone: it has no state"
            message = f"the return has {counted(len(values), 'value')}; it must be the {self.dialect.function}{more}"
            message += self.read_as_states(states)
            raise ProgramError(message, node.lineno)
        returns = tuple(self.operand(value) for value in values)
        shapes = shapes_after(states, self.statements)
        for slot, value in zip(states, returns[1:], strict=True):
            got = shape_of(value, shapes)
            if got & ~slot.shape:
                raise ProgramError(
                    f"state {slot.name!r} is declared {slot.shape.label} but is returned as {got.label}", node.lineno
                )
        return returns
