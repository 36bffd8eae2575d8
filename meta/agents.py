"""The small networks that act: heads (a policy, a value, LPG's prediction) over observations of any kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..envs.environment import Box, Discrete, Environment

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": nn.tanh, "relu": nn.relu}


class Agent(nn.Module):
    """Outputs by head, each from a network of its own.

    Observations that are numbers of states are looked up in a table, one row of outputs for each state and no bias: the
    linear policy over one-hot vectors of the LPG paper. Others are flattened and go through dense layers.

    Attributes:
        heads: name and number of outputs of each head; the policy's head is "policy".
        states: number of states where observations are numbers of states; else None.
        widths: widths of the hidden layers.
        activation: "tanh" or "relu".
        continuous: whether the policy is a normal distribution: a pair of means and logarithms of standard deviations.
        scattered: heads whose tables start at random, and the deviation of their entries times the root of the number
            of states; those of the others start at zero.
    """

    heads: tuple[tuple[str, int], ...]
    states: int | None
    widths: tuple[int, ...]
    activation: str = "tanh"
    continuous: bool = False
    scattered: tuple[tuple[str, float], ...] = ()

    @nn.compact
    def __call__(self, observation: Array) -> dict[str, Any]:
        """Return each head's output for observations of shape ``(batch, ...)``."""
        outputs: dict[str, Any] = {}
        for name, size in self.heads:
            if self.states is not None:
                deviation = dict(self.scattered).get(name, 0.0) / math.sqrt(self.states)
                init = nn.initializers.normal(deviation) if deviation else nn.initializers.zeros
                table = nn.Embed(self.states, size, embedding_init=init, name=name)
                outputs[name] = table(observation)
                continue
            x = observation.reshape(len(observation), -1)
            for i, width in enumerate(self.widths):
                init = nn.initializers.variance_scaling(2.0 if self.activation == "relu" else 1.0, "fan_in", "normal")
                x = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=init, name=f"{name}_{i}")(x))
            # Small at first, so that the first policy is nearly uniform.
            last = nn.initializers.variance_scaling(1e-4 if name == "policy" else 1.0, "fan_in", "normal")
            outputs[name] = nn.Dense(size, kernel_init=last, name=name)(x)
        if self.continuous:
            mean = outputs["policy"]
            log_std = self.param("log_std", nn.initializers.zeros, mean.shape[-1:])
            outputs["policy"] = (mean, jnp.broadcast_to(log_std, mean.shape))
        return outputs


def agent_for(
    env: Environment,
    widths: tuple[int, ...],
    activation: str = "tanh",
    scattered: Mapping[str, float] | None = None,
    **heads: int,
) -> Agent:
    """Return the agent with a policy over an environment's actions and some more heads; see `Agent`."""
    continuous = isinstance(env.actions, Box)
    actions = env.actions.shape[0] if isinstance(env.actions, Box) else env.actions.count
    states = env.observations.count if isinstance(env.observations, Discrete) else None
    starts = tuple((scattered or {}).items())
    return Agent((("policy", actions), *heads.items()), states, widths, activation, continuous, starts)


def sample(key: Any, policy: Any) -> Array:
    """Return an action for each row of a policy."""
    if isinstance(policy, tuple):
        mean, log_std = policy
        return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
    return jax.random.categorical(key, policy)


def bounded(env: Environment, action: Array) -> Array:
    """Return an action that the environment accepts: continuous actions are cut to their bounds."""
    return jnp.clip(action, env.actions.low, env.actions.high) if isinstance(env.actions, Box) else action
