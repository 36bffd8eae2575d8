"""lion: the sign of an interpolated momentum, as optax.lion

The program:

    def update(w, g, m, lr, b1=0.9, b2=0.99, weight_decay=0.001):
        c = interp(g, m, b1)
        m = interp(g, m, b2)
        return lr * (sign(c) + weight_decay * w), m

Origin:
    origin: Chen et al. 2023
    paper: arXiv 2302.06675

Learning rates to try: 0.0001 to 0.3. The update that a program returns is subtracted from the weights. Written by `rulesmith export`.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer


def update(w, g, lr, m, b1, b2, weight_decay):
    c = interp(g, m, b1)
    m = interp(g, m, b2)
    return lr * (jnp.sign(c) + weight_decay * w), m


def lion(
    learning_rate,
    b1=0.9,
    b2=0.99,
    weight_decay=0.001,
    *,
    total_steps=None,
    mask=None,
    state_dtype=None,
    leaf_classes=None,
):
    """Return the optax transform.

    learning_rate: number or schedule; mask: leaves with weight decay; state_dtype: type of the states;
    leaf_classes: which leaves are matrices, see `classified`; total_steps: not used.
    """
    return transform(
        PROGRAMS,
        learning_rate,
        {"b1": b1, "b2": b2, "weight_decay": weight_decay},
        LIMITS,
        total_steps,
        mask,
        state_dtype,
        leaf_classes,
    )


def interp(x, y, a):
    """(1 - a) x + a y."""
    return (1.0 - a) * x + a * y


# From here on, what applies any rule to the leaves of a network; at the end, what this one gives it.


class RuleState(NamedTuple):
    """The number of steps done, and for each state of the rule a tree like the parameters'.

    A leaf whose program does not have the state holds `optax.MaskedNode()` there.
    """

    count: jax.Array
    slots: dict[str, Any]


class LeafProgram(NamedTuple):
    """What is done with the leaves of one class.

    Attributes:
        update: function of one leaf; takes what `reads` and `slots` name, and the hyperparameters.
        reads: which of `w`, `g`, `lr`, `t`, `progress`, `loss` and `shape` it takes.
        slots: each state's shape, "full", "row", "column" or "scalar", and what it holds at first: a number, or "w",
            the weights.
        hyperparameters: names of those that it takes.
        axes: whether it matters which axes are inputs and which outputs.
    """

    update: Callable[..., Any]
    reads: tuple[str, ...]
    slots: dict[str, Any]
    hyperparameters: tuple[str, ...]
    axes: bool


def transform(
    programs,
    learning_rate,
    hyperparameters,
    limits,
    total_steps=None,
    mask=None,
    state_dtype=None,
    leaf_classes=None,
) -> optax.GradientTransformation:
    """Return the optax transform that applies a rule's programs to the leaves.

    Where the rule reads the loss, its update takes that as `value`, as optax's line searches do.

    Args:
        programs: by class of leaves: {"all": LeafProgram} or {"matrix": LeafProgram, "other": LeafProgram}.
        learning_rate: number, or schedule (a function of the step from 0).
        hyperparameters: values by name.
        limits: (low, high) of hyperparameters that may not take every value, by name; high itself is excluded.
        total_steps: length of the training, where the rule reads `progress`.
        mask: tree of booleans, a prefix of one, or function of the parameters to one: the leaves with weight decay.
        state_dtype: type of the states, by default that of the weights, of float16 weights float32. Arithmetic is in
            float32 or wider.
        leaf_classes: which leaves are matrices and how, see `classified`.
    """
    if not callable(learning_rate):
        number("learning_rate", learning_rate, 0.0)
    for name, value in hyperparameters.items():
        number(name, value, *limits.get(name, ()))
    if any("progress" in part.reads for part in programs.values()) and total_steps is None:
        raise ValueError("the rule reads progress: pass total_steps, the length of the training")
    if total_steps is not None:
        number("total_steps", total_steps, 1)
    decays = [name for name in hyperparameters if name.endswith("weight_decay")]
    if mask is not None and not decays:
        raise ValueError("the rule has no hyperparameter weight_decay, so no mask for it")
    if state_dtype is not None:
        try:
            known = jnp.issubdtype(jnp.dtype(state_dtype), jnp.floating)
        except TypeError:
            known = False
        if not known:
            raise ValueError(
                f"state_dtype is {state_dtype!r}; it must be a type of floating-point numbers"
            )
    needed = len(programs) > 1 or programs["all"].axes
    reads = {name for part in programs.values() for name in part.reads}

    def leaf_programs(params):
        found = classified(params, leaf_classes, needed)
        return [(programs["all" if "all" in programs else kind], view) for kind, view in found]

    def first(w, view, shape, start):
        dtype = state_dtype or (jnp.float32 if w.dtype == jnp.float16 else w.dtype)
        if start == "w":
            return jnp.array(w, dtype)
        if shape == "full":
            return jnp.full_like(w, start, dtype)
        one = view.matrix
        rows = (1,) * (len(one) - 1) + one[-1:]
        columns = one[:-1] + (1,) * min(len(one), 1)
        stacked = view.whole[:1] if view.stacked else ()
        return jnp.full(
            stacked + {"row": rows, "column": columns, "scalar": ()}[shape], start, dtype
        )

    def init(params):
        for path, w in jax.tree_util.tree_flatten_with_path(params)[0]:
            if not jnp.issubdtype(w.dtype, jnp.floating):
                raise ValueError(
                    f"leaf {jax.tree_util.keystr(path)} is of type {w.dtype}: the rule trains real floating-point "
                    "weights (complex ones inside optax.contrib.split_real_and_imaginary, others by optax.masked)"
                )
        leaves, tree = jax.tree.flatten(params)
        own = list(zip(leaves, leaf_programs(params)))
        slots = {
            name: tree.unflatten(
                first(w, view, *part.slots[name]) if name in part.slots else optax.MaskedNode()
                for w, (part, view) in own
            )
            for name in dict.fromkeys(name for part in programs.values() for name in part.slots)
        }
        return RuleState(jnp.zeros([], jnp.int32), slots)

    def step(updates, state, params=None, **given):
        if "loss" in reads and given.get("value") is None:
            raise ValueError(
                "this rule reads the loss: call update(updates, state, params, value=loss)"
            )
        if params is None and ("w" in reads or callable(mask)):
            raise ValueError("this rule reads the weights: call update(updates, state, params)")
        gradients, tree = jax.tree.flatten(updates)
        own = leaf_programs(updates if params is None else params)
        weights = tree.flatten_up_to(params) if "w" in reads else gradients
        old = {name: tree.flatten_up_to(slot) for name, slot in state.slots.items()}
        count = state.count.astype(jnp.float32)
        scalars = {
            "lr": learning_rate(state.count) if callable(learning_rate) else learning_rate,
            "t": count + 1.0,
        }
        if "loss" in reads:
            scalars["loss"] = jnp.asarray(given["value"], jnp.float32)
        if "progress" in reads:
            scalars["progress"] = jnp.minimum(count / narrowed(total_steps, jnp.float32), 1.0)
        decayed = [True] * len(gradients)
        if mask is not None:
            decayed = per_leaf(mask(params) if callable(mask) else mask, updates, "mask")

        def arguments(i):
            part, view = own[i]
            double = jnp.dtype("float64") in (gradients[i].dtype, weights[i].dtype)
            dtype = jnp.float64 if double else jnp.float32
            arrays = {"g": gradients[i], "w": weights[i]}
            arrays = {name: view.matrices(x) for name, x in arrays.items() if name in part.reads}
            for name, (shape, _) in part.slots.items():
                arrays[name] = view.matrices(old[name][i]) if shape == "full" else old[name][i]
            numbers = {name: value for name, value in scalars.items() if name in part.reads}
            numbers |= {name: hyperparameters[name] for name in part.hyperparameters}
            numbers = {name: narrowed(value, dtype) for name, value in numbers.items()}
            if decayed[i] is not True:
                numbers |= {
                    name: jnp.where(decayed[i], numbers[name], 0.0)
                    for name in decays
                    if name in numbers
                }
            given = {"shape": view.matrix} if "shape" in part.reads else {}
            return (
                view,
                {name: jnp.asarray(x, dtype) for name, x in arrays.items()},
                {**numbers, **given},
            )

        new: list = [None] * len(gradients)
        kept: dict = {name: [optax.MaskedNode()] * len(gradients) for name in state.slots}
        for part in programs.values():
            places = [i for i in range(len(gradients)) if own[i][0] is part]
            for i, (update, *states) in zip(
                places, run_program(part, [arguments(i) for i in places])
            ):
                new[i] = own[i][1].leaf(update).astype(gradients[i].dtype)
                for (name, (shape, _)), value in zip(part.slots.items(), states):
                    value = own[i][1].leaf(value) if shape == "full" else value
                    kept[name][i] = value.astype(old[name][i].dtype)
        slots = {name: tree.unflatten(values) for name, values in kept.items()}
        return tree.unflatten(new), RuleState(jnp.asarray(optax.safe_increment(state.count)), slots)

    return optax.GradientTransformationExtraArgs(init, step)


def number(name, value, low=-math.inf, high=math.inf):
    """Return a number that a transform is given; raise ValueError unless it is real, finite, and in [low, high).

    A traced value is known to be a number only when the transform runs.
    """
    if isinstance(value, (int, float, np.number, np.ndarray, jax.Array)) and not isinstance(
        value, bool
    ):
        kind = jnp.asarray(value).dtype
        if jnp.ndim(value):
            raise ValueError(f"{name} has shape {jnp.shape(value)}; it must be one number")
        if not (jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)):
            raise ValueError(f"{name} is of type {kind}; it must be a number")
        if jnp.issubdtype(kind, jnp.floating) and jnp.finfo(kind).bits < 32:
            raise ValueError(
                f"{name} comes in {kind}, which would round it; give float32 or wider "
                "(optax.inject_hyperparams(..., hyperparam_dtype=jnp.float32))"
            )
        if not isinstance(value, Tracer) and not (math.isfinite(value) and low <= value < high):
            bounds = [f"at least {low:g}"] * (low > -math.inf) + [f"below {high:g}"] * (
                high < math.inf
            )
            raise ValueError(
                f"{name} is {float(value):g}; it must be {' and '.join(bounds) or 'finite'}"
            )
        return value
    if callable(value):
        raise ValueError(
            f"{name} is a function; only learning_rate may be one (others: optax.inject_hyperparams)"
        )
    raise ValueError(f"{name} is {value!r}; it must be a number")


def narrowed(value, dtype):
    """Return a number in a type; Python's own adapt to what they meet."""
    return value.astype(dtype) if hasattr(value, "astype") else value


