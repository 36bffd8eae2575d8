"""From the function of one leaf to an optax transform. Its source is part of every exported file (see `exporting`)."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from .operations import run_leaves


class RuleState(NamedTuple):
    """The number of steps done, and for each state of the rule a tree like the parameters'."""

    count: jax.Array
    slots: dict[str, Any]


def transform(
    update, reads, slots, learning_rate, hyperparameters, total_steps=None, mask=None, state_dtype=None
) -> optax.GradientTransformation:
    """Return the optax transform that applies `update` to each leaf.

    Args:
        update: the rule for one leaf; takes what `reads` and `slots` name, and the hyperparameters.
        reads: which of `w`, `g`, `lr`, `t`, `progress` and `shape` it takes.
        slots: shape of each state: "full", "row", "column" or "scalar".
        learning_rate: number, array, or schedule (a function of the step from 0).
        hyperparameters: values by name.
        total_steps: length of the training, where the rule reads `progress`.
        mask: tree of booleans, or function of the parameters to one: the leaves with weight decay.
        state_dtype: type of the states, by default that of the weights. Arithmetic is in float32 or wider.
    """

    def zeros(w, shape):
        dtype = state_dtype or w.dtype
        if shape == "full":
            return jnp.zeros_like(w, dtype)
        rows = (1,) * (w.ndim - 1) + w.shape[-1:]
        columns = w.shape[:-1] + (1,) * min(w.ndim, 1)
        return jnp.zeros({"row": rows, "column": columns, "scalar": ()}[shape], dtype)

    def wide(x):
        return x.astype(jnp.promote_types(x.dtype, jnp.float32))

    def init(params):
        count = jnp.zeros([], jnp.int32)
        return RuleState(count, {name: jax.tree.map(lambda w, s=s: zeros(w, s), params) for name, s in slots.items()})

    def step(updates, state, params=None):
        if params is None and ("w" in reads or callable(mask)):
            raise ValueError("this rule reads the weights: call update(updates, state, params)")
        gradients, tree = jax.tree.flatten(updates)
        shared = dict(hyperparameters)
        if "lr" in reads:
            shared["lr"] = learning_rate(state.count) if callable(learning_rate) else learning_rate
        if "t" in reads:
            shared["t"] = state.count.astype(jnp.float32) + 1.0
        if "progress" in reads:
            shared["progress"] = jnp.minimum(state.count.astype(jnp.float32) / total_steps, 1.0)
        leaves = [dict(shared) for _ in gradients]
        for leaf, g in zip(leaves, gradients):
            leaf.update({"g": wide(g)} if "g" in reads else {}, **({"shape": g.shape} if "shape" in reads else {}))
        if "w" in reads:
            for leaf, w in zip(leaves, tree.flatten_up_to(params)):
                leaf["w"] = wide(w)
        old = {name: tree.flatten_up_to(slot) for name, slot in state.slots.items()}
        for name, slot in old.items():
            for leaf, value in zip(leaves, slot):
                leaf[name] = wide(value)
        if mask is not None:
            chosen = mask(params) if callable(mask) else mask
            chosen = jax.tree.map(lambda m, g: g if isinstance(g, optax.MaskedNode) else m, chosen, updates)
            for leaf, decayed in zip(leaves, tree.flatten_up_to(chosen)):
                leaf["weight_decay"] = jnp.where(decayed, leaf["weight_decay"], 0.0)
        results = run_leaves(update, leaves)
        new = [jnp.broadcast_to(-result[0], g.shape).astype(g.dtype) for result, g in zip(results, gradients)]
        kept = {
            name: tree.unflatten(
                jnp.broadcast_to(result[i], value.shape).astype(value.dtype)
                for result, value in zip(results, old[name])
            )
            for i, name in enumerate(slots, 1)
        }
        return tree.unflatten(new), RuleState(jnp.asarray(optax.safe_increment(state.count)), kept)

    return optax.GradientTransformation(init, step)


def leaf_classes(params):
    """Return "matrix" for leaves of two or more axes (a convolution counts as one matrix), "other" for the rest."""
    return jax.tree.map(lambda w: "matrix" if w.ndim >= 2 else "other", params)
