"""What a rule that knows how much time is left loses if its clock stands still.

Agents are trained by TA-LPO or TA-LPG, and by the same rule with its clock n/N frozen at a moment, with the same keys
and levels; what counts is the return of their last policies. Where a frozen clock costs return, the rule uses the time
(Jackson et al. 2024, section 5).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float

from ..programs.objective import Objective
from .drawn_levels import draw_levels
from .learners import hyper_for
from .population import Population, Trials, repeated

MOMENTS_FROZEN = (0.0, 0.5, 0.95)
"""Moments of a lifetime at which the clock is frozen."""
_KEY = 20_000
"""Seed of the keys of these lifetimes; no search uses it."""
_LPG_CLOCK = 4
"""The row of LPG's input matrix that reads n/N; those before read reward, end, discount and probability."""


def frozen(rule: Objective, moment: float) -> Objective:
    """Return a network's rule with its clock standing still at a moment from 0 to 1."""
    arrays = {name: np.array(array) for name, array in rule.arrays.items()}
    if rule.kind == "lpg":
        arrays["input_bias"] += moment * arrays["input"][_LPG_CLOCK]
        arrays["input"][_LPG_CLOCK] = 0.0
    else:
        plain, timed = np.split(arrays["hidden"], 2)
        arrays["hidden"] = np.concatenate([plain + moment * timed, np.zeros_like(timed)])
    return dataclasses.replace(rule, arrays=arrays)


def frozen_returns(
    rules: Sequence[Objective], population: Population, updates: int, seeds: int, rate: float | None, entropy: float
) -> Float[np.ndarray, "rules seeds"]:
    """Return the final returns of agents that networks of one kind train, on the same keys and levels.

    Args:
        rules: the rules.
        population: runs their agents' lifetimes.
        updates: length of a lifetime.
        seeds: agents of each rule.
        rate: learning rate of the agents; None takes the usual one.
        entropy: weight of their entropy bonus.
    """
    env = population.learner.env
    _, level, lifetime = jax.random.split(jax.random.key(_KEY), 3)
    keys, levels = jax.random.split(lifetime, seeds), draw_levels(env, (seeds,), level)
    seed = np.tile(np.arange(seeds), len(rules))
    trials = Trials(
        np.repeat(np.arange(len(rules), dtype=np.int32), seeds),
        np.full(len(seed), updates, np.int32),
        keys[seed],
        jax.tree.map(lambda x: x[seed], levels),
        repeated(hyper_for(env, rules[0].kind, rate, entropy), len(seed)),
    )
    stacked = {name: np.stack([rule.arrays[name] for rule in rules]) for name in rules[0].arrays}
    return np.asarray(population(stacked, trials).final).reshape(len(rules), seeds)
