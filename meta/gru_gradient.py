"""The states of LPG's recurrent net with their gradient written out. Meta-gradients spend most of their time here.

The automatic gradient keeps and reads more arrays of each step, so it is slower (`python benchmarks/rl.py recurrence`).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32

from ..programs import lpg

_OWN = ("input", "input_bias", "hidden", "hidden_bias")


def differentiable_gru_states(
    parameters: dict[str, Array], x: Float32[Array, "time workers inputs"], ended: Float32[Array, "time workers"]
) -> Float32[Array, "time workers h"]:
    """Return what `lpg.gru_states` does. Differentiable once, backwards, in the parameters and in x."""
    return _states({name: parameters[name] for name in _OWN}, x, ended)


@jax.custom_vjp
def _states(parameters: dict[str, Array], x: Array, ended: Array) -> Array:
    return lpg.gru_states(parameters, x, ended)


def _forward(parameters: dict[str, Array], x: Array, ended: Array) -> tuple[Array, Any]:
    states, last, gates = lpg.gru_steps(parameters, x, ended)
    return states, (parameters, x, ended, last, gates)


def _backward(kept: Any, slopes: Array) -> tuple[dict[str, Array], Array, None]:
    parameters, x, ended, last, gates = kept
    to_last, to_input = parameters["hidden"].T, parameters["input"].T

    def step(carry: tuple[Array, dict[str, Array]], row: Any) -> tuple[Any, Array]:
        dh, total = carry
        x, over, last, (reset, keep, own, new), slope = row
        dh = dh + slope
        d_new = dh * (1.0 - keep) * (1.0 - new * new)
        d_own = d_new * reset
        d_reset = d_new * own * reset * (1.0 - reset)
        d_keep = dh * (last - new) * keep * (1.0 - keep)
        d_drive = jnp.concatenate([d_reset, d_keep, d_new], axis=-1)
        d_last = jnp.concatenate([d_reset, d_keep, d_own], axis=-1)
        shares = {
            "input": x.T @ d_drive,
            "input_bias": d_drive.sum(axis=0),
            "hidden": last.T @ d_last,
            "hidden_bias": d_own.sum(axis=0),
        }
        dh = (dh * keep + d_last @ to_last) * (1.0 - over)[:, None]
        return (dh, jax.tree.map(jnp.add, total, shares)), d_drive @ to_input

    first = (jnp.zeros_like(slopes[0]), jax.tree.map(jnp.zeros_like, parameters))
    (_, total), dx = jax.lax.scan(step, first, (x, ended, last, gates, slopes))
    return total, dx, None


_states.defvjp(_forward, _backward)
