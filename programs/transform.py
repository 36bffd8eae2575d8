"""From the function of one leaf to an optax transform. Its source is part of every exported file (see `exporting`)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from .leaves import classified, per_leaf


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


def number(name, value, low=-math.inf, high=math.inf):
    """Return a number that a transform is given; raise ValueError unless it is real, finite, and in [low, high).

    A traced value is known to be a number only when the transform runs.
    """
    if isinstance(value, (int, float, np.number, np.ndarray, jax.Array)) and not isinstance(value, bool):
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
            bounds = [f"at least {low:g}"] * (low > -math.inf) + [f"below {high:g}"] * (high < math.inf)
            raise ValueError(f"{name} is {float(value):g}; it must be {' and '.join(bounds) or 'finite'}")
        return value
    if callable(value):
        raise ValueError(f"{name} is a function; only learning_rate may be one (others: optax.inject_hyperparams)")
    raise ValueError(f"{name} is {value!r}; it must be a number")


def narrowed(value, dtype):
    """Return a number in a type; Python's own adapt to what they meet."""
    return value.astype(dtype) if hasattr(value, "astype") else value


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
            raise ValueError(f"state_dtype is {state_dtype!r}; it must be a type of floating-point numbers")
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
        return jnp.full(stacked + {"row": rows, "column": columns, "scalar": ()}[shape], start, dtype)

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
            raise ValueError("this rule reads the loss: call update(updates, state, params, value=loss)")
        if params is None and ("w" in reads or callable(mask)):
            raise ValueError("this rule reads the weights: call update(updates, state, params)")
        gradients, tree = jax.tree.flatten(updates)
        own = leaf_programs(updates if params is None else params)
        weights = tree.flatten_up_to(params) if "w" in reads else gradients
        old = {name: tree.flatten_up_to(slot) for name, slot in state.slots.items()}
        count = state.count.astype(jnp.float32)
        scalars = {"lr": learning_rate(state.count) if callable(learning_rate) else learning_rate, "t": count + 1.0}
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
                numbers |= {name: jnp.where(decayed[i], numbers[name], 0.0) for name in decays if name in numbers}
            given = {"shape": view.matrix} if "shape" in part.reads else {}
            return view, {name: jnp.asarray(x, dtype) for name, x in arrays.items()}, {**numbers, **given}

        new: list = [None] * len(gradients)
        kept: dict = {name: [optax.MaskedNode()] * len(gradients) for name in state.slots}
        for part in programs.values():
            places = [i for i in range(len(gradients)) if own[i][0] is part]
            for i, (update, *states) in zip(places, run_program(part, [arguments(i) for i in places])):
                new[i] = own[i][1].leaf(update).astype(gradients[i].dtype)
                for (name, (shape, _)), value in zip(part.slots.items(), states):
                    value = own[i][1].leaf(value) if shape == "full" else value
                    kept[name][i] = value.astype(old[name][i].dtype)
        slots = {name: tree.unflatten(values) for name, values in kept.items()}
        return tree.unflatten(new), RuleState(jnp.asarray(optax.safe_increment(state.count)), slots)

    return optax.GradientTransformationExtraArgs(init, step)


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
        each = [jax.tree.map(lambda x, i=i: x[i], arrays) for i in range(view.whole[0])] if view.stacked else [arrays]
        single += [(view, a, others) for a in each]
    results = run_together(part.update, [{**a, **o} for _, a, o in single])
    done = iter([finished(view, a, result) for (view, a, _), result in zip(single, results)])
    return [
        [jnp.stack(x) for x in zip(*(next(done) for _ in range(view.whole[0])))] if view.stacked else next(done)
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
