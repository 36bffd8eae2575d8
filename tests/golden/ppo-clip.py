"""ppo-clip: PPO's clipped objective as a drift: no gain from ratios beyond 1 ± epsilon

The drift:

    def drift(r, a, epsilon=0.2):
        return maximum((r - 1 - clip(r - 1, epsilon)) * a, 0)

Origin:
    origin: Schulman et al. 2017
    paper: arXiv 1707.06347; as a drift, arXiv 2210.05639

Written by `rulesmith export`.
"""

import math
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer


def ppo_clip(apply, *, total_updates, steps_per_update=1, epsilon=0.2):
    """Return an optax transform that adds the objective's gradient: chain it before an optimizer.

    apply: function of (params, observations) to the policy: logits, or a pair (means, logarithms of deviations).
    total_updates: rollouts that the training will learn from; steps_per_update: gradient steps made from each.
    Update with tx.update(gradients of value loss and entropy, state, params, batch=batch), batch having `observation`,
    `action`, `log_probability` (of the action when it was taken) and `advantage`.
    """
    number("epsilon", epsilon)
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
    """Logarithm of the probability (density) of actions, (...); -inf of an action whose logit is -inf."""
    if isinstance(policy, tuple):
        mean, log_std = map(widened, policy)
        z = (action - mean) / jnp.exp(log_std)
        return jnp.sum(-0.5 * z * z - log_std - 0.9189385332046727, axis=-1)
    # A sum over actions: its gradient needs no scatter.
    chosen = jax.nn.one_hot(action, policy.shape[-1], dtype=bool)
    return jnp.sum(jnp.where(chosen, jax.nn.log_softmax(widened(policy)), 0.0), axis=-1)


def widened(x):
    """Return an array in float32, or as it is if it is wider."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def log_ratio_of(log_new, log_old, policy):
    """Logarithm of the ratio of two probabilities, without a gradient, cut so that no power of the ratio overflows.

    It is cut at a third of the logarithm of the largest number of the policy's type: at +-29.6 in float32 and bfloat16,
    at +-3.7 in float16. An action that the new policy forbids is at the lower end.
    """
    dtype = policy[0].dtype if isinstance(policy, tuple) else policy.dtype
    most = math.log(float(jnp.finfo(dtype).max)) / 3
    difference = jnp.where(log_new > -jnp.inf, log_new - widened(log_old), -most)
    return jax.lax.stop_gradient(jnp.clip(difference, -most, most))


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


def check_fields(batch, shape, fields):
    """Raise ValueError unless the fields of a batch are there and begin with the right axes.

    Args:
        batch: arrays (of `observation` and `last_observation`: trees of arrays) by name.
        shape: of the field that counts samples, and its name.
        fields: for each field the axes that it must begin with, and how many more it may have.
    """
    size, of = shape
    for name, (axes, more) in fields.items():
        for leaf in jax.tree.leaves(batch[name]):
            own = jnp.shape(leaf)
            if own[: len(axes)] != axes or len(own) > len(axes) + more:
                raise ValueError(
                    f"batch: {name} has shape {own}, which does not fit the shape {size} of {of}"
                )


def drift_gradient(drift, apply):
    """Return the gradient of a policy's loss under a drift, as `adding` takes it.

    Args:
        drift: function of (ratio, log ratio, advantage, progress).
        apply: function of (params, observations) to the policy: logits, or a pair (means, logarithms of deviations).
    """

    def gradient_of(params, batch, progress, total):
        check_batch(batch, ("observation", "action", "log_probability", "advantage"))
        old, advantage = map(jnp.asarray, (batch["log_probability"], batch["advantage"]))
        shape = advantage.shape
        fields = {"log_probability": (shape, 0), "observation": (shape, 99)}
        check_fields(batch, (shape, "advantage"), fields)

        def loss(params):
            policy = apply(params, batch["observation"])
            check_policy(policy, batch["action"], shape)
            return drift_loss(
                policy, batch["action"], old, advantage, lambda *x: drift(*x, progress)
            )[0]

        return jax.grad(loss)(params)

    return gradient_of


def check_batch(batch, names):
    """Raise ValueError unless a batch has all fields."""
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(
            f"batch: {', '.join(missing)} missing; an objective reads {', '.join(names)}"
        )


def check_policy(policy, action, shape):
    """Raise ValueError unless a policy and actions fit each other, and samples of the given shape."""
    mean = policy[0] if isinstance(policy, tuple) else policy
    if mean.shape[:-1] != shape:
        raise ValueError(
            f"the policy has shape {mean.shape}, which does not fit samples of shape {shape}"
        )
    wanted = mean.shape if isinstance(policy, tuple) else shape
    if jnp.shape(action) != wanted:
        raise ValueError(
            f"batch: action has shape {jnp.shape(action)}; with this policy it must be {wanted}"
        )
    if not isinstance(policy, tuple) and not jnp.issubdtype(jnp.asarray(action).dtype, jnp.integer):
        raise ValueError(
            "batch: action is not of an integer type; with a policy of logits it holds numbers of actions"
        )


def refuse_wrappers():
    """Raise ValueError inside a transform that looks at gradients before the objective has added its own.

    Such transforms would not see the objective's gradient: they would drop all but the last of accumulated batches, and
    let its NaNs pass.
    """
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_qualname.split(".")[0]
        guards = name in (
            "MultiSteps",
            "apply_if_finite",
            "conditionally_transform",
            "conditionally_mask",
        )
        if guards and frame.f_globals.get("__name__", "").startswith("optax"):
            raise ValueError(
                f"optax.{name} around an objective does not see the objective's gradient: put it behind, as in "
                f"optax.chain(objective, optax.{name}(optimizer, ...)); steps_per_update then counts every batch"
            )
        frame = frame.f_back


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
    number("total_updates", total_updates, 1)
    number("steps_per_update", steps_per_update, 1)

    def init(params):
        refuse_wrappers()
        return ObjectiveState(jnp.zeros([], jnp.int32))

    def update(updates, state, params=None, *, batch, **_):
        if params is None:
            raise ValueError(
                "an objective reads the parameters: call update(updates, state, params, batch=batch)"
            )
        done = jnp.floor(state.count.astype(jnp.float32) / steps_per_update)
        progress = jnp.minimum(done / total_updates, 1.0)
        gradients = gradient_of(params, batch, progress, jnp.float32(total_updates))
        added = jax.tree.map(lambda u, g: u + g.astype(u.dtype), updates, gradients)
        return added, ObjectiveState(jnp.asarray(optax.safe_increment(state.count)))

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
