"""Many leaves as one value, for programs that go element by element. Its source is part of exported optimizers."""

# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import math

import torch


class Leaves:
    """Tensors that stand for one: ``factor`` times ``parts``. Functions of torch and arithmetic act on all of them.

    One call of `torch._foreach_*` does what would be a call for each part. A product with a number takes no time: the
    number waits as the factor, until a sum takes it along.
    """

    __slots__ = ("factor", "parts")

    def __init__(self, parts, factor=1.0):
        self.parts = parts
        self.factor = factor

    def plain(self):
        """Return the tensors, the factor multiplied in."""
        return self.parts if self.factor == 1.0 else torch._foreach_mul(self.parts, self.factor)

    def __mul__(self, other):
        if isinstance(other, Leaves):
            return Leaves(torch._foreach_mul(self.parts, other.parts), self.factor * other.factor).settled()
        other = float(other)
        if 1e-6 < abs(self.factor * other) < 1e6:
            return Leaves(self.parts, self.factor * other)
        return Leaves(torch._foreach_mul(self.plain(), other))

    __rmul__ = __mul__

    def __truediv__(self, other):
        if isinstance(other, Leaves):
            return Leaves(torch._foreach_div(self.parts, other.parts), self.factor / other.factor).settled()
        other = float(other)
        if other and 1e-6 < abs(self.factor / other) < 1e6:
            return Leaves(self.parts, self.factor / other)
        return Leaves(torch._foreach_div(self.plain(), other))

    def __rtruediv__(self, other):
        return Leaves([float(other) / self.factor / x for x in self.parts])

    def settled(self):
        """Return the value with a factor that no sum could overflow by."""
        return self if 1e-6 < abs(self.factor) < 1e6 else Leaves(self.plain())

    def __neg__(self):
        return Leaves(self.parts, -self.factor)

    def __add__(self, other):
        if not isinstance(other, Leaves):
            return Leaves(torch._foreach_add(self.parts, float(other) / self.factor), self.factor)
        if abs(self.factor + other.factor - 1.0) < 1e-7:
            return Leaves(torch._foreach_lerp(other.parts, self.parts, self.factor))
        if other.factor == 1.0:
            self, other = other, self
        return Leaves(torch._foreach_add(self.parts, other.parts, alpha=other.factor / self.factor), self.factor)

    __radd__ = __add__

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __pow__(self, other):
        other = other.plain() if isinstance(other, Leaves) else float(other)
        return Leaves(torch._foreach_pow(self.plain(), other))

    def __rpow__(self, other):
        return Leaves(torch._foreach_pow(float(other), self.plain()))

    def __abs__(self):
        return Leaves(torch._foreach_abs(self.parts), abs(self.factor))

    def __gt__(self, other):
        other = other.plain() if isinstance(other, Leaves) else [other] * len(self.parts)
        return Leaves([x > y for x, y in zip(self.plain(), other)])

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        """Apply a function of torch to the tensors; numbers are arguments for all of them."""
        name = function.__name__
        first, *rest = arguments
        if name in _OPERATORS and not isinstance(first, cls):
            return getattr(rest[0], _OPERATORS[name])(first)
        if name == "abs":
            return abs(first)
        if name == "square":
            return first * first
        if name == "sqrt" and first.factor > 0.0:
            return cls(torch._foreach_sqrt(first.parts), math.sqrt(first.factor))
        if name == "where" and isinstance(first, torch.Tensor) and first.ndim == 0:
            return rest[0] if first else rest[1]
        values = [x.plain() if isinstance(x, cls) else x for x in arguments]
        together = getattr(torch, f"_foreach_{name}", None)
        if together and not rest:
            return cls(together(*values))
        if together and name in ("maximum", "minimum"):
            values = values if isinstance(first, cls) else values[::-1]
            return cls(together(values[0], values[1] if isinstance(values[1], (list, tuple)) else float(values[1])))
        count = max(len(x) for x in values if isinstance(x, (list, tuple)))
        each = [x if isinstance(x, (list, tuple)) else [x] * count for x in values]
        return cls([function(*one) for one in zip(*each)])


_OPERATORS = {"add": "__radd__", "sub": "__rsub__", "mul": "__rmul__", "div": "__rtruediv__", "pow": "__rpow__"}
"""Methods of `Leaves` for the arithmetic of a tensor, a number, with it."""
