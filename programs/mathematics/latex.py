"""Equations of programs in LaTeX."""

from __future__ import annotations

from collections.abc import Mapping

from ..program import Program
from .equations import Call, Name, Term, equations

_SUM, _PRODUCT, _POWER, _ATOM = range(4)
"""How tightly a text holds together; a looser one gets brackets."""

_AROUND = {
    "abs": r"\left|{}\right|",
    "norm": r"\left\|{}\right\|",
    "global_norm": r"\left\|{}\right\|_{{\mathrm{{all}}}}",
    "row_norm": r"\left\|{}\right\|_{{\mathrm{{row}}}}",
    "col_norm": r"\left\|{}\right\|_{{\mathrm{{col}}}}",
    "dot": r"\left\langle {}, {}\right\rangle",
    "global_dot": r"\left\langle {}, {}\right\rangle_{{\mathrm{{all}}}}",
    "sqrt": r"\sqrt{{\left|{}\right|}}",
    "root": r"\sqrt{{{}}}",
    "cbrt": r"\sqrt[3]{{{}}}",
    "mean": r"\operatorname{{mean}}\left({}\right)",
    "rms": r"\operatorname{{rms}}\left({}\right)",
    "maximum": r"\max\left({}, {}\right)",
    "minimum": r"\min\left({}, {}\right)",
    "clip_by_global_norm": r"\operatorname{{clip}}_{{\left\|\cdot\right\|_{{\mathrm{{all}}}} \le {1}}}\left({0}\right)",
    "orthogonalize": r"\operatorname{{orth}}\left({}\right)",
    "ln": r"\ln\left({}\right)",
    "log": r"\ln\left|{}\right|",
    "log2": r"\log_2\left|{}\right|",
    "log10": r"\log_{{10}}\left|{}\right|",
    "log1p": r"\ln\left|1 + {}\right|",
    **{name: rf"\{name}\left({{}}\right)" for name in ("sin", "cos", "tan", "arcsin", "arccos", "arctan")},
    **{name: rf"\{name}\left({{}}\right)" for name in ("sinh", "cosh", "tanh")},
}
"""Words as marks around their arguments; what is not here stands upright before them in brackets."""
_POWERS = {"square": 2.0, "cube": 3.0}
_BASES = {"exp": "e", "exp2": "2", "exp10": "10"}


def number_text(value: float) -> str:
    """Return a number, a very large or small one as a power of ten."""
    mantissa, _, power = f"{value:g}".partition("e")
    if not power:
        return mantissa
    ten = f"10^{{{int(power)}}}"
    return ten if mantissa == "1" else rf"{mantissa} \cdot {ten}"


def _text(term: Term) -> tuple[str, int]:
    """Return a term in LaTeX, and how tightly it holds together."""
    if isinstance(term, Name):
        return term.latex, _ATOM
    if not isinstance(term, Call):
        return number_text(term), _SUM if term < 0 else _ATOM if "e" not in f"{term:g}" else _PRODUCT
    function, arguments = term
    match function:
        case "add":
            right = _inside(arguments[1], _SUM)
            right = rf"\left({right}\right)" if right.startswith("-") else right
            return f"{_inside(arguments[0], _SUM)} + {right}", _SUM
        case "subtract":
            return f"{_inside(arguments[0], _SUM)} - {_inside(arguments[1], _PRODUCT)}", _SUM
        case "negative":
            return f"-{_inside(arguments[0], _PRODUCT)}", _SUM
        case "multiply":
            left, right = (_inside(each, _PRODUCT) for each in arguments)
            return (rf"{left} \cdot {right}" if right[0].isdigit() else f"{left} {right}"), _PRODUCT
        case "divide":
            return rf"\frac{{{_text(arguments[0])[0]}}}{{{_text(arguments[1])[0]}}}", _PRODUCT
        case "reciprocal":
            return rf"\frac{{1}}{{{_text(arguments[0])[0]}}}", _PRODUCT
        case "interp":
            return _text(_weighted(*arguments))
        case "where":
            a, b, x, y = (_text(each)[0] for each in arguments)
            return rf"\begin{{cases}} {x} & {a} > {b} \\ {y} & \text{{otherwise}} \end{{cases}}", _ATOM
        case "power" | "square" | "cube":
            exponent = arguments[1] if function == "power" else _POWERS[function]
            base = _inside(arguments[0], _ATOM)
            marked = isinstance(arguments[0], Name) and "'" in arguments[0].mark
            return (rf"\left({base}\right)" if marked else base) + f"^{{{_text(exponent)[0]}}}", _POWER
        case "exp" | "exp2" | "exp10":
            return f"{_BASES[function]}^{{{_text(arguments[0])[0]}}}", _POWER
        case "expm1":
            return f"e^{{{_text(arguments[0])[0]}}} - 1", _SUM
        case "clip":
            x, c = (_text(each)[0] for each in arguments)
            return rf"\operatorname{{clip}}\left({x}, -{c}, {c}\right)", _ATOM
    texts = [_text(each)[0] for each in arguments]
    if function in _AROUND:
        return _AROUND[function].format(*texts), _ATOM
    upright = function.replace("_", r"\_")
    return rf"\operatorname{{{upright}}}\left({', '.join(texts)}\right)", _ATOM


def _weighted(x: Term, y: Term, a: Term) -> Term:
    """Return (1 - a) x + a y, the average's old value first."""
    rest = 1.0 - a if isinstance(a, float) else Call("subtract", (1.0, a))
    rest = float(f"{rest:.12g}") if isinstance(rest, float) else rest
    return Call("add", (Call("multiply", (a, y)), Call("multiply", (rest, x))))


def _inside(term: Term, least: int) -> str:
    text, tightness = _text(term)
    return text if tightness >= least else rf"\left({text}\right)"


def latex_of(programs: Mapping[str, Program]) -> str:
    """Return programs by class of leaves as aligned equations, for a display in LaTeX."""
    lines = []
    for label, program in programs.items():
        if label != "all":
            lines.append(rf"&\text{{for {label} leaves:}}")
        for left, right in equations(program):
            lines.append(f"{left.latex} &= {_text(right)[0]}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"
