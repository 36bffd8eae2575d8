"""Optimizers on supervised tasks: test losses at the end of the training, against tuned AdamW's.

Each judgement is made in a worker process, one for each core. Contestants and tasks may be live objects: they are sent
by value, with cloudpickle.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..envs.marks import computation_hash
from ..envs.tasks import Task, find_checked
from ..envs.tasks.checks import check_yardstick
from ..meta.contestants import Contestant, contestant_at, contestant_of_function, contestant_of_rule
from ..meta.judging_optimizers import FIRST_SEED, OptimizerVerdict, judge_optimizer
from ..meta.training import maker
from ..meta.tuning import TUNING_SEEDS, settings
from ..programs import RulesmithError
from ..programs.objective import Objective
from ..programs.rule import Rule
from ..search.executors import Pool, available_cores
from ..search.numerics import check_platform, jax_flags, under_flags
from . import statistics
from .comparison import Comparison, Judgement, check_names, finite_or, rule_meant
from .verdicts import explained, verdict_mark

SCALES = ((5_000, "up to 5k weights"), (50_000, "5k to 50k"), (10**12, "above 50k"))
"""Groups of tasks: the most weights of a group, and its name."""
PROFILE = np.array([0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0])
"""Losses over AdamW's at which the performance profile is computed."""


