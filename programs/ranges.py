"""What range the values of a program are in, whatever the gradients: abstract execution on intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

from .program import Operand, Program
from .vocabulary import NUMBERS, SIZES

Range = tuple[float, float]
ANY: Range = (-math.inf, math.inf)
POSITIVE: Range = (0.0, math.inf)
_INPUTS = {"t": (1.0, math.inf), "progress": (0.0, 1.0), "lr": POSITIVE}
_KEPT = {*("mean", "row_mean", "col_mean", "row_max", "col_max"), *("cbrt", "tanh", "arctan", "arcsinh", "expm1")}
"""Words whose result is not negative if their argument is not."""
_ALWAYS = {*("square", "abs", "sqrt", "exp", "exp2", "exp10", "cosh"), *("norm", "rms", "row_norm", "col_norm")}
_ALWAYS |= {"global_norm"}
"""Words whose result is never negative."""


def _times(x: Range, y: Range) -> Range:
    products = [a * b if a and b else 0.0 for a in x for b in y]
    return min(products), max(products)


def _power(x: Range, y: Range) -> Range:
    if x[0] < 0.0:
        return ANY
    return (0.0, 1.0) if x[1] <= 1.0 and y[0] >= 0.0 else POSITIVE


def _same_sign(*ranges: Range) -> Range:
    return POSITIVE if all(low >= 0.0 for low, _ in ranges) else ANY


_RULES: dict[str, Callable[..., Range]] = {
    "add": lambda x, y: (x[0] + y[0], x[1] + y[1]),
    "subtract": lambda x, y: (x[0] - y[1], x[1] - y[0]),
    "multiply": _times,
    "divide": _same_sign,
    "reciprocal": _same_sign,
    "power": _power,
    "maximum": lambda x, y: (max(x[0], y[0]), max(x[1], y[1])),
    "minimum": lambda x, y: (min(x[0], y[0]), min(x[1], y[1])),
    "interp": lambda x, y, a: _same_sign(x, y) if a[0] >= 0.0 and a[1] <= 1.0 else ANY,
    "where": lambda a, b, x, y: (min(x[0], y[0]), max(x[1], y[1])),
    **dict.fromkeys(_KEPT, _same_sign),
    **dict.fromkeys(_ALWAYS, lambda *_: POSITIVE),
}


def never_negative(program: Program, limits: dict[str, Range]) -> list[bool]:
    """Return for each statement whether its first operand is never negative at any step.

    States count as never negative as long as that follows from itself: they begin so, and are returned so.

    Args:
        program: the program.
        limits: (low, high) of hyperparameters that may not take every value.
    """
    positive = {slot.name for slot in program.states if not isinstance(slot.start, str) and slot.start >= 0.0}
    known = {name: (value, value) for name, value in NUMBERS.items()} | dict.fromkeys(SIZES, (1.0, math.inf)) | _INPUTS
    known |= {name: limits.get(name, ANY) for name, _ in program.hyperparameters}
    while True:
        bound = {**known, **dict.fromkeys(positive, POSITIVE)}

        def read(operand: Operand, bound: dict[str, Range] = bound) -> Range:
            return bound.get(operand, ANY) if isinstance(operand, str) else (operand, operand)

        found = []
        for target, function, operands in program.statements:
            ranges = [read(operand) for operand in operands]
            found.append(ranges[0][0] >= 0.0)
            low, high = _RULES.get(function, lambda *_: ANY)(*ranges)
            bound[target] = ANY if math.isnan(low) or math.isnan(high) else (low, high)
        after = {slot.name for slot, value in zip(program.states, program.returns[1:]) if read(value)[0] >= 0.0}
        if positive <= after:
            return found
        positive &= after
