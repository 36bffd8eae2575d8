"""Drift functions of mirror learning, and how one trains a policy. Its source is part of exported objectives.

An agent maximizes ``mean(r A - drift(r, A))`` over a batch, r the ratio of the new policy's probability of an action to
that of the policy which took it, A the action's advantage (Kuba et al. 2022; Lu et al. 2022, equation 6). What matters
of a drift is its slope in r, which is taken forwards, an elementwise derivative: so a drift may be a network, closed
form, or interpreted program.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .policies import log_probability, log_ratio_of, widened


def drift_features(ratio, log_ratio, advantage, bound=0.0):
    """The eight inputs of a learned drift, (..., 8): r - 1, its square, log r, its square; the four, and times A.

    Each is clipped to [-bound, bound], as in LPO's original search, unless the bound is 0.
    """
    four = jnp.stack([ratio - 1.0, jnp.square(ratio - 1.0), log_ratio, jnp.square(log_ratio)], axis=-1)
    features = jnp.concatenate([four, four * advantage[..., None]], axis=-1)
    return jnp.clip(features, -bound, bound) if bound else features


def learned_drift(parameters, ratio, log_ratio, advantage, progress, bound=0.0):
    """LPO's drift; TA-LPO's where the network has 16 inputs: the eight, and the eight times `progress`.

    The network has no biases, so that drift and slope vanish at r = 1, and starts as PPO's drift with clip 0.2.
    """
    x = drift_features(ratio, log_ratio, advantage, bound)
    if len(parameters["hidden"]) == 16:
        x = jnp.concatenate([x, x * jnp.asarray(progress)[..., None]], axis=-1)
    out = (jnp.tanh(x @ parameters["hidden"]) @ parameters["output"])[..., 0]
    clipped = (ratio - 1.0 - jnp.clip(ratio - 1.0, -0.2, 0.2)) * advantage
    return jnp.maximum(out + jnp.maximum(clipped, 0.0) - 1e-4, 0.0)


def drift_slope(drift, log_ratio, advantage):
    """Derivative in r of ``drift(r, log r, A)``, elementwise."""
    ratio = jnp.exp(log_ratio)
    along = (jnp.ones_like(ratio), 1.0 / ratio)
    return jax.jvp(lambda r, log_r: drift(r, log_r, advantage), (ratio, log_ratio), along)[1]


def drift_loss(policy, action, log_old, advantage, drift):
    """A loss whose gradient is that of ``-mean(r A - drift(r, A))``; also the logarithms of the ratios, (...).

    The gradient of r is r times that of log pi. An action that the policy forbids, with a logit of -inf, has no share.

    Args:
        policy: that of the parameters to train.
        action: the actions taken.
        log_old: the log-probabilities of the actions when they were taken, (...).
        advantage: the actions' advantages, (...).
        drift: function of (ratio, log ratio, advantage).
    """
    log_new = log_probability(policy, action)
    log_ratio = log_ratio_of(log_new, log_old, policy)
    advantage = widened(advantage)
    weight = (advantage - drift_slope(drift, log_ratio, advantage)) * jnp.exp(log_ratio)
    weight = jax.lax.stop_gradient(jnp.where(log_new > -jnp.inf, weight, 0.0))
    return -jnp.mean(weight * jnp.where(log_new > -jnp.inf, log_new, 0.0)), log_ratio
