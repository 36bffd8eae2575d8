"""What the words compute, in NumPy and float64: for folding constants and for fingerprints.

Written independently of the JAX versions in `operations`, so that tests can compare the two. Functions that look
at a leaf's shape work on arrays of ``(leaves, cols, rows)``; constants fold through the elementwise ones only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of Muon's quintic iteration (Jordan et al. 2024)."""
NEWTON_SCHULZ_STEPS = 5

TOO_LARGE = 2.0**128 - 2.0**103  # the smallest number that float32 rounds to infinity
_TOO_SMALL = 2.0**-126  # below it float32 loses digits, and compilers may take 0

_Array = Any


def _where(a: _Array, b: _Array, x: _Array, y: _Array) -> _Array:
    return np.where(a > b, x, y)


ELEMENTWISE: dict[str, Callable[..., _Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": np.power,
    "abs": np.abs,
    "negative": np.negative,
    "reciprocal": lambda x: np.divide(1.0, x),  # Python's own division raises at 0
    "sign": np.sign,
    "square": np.square,
    "sqrt": lambda x: np.sqrt(np.abs(x)),
    "cube": lambda x: x * x * x,
    "cbrt": np.cbrt,
    "exp": np.exp,
    "exp2": np.exp2,
    "exp10": lambda x: np.power(10.0, x),
    "expm1": np.expm1,
    "log": lambda x: np.log(np.abs(x)),
    "log2": lambda x: np.log2(np.abs(x)),
    "log10": lambda x: np.log10(np.abs(x)),
    "log1p": lambda x: np.where(x > -1, np.log1p(np.maximum(x, -1)), np.log(np.abs(1 + x))),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "arcsinh": np.arcsinh,
    "arccosh": np.arccosh,
    "arctanh": np.arctanh,
    "interp": lambda x, y, a: (1 - a) * x + a * y,
    "clip": lambda x, c: np.maximum(np.minimum(x, np.abs(c)), -np.abs(c)),
    "where": _where,
}


def single(value: float) -> float:
    """Return the nearest float32, the precision that programs run in."""
    return float(np.float32(value))


def fits(value: float) -> bool:
    """Tell whether float32 holds a number: neither NaN nor beyond its range."""
    return abs(value) < TOO_LARGE


def overflows(function: str, arguments: list[float]) -> bool:
    """Tell whether an elementwise function of constants is beyond float32's range, as exp(1000) is.

    Where it leaves its domain, as 1 / 0 and log(0) do, nothing overflows: the vocabulary says what the value is.
    """
    try:
        with np.errstate(all="ignore", over="raise"):
            value = float(ELEMENTWISE[function](*map(np.float64, arguments)))
    except FloatingPointError:
        return True
    return math.isfinite(value) and not fits(value)


def fold(function: str, arguments: list[float]) -> float | None:
    """Return the value of an elementwise function of constants.

    None where it is not finite in float32, or depends on digits that float32 does not have, as tan(pi) does, or on how
    a compiler treats numbers below float32's normal range; nor where it is -0.0, which is no literal.
    """
    if any(0.0 < abs(argument) < _TOO_SMALL for argument in arguments):
        return None
    with np.errstate(all="ignore"):
        value = float(ELEMENTWISE[function](*map(np.float64, arguments)))
        run = float(ELEMENTWISE[function](*(np.float64(single(argument)) for argument in arguments)))
        written = fits(value) and (abs(value) >= _TOO_SMALL or (value == 0.0 and math.copysign(1.0, value) > 0.0))
        return value if written and math.isclose(value, run, rel_tol=1e-5) else None


def _cosine(product: _Array, x: _Array, y: _Array) -> _Array:
    scale = np.sqrt(x) * np.sqrt(y)
    return np.where(scale > 0, product / np.where(scale > 0, scale, 1.0), 0.0)


def _sum(x: _Array) -> _Array:
    return np.sum(x, axis=(-2, -1), keepdims=True)


def _clip_by_global_norm(x: _Array, c: _Array) -> _Array:
    total = np.sqrt(np.sum(x * x))
    return np.where(total > np.abs(c), x * (np.abs(c) / np.where(total > 0, total, 1.0)), x)


def orthogonalize(x: _Array) -> _Array:
    """Five Newton-Schulz steps on the last two axes, as in Muon."""
    a, b, c = NEWTON_SCHULZ
    length = np.sqrt(_sum(x * x))
    x = x / np.where(length > 0, length, 1.0)
    turned = x.shape[-2] > x.shape[-1]
    x = np.swapaxes(x, -1, -2) if turned else x
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ np.swapaxes(x, -1, -2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return np.swapaxes(x, -1, -2) if turned else x


SHAPED: dict[str, Callable[..., _Array]] = {
    "dot": lambda x, y: _sum(x * y),
    "cosine_similarity": lambda x, y: _cosine(_sum(x * y), _sum(x * x), _sum(y * y)),
    "norm": lambda x: np.sqrt(_sum(x * x)),
    "global_norm": lambda x: np.sqrt(np.sum(x * x)),
    "global_dot": lambda x, y: np.sum(x * y),
    "clip_by_global_norm": _clip_by_global_norm,
    "mean": lambda x: np.mean(x, axis=(-2, -1), keepdims=True),
    "rms": lambda x: np.sqrt(np.mean(x * x, axis=(-2, -1), keepdims=True)),
    "row_mean": lambda x: np.mean(x, axis=-2, keepdims=True),
    "col_mean": lambda x: np.mean(x, axis=-1, keepdims=True),
    "row_max": lambda x: np.max(x, axis=-2, keepdims=True),
    "col_max": lambda x: np.max(x, axis=-1, keepdims=True),
    "row_norm": lambda x: np.sqrt(np.sum(x * x, axis=-2, keepdims=True)),
    "col_norm": lambda x: np.sqrt(np.sum(x * x, axis=-1, keepdims=True)),
    "orthogonalize": orthogonalize,
}
