"""How the leaves of a network are read as matrices, in JAX. Its source is part of every exported optimizer."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class LeafView(NamedTuple):
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
    if given in (None, "other", "unknown"):
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
    """Return (class, `LeafView`) for each leaf, in order; the class is "matrix" or "other".

    A matrix maps inputs to outputs, and is held as an array (inputs, outputs). A leaf may hold it otherwise: with
    several axes of inputs or outputs, in another order, or many matrices stacked along further axes. The class that is
    given for it says so:

    - "matrix": the last axis counts outputs, all earlier ones together inputs;
    - a pair of axes, ``(inputs, outputs)``, each an axis or a tuple of axes; the axes that are in neither count
      matrices, each of which is one for itself;
    - "other" or None: no matrix;
    - "unknown": refused if `needed`.

    Args:
        params: the parameters.
        leaf_classes: tree of classes, a prefix of one, or function of the parameters to one. Without it, leaves of two
            axes are matrices, those of fewer are not, and those of more are unknown.
        needed: whether the rule looks at inputs and outputs at all.
    """
    named, _ = jax.tree_util.tree_flatten_with_path(params)
    if leaf_classes is None:
        given = ["other" if leaf.ndim < 2 else "matrix" if leaf.ndim == 2 else "unknown" for _, leaf in named]
    else:
        prefix = leaf_classes(params) if callable(leaf_classes) else leaf_classes
        given = per_leaf(prefix, params, "leaf_classes", is_leaf_class)
    found = []
    for value, (path, leaf) in zip(given, named):
        where = f"leaf {jax.tree_util.keystr(path) or 'of the parameters'}"
        if value == "unknown" and needed:
            raise ValueError(
                f"{where} has {leaf.ndim} axes, {leaf.shape}: pass leaf_classes, a tree or function of the parameters "
                "that says for each leaf 'matrix', 'other' or which axes are (inputs, outputs), such as ((0, 1, 2), 3)"
            )
        kind, axes = axes_of_class(value, leaf.ndim, where)
        found.append((kind, LeafView(leaf.shape, axes if leaf.size else None)))
    return found


def flax_leaf_classes(params: Any) -> Any:
    """Return which leaves of flax modules are matrices and where their axes divide, for `leaf_classes`.

    It knows, by their names, the parameters of linen's and nnx's dense layers, convolutions, attention, recurrent cells
    and embeddings (which are no matrices), also where layers are stacked for a scan. Other leaves of more than two axes
    are "unknown", and refused by rules that look at axes.

    Args:
        params: the parameters of a module.
    """

    def leaf_class(path: Any, leaf: Any) -> Any:
        names = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path]
        names = names[:-1] if names[-1:] == ["value"] else names  # nnx keeps arrays in variables
        name, layer = (["", "", *names])[:-3:-1]
        layer = layer.lower()
        if leaf.ndim < 2 or "embed" in name.lower() or name in ("bias", "scale"):
            return "other"
        if leaf.ndim == 2:
            return "matrix"
        if name == "kernel" and layer in ("query", "key", "value") and leaf.ndim < 5:
            return -3, (-2, -1)
        if name == "kernel" and layer == "out" and leaf.ndim < 5:
            return (-3, -2), -1
        if name == "kernel" and layer.startswith(("dense", "linear")) and "general" not in layer:
            return -2, -1
        if name == "kernel" and "conv" in layer:
            return "matrix"
        return "unknown"

    return jax.tree_util.tree_map_with_path(leaf_class, params)
