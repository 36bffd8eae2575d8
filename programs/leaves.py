"""How the leaves of a network are read as matrices, in JAX. Its source is part of every exported optimizer."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class View(NamedTuple):
    """A leaf as matrices.

    Attributes:
        shape: of the leaf.
        axes: (stacked, inputs, outputs), or None where the leaf is taken as it is.
    """

    shape: tuple[int, ...]
    axes: Any

    @property
    def stacked(self):
        """Whether the leaf holds several matrices."""
        return bool(self.axes and self.axes[0])

    @property
    def whole(self):
        """Shape of all matrices: (inputs, outputs), of stacked ones (matrices, inputs, outputs)."""
        if self.axes is None:
            return self.shape
        sizes = tuple(math.prod(self.shape[axis] for axis in part) for part in self.axes)
        return sizes if self.stacked else sizes[1:]

    @property
    def matrix(self):
        """Shape of one matrix."""
        return self.whole[1:] if self.stacked else self.whole

    def matrices(self, x):
        """Return the leaf as matrices."""
        if self.axes is None:
            return x
        return jnp.transpose(x, sum(self.axes, ())).reshape(self.whole)

    def leaf(self, x):
        """Return matrices as the leaf."""
        if self.axes is None:
            return x
        order = sum(self.axes, ())
        back = sorted(range(len(order)), key=lambda i: order[i])
        return jnp.transpose(x.reshape([self.shape[axis] for axis in order]), back)


def is_leaf_class(value):
    """Tell whether a value is the class of a leaf, rather than a tree of them."""

    def is_axes(x):
        return isinstance(x, int) or (isinstance(x, tuple) and all(isinstance(i, int) for i in x))

    pair = isinstance(value, tuple) and len(value) == 2 and all(map(is_axes, value))
    return value is None or isinstance(value, str) or pair


def per_leaf(prefix, tree, what, is_leaf=None):
    """Return, in order, the value for each leaf of a tree that a prefix of the tree gives it.

    Args:
        prefix: a tree of values that stops at the tree's leaves or before, or one value for all.
        tree: the tree.
        what: what the prefix is called in messages.
        is_leaf: tells which nodes of the prefix are values.
    """
    found: list = []

    def take(value, part):
        found.extend([value] * len(jax.tree.leaves(part)))

    try:
        jax.tree.map(take, prefix, tree, is_leaf=is_leaf)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what} does not fit the parameters: {' '.join(str(error).split())[:160]}") from None
    return found


def axes_of_class(given, axes, where):
    """Return (class, axes) of a leaf: "matrix" or "other"; axes as (stacked, inputs, outputs), None if as they are.

    Args:
        given: the class, as in `classified`.
        axes: number of axes of the leaf.
        where: what the leaf is called in messages.
    """
    if given is None or given == "other":
        return "other", None
    if given == "matrix":
        if axes < 2:
            raise ValueError(f"leaf_classes: {where} has {axes} axes, so it is no matrix")
        return "matrix", None
    if not isinstance(given, tuple):
        raise ValueError(
            f"leaf_classes: {given!r} for {where}; give 'matrix', 'other' or a pair of axes (inputs, outputs)"
        )
    pair = [(part,) if isinstance(part, int) else part for part in given]
    if not all(-axes <= axis < axes for part in pair for axis in part):
        raise ValueError(f"leaf_classes: {given!r} for {where}, which has {axes} axes, 0 to {axes - 1}")
    inputs, outputs = (tuple(axis % axes for axis in part) for part in pair)
    if len({*inputs, *outputs}) < len(inputs) + len(outputs):
        raise ValueError(f"leaf_classes: {given!r} for {where} names an axis twice")
    stacked = tuple(axis for axis in range(axes) if axis not in (*inputs, *outputs))
    return "matrix", (stacked, inputs, outputs)


def classified(params, leaf_classes, needed):
    """Return (class, `View`) for each leaf, in order; the class is "matrix" or "other".

    A matrix maps inputs to outputs, and is held as an array (inputs, outputs). A leaf may hold it otherwise: with
    several axes of inputs or outputs, in another order, or many matrices stacked along further axes. The class that is
    given for it says so:

    - "matrix": the last axis counts outputs, all earlier ones together inputs;
    - a pair of axes, ``(inputs, outputs)``, each an axis or a tuple of axes; the axes that are in neither count
      matrices, each of which is one for itself;
    - "other" or None: no matrix.

    Args:
        params: the parameters.
        leaf_classes: tree of classes, a prefix of one, or function of the parameters to one. Without it, leaves of two
            axes are matrices, those of fewer are not, and those of more are refused if `needed`.
        needed: whether the rule looks at inputs and outputs at all.
    """
    named, _ = jax.tree_util.tree_flatten_with_path(params)
    if leaf_classes is None:
        given = ["matrix" if leaf.ndim >= 2 else "other" for _, leaf in named]
    else:
        prefix = leaf_classes(params) if callable(leaf_classes) else leaf_classes
        given = per_leaf(prefix, params, "leaf_classes", is_leaf_class)
    found = []
    for value, (path, leaf) in zip(given, named):
        where = f"leaf {jax.tree_util.keystr(path) or 'of the parameters'}"
        if leaf_classes is None and needed and leaf.ndim > 2:
            raise ValueError(
                f"{where} has {leaf.ndim} axes, {leaf.shape}: pass leaf_classes, a tree or function of the parameters "
                "that says for each leaf 'matrix', 'other' or which axes are (inputs, outputs), such as ((0, 1, 2), 3)"
            )
        kind, axes = axes_of_class(value, leaf.ndim, where)
        found.append((kind, View(leaf.shape, axes if leaf.size else None)))
    return found
