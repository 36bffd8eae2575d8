"""Optimizers tuned and judged on supervised tasks, in worker processes, one for each core.

Contestants and tasks may be live objects: they are sent by value, with cloudpickle. A judgement has two steps, which
are kept apart in the cache: the settings are tried (`Tuned`), and the best is run on seeds of its own. So `tune` and
`compare` share the first.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..envs.marks import computation_hash
from ..envs.tasks import Task, find, find_checked
from ..envs.tasks.checks import check_yardstick
from ..meta.baselines import shipped
from ..meta.contestants import Contestant, contestant_at, contestant_of_function, contestant_of_rule
from ..meta.judging_optimizers import FIRST_SEED, OptimizerVerdict, judge_optimizer
from ..meta.training import WARM_UP, maker
from ..meta.tuning import TUNING_SEEDS, Tuned, settings, tune, tuning_steps
from ..programs import RulesmithError
from ..programs.objective import Objective
from ..programs.rule import Rule
from ..search.executors import Pool, available_cores, sharing
from ..search.numerics import check_platform, jax_flags, under_flags
from .comparison import Judgement, check_names, loss_words, result_words, rule_meant, too_few
from .optimizer_comparison import YARDSTICKS, OptimizerComparison
from .verdicts import explained, keep_verdict, known_verdict, verdict_mark


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


class TuningContest:
    """Optimizers to tune on tasks.

    Args:
        rules: see `compare`.
        tasks: see `compare`.
        trials: settings tried of each on each task.
        sizes: see `compare`.
        seeds: trainings of the best settings.
        workers: processes; by default one for each core.

    Raises:
        RulesmithError: an optimizer or a task is not right, or one does not suit the other.
    """

    verdict = Tuned

    def __init__(
        self,
        rules: Sequence[Any],
        tasks: Sequence[Any],
        *,
        trials: int,
        seeds: int,
        sizes: Sequence[str] = (),
        workers: int | None = None,
    ) -> None:
        check_platform()
        self.contestants: list[Contestant] = []
        for given in rules:
            contestant = optimizer_meant(given)
            if contestant not in self.contestants:
                self.contestants.append(contestant)
        check_names([contestant.name for contestant in self.contestants], "optimizers")
        check_kinds(tasks)
        self.tasks = find_checked(tasks, axes=False, sizes=sizes)
        check_names([task.name for task in self.tasks], "tasks")
        self._jobs = _portable(self.contestants, self.tasks, trials, seeds)
        judgements = []
        for place, task in enumerate(self.tasks):
            content = _task_content(task)
            for contestant in self.contestants:
                mark = verdict_mark(Tuned, (), *content, _optimizer_content(contestant, task, trials), seeds, WARM_UP)
                label, cost = f"{task.name}: {contestant.name}", float(task.parameters * task.steps)
                judgements.append(Judgement(contestant.name, place, label, cost, mark))
        # The largest first, so that the workers end together.
        self.judgements = sorted(judgements, key=lambda judgement: -judgement.cost)
        self.at_once = min(workers or available_cores(), len(judgements))
        self._in_work: tuple[Pool, list[Judgement]] | None = None

    def judge(self, waiting: Sequence[Judgement]) -> Iterator[tuple[Judgement, Tuned]]:
        """Tune in worker processes, and yield each judgement with what was found as it comes."""
        for judgement, (tuned, _) in self.each(waiting, {}, 0):
            yield judgement, tuned

    def shares(self) -> dict[Judgement, float]:
        """Return how much is done of each judgement that is in work, from 0 to 1."""
        if self._in_work is None:
            return {}
        pool, order = self._in_work
        return {order[i]: share for i, share in pool.shares().items()}

    def words(self, verdict: Tuned) -> str:
        """Return what was found in words."""
        return f"validation loss {loss_words(verdict.validation)}"

    def each(
        self, waiting: Sequence[Judgement], tuned: Mapping[Judgement, Tuned], seeds: int
    ) -> Iterator[tuple[Judgement, tuple[Tuned, OptimizerVerdict | None]]]:
        """Tune, and run the best setting with so many seeds, in worker processes; yield each as it comes.

        Args:
            waiting: judgements of this contest.
            tuned: of those of them that need no tuning any more.
            seeds: runs at the best setting; none if 0.
        """
        names = {contestant.name: i for i, contestant in enumerate(self.contestants)}
        items = {(names[j.contestant], j.task): j for j in waiting}
        build = functools.partial(under_flags, jax_flags(), functools.partial(_worker, self._jobs, seeds))
        pool = Pool(build, min(self.at_once, len(items)))
        self._in_work = pool, list(items.values())
        try:
            for item, found in pool.each([(*place, tuned.get(j)) for place, j in items.items()]):
                yield items[item[:2]], found
        finally:
            pool.close()


class OptimizerContest:
    """Optimizers to compare on tasks; tuned AdamW is always one of them, and in a claim all of `YARDSTICKS` are.

    What rulesmith ships tuned (`meta/baselines.py`) is not tuned again.

    Args:
        rules: see `compare`.
        tasks: see `compare`.
        trials: settings tried of each on each task.
        seeds: runs of each at its best setting.
        sizes: see `compare`.
        workers: processes; by default one for each core.

    Raises:
        RulesmithError: an optimizer or a task is not right, or one does not suit the other.
    """

    verdict = OptimizerVerdict

    def __init__(
        self,
        rules: Sequence[Any],
        tasks: Sequence[Any],
        *,
        trials: int,
        seeds: int,
        sizes: Sequence[str] = (),
        workers: int | None = None,
    ) -> None:
        self._trials, self._seeds = trials, seeds
        check_kinds(tasks)
        small = too_few({"tasks": len(find(tasks, sizes)), "seeds": seeds, "settings": trials})
        others = YARDSTICKS[:1] if small else YARDSTICKS
        options = {"trials": trials, "seeds": TUNING_SEEDS, "sizes": sizes, "workers": workers}
        tuning = TuningContest([*rules, *others], tasks, **options)
        self._contest, self.at_once = tuning, tuning.at_once
        contestants = {contestant.name: contestant for contestant in tuning.contestants}
        self._tuning: dict[Judgement, Judgement] = {}
        self._known: dict[Judgement, Tuned] = {}
        for judgement in tuning.judgements:
            task = tuning.tasks[judgement.task]
            known = known_verdict(judgement.mark, Tuned) or shipped(
                contestants[judgement.contestant], task, trials=trials, seeds=TUNING_SEEDS
            )
            if known:
                self._known[judgement] = known
            steps = seeds * task.steps + (0 if known else tuning_steps(task, trials, TUNING_SEEDS))
            mark = verdict_mark(OptimizerVerdict, (), judgement.mark, seeds, FIRST_SEED)
            self._tuning[replace(judgement, cost=float(task.parameters * steps), mark=mark)] = judgement
        # The largest first, so that the workers end together.
        self.judgements = sorted(self._tuning, key=lambda judgement: -judgement.cost)

    def judge(self, waiting: Sequence[Judgement]) -> Iterator[tuple[Judgement, OptimizerVerdict]]:
        """Make judgements in worker processes, and yield each with its verdict as it comes."""
        meant = {self._tuning[judgement]: judgement for judgement in waiting}
        for each, (found, verdict) in self._contest.each(list(meant), self._known, self._seeds):
            if each not in self._known:
                keep_verdict(each.mark, found)
            assert verdict is not None
            if each.contestant == OptimizerComparison.baseline:
                check_yardstick(self._contest.tasks[each.task], verdict.results, "at its best setting")
            yield meant[each], verdict

    def shares(self) -> dict[Judgement, float]:
        """Return how much is done of each judgement that is in work, from 0 to 1."""
        own = {judgement: meant for meant, judgement in self._tuning.items()}
        return {own[judgement]: share for judgement, share in self._contest.shares().items()}

    def words(self, verdict: OptimizerVerdict) -> str:
        """Return what was found in words."""
        return result_words(verdict.results, 3)

    def comparison(self, found: Mapping[Judgement, Any]) -> OptimizerComparison:
        """Return the result, given the verdicts of all judgements."""
        by_place = {(judgement.contestant, judgement.task): verdict for judgement, verdict in found.items()}
        contestants, tasks = self._contest.contestants, self._contest.tasks
        return OptimizerComparison(
            {c.name: tuple(by_place[c.name, i] for i in range(len(tasks))) for c in contestants},
            self._trials,
            self._seeds,
            tuple(tasks),
            {contestant.name: dict(contestant.ranges) for contestant in contestants},
        )


def check_kinds(tasks: Sequence[Any]) -> None:
    """Raise RulesmithError unless tasks are given by name, by import path or as they are."""
    for given in tasks:
        if not isinstance(given, str | Task):
            raise RulesmithError(f"{given!r:.80} is no task: give a name, an import path or a rulesmith Task")


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


def _worker(jobs: bytes, runs: int) -> Callable[[Any], tuple[Tuned, OptimizerVerdict | None]]:
    """Return a worker's evaluator: a function of (place of a contestant, place of a task, `Tuned` or None)."""

    @functools.cache
    def unpacked() -> tuple[Sequence[Contestant], Sequence[Task], int, int]:
        # Here, not when the worker starts, where an error would look as if the worker had died.
        with explained("a worker cannot load what is compared; define it in a module that can be imported"):
            return pickle.loads(jobs)

    def judge(item: tuple[int, int, Tuned | None]) -> tuple[Tuned, OptimizerVerdict | None]:
        contestants, tasks, trials, seeds = unpacked()
        contestant, task = contestants[item[0]], tasks[item[1]]
        tuned = item[2]
        told = sharing((0 if tuned else tuning_steps(task, trials, seeds)) + runs * task.steps)
        if tuned is None:
            tuned = tune(contestant.rule, contestant.ranges, task, trials=trials, seeds=seeds, told=told)
        return tuned, judge_optimizer(contestant, task, tuned, runs, told) if runs else None

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
