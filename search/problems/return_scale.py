"""What returns in an environment are measured by: random policies' and tuned PPO's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np

from ...envs.environment import Environment
from ...programs import RulesmithError, rule_file
from ..method import Setup

SMALL_AGENT: dict[str, Any] = {"workers": 16, "steps": 32, "minibatches": 4, "widths": (32, 32)}
"""Settings of small agents, for short lifetimes."""


@dataclass(frozen=True)
class ReturnScale:
    """What returns in an environment are measured by, at the longest horizon.

    Attributes:
        random: mean return of a policy that has learned nothing.
        ppo: mean return of tuned PPO.
        learning_rate: PPO's best, which agents under a learned drift use too.
        noise: standard error of the difference between both means.
    """

    random: float
    ppo: float
    learning_rate: float
    noise: float = 0.0

    def warning(self, name: str) -> str:
        """Return why scores in the environment of this name say little, in a sentence; empty if they say something."""
        if abs(self.ppo - self.random) > 3 * self.noise:
            return ""
        means = f"{self.ppo:.2f}, and {self.random:.2f} ± {self.noise:.2f}"
        return f"in {name} PPO is hardly above a random policy ({means}), so scores say little; give a longer --horizon"

    def normalized(self, returns: Any) -> Any:
        """Return 0 for random, 1 for PPO."""
        return (returns - self.random) / max(abs(self.ppo - self.random), 1e-6) * np.sign(self.ppo - self.random or 1)


def measure_scale(
    env: Environment, kind: str, agent: Mapping[str, Any], episodes: int, entropy: float, steps: float
) -> ReturnScale:
    """Return random's and tuned PPO's returns in an environment after a number of steps.

    PPO is tuned over six learning rates, four seeds each.

    Args:
        env: the environment.
        kind: kind of the rules that are compared with PPO. For drifts PPO has the same agents as they; for LPG it has
            small agents with as many workers.
        agent: settings of the agents.
        episodes: episodes by which the policy at the end of a lifetime is judged.
        entropy: weight of PPO's entropy bonus.
        steps: environment steps of a lifetime.

    Raises:
        RulesmithError: PPO learns nothing there in so many steps.
    """
    import jax

    from ...meta.drift_learner import Hyper
    from ...meta.learners import learner_for, settings_of, updates_for
    from ...meta.population import Population, Trials
    from ..curricula.lifetimes import draw_lifetimes

    if kind != "drift":
        agent = {**SMALL_AGENT, "workers": settings_of(kind, agent).workers}
    learner = learner_for(env, rule_file.find_objective("ppo-clip"), agent)
    run = Population(learner, episodes)
    updates = updates_for(steps, learner)
    seeds = 4
    drawn = draw_lifetimes(env, (updates, updates), (1, seeds), jax.random.key(10_000))
    rates = [0.0, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]  # the first is the policy that learns nothing
    rate, seed = np.repeat(rates, seeds).astype(np.float32), np.tile(np.arange(seeds), len(rates))
    trials = Trials(
        np.zeros(len(rate), np.int32),
        np.where(rate > 0, updates, 0).astype(np.int32),
        drawn.keys[0][seed],
        jax.tree.map(lambda x: x[0][seed], drawn.params),
        Hyper(rate, np.full(len(rate), entropy, np.float32)),
    )
    nothing = {"none": np.zeros((1, 1), np.float32)}
    final = run(nothing, trials).final.reshape(len(rates), seeds)
    random, *means = final.mean(axis=1).tolist()
    best = int(np.argmax(np.nan_to_num(means, nan=-np.inf)))
    if not means[best] > random:
        raise RulesmithError(
            f"PPO learns nothing in {env.name} within {steps:,.0f} steps, so no return can be measured by it; "
            "give a longer --horizon or another --env"
        )
    noise = float(np.sqrt(final[[0, 1 + best]].var(axis=1, ddof=1).sum() / seeds))
    return ReturnScale(random, means[best], rates[1 + best], noise)


def scales_of(
    environments: Sequence[Environment],
    setup: Setup,
    kind: str,
    agent: Mapping[str, Any],
    episodes: int,
    entropy: float,
    steps: float,
) -> list[ReturnScale]:
    """Return the environments' scales: kept with the run, or measured now and kept; see `measure_scale`."""
    import jax

    from ...meta.population import from_first_host

    kept = dict(setup.fact("reference") or {})
    scales = []
    for env in environments:
        row = astuple(ReturnScale(**kept[env.name]) if env.name in kept else ReturnScale(*[np.nan] * 4))
        if jax.process_count() > 1:
            row = from_first_host(np.array(row))
        if np.isnan(row).any():
            setup.status(f"compiling {env.name} and measuring random policies and tuned PPO there")
            row = astuple(measure_scale(env, kind, agent, episodes, entropy, steps))
        scales.append(ReturnScale(*map(float, row)))
        kept[env.name] = asdict(scales[-1])
        line = "{random:.2f}, PPO {ppo:.2f} (learning rate {learning_rate:g})".format(**kept[env.name])
        setup.status(f"{env.name}: return of random policies {line}")
        if warning := scales[-1].warning(env.name):
            setup.status(f"careful: {warning}")
        setup.keep("reference", kept)
    return scales


def check_range(name: str, bounds: tuple[float, float]) -> None:
    """Raise RulesmithError unless bounds are a range of positive numbers."""
    low, high = bounds
    if not 0 < low <= high:
        raise RulesmithError(f"{name} {low:g}:{high:g}: give LOW:HIGH, 0 < LOW <= HIGH")


def check_horizon(horizon: tuple[float, float]) -> None:
    """Raise RulesmithError unless a horizon is a range of positive numbers."""
    low, high = horizon
    if not 0 < low <= high:
        raise RulesmithError(f"horizon {low:g}:{high:g}: give LOW:HIGH in environment steps, 0 < LOW <= HIGH")
