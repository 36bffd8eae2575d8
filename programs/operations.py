"""What the words compute, in JAX, on one leaf.

The functions here are also the text of exported files: `exporting` copies the source of those that a program needs,
so each may use `jax`, `jnp` and other functions of this module only. A leaf's shape, where it matters, is passed as
`shape`. Numbers over all leaves are made in two halves: a leaf's share here, which the caller adds up (see
`transform`), and what is done with the sum.
"""

from __future__ import annotations

import jax.numpy as jnp


def rows(shape):
    """Outputs of a leaf: its last axis."""
    return float(shape[-1]) if shape else 1.0


def cols(shape):
    """Inputs of a leaf: all axes but the last, together."""
    return size(shape) / rows(shape)


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


def norm(x):
    """Root of the sum of squares."""
    return jnp.sqrt(jnp.sum(x * x))


def cosine_similarity(x, y):
    """Sum of x y over the product of the norms; 0 where one is 0."""
    scale = norm(x) * norm(y)
    return jnp.where(scale > 0.0, jnp.sum(x * y) / jnp.where(scale > 0.0, scale, 1.0), 0.0)


def mean(x):
    """Mean of all entries."""
    return jnp.mean(x)


def rms(x):
    """Root of the mean square."""
    return jnp.sqrt(jnp.mean(x * x))


def row_mean(x):
    """Mean over the columns, a number for each row."""
    return jnp.mean(x, axis=tuple(range(x.ndim - 1)), keepdims=True)


def col_mean(x):
    """Mean over the rows, a number for each column."""
    return jnp.mean(x, axis=-1, keepdims=True) if x.ndim else x


def row_norm(x):
    """Norm over the columns, a number for each row."""
    return jnp.sqrt(jnp.sum(x * x, axis=tuple(range(x.ndim - 1)), keepdims=True))


def col_norm(x):
    """Norm over the rows, a number for each column."""
    return jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True)) if x.ndim else jnp.abs(x)


def orthogonalize(x):
    """Move the singular values of x as a matrix to about 1: five Newton-Schulz steps (Jordan et al. 2024)."""
    matrix = x.reshape(-1, x.shape[-1] if x.ndim else 1)
    length = norm(matrix)
    matrix = matrix / jnp.where(length > 0.0, length, 1.0)
    turned = matrix.shape[0] > matrix.shape[1]
    matrix = matrix.T if turned else matrix
    for _ in range(5):
        gram = matrix @ matrix.T
        matrix = 3.4445 * matrix + (-4.7750 * gram + 2.0315 * gram @ gram) @ matrix
    return (matrix.T if turned else matrix).reshape(x.shape)


def sum_of_squares(x):
    """A leaf's share of a squared global norm."""
    return jnp.sum(x * x)


def clip_by_total(x, c, total):
    """Scale x so that the global norm, whose square is `total`, is at most |c|."""
    length = jnp.sqrt(total)
    return jnp.where(length > jnp.abs(c), x * (jnp.abs(c) / jnp.where(length > 0.0, length, 1.0)), x)


def run_leaves(update, leaves):
    """Run `update(**leaf)` for each leaf and return the results.

    An `update` that needs numbers over all leaves is a generator: it yields its leaf's share and is sent the sum.
    """
    runs = [update(**leaf) for leaf in leaves]
    if not runs or isinstance(runs[0], tuple):
        return runs
    results: list = [None] * len(runs)
    sends: list = [None] * len(runs)
    while True:
        shares = []
        for i, run in enumerate(runs):
            try:
                shares.append(run.send(sends[i]))
            except StopIteration as stop:
                results[i] = stop.value
        if not shares:
            return results
        total = shares[0]
        for share in shares[1:]:
            total = total + share
        sends = [total] * len(runs)