def run_program(part, leaves):
    """Return, for each leaf, the negated update and the new states, as matrices.

    Args:
        part: a `LeafProgram`.
        leaves: for each leaf its `LeafView`, the arrays that are matrices (or belong to each), and what else it takes.
    """

    def finished(view, arrays, result):
        shapes = [view.matrix, *(arrays[name].shape for name in part.slots)]
        return [jnp.broadcast_to(x, shape) for x, shape in zip((-result[0], *result[1:]), shapes)]

    if not inspect.isgeneratorfunction(part.update):
        found = []
        for view, arrays, others in leaves:

            def run(a, view=view, others=others):
                return finished(view, a, part.update(**a, **others))

            found.append((jax.vmap(run) if view.stacked else run)(arrays))
        return found
    # Numbers over all leaves: every matrix takes part by itself.
    single = []
    for view, arrays, others in leaves:
        each = (
            [jax.tree.map(lambda x, i=i: x[i], arrays) for i in range(view.whole[0])]
            if view.stacked
            else [arrays]
        )
        single += [(view, a, others) for a in each]
    results = run_together(part.update, [{**a, **o} for _, a, o in single])
    done = iter([finished(view, a, result) for (view, a, _), result in zip(single, results)])
    return [
        [jnp.stack(x) for x in zip(*(next(done) for _ in range(view.whole[0])))]
        if view.stacked
        else next(done)
        for view, _, _ in leaves
    ]


