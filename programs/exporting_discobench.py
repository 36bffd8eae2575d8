"""A drift as the loss function of DiscoBench's task `OnPolicyRL_loss`: one file, `loss.py`, that needs JAX alone.

That benchmark's PPO calls ``loss_actor_and_critic(params, traj_batch, gae, targets, network, config)`` for each
minibatch and descends the first value that it returns. The loss is told no time, so a rule that reads it gets a fixed
one.
"""

from __future__ import annotations

import inspect

from . import drift as drifts
from .errors import RulesmithError
from .exporting import docstring, format_source
from .exporting_objectives import drift_source
from .objective import Objective

MIDDLE = 0.5
"""Share of the lifetime that a rule is told is over."""

_IMPORTS = (
    "import base64",
    "import math",
    "",
    "import jax",
    "import jax.numpy as jnp",
    "import numpy as np",
    "from jax.core import Tracer",
)

_LOSS = '''def loss_actor_and_critic(params, traj_batch, gae, targets, network, config):
    """Return the loss of a minibatch, and the losses of values and policy, and the policy's entropy.

    Args:
        params: the network's parameters.
        traj_batch: has `obs`, and of each action `action`, `log_prob` and `value` when it was taken.
        gae: advantages.
        targets: of the values.
        network: its `apply` returns the policy, a distribution, and the values.
        config: CLIP_EPS (of the values), VF_COEF and ENT_COEF are read.
    """
    policy, value = network.apply(params, traj_batch.obs)
    advantage = (gae - jnp.mean(gae)) / (jnp.std(gae) + 1e-8)
    log_new = policy.log_prob(traj_batch.action)
    log_ratio = jax.lax.stop_gradient(log_new - traj_batch.log_prob)
    slope = drift_slope(lambda ratio, log_ratio, advantage: VALUE, log_ratio, advantage)
    # The gradient of r A - drift is A minus the drift's slope, times that of r, which is r times that of log r.
    actor_loss = -jnp.mean((advantage - slope) * jnp.exp(log_ratio) * log_new)
    near = traj_batch.value + jnp.clip(value - traj_batch.value, -config["CLIP_EPS"], config["CLIP_EPS"])
    value_loss = 0.5 * jnp.mean(jnp.maximum((value - targets) ** 2, (near - targets) ** 2))
    entropy = jnp.mean(policy.entropy())
    total_loss = actor_loss + config["VF_COEF"] * value_loss - config["ENT_COEF"] * entropy
    return total_loss, (value_loss, actor_loss, entropy)
'''


def discobench_source(objective: Objective) -> str:
    """Return a drift as the text of DiscoBench's module `loss`.

    Raises:
        RulesmithError: the objective is no drift.
    """
    if objective.kind != "drift":
        raise RulesmithError(f"{objective.name} is of kind {objective.kind!r}; DiscoBench's loss takes a drift")
    numbers = dict(objective.program.hyperparameters) if objective.program else None
    texts, functions, value = drift_source(objective, numbers)
    value = value.replace("progress", str(MIDDLE))  # which an untimed network does not read
    parts = [
        docstring(objective.name, objective.description, [], objective.provenance, objective.evidence),
        "\n".join(_IMPORTS) + "\n\n",
        _LOSS.replace("VALUE", value),
        *texts,
        *(inspect.getsource(function) for function in (*functions, drifts.drift_slope)),
    ]
    return format_source("\n\n".join(parts))


__all__ = ["MIDDLE", "discobench_source"]
