"""Equations of programs in SymPy, and programs from them: the third table of the same words."""

from __future__ import annotations

import functools
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import sympy as sp

from ..errors import ProgramError, RulesmithError
from ..program import Program
from ..vocabulary import DIALECTS, FUNCTIONS
from .equations import GREEK, Call, Name, Term, equations

_ONE = sp.Integer(1)
_WORDS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "power": lambda x, y: x**y,
    "negative": lambda x: -x,
    "reciprocal": lambda x: 1 / x,
    "maximum": sp.Max,
    "minimum": sp.Min,
    "abs": sp.Abs,
    "sign": sp.sign,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "sqrt": lambda x: sp.sqrt(sp.Abs(x)),
    "root": sp.sqrt,
    "exp": sp.exp,
    "exp2": lambda x: sp.Integer(2) ** x,
    "exp10": lambda x: sp.Integer(10) ** x,
    "ln": sp.log,
    "log": lambda x: sp.log(sp.Abs(x)),
    **{name: getattr(sp, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"arc{name}": getattr(sp, f"a{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "interp": lambda x, y, a: (_ONE - a) * x + a * y,
    "where": lambda a, b, x, y: sp.Piecewise((x, sp.Gt(a, b)), (y, True)),
}
"""Words that SymPy has; the others are functions of their own names."""


def symbol(name: Name) -> sp.Symbol:
    r"""Return the SymPy symbol of a name: its LaTeX, Greek letters without backslash, so that it prints the same."""
    return sp.Symbol(re.sub(rf"^\\({'|'.join(GREEK)})(?![A-Za-z])", r"\1", name.latex), real=True)


def _expression(term: Term) -> Any:
    if isinstance(term, Name):
        return symbol(term)
    if not isinstance(term, Call):
        return sp.Integer(int(term)) if term == int(term) and abs(term) < 1e6 else sp.Float(repr(term), 17)
    arguments = [_expression(each) for each in term.arguments]
    word = _WORDS.get(term.function)
    return word(*arguments) if word else sp.Function(term.function, real=True)(*arguments)


def to_sympy(program: Program) -> list[sp.Eq]:
    """Return a program as equations; the last one is that of the weights, or of the drift."""
    found: Any = [sp.Eq(symbol(left), _expression(right), evaluate=False) for left, right in equations(program)]
    return found


# --- and back --------------------------------------------------------------------------------------------------------

_INPUTS = {
    "update": {
        **{"theta_{t-1}": "w", "theta_t": "w", "g_{t}": "g", "eta": "lr", r"\tau": "progress", "tau": "progress"},
        **{r"\ell_{t}": "loss", r"n_{\mathrm{out}}": "rows", r"n_{\mathrm{in}}": "cols", "n": "size"},
    },
    "drift": {"A": "a", "tau": "progress"},
}
_NAMED = {sp.Max: "maximum", sp.Min: "minimum", sp.Abs: "abs", sp.sign: "sign", sp.exp: "exp", sp.log: "log"}
_NAMED |= {getattr(sp, name): name for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
_NAMED |= {getattr(sp, f"a{name}"): f"arc{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}


def from_sympy(
    given: Any, *, states: Mapping[str, Any] | None = None, kind: str = "update", **hyperparameters: float
) -> Program:
    """Return the program that SymPy expressions spell; see `Program.from_sympy`."""
    if kind not in DIALECTS:
        raise RulesmithError(f"kind is {kind!r}; it must be {' or '.join(DIALECTS)}")
    names = _Names(kind, hyperparameters, states or {})
    last, definitions = _split(given)
    old = {_plain(name) for value in (last, *definitions.values()) for name in _symbols(value) if _is_old(name)}
    new: dict[str, str] = {}
    lines = []
    for left, value in definitions.items():
        text = _write(value, names)
        name = names.variable(left)
        lines.append(f"    {name} = {text}")
        if _plain(left) in old and re.search(r"[{,]t\}$", left) and "'" not in left and "hat" not in left:
            new[_plain(left)] = name
    for name, value in (states or {}).items():
        new[name] = f"new_{name}"
        lines.append(f"    new_{name} = {_write(sp.sympify(value), names)}")
    result = _write(last, names)
    slots: list[str] = sorted({*names.states, *(states or {})})
    if "old" in slots and "old" not in new:  # what it holds is the gradient of the last step
        new["old"] = "g"
        names.used.add("g")
    missing = [name for name in slots if name not in new]
    if missing:
        raise RulesmithError(f"no equation says what {', '.join(missing)} becomes")
    signature = [name for name in DIALECTS[kind].inputs if name in names.used] + slots
    signature += [f"{name}={value!r}" for name, value in names.defaults.items()]
    returns = ", ".join([result, *(new[name] for name in slots)])
    text = "\n".join([f"def {kind}({', '.join(signature)}):", *lines, f"    return {returns}"])
    try:
        return Program.parse(text + "\n")
    except ProgramError as error:
        raise RulesmithError(f"the expression is no program: {error}") from None


def _split(given: Any) -> tuple[Any, dict[str, Any]]:
    """Return what is subtracted from the weights, or the drift, and the definitions before it by their left sides."""
    definitions = {}
    last = None
    for each in given if isinstance(given, Sequence) else [given]:
        if not isinstance(each, sp.Eq):
            last = sp.sympify(each)
            continue
        left, right = str(each.lhs), each.rhs
        if left == "D":
            last = right
        elif left in ("theta_{t}", "theta_t"):
            last = _update(right)
        else:
            definitions[left] = right
    if last is None:
        raise RulesmithError("the equation of the weights, theta_t, is missing (of a drift that of D)")
    return last, definitions


def _symbols(value: Any) -> list[str]:
    return sorted(str(each) for each in value.free_symbols)


def _is_old(name: str) -> bool:
    return name.endswith("t-1}") and not name.startswith("theta")


def _update(right: Any) -> Any:
    """Return what is subtracted from the weights, given what they become."""
    terms = sp.Add.make_args(right)
    before = next((term for term in terms if str(term) in ("theta_{t-1}", "w")), None)
    if before is None:
        before = sp.Symbol("theta_{t-1}", real=True)
        return before - right
    return -sp.Add(*(term for term in terms if term != before))


def _plain(name: str) -> str:
    """Return a symbol's name as one of the language, its index of time left out: m for m_{t-1}."""
    name = re.sub(r"(?:,|_\{)t(?:-1)?\}$", lambda found: "}" if found[0][0] == "," else "", name)
    hat = re.match(r"\\hat\{(.*?)\}", name)
    name = name.replace("\\ ", "_").replace(r"\mathrm", "")
    name = re.sub(r"\W+", "_", name.replace("'", "_new")).strip("_")
    name = name.removeprefix("hat_") + "_hat" if hat else name
    return f"{name}_" if keyword.iskeyword(name) or name in FUNCTIONS else name


class _Names:
    """What symbols are called in the program; it notes which are read."""

    def __init__(self, kind: str, hyperparameters: Mapping[str, float], states: Mapping[str, Any]) -> None:
        self.inputs = _INPUTS[kind]
        self.dialect = DIALECTS[kind]
        self.given = {_plain(name): value for name, value in hyperparameters.items()}
        self.states: set[str] = set(states)
        self.variables: dict[str, str] = {}
        self.used: set[str] = set()
        self.defaults: dict[str, float] = {}

    def variable(self, left: str) -> str:
        """Return a new variable for the left side of an equation."""
        name = _plain(left)
        while name in {*self.variables.values(), *self.states, *self.dialect.inputs, *self.given}:
            name += "_new"
        self.variables[left] = name
        return name

    def read(self, name: str) -> str:
        """Return what a symbol is called, once it is known what it is."""
        if name in self.variables:
            return self.variables[name]
        word = "old" if name == "g_{t-1}" else self.inputs.get(name, _plain(name))
        if word in self.dialect.inputs:
            self.used.add(word)
        elif _is_old(name):
            self.states.add(word)
        elif word in self.given:
            self.defaults[word] = self.given[word]
        elif word not in self.states and word not in self.dialect.constants:
            raise RulesmithError(f"{name!r} is no input; for a hyperparameter give its default, {word}=...")
        return word


def _write(value: Any, names: _Names) -> str:
    """Return an expression as text of the language."""
    value = sp.sympify(value)
    write = functools.partial(_write, names=names)
    if isinstance(value, sp.Symbol):
        return names.read(value.name)
    if value.is_Number:
        number = float(value)
        return repr(number) if number >= 0 else f"({number!r})"
    if value is sp.pi or value is sp.E:
        return "pi" if value is sp.pi else "e"
    if isinstance(value, sp.Add):
        first, *rest = cast(list[Any], value.as_ordered_terms())
        text = write(first)
        for term in rest:
            text += f" - {write(-term)}" if term.could_extract_minus_sign() else f" + {write(term)}"
        return f"({text})"
    if isinstance(value, sp.Mul):
        return _product(value, write)
    if isinstance(value, sp.Pow):
        return _power(value, write)
    if isinstance(value, sp.Piecewise) and len(value.args) == 2 and cast(Any, value.args[1])[1] == sp.true:
        (x, condition), (y, _) = cast(Any, value.args)
        if isinstance(condition, (sp.Gt, sp.Lt)):
            return f"where({write(condition.gts)} > {write(condition.lts)}, {write(x)}, {write(y)})"
    name = _NAMED.get(type(value)) or getattr(value, "name", type(value).__name__)
    if name == "log" and isinstance(value.args[0], sp.Abs):
        return f"log({write(value.args[0].args[0])})"
    if name in ("maximum", "minimum"):
        return functools.reduce(
            lambda x, y: f"{name}({x}, {y})", map(write, sorted(value.args, key=sp.default_sort_key))
        )
    if name not in FUNCTIONS:
        raise RulesmithError(f"{value} is not of the language: {name!r} is no word of it")
    return f"{name}({', '.join(map(write, value.args))})"


def _product(value: Any, write: Callable[[Any], str]) -> str:
    above, below = [], []
    for factor in value.as_ordered_factors():
        base, exponent = factor.as_base_exp()
        if exponent.is_Number and exponent < 0:
            below.append(base**-exponent)
        else:
            above.append(factor)
    if not below:
        return "(" + " * ".join(map(write, above)) + ")"
    top = " * ".join(map(write, above)) or "1"
    return f"({top} / ({' * '.join(map(write, below))}))"


def _power(value: Any, write: Callable[[Any], str]) -> str:
    base, exponent = value.args
    if exponent == sp.Rational(1, 2):
        return f"sqrt({write(base.args[0] if isinstance(base, sp.Abs) else base)})"
    if exponent.is_Number and exponent < 0:
        return f"(1 / {write(base**-exponent)})"
    if exponent in (2, 3):
        return f"{'square' if exponent == 2 else 'cube'}({write(base)})"
    if base is sp.E:
        return f"exp({write(exponent)})"
    return f"({write(base)} ** {write(exponent)})"
