"""ppo-clip: PPO's clipped objective as a drift: no gain from ratios beyond 1 ± epsilon

The drift:

    def drift(r, a, epsilon=0.2):
        return maximum((r - 1 - clip(r - 1, epsilon)) * a, 0)

Origin:
    origin: Schulman et al. 2017
    paper: arXiv 1707.06347; as a drift, arXiv 2210.05639

Written by `rulesmith export`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


def ppo_clip(apply, *, total_updates, steps_per_update=1, epsilon=0.2):
    """Return an optax transform that adds the objective's gradient: chain it before an optimizer.

    apply: function of (params, observations) to the policy: logits, or a pair (means, logarithms of deviations).
    total_updates: rollouts that the training will learn from; steps_per_update: gradient steps made from each.
    Update with tx.update(gradients of value loss and entropy, state, params, batch=batch), batch having `observation`,
    `action`, `log_probability` (of the action when it was taken) and `advantage`.
    """
    return adding(
        drift_gradient(
            lambda ratio, log_ratio, advantage, progress: jnp.broadcast_to(
                drift(ratio, advantage, epsilon)[0], ratio.shape
            ),
            apply,
        ),
        total_updates,
        steps_per_update,
    )


def drift(r, a, epsilon):
    return (jnp.maximum((r - 1.0 - clip(r - 1.0, epsilon)) * a, 0.0),)


def clip(x, c):
    """X cut to [-|c|, |c|]."""
    return jnp.maximum(jnp.minimum(x, jnp.abs(c)), -jnp.abs(c))


def log_probability(policy, action):
    """Logarithm of the probability (density) of actions, (...)."""
    if isinstance(policy, tuple):
        mean, log_std = policy
        z = (action - mean) / jnp.exp(log_std)
        return jnp.sum(-0.5 * z * z - log_std - 0.9189385332046727, axis=-1)
    # A product with one-hot vectors: its gradient needs no scatter.
    return jnp.sum(jax.nn.log_softmax(policy) * jax.nn.one_hot(action, policy.shape[-1]), axis=-1)


def drift_slope(drift, log_ratio, advantage):
    """Derivative in r of ``drift(r, log r, A)``, elementwise."""
    ratio = jnp.exp(log_ratio)
    along = (jnp.ones_like(ratio), 1.0 / ratio)
    return jax.jvp(lambda r, log_r: drift(r, log_r, advantage), (ratio, log_ratio), along)[1]


def drift_loss(policy, action, log_old, advantage, drift):
    """A loss whose gradient is that of ``-mean(r A - drift(r, A))``; also the logarithms of the ratios.

    `policy` is that of the parameters to train, `log_old` the log-probabilities of the actions when they were taken.
    """
    log_ratio = log_probability(policy, action) - log_old
    slope = jax.lax.stop_gradient(drift_slope(drift, log_ratio, advantage))
    return -jnp.mean((advantage - slope) * jnp.exp(log_ratio)), log_ratio


def drift_gradient(drift, apply):
    """Return the gradient of a policy's loss under a drift, as `adding` takes it.

    Args:
        drift: function of (ratio, log ratio, advantage, progress).
        apply: function of (params, observations) to the policy: logits, or a pair (means, logarithms of deviations).
    """

    def gradient_of(params, batch, progress, total):
        def loss(params):
            policy = apply(params, batch["observation"])
            old, advantage = batch["log_probability"], batch["advantage"]
            return drift_loss(
                policy, batch["action"], old, advantage, lambda *x: drift(*x, progress)
            )[0]

        return jax.grad(loss)(params)

    return gradient_of


class ObjectiveState(NamedTuple):
    """Gradient steps done."""

    count: jax.Array


def adding(gradient_of, total_updates, steps_per_update):
    """Return the transform that adds ``gradient_of(params, batch, progress, total)`` to the updates it is given.

    Args:
        gradient_of: gradient of the objective, to be descended.
        total_updates: N, updates of the lifetime, each from one rollout.
        steps_per_update: gradient steps that one rollout serves.
    """

    def init(params):
        return ObjectiveState(jnp.zeros([], jnp.int32))

    def update(updates, state, params=None, *, batch, **_):
        if params is None:
            raise ValueError(
                "an objective reads the parameters: call update(updates, state, params, batch=batch)"
            )
        progress = jnp.minimum(state.count // steps_per_update / total_updates, 1.0)
        gradients = gradient_of(params, batch, progress, jnp.float32(total_updates))
        return jax.tree.map(jnp.add, updates, gradients), ObjectiveState(
            jnp.asarray(optax.safe_increment(state.count))
        )

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
