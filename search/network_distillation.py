"""Distillation of a learned drift into a new network of the same size, on synthetic inputs: no agent is trained.

What a network computes where policies go is copied; what it computes elsewhere, where evolution strategies leave
weights as noise has moved them, is not. Goldie et al. (2025, arXiv 2507.17668) report that such copies carry over
better to other environments.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..programs import RulesmithError
from ..programs.drift import drift_slope
from ..programs.objective import Objective, Shapes
from .methods.distillation import MEASURE
from .numerics import standard_numerics

SAMPLES, STEPS, RATE = 1024, 5_000, 3e-3
"""Inputs of a step, steps, and the highest learning rate of Adam's cosine."""
CHECK = 2**16
"""Inputs, drawn anew, on which the copy is measured."""
SPREAD = (0.01, 1.0)
"""Standard deviations of the logarithms of ratios, drawn log-uniformly for each: from nearly no change of the policy
to far outside of PPO's clip range."""


def synthetic_inputs(key: Any, samples: int) -> tuple[Any, Any, Any]:
    """Return inputs of a drift, each (samples,) float32: logarithms of ratios, normalized advantages, and progress.

    Args:
        key: consumed.
        samples: how many.
    """
    keys = jax.random.split(key, 4)
    low, high = jnp.log(jnp.array(SPREAD))
    spread = jnp.exp(jax.random.uniform(keys[0], (samples,), minval=low, maxval=high))
    log_ratio = spread * jax.random.normal(keys[1], (samples,))
    return log_ratio, jax.random.normal(keys[2], (samples,)), jax.random.uniform(keys[3], (samples,))


@standard_numerics()
def distill_network(target: Objective, seed: int = 0) -> Objective:
    """Return a learned drift's copy: a network of the same size, trained from random weights to have the same slope.

    The slope in the ratio is all of a drift that trains a policy. The loss is the mean squared difference of the
    slopes, over the mean square of the target's; what is left of it is in the copy's evidence.

    Args:
        target: a learned drift.
        seed: of the new weights, and of the inputs.

    Raises:
        RulesmithError: the target is no learned drift, or has no slope.
    """
    if target.kind != "drift" or target.program is not None:
        raise RulesmithError(f"{target.name} is not a learned drift: only such a network is copied into a new one")
    drift = target.drift()
    fixed = {name: jnp.asarray(array) for name, array in target.arrays.items()}

    def slopes(arrays: Any, inputs: tuple[Any, Any, Any]) -> Any:
        log_ratio, advantage, progress = inputs
        return drift_slope(lambda r, log_r, a: drift(arrays, r, log_r, a, progress), log_ratio, advantage)

    def error(arrays: Any, inputs: Any) -> Any:
        wanted = slopes(fixed, inputs)
        return jnp.square(slopes(arrays, inputs) - wanted).mean() / jnp.square(wanted).mean()

    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))
    training, last = jax.random.split(jax.random.key(seed))

    @jax.jit
    def fitted(arrays: Any) -> tuple[Any, Any]:
        def step(i: Any, carry: Any) -> Any:
            arrays, state = carry
            gradients = jax.grad(error)(arrays, synthetic_inputs(jax.random.fold_in(training, i), SAMPLES))
            updates, state = optimizer.update(gradients, state)
            return optax.apply_updates(arrays, updates), state

        arrays, _ = jax.lax.fori_loop(0, STEPS, step, (arrays, optimizer.init(arrays)))
        return arrays, error(arrays, synthetic_inputs(last, CHECK))

    arrays, left = fitted(Shapes.drift(timed=target.timed).draw(seed, 1.0))
    if not jnp.isfinite(left):
        raise RulesmithError(f"{target.name} has no slope, or none that is finite, so there is nothing to copy")
    return Objective(
        f"{target.name}-copy",
        "drift",
        arrays={name: np.asarray(array) for name, array in arrays.items()},
        description=f"{target.name}, copied into a new network",
        agent=target.agent,
        provenance={
            "origin": "rulesmith",
            "method": "distillation into a new network, on synthetic inputs",
            "start": target.name,
            "seed": seed,
        },
        evidence={MEASURE: float(left)},
    )
