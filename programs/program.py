"""A program: the text of an update rule as a value.

A program is a list of statements ``target = function(operands)`` over named variables, then the names or literals it
returns. Text with nested expressions is flattened; the variables made for that begin with ``_`` and disappear again
in `Program.to_text` wherever they stood inside an expression, so text and program are two forms of one thing:
``Program.parse(program.to_text()) == program``.
"""

from __future__ import annotations

import ast
import functools
import html
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import need
from .vocabulary import DIALECTS, FUNCTIONS, INPUT_SHAPES, NUMBERS, SIZES, Dialect, Shape

if TYPE_CHECKING:
    import optax
    import sympy

MAX_DEPTH = 6
"""Greatest depth of an expression in a program's text; deeper expressions are split into several statements."""

Operand = str | float
"""A variable's name, or a literal."""


class Statement(NamedTuple):
    """``target = function(*operands)``."""

    target: str
    function: str
    operands: tuple[Operand, ...]


class Slot(NamedTuple):
    """A state of the program: what it keeps, for each leaf, from one step to the next.

    Attributes:
        name: of the variable.
        shape: of what it holds.
        start: what it holds at first: a number everywhere, or "w", the weights that the training begins with.
    """

    name: str
    shape: Shape
    start: float | str = 0.0

    @property
    def annotation(self) -> str:
        """What stands after its name in a signature: "row", "scalar(1)", "full(w)"; "" for a full one of zeros."""
        if self.start == 0.0:
            return "" if self.shape is Shape.FULL else self.shape.label
        start = self.start if isinstance(self.start, str) else ast.unparse(literal_node(self.start))
        return f"{self.shape.label}({start})"