def run_together(update, leaves):
    """Run generators `update(**leaf)` in step and return their results: each yields a share and is sent all shares."""
    runs = [update(**leaf) for leaf in leaves]
    results: list = [None] * len(runs)
    sent = None
    while None in results:
        shares = []
        for i, run in enumerate(runs):
            try:
                shares.append(run.send(sent))
            except StopIteration as stop:
                results[i] = stop.value
        sent = jnp.stack(shares) if shares else None
    return results


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
        raise ValueError(
            f"{what} does not fit the parameters: {' '.join(str(error).split())[:160]}"
        ) from None
    return found


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
        given = [
            "other" if leaf.ndim < 2 else "matrix" if leaf.ndim == 2 else "unknown"
            for _, leaf in named
        ]
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
        raise ValueError(
            f"leaf_classes: {given!r} for {where}, which has {axes} axes, 0 to {axes - 1}"
        )
    inputs, outputs = (tuple(axis % axes for axis in part) for part in pair)
    if len({*inputs, *outputs}) < len(inputs) + len(outputs):
        raise ValueError(f"leaf_classes: {given!r} for {where} names an axis twice")
    stacked = tuple(axis for axis in range(axes) if axis not in (*inputs, *outputs))
    return "matrix", (stacked, inputs, outputs)


PROGRAMS = {
    "all": LeafProgram(
        update, ("w", "g", "lr"), {"m": ("full", 0.0)}, ("b1", "b2", "weight_decay"), False
    )
}

# Of these hyperparameters: the least value, and what they must be below.
LIMITS = {"b1": (0.0, 1.0), "b2": (0.0, 1.0), "weight_decay": (0.0, math.inf)}