@dataclass(frozen=True, repr=False)
class OptimizerComparison(Comparison):
    """Optimizers on supervised tasks.

    Attributes:
        tasks: the tasks, in the order of the verdicts.
        ranges: what was tuned of each optimizer.
    """

    baseline = "adamw"
    baseline_title = "AdamW"
    figure = "interquartile mean of loss / AdamW's"
    quantity = "loss"
    smaller_is_better = True

    verdicts: Mapping[str, tuple[OptimizerVerdict, ...]]
    tasks: tuple[Task, ...]
    ranges: Mapping[str, Mapping[str, tuple[float, float]]]

    def task_facts(self) -> list[dict[str, Any]]:
        """Return each task's name and its number of weights."""
        return [{"task": task.name, "weights": task.parameters} for task in self.tasks]

    def losses(self, name: str, tasks: Sequence[int] | None = None) -> Float[np.ndarray, "tasks seeds"]:
        """Return test losses; a diverged run counts as a thousand times AdamW's worst finite loss."""
        rows = []
        for i in range(len(self.tasks)) if tasks is None else tasks:
            base = self.verdicts[self.baseline][i].results
            worst = max((loss for loss in base if loss is not None), default=1.0)
            rows.append(finite_or(self.verdicts[name][i].results, 1e3 * worst))
        return np.array(rows)

    def relative(self, name: str) -> Float[np.ndarray, "tasks seeds"]:
        """Return losses over the interquartile mean of tuned AdamW's on the same task."""
        return self.losses(name) / statistics.interquartile_mean(self.losses(self.baseline), axis=1)[:, None]

    def estimate(self, name: str, tasks: Sequence[int] | None = None) -> statistics.Estimate:
        """Return the interquartile mean of the loss relative to tuned AdamW's, with its interval."""
        return statistics.relative(self.losses(name, tasks), self.losses(self.baseline, tasks))

    def improvement(self, name: str) -> statistics.Estimate:
        """Return the probability that a run ends with a smaller loss than one of AdamW's on the same task."""
        return statistics.improvement(-self.losses(name), -self.losses(self.baseline))

    def profile(self, name: str) -> Float[np.ndarray, " bounds"]:
        """Return the share of runs whose loss over AdamW's is at most each bound of `PROFILE`."""
        return 1 - statistics.profile(self.relative(name), PROFILE)

    def scales(self) -> dict[str, list[int]]:
        """Return the places of the tasks, grouped by the size of their networks."""
        groups: dict[str, list[int]] = {}
        for i, task in enumerate(self.tasks):
            label = next(label for most, label in SCALES if task.parameters <= most)
            groups.setdefault(label, []).append(i)
        return {label: groups[label] for _, label in SCALES if label in groups}

    def expected_best(self, name: str) -> dict[int, statistics.Estimate]:
        """Return the best validation loss to be expected of 1, 2, 4, ... settings, over tuned AdamW's best.

        Where a setting was tried in a short training only, its loss is what a whole one is expected to reach.
        """
        rows = []
        for own, base in zip(self.verdicts[name], self.verdicts[self.baseline], strict=True):
            least = min(loss for _, loss in base.tuning if loss is not None)
            rows.append(np.array([np.inf if loss is None else loss for _, loss in own.tuning]) / least)
        return statistics.expected_best(np.array(rows))

    def steps_to_baseline(self, name: str, task: int) -> float | None:
        """Return the share of the training after which the mean validation loss reaches AdamW's last; None if never."""
        final = self.verdicts[self.baseline][task].curve[-1]
        curve = self.verdicts[name][task].curve
        for i, loss in enumerate(curve, 1):
            if loss is not None and final is not None and loss <= final:
                return i / len(curve)
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, the statistics with it."""
        rules = {}
        for name, verdicts in self.verdicts.items():
            tasks = []
            for verdict in verdicts:
                row = verdict.to_dict()
                losses, validation = row.pop("results"), row.pop("curve")
                tasks.append({**row, "losses": losses, "validation": validation})
            rules[name] = {
                "interquartile_mean": self.estimate(name)._asdict(),
                "expected_best": {str(n): best._asdict() for n, best in self.expected_best(name).items()},
                "improvement_over_adamw": self.improvement(name)._asdict(),
                "by_scale": {label: self.estimate(name, members)._asdict() for label, members in self.scales().items()},
                "profile": {"below": PROFILE.tolist(), "share": self.profile(name).tolist()},
                "ranges": {key: list(value) for key, value in self.ranges[name].items()},
                "steps_to_adamw": [self.steps_to_baseline(name, i) for i in range(len(self.tasks))],
                "tasks": tasks,
            }
        return {
            "baseline": self.baseline,
            "trials": self.trials,
            "tuning_seeds": TUNING_SEEDS,
            "seeds": self.seeds,
            "first_seed": FIRST_SEED,
            "rules": rules,
        }


def optimizer_meant(given: Any) -> Contestant:
    """Return the optimizer that a contestant of `compare` stands for.

    Raises:
        RulesmithError: there is none, or it is an objective.
    """
    if isinstance(given, Contestant):
        return given
    if isinstance(given, str) and ":" in given:
        return contestant_at(given)
    rule = rule_meant(given)
    if isinstance(rule, Objective):
        raise RulesmithError(
            f"{rule.name} is an objective of reinforcement learning; compare it with env (--env), not tasks (--tasks)"
        )
    return contestant_of_rule(rule) if isinstance(rule, Rule) else contestant_of_function(given)


class OptimizerContest:
    """Optimizers to compare on tasks; tuned AdamW is always one of them.

    Args:
        rules: see `compare`.
        tasks: see `compare`.
        trials: settings tried of each on each task.
        seeds: runs of each at its best setting.
        workers: processes; by default one for each core.

    Raises:
        RulesmithError: an optimizer or a task is not right, or one does not suit the other.
    """

    verdict = OptimizerVerdict

    def __init__(
        self, rules: Sequence[Any], tasks: Sequence[Any], *, trials: int, seeds: int, workers: int | None
    ) -> None:
        check_platform()
        self._trials, self._seeds = trials, seeds
        self._contestants: list[Contestant] = []
        for given in (*rules, OptimizerComparison.baseline):
            contestant = optimizer_meant(given)
            if contestant not in self._contestants:
                self._contestants.append(contestant)
        check_names([contestant.name for contestant in self._contestants], "optimizers")
        for given in tasks:
            if not isinstance(given, str | Task):
                raise RulesmithError(f"{given!r:.80} is no task: give a name, an import path or a rulesmith Task")
        self._tasks = find_checked(tasks, axes=False)
        check_names([task.name for task in self._tasks], "tasks")
        self._jobs = _portable(self._contestants, self._tasks, trials, seeds)
        judgements = []
        for place, task in enumerate(self._tasks):
            content = _task_content(task)
            for contestant in self._contestants:
                parts = (*content, _optimizer_content(contestant, task, trials), seeds, TUNING_SEEDS, FIRST_SEED)
                label, cost = f"{task.name}: {contestant.name}", float(task.parameters * task.steps)
                mark = verdict_mark(OptimizerVerdict, (), *parts)
                judgements.append(Judgement(contestant.name, place, label, cost, mark))
        # The largest first, so that the workers end together.
        self.judgements = sorted(judgements, key=lambda judgement: -judgement.cost)
        self.at_once = min(workers or available_cores(), len(judgements))

    def judge(self, waiting: Sequence[Judgement]) -> Iterator[tuple[Judgement, OptimizerVerdict]]:
        """Make judgements in worker processes, and yield each with its verdict as it comes."""
        places = {contestant.name: i for i, contestant in enumerate(self._contestants)}
        items = {(places[judgement.contestant], judgement.task): judgement for judgement in waiting}
        build = functools.partial(under_flags, jax_flags(), functools.partial(_worker, self._jobs))
        pool = Pool(build, min(self.at_once, len(items)))
        try:
            for item, verdict in pool.each(list(items)):
                if items[item].contestant == OptimizerComparison.baseline:
                    check_yardstick(self._tasks[item[1]], verdict.results, "at its best setting")
                yield items[item], verdict
        finally:
            pool.close()

    def comparison(self, found: Mapping[Judgement, Any]) -> OptimizerComparison:
        """Return the result, given the verdicts of all judgements."""
        by_place = {(judgement.contestant, judgement.task): verdict for judgement, verdict in found.items()}
        return OptimizerComparison(
            {c.name: tuple(by_place[c.name, i] for i in range(len(self._tasks))) for c in self._contestants},
            self._trials,
            self._seeds,
            tuple(self._tasks),
            {contestant.name: dict(contestant.ranges) for contestant in self._contestants},
        )


def _portable(contestants: Sequence[Contestant], tasks: Sequence[Task], trials: int, seeds: int) -> bytes:
    """Return all that a worker needs, as bytes that hold live objects by value.

    Raises:
        RulesmithError: one cannot be sent.
    """
    import cloudpickle

    for name, each in [*((c.name, c) for c in contestants), *((t.name, t) for t in tasks)]:
        with explained(f"{name} cannot be sent to worker processes"):
            cloudpickle.dumps(each)
    return cloudpickle.dumps((contestants, tasks, trials, seeds))


def _worker(jobs: bytes) -> Callable[[tuple[int, int]], OptimizerVerdict]:
    """Return a worker's evaluator: a function of (place of a contestant, place of a task) to the verdict."""

    @functools.cache
    def unpacked() -> tuple[Sequence[Contestant], Sequence[Task], int, int]:
        # Here, not when the worker starts, where an error would look as if the worker had died.
        with explained("a worker cannot load what is compared; define it in a module that can be imported"):
            return pickle.loads(jobs)

    def judge(item: tuple[int, int]) -> OptimizerVerdict:
        contestants, tasks, trials, seeds = unpacked()
        return judge_optimizer(contestants[item[0]], tasks[item[1]], trials, seeds)

    return judge


