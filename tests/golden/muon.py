"""muon: orthogonalized Nesterov momentum for matrices (convolutions too; optax: two axes only), NAdamW for the rest, as optax.contrib.muon

The program for matrix leaves:

    def update(w, g, m, lr, t, beta=0.95, weight_decay=0):
        m = interp(g, m, beta)
        u = beta * (m / (1 - beta ** (t + 1))) + (1 - beta) * (g / (1 - beta ** t))
        scale = sqrt(maximum(1, rows / cols))
        return lr * (scale * orthogonalize(u) + weight_decay * w), m

The program for other leaves:

    def update(w, g, m, v, lr, t, adam_b1=0.9, adam_b2=0.999, eps=1e-08, adam_weight_decay=0):
        m = interp(g, m, adam_b1)
        v = interp(square(g), v, adam_b2)
        m_hat = adam_b1 * (m / (1 - adam_b1 ** (t + 1))) + (1 - adam_b1) * (g / (1 - adam_b1 ** t))
        v_hat = v / (1 - adam_b2 ** t)
        return lr * (m_hat / (sqrt(v_hat) + eps) + adam_weight_decay * w), m, v

Origin:
    origin: Jordan et al. 2024

Learning rates to try: 0.0001 to 1. The update that a program returns is subtracted from the weights. Written by `rulesmith export`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


def update_matrix(w, g, lr, t, m, beta, weight_decay, shape):
    m = interp(g, m, beta)
    u = beta * (m / (1.0 - beta ** (t + 1.0))) + (1.0 - beta) * (g / (1.0 - beta**t))
    scale = sqrt(jnp.maximum(1.0, jnp.divide(rows(shape), cols(shape))))
    return lr * (scale * orthogonalize(u) + weight_decay * w), m


def update_other(w, g, lr, t, m, v, adam_b1, adam_b2, eps, adam_weight_decay):
    m = interp(g, m, adam_b1)
    v = interp(jnp.square(g), v, adam_b2)
    m_hat = adam_b1 * (m / (1.0 - adam_b1 ** (t + 1.0))) + (1.0 - adam_b1) * (
        g / (1.0 - adam_b1**t)
    )
    v_hat = v / (1.0 - adam_b2**t)
    return lr * (m_hat / (sqrt(v_hat) + eps) + adam_weight_decay * w), m, v


def muon(
    learning_rate,
    beta=0.95,
    weight_decay=0.0,
    adam_b1=0.9,
    adam_b2=0.999,
    eps=1e-08,
    adam_weight_decay=0.0,
    *,
    total_steps=None,
    mask=None,
    state_dtype=None,
):
    """Return the optax transform.

    learning_rate: number or schedule; mask: leaves with weight decay; state_dtype: type of the states;
    total_steps: not used.
    """
    return optax.multi_transform(
        {
            "matrix": transform(
                update_matrix,
                ("w", "g", "lr", "t", "shape"),
                {"m": "full"},
                learning_rate,
                {"beta": beta, "weight_decay": weight_decay},
                total_steps,
                mask,
                state_dtype,
            ),
            "other": transform(
                update_other,
                ("w", "g", "lr", "t"),
                {"m": "full", "v": "full"},
                learning_rate,
                {
                    "adam_b1": adam_b1,
                    "adam_b2": adam_b2,
                    "eps": eps,
                    "adam_weight_decay": adam_weight_decay,
                },
                total_steps,
                None,
                state_dtype,
            ),
        },
        leaf_classes,
    )


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


def sqrt(x):
    """Square root of |x|."""
    return jnp.sqrt(jnp.abs(x))


def interp(x, y, a):
    """(1 - a) x + a y."""
    return (1.0 - a) * x + a * y


def where(a, b, x, y):
    """X where a > b, else y."""
    return jnp.where(a > b, x, y)


def norm(x):
    """Root of the sum of squares."""
    return jnp.sqrt(jnp.sum(x * x))


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


def leaf_classes(params):
    """Return "matrix" for leaves of two or more axes (a convolution counts as one matrix), "other" for the rest."""
    return jax.tree.map(lambda w: "matrix" if w.ndim >= 2 else "other", params)
