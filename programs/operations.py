"""What the words compute, in JAX, on one leaf.

The functions here are also the text of exported files: `exporting` copies the source of those that a program needs,
so each may use `jax`, `jnp` and other functions of this module only. A leaf's shape, where it matters, is passed as
`shape`. Numbers over all leaves are made in two halves: a leaf's share here, and what is done with the shares of all
leaves, which the caller puts together (see `transform.run_together`).

Norms are computed in units of the largest entry, so that squares neither overflow nor vanish in float32.
"""

from __future__ import annotations

import jax.numpy as jnp


def rows(shape):
    """Outputs of a leaf: its last axis."""
    return float(shape[-1]) if shape else 1.0


def cols(shape):
    """Inputs of a leaf: all axes but the last, together."""
    return size(shape[:-1])


def size(shape):
    """Number of weights of a leaf."""
    count = 1.0
    for axis in shape:
        count *= axis
    return count


def spread(x, shape):
    """Repeat a narrower value to the leaf's shape."""
    return jnp.broadcast_to(x, shape)


def reciprocal(x):
    """1 / x."""
    return 1.0 / jnp.asarray(x)


def sqrt(x):
    """Square root of |x|."""
    return jnp.sqrt(jnp.abs(x))


def cube(x):
    """x³."""
    return x * x * x


def exp10(x):
    """10 to the x."""
    return jnp.exp(x * 2.302585092994046)


def log(x):
    """ln |x|."""
    return jnp.log(jnp.abs(x))


def log2(x):
    """log₂ |x|."""
    return jnp.log2(jnp.abs(x))


def log10(x):
    """log₁₀ |x|."""
    return jnp.log10(jnp.abs(x))


def log1p(x):
    """ln |1 + x|."""
    return jnp.where(x > -1.0, jnp.log1p(x), jnp.log(jnp.abs(1.0 + x)))


def interp(x, y, a):
    """(1 - a) x + a y."""
    return (1.0 - a) * x + a * y


def where(a, b, x, y):
    """X where a > b, else y."""
    return jnp.where(a > b, x, y)


def clip(x, c):
    """X cut to [-|c|, |c|]."""
    return jnp.maximum(jnp.minimum(x, jnp.abs(c)), -jnp.abs(c))


def dot(x, y):
    """Sum of x y."""
    return jnp.sum(x * y)


def unit(x, axis=None):
    """Largest magnitude, within 2⁻⁶⁴ and 2⁹⁶: of what is divided by it, float32 holds the sum of squares."""
    return jnp.clip(jnp.max(jnp.abs(x), axis=axis, keepdims=axis is not None, initial=0.0), 2.0**-64, 2.0**96)


def norm(x, axis=None):
    """Root of the sum of squares: of all entries, or along axes, which are kept."""
    scale = unit(x, axis)
    return scale * jnp.sqrt(jnp.sum(jnp.square(x / scale), axis=axis, keepdims=axis is not None))


def cosine_similarity(x, y):
    """Sum of x y over the product of the norms; 0 where one is 0."""
    x, y = x / unit(x), y / unit(y)
    a, b = norm(x), norm(y)
    return jnp.sum((x / jnp.where(a > 0.0, a, 1.0)) * (y / jnp.where(b > 0.0, b, 1.0)))


def mean(x, axis=None):
    """Mean of all entries, or along axes, which are kept; 0 of none."""
    total = jnp.sum(x, axis=axis, keepdims=axis is not None)
    return total / max(1.0, jnp.size(x) / max(1, total.size))


def greatest(x, axis):
    """Largest entry along axes, which are kept; 0 of none."""
    return jnp.max(x, axis=axis, keepdims=True) if jnp.size(x) else mean(x, axis)


def rms(x):
    """Root of the mean square; 0 of none."""
    scale = unit(x)
    return scale * jnp.sqrt(mean(jnp.square(x / scale)))


def row_mean(x):
    """Mean over the columns, a number for each row."""
    return mean(x, tuple(range(x.ndim - 1)))


def col_mean(x):
    """Mean over the rows, a number for each column."""
    return mean(x, -1) if x.ndim else x


def row_max(x):
    """Largest of the columns, a number for each row."""
    return greatest(x, tuple(range(x.ndim - 1)))


def col_max(x):
    """Largest of the rows, a number for each column."""
    return greatest(x, -1) if x.ndim else x


def row_norm(x):
    """Norm over the columns, a number for each row."""
    return norm(x, tuple(range(x.ndim - 1)))


def col_norm(x):
    """Norm over the rows, a number for each column."""
    return norm(x, -1) if x.ndim else jnp.abs(x)


def orthogonalize(x):
    """Move the singular values of x as a matrix to about 1: five Newton-Schulz steps (Jordan et al. 2024)."""
    matrix = x.reshape(int(cols(x.shape)), int(rows(x.shape)))
    matrix = matrix / unit(matrix)
    length = norm(matrix)
    matrix = matrix / jnp.where(length > 0.0, length, 1.0)
    turned = matrix.shape[0] > matrix.shape[1]
    matrix = matrix.T if turned else matrix
    for _ in range(5):
        gram = matrix @ matrix.T
        matrix = 3.4445 * matrix + (-4.7750 * gram + 2.0315 * gram @ gram) @ matrix
    return (matrix.T if turned else matrix).reshape(x.shape)


def clip_to(x, c, length):
    """Scale x so that the global norm, which is `length`, is at most |c|."""
    return jnp.where(length > jnp.abs(c), x * (jnp.abs(c) / jnp.where(length > 0.0, length, 1.0)), x)