@dataclass(frozen=True, repr=False)
class Program:
    """One update rule in the language.

    Attributes:
        inputs: those of `w`, `g`, `lr`, `t`, `progress` and the states that the signature names, in its order.
        states: name and shape of each state, in the signature's order.
        hyperparameters: names with their defaults, in the signature's order.
        statements: the body.
        returns: the update (to be subtracted from the weights), then the new value of each state; or the drift.
        kind: the function's name, "update" or "drift"; see `vocabulary.DIALECTS`.

    Example:
        >>> from rulesmith import Program
        >>> momentum = Program.parse('''
        ... def update(g, m, lr, decay=0.9):
        ...     m = decay * m + g
        ...     return lr * m, m
        ... ''')
        >>> momentum.hyperparameters
        (('decay', 0.9),)
        >>> Program.parse(momentum.to_text()) == momentum
        True
    """

    inputs: tuple[str, ...]
    states: tuple[Slot, ...]
    hyperparameters: tuple[tuple[str, float], ...]
    statements: tuple[Statement, ...]
    returns: tuple[Operand, ...]
    kind: str = "update"

    @classmethod
    def parse(cls, text: str) -> Program:
        """Return the program that `text` spells.

        Raises:
            ProgramError: the text is not a program; with the line and one sentence that says why.
        """
        from .parsing import parse

        return parse(text)

    def to_text(self) -> str:
        """Return the program's text; `parse` of it gives an equal program."""
        return _to_text(self)

    def to_flat_text(self) -> str:
        """Return the text with a line for each statement and calls for operators; writing it is seven times faster.

        `parse` of it gives an equal program too; stores and workers use it.
        """

        def write(operand: Operand) -> str:
            return operand if operand.__class__ is str else repr(operand)  # pyright: ignore[reportReturnType]

        lines = [f"def {self.kind}({signature_text(self)}):"]
        for target, function, operands in self.statements:
            words = [write(operand) for operand in operands]
            if function == "where":
                words = [f"{words[0]} > {words[1]}", *words[2:]]
            lines.append(f" {target} = {function}({', '.join(words)})")
        lines.append(f" return {', '.join(map(write, self.returns))}")
        return "\n".join(lines) + "\n"

    @functools.cached_property
    def digest(self) -> str:
        """What the program computes, as 32 hexadecimal digits.

        Equal for programs that differ in names, order of commuting operands, dead code, repeated subexpressions or
        unfolded constants only; hyperparameters count as their defaults. The same in every process and version.
        """
        from .analysis import digest

        return digest(self)

    def simplified(self) -> Program:
        """Return a program for the same function without dead code, repetitions, and constants left to compute."""
        from .analysis import simplify

        return simplify(self)

    def with_hyperparameters(self, values: Mapping[str, float]) -> Program:
        """Return the program with other defaults of some hyperparameters; names that it does not have are ignored."""
        return replace(self, hyperparameters=tuple((n, values.get(n, default)) for n, default in self.hyperparameters))

    def lifted(self) -> Program:
        """Return the program with its literals as hyperparameters ``c1, c2, ...`` (equal literals share one)."""
        from .analysis import lift

        return lift(self)

    def to_python(self) -> str:
        """Return a Python function that computes the program with `jax.numpy`, as source text."""
        from .exporting import program_source

        return program_source(self)

    def to_optax(self, learning_rate: Any, **options: Any) -> optax.GradientTransformation:
        """Return the program as an optax transform; options as in `rulesmith.Rule.to_optax`."""
        from .rule import Rule

        return Rule.of(self).to_optax(learning_rate, **options)

    def to_latex(self) -> str:
        """Return the program as equations in LaTeX."""
        from .mathematics.latex import latex_of

        return latex_of({"all": self})

    def to_sympy(self) -> list[sympy.Eq]:
        """Return the program as equations of SymPy, an optional dependency.

        The last one is that of the weights, ``theta_t``, or of the drift, `D`; those before define what it reads. Old
        states have the index t-1, new ones t. Words that SymPy lacks are functions of their own names, such as `norm`.
        """
        need("sympy", "math")
        from .mathematics.symbolic import to_sympy

        return to_sympy(self)

    @classmethod
    def from_sympy(
        cls, given: Any, *, states: Mapping[str, Any] | None = None, kind: str = "update", **hyperparameters: float
    ) -> Program:
        """Return the program that an expression of SymPy spells, or equations as `to_sympy` returns them.

        Args:
            given: what is subtracted from the weights (or the drift), in symbols named as the language names its
                inputs and states; or a list of equations.
            states: for an expression: by name, the new value of each state.
            kind: "update" or "drift".
            **hyperparameters: defaults of the symbols that are hyperparameters.

        Raises:
            RulesmithError: a function or symbol is not of the language.

        Example:
            >>> import sympy
            >>> from rulesmith import Program
            >>> g, m, lr, b = sympy.symbols("g m lr b", real=True)
            >>> print(Program.from_sympy(lr * sympy.sign(m), states={"m": b * m + g}, b=0.9))
            def update(g, lr, m, b=0.9):
                new_m = b * m + g
                return lr * sign(m), new_m
            <BLANKLINE>
        """
        need("sympy", "math")
        from .mathematics.symbolic import from_sympy

        return from_sympy(given, states=states, kind=kind, **hyperparameters)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.to_latex()}$"

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of each state, by name."""
        return {slot.name: slot.shape for slot in self.states}

    @property
    def dialect(self) -> Dialect:
        """What the program may use."""
        return DIALECTS[self.kind]

    def __repr__(self) -> str:
        states = f", states {', '.join(slot.name for slot in self.states)}" if self.states else ""
        return f"<Program {self.kind}({', '.join(self.inputs)}): {len(self.statements)} statements{states}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.to_text())}</pre>"

    @property
    def input_names(self) -> set[str]:
        """Every name that is bound before the first statement, except the vocabulary's own constants."""
        return {*self.inputs, *(name for name, _ in self.hyperparameters)}

    def __str__(self) -> str:
        return self.to_text()


def map_names(program: Program, rename: Callable[[str], str]) -> Program:
    """Return the program with each variable's name `x` as ``rename(x)``."""

    def operand(value: Operand) -> Operand:
        return rename(value) if isinstance(value, str) else value

    return Program(
        tuple(rename(name) for name in program.inputs),
        tuple(slot._replace(name=rename(slot.name)) for slot in program.states),
        tuple((rename(name), default) for name, default in program.hyperparameters),
        tuple(Statement(rename(s.target), s.function, tuple(map(operand, s.operands))) for s in program.statements),
        tuple(map(operand, program.returns)),
        program.kind,
    )


def number_temporaries(program: Program) -> Program:
    """Return the program with its variables in ``_`` renamed to ``_1, _2, ...`` in the order of their first use."""
    names: dict[str, str] = {}
    for target, _, _ in program.statements:
        if target[0] == "_" and target not in names:
            names[target] = f"_{len(names) + 1}"
    if all(old == new for old, new in names.items()):  # most mutants: copying costs more than looking
        return program
    # A name that is read but never assigned gets its own number too, so that it differs from all others.
    return map_names(program, lambda name: name if name[0] != "_" else names.setdefault(name, f"_{len(names) + 1}"))


# --- text ------------------------------------------------------------------------------------------------------------

_OPERATORS: dict[str, type[ast.operator]] = {
    "add": ast.Add,
    "subtract": ast.Sub,
    "multiply": ast.Mult,
    "divide": ast.Div,
    "power": ast.Pow,
}


