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

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


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
):
    """Return the optax transform.

    learning_rate: number or schedule; mask: leaves with weight decay; state_dtype: type of the states;
    total_steps: not used.
    """
    return transform(
        update,
        ("w", "g", "lr"),
        {"m": "full"},
        learning_rate,
        {"b1": b1, "b2": b2, "weight_decay": weight_decay},
        total_steps,
        mask,
        state_dtype,
    )


def interp(x, y, a):
    """(1 - a) x + a y."""
    return (1.0 - a) * x + a * y


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


class RuleState(NamedTuple):
    """The number of steps done, and for each state of the rule a tree like the parameters'."""

    count: jax.Array
    slots: dict[str, Any]


def transform(
    update,
    reads,
    slots,
    learning_rate,
    hyperparameters,
    total_steps=None,
    mask=None,
    state_dtype=None,
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
        return RuleState(
            count,
            {name: jax.tree.map(lambda w, s=s: zeros(w, s), params) for name, s in slots.items()},
        )

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
            leaf.update(
                {"g": wide(g)} if "g" in reads else {},
                **({"shape": g.shape} if "shape" in reads else {}),
            )
        if "w" in reads:
            for leaf, w in zip(leaves, tree.flatten_up_to(params)):
                leaf["w"] = wide(w)
        old = {name: tree.flatten_up_to(slot) for name, slot in state.slots.items()}
        for name, slot in old.items():
            for leaf, value in zip(leaves, slot):
                leaf[name] = wide(value)
        if mask is not None:
            chosen = mask(params) if callable(mask) else mask
            chosen = jax.tree.map(
                lambda m, g: g if isinstance(g, optax.MaskedNode) else m, chosen, updates
            )
            for leaf, decayed in zip(leaves, tree.flatten_up_to(chosen)):
                leaf["weight_decay"] = jnp.where(decayed, leaf["weight_decay"], 0.0)
        results = run_leaves(update, leaves)
        new = [
            jnp.broadcast_to(-result[0], g.shape).astype(g.dtype)
            for result, g in zip(results, gradients)
        ]
        kept = {
            name: tree.unflatten(
                jnp.broadcast_to(result[i], value.shape).astype(value.dtype)
                for result, value in zip(results, old[name])
            )
            for i, name in enumerate(slots, 1)
        }
        return tree.unflatten(new), RuleState(jnp.asarray(optax.safe_increment(state.count)), kept)

    return optax.GradientTransformation(init, step)