def _task_content(task: Task) -> tuple[Any, ...]:
    """Return what a task is, as plain data: its figures, its data, and its network and loss as JAX compiles them.

    Raises:
        RulesmithError: the loss cannot be computed.
    """
    with explained(f"task {task.name} cannot be trained"):
        return task.name, task.mark()


def _optimizer_content(contestant: Contestant, task: Task, trials: int) -> tuple[Any, ...]:
    """Return what an optimizer is on a task, as plain data: a rule's text, or what JAX compiles from a function.

    Raises:
        RulesmithError: it cannot update the task's weights.
    """
    tried = settings(contestant.ranges, trials)
    if isinstance(contestant.rule, Rule):
        programs = {label: program.to_text() for label, program in contestant.rule.programs.items()}
        return programs, contestant.rule.hyperparameters, tried

    import jax
    import jax.numpy as jnp

    def step(weights: Any, setting: dict[str, Any]) -> Any:
        options = {name: value for name, value in setting.items() if name != "learning_rate"}
        transform = maker(contestant.rule, options, task)(lambda _: setting["learning_rate"], jnp.int32(task.steps))
        return transform.update(weights, transform.init(weights), weights)

    weights, _ = task.shapes
    setting = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in tried[0]}
    with explained(f"{contestant.name} cannot train {task.name}"):
        return computation_hash(step, weights, setting), tried
