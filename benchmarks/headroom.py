"""What is there to gain from knowing the time? `python benchmarks/headroom.py --env Breakout-MinAtar --horizon 6e4`.

The best constant step size and entropy bonus against the best hand-made schedule, in which both go from one value to
another by a constant factor for each update. Both are sought by the same number of settings of a quasi-random sequence,
with successive halving and ranges that widen, and judged on new keys and levels, paired. A rule that knows how much of
a lifetime is over can gain only where the schedule does; train such rules there.
"""

import sys
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import tyro
from rulesmith import load
from rulesmith.envs.registry import make
from rulesmith.meta.drawn_levels import draw_levels
from rulesmith.meta.drift_learner import Hyper
from rulesmith.meta.judging_objectives import CLAIM_KEY, EPISODES, TUNING_KEY, agent_ranges, agent_settings, tuned
from rulesmith.meta.learners import learner_for, updates_for
from rulesmith.meta.population import Population, Trials, use_cores
from rulesmith.programs.objective import Objective
from rulesmith.search.executors import available_cores
from rulesmith.search.options import parse_settings

LATE = "at the end, "
"""What the name of a hyperparameter's last value begins with."""
RATIO = (1e-2, 10.0)
"""Range of the last value over the first."""


class Ends(NamedTuple):
    """Hyperparameters at the beginning of a lifetime and at its end."""

    first: Any
    last: Any


class Scheduled:
    """Agents whose hyperparameters go from their first to their last values, geometrically."""

    def __init__(self, learner: Any) -> None:
        self._learner = learner
        self.env, self.workers, self.steps = learner.env, learner.workers, learner.steps
        self.settings, self.init, self.policy = learner.settings, learner.init, learner.policy

    def update(self, agent: Any, rule: Any, hyper: Ends, params: Any, workers: Any, clock: Any, key: Any) -> Any:
        """See `Learner.update`."""
        now = jax.tree.map(lambda a, b: a * (b / a) ** clock.progress, hyper.first, hyper.last)
        return self._learner.update(agent, rule, now, params, workers, clock, key)


def gain(rule: Objective, env: str, steps: float, trials: int, seeds: int, agent: dict[str, Any]) -> str:
    """Return what the best schedule gains over the best constant, in words."""
    fixed = {"anneal": False} if rule.kind == "drift" else {}
    learner = learner_for(make(env), rule, {**agent_settings(rule, agent), **fixed})
    updates, places = updates_for(steps, learner), 2 * max(trials, seeds, 8)
    run = Population(Scheduled(learner), EPISODES)
    arrays = dict(rule.arrays) or {"none": np.zeros(1, np.float32)}
    ranges = dict(agent_ranges(learner, rule.kind))

    def ends(at: list[dict[str, float]], count: int) -> Ends:
        def column(name: str, late: bool) -> np.ndarray:
            values = [each[name] * (each.get(LATE + name, 1.0) if late else 1.0) for each in at]
            return np.repeat(np.array(values, np.float32), count)

        def hyper(late: bool) -> Any:
            rate = column("learning_rate", late)
            return Hyper(rate, column("entropy", late)) if rule.kind == "drift" else rate

        return Ends(hyper(False), hyper(True))

    def returns(at: list[dict[str, float]], lives: range, seed: int = TUNING_KEY) -> np.ndarray:
        _, level, lifetime = jax.random.split(jax.random.key(seed), 3)
        most, count = max(8, seeds), len(at) * len(lives)
        unused = (0, places - count)  # places that are skipped, so that one compiled function serves all calls
        which = np.pad(np.tile(np.array(lives), len(at)), unused)
        real = np.arange(places) < count
        own = Trials(
            np.where(real, 0, -1).astype(np.int32),
            np.where(real, updates, 0).astype(np.int32),
            jax.random.split(lifetime, most)[which],
            jax.tree.map(lambda x: x[which], draw_levels(learner.env, (most,), level)),
            jax.tree.map(lambda x: np.pad(x, unused, constant_values=1.0), ends(at, len(lives))),
        )
        found = run({name: array[None] for name, array in arrays.items()}, own)
        return found.final[:count].reshape(len(at), -1)

    constant, *_ = tuned(ranges, trials, returns)
    schedule, *_ = tuned({**ranges, **{LATE + name: RATIO for name in ranges}}, trials, returns)
    best = [constant[0].setting, schedule[0].setting]
    first, second = returns(best, range(seeds), CLAIM_KEY)
    lead = second - first
    words = [", ".join(f"{name} {value:.3g}" for name, value in setting.items()) for setting in best]
    return (
        f"{env}, {steps:,.0f} steps: best constant {first.mean():.3f} ({words[0]}); best schedule {second.mean():.3f} "
        f"({words[1]}); headroom for time {lead.mean():+.3f} \u00b1{lead.std(ddof=1) / seeds**0.5:.3f}"
    )


def main(
    env: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    horizon: Annotated[tuple[float, ...], tyro.conf.UseAppendAction] = (),
    rule: str = "ppo-clip",
    trials: int = 16,
    seeds: int = 16,
    agent: tuple[str, ...] = ("workers=16", "steps=32", "minibatches=4", "widths=[32,32]"),
) -> None:
    """Print the headroom for time in each environment and horizon.

    Args:
        env: an environment; may be given several times.
        horizon: length of a lifetime in environment steps; may be given several times.
        rule: what trains the agents, a published objective or a rule file.
        trials: settings tried at first of constants, and of schedules.
        seeds: lifetimes of the best of each.
        agent: settings of the agents.
    """
    if not env or not horizon:
        sys.exit("name --env and --horizon")
    use_cores(available_cores())
    found = load(rule)
    if not isinstance(found, Objective):
        sys.exit(f"{rule} is an optimizer; name an objective")
    for name in env:
        for steps in horizon:
            print(gain(found, name, steps, trials, seeds, parse_settings(agent)), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
