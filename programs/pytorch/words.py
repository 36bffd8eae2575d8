"""What the words compute, in PyTorch, on one leaf: the second table beside `operations`.

The functions here are also the text of exported files, so each may use `torch` and other functions of this module only.
PyTorch keeps weights as (out, in): the *first* axis of a leaf counts the rows, its outputs, the others together the
columns. Everything else is as in `operations`, but for one thing: the sign of NaN is 0 in PyTorch.
"""

from __future__ import annotations

import math

import torch


def tensor(x):
    """Return a number as a tensor, which keeps the type of those that it meets."""
    return torch.tensor(x, dtype=torch.float64) if isinstance(x, (int, float)) else x


def rows(shape):
    """Outputs of a leaf: its first axis."""
    return float(shape[0]) if len(shape) else 1.0


def cols(shape):
    """Inputs of a leaf: all axes but the first, together."""
    return size(shape[1:])


def size(shape):
    """Number of weights of a leaf."""
    return float(math.prod(shape))


def spread(x, shape):
    """Repeat a narrower value to the leaf's shape."""
    return torch.broadcast_to(x if isinstance(x, torch.Tensor) else torch.tensor(x), shape)


def power(x, y):
    """X to the power of y."""
    return tensor(x) ** y


def sqrt(x):
    """Square root of |x|."""
    return torch.sqrt(torch.abs(x))


def cube(x):
    """x³."""
    return x * x * x


def cbrt(x):
    """The real cube root, sign kept."""
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


def exp10(x):
    """10 to the x."""
    return torch.exp(x * 2.302585092994046)


def log(x):
    """ln |x|."""
    return torch.log(torch.abs(x))


def log2(x):
    """log₂ |x|."""
    return torch.log2(torch.abs(x))


def log10(x):
    """log₁₀ |x|."""
    return torch.log10(torch.abs(x))


def log1p(x):
    """ln |1 + x|."""
    return torch.where(x > -1.0, torch.log1p(x), torch.log(torch.abs(1.0 + x)))


def interp(x, y, a):
    """(1 - a) x + a y."""
    return (1.0 - a) * x + a * y


def where(a, b, x, y):
    """X where a > b, else y."""
    return torch.where(tensor(a) > b, x, y)


def clip(x, c):
    """X cut to [-|c|, |c|]."""
    return torch.maximum(torch.minimum(tensor(x), abs(tensor(c))), -abs(tensor(c)))


def dot(x, y):
    """Sum of x y."""
    return torch.sum(x * y)


def unit(x, axes=None):
    """Largest magnitude, within 2⁻⁶⁴ and 2⁹⁶: of what is divided by it, float32 holds the sum of squares."""
    largest = torch.amax(torch.abs(x), axes or tuple(range(x.ndim)), keepdim=axes is not None)
    return torch.clamp(largest if axes != () else torch.abs(x), 2.0**-64, 2.0**96)


def total(x, axes=None):
    """Sum of all entries, or along axes, which are kept."""
    return torch.sum(x) if axes is None else torch.sum(x, axes, keepdim=True) if axes else x


def norm(x, axes=None):
    """Root of the sum of squares: of all entries, or along axes, which are kept."""
    scale = unit(x, axes)
    return scale * torch.sqrt(total(torch.square(x / scale), axes))


def cosine_similarity(x, y):
    """Sum of x y over the product of the norms; 0 where one is 0."""
    x, y = x / unit(x), y / unit(y)
    a, b = norm(x), norm(y)
    return torch.sum((x / torch.where(a > 0.0, a, 1.0)) * (y / torch.where(b > 0.0, b, 1.0)))


def mean(x, axes=None):
    """Mean of all entries, or along axes, which are kept."""
    sums = total(x, axes)
    return sums / (x.numel() / sums.numel())


def rms(x):
    """Root of the mean square."""
    scale = unit(x)
    return scale * torch.sqrt(mean(torch.square(x / scale)))


def row_mean(x):
    """Mean over the columns, a number for each row."""
    return mean(x, tuple(range(1, x.ndim)))


def col_mean(x):
    """Mean over the rows, a number for each column."""
    return mean(x, tuple(range(x.ndim))[:1])


def row_max(x):
    """Largest of the columns, a number for each row."""
    return torch.amax(x, tuple(range(1, x.ndim)), keepdim=True) if x.ndim > 1 else x


def col_max(x):
    """Largest of the rows, a number for each column."""
    return torch.amax(x, 0, keepdim=True) if x.ndim else x


def row_norm(x):
    """Norm over the columns, a number for each row."""
    return norm(x, tuple(range(1, x.ndim)))


def col_norm(x):
    """Norm over the rows, a number for each column."""
    return norm(x, tuple(range(x.ndim))[:1])


def orthogonalize(x):
    """Move the singular values of x as a matrix to about 1: five Newton-Schulz steps (Jordan et al. 2024)."""
    matrix = x.reshape(int(rows(x.shape)), int(cols(x.shape)))
    matrix = matrix / unit(matrix)
    length = norm(matrix)
    matrix = matrix / torch.where(length > 0.0, length, 1.0)
    turned = matrix.shape[0] > matrix.shape[1]
    matrix = matrix.T if turned else matrix
    for _ in range(5):
        gram = matrix @ matrix.T
        matrix = 3.4445 * matrix + (-4.7750 * gram + 2.0315 * gram @ gram) @ matrix
    return (matrix.T if turned else matrix).reshape(x.shape)


def clip_to(x, c, length):
    """Scale x so that the global norm, which is `length`, is at most |c|."""
    c, length = abs(tensor(c)), length.to(tensor(x).device)
    return torch.where(length > c, x * (c / torch.where(length > 0.0, length, 1.0)), x)