def literal_node(value: float) -> ast.expr:
    """Return the syntax tree of a number (a negative one as Python's parser would build it)."""
    if value < 0:
        return ast.UnaryOp(ast.USub(), literal_node(-value))
    return ast.Constant(int(value) if value.is_integer() and value < 1e6 else value)


def call_node(function: str, operands: list[ast.expr]) -> ast.expr:
    """Return the syntax tree of a function of the vocabulary, with Python's operators where it has them."""
    if function in _OPERATORS:
        return ast.BinOp(operands[0], _OPERATORS[function](), operands[1])
    if function == "negative" and not isinstance(operands[0], ast.Constant):
        return ast.UnaryOp(ast.USub(), operands[0])
    if function == "where":
        operands = [ast.Compare(operands[0], [ast.Gt()], [operands[1]]), *operands[2:]]
    return ast.Call(ast.Name(function), operands, [])


def body_lines(
    program: Program, leaf: Callable[[Operand], ast.expr], call: Callable[[int, list[ast.expr]], ast.expr]
) -> list[str]:
    """Return the body as lines of Python, temporaries folded back into the expressions that they came from.

    `leaf` writes an operand, `call` a statement's function, given the statement's place and its operands.

    A temporary is folded in if it is assigned and used once, and if flattening the expression would make it again at
    the same place. That holds if it is the latest one still waiting for its use.
    """
    assigned = Counter(statement.target for statement in program.statements)
    used = Counter(_names(operand for statement in program.statements for operand in statement.operands))
    used.update(_names(program.returns))

    def waits(name: Operand) -> bool:
        return isinstance(name, str) and name.startswith("_") and assigned[name] == 1 and used[name] == 1

    lines: list[str] = []
    waiting: dict[str, tuple[ast.expr, int]] = {}  # by name: the expression and its depth, in the order made

    def flush() -> None:
        lines.extend(f"{name} = {ast.unparse(node)}" for name, (node, _) in waiting.items())
        waiting.clear()

    def take(operands: tuple[Operand, ...]) -> tuple[list[ast.expr], int]:
        wanted = [operand for operand in operands if isinstance(operand, str) and waits(operand)]
        foldable = wanted == list(waiting)[len(waiting) - len(wanted) :]
        if not foldable or any(waiting[name][1] >= MAX_DEPTH for name in wanted):
            flush()
            wanted = []
        folded = {name: waiting.pop(name) for name in wanted}
        depth = 1 + max((depth for _, depth in folded.values()), default=0)
        return [folded[o][0] if isinstance(o, str) and o in folded else leaf(o) for o in operands], depth

    for i, (target, _, operands) in enumerate(program.statements):
        arguments, depth = take(operands)
        node = call(i, arguments)
        if waits(target):
            waiting[target] = (node, depth)
        else:
            flush()
            lines.append(f"{target} = {ast.unparse(node)}")
    results, _ = take(program.returns)
    flush()
    lines.append("return " + ", ".join(map(ast.unparse, results)))
    return lines


def signature_text(program: Program) -> str:
    """Return the arguments of the program's text: inputs, states annotated where it matters, then hyperparameters."""
    kinds = {slot.name: slot.annotation for slot in program.states}
    inputs = [f"{name}: {kinds[name]}" if kinds.get(name) else name for name in program.inputs]
    return ", ".join([*inputs, *(f"{name}={ast.unparse(literal_node(d))}" for name, d in program.hyperparameters)])


def _names(operands: Iterable[Operand]) -> list[str]:
    return [operand for operand in operands if isinstance(operand, str)]


def _to_text(program: Program) -> str:
    def leaf(operand: Operand) -> ast.expr:
        return ast.Name(operand) if isinstance(operand, str) else literal_node(operand)

    def call(i: int, operands: list[ast.expr]) -> ast.expr:
        return call_node(program.statements[i].function, operands)

    lines = body_lines(program, leaf, call)
    return f"def {program.kind}({signature_text(program)}):\n" + "".join(f"    {line}\n" for line in lines)


def shapes_after(states: Iterable[Slot], statements: Iterable[Statement]) -> dict[str, Shape]:
    """Return the shape of every variable after the statements have run (names not listed are scalars)."""
    shapes = dict.fromkeys((*NUMBERS, *SIZES), Shape.SCALAR) | INPUT_SHAPES | {slot.name: slot.shape for slot in states}
    for target, function, operands in statements:
        shapes[target] = FUNCTIONS[function].shape(*(shape_of(operand, shapes) for operand in operands))
    return shapes


def shape_of(operand: Operand, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of an operand, given those of variables; literals and names not listed are scalars."""
    return shapes.get(operand, Shape.SCALAR) if isinstance(operand, str) else Shape.SCALAR
