"""`rulesmith compare`: contestants on tasks, judged against a well-known baseline; all are tuned in the same way.

There are two kinds, which share this module, the cache of verdicts, the progress and the text:

- *optimizers* train the networks of supervised tasks; losses against those of AdamW (`optimizer_comparison`);
- *objectives* train agents in environments; returns against those of PPO (`objective_comparison`).

A kind is a `Contest`, which says what there is to judge and does it, and a `Comparison`, the result with its
statistics. `compare` runs any contest: what was judged before comes from the cache (`verdicts`), the rest is judged and
kept at once, so that a comparison that was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np

from ..meta.judging import Kept
from ..programs import RulesmithError
from ..programs.objective import Objective
from ..programs.quantities import counted
from ..programs.rule import Rule
from ..search.numerics import standard_numerics
from . import verdicts as cache
from .comparison_progress import reporting
from .layout import rate_words
from .standing import keep_comparison, rule_mark
from .statistics import Estimate, mean_and_error

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group


Found = TypeVar("Found", bound=Kept, covariant=True)

NEEDED = {"tasks": 8, "seeds": 3, "settings": 16}
"""With fewer of these a comparison is a pilot, and claims nothing."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` found: contestants on tasks. Printed, it is the tables of `rulesmith compare`.

    Attributes:
        verdicts: each contestant's verdicts, in the order of the tasks; the baseline's among them.
        trials: settings tried of each contestant on each task.
        seeds: runs of each at its best setting.
    """

    baseline: ClassVar[str]
    """Name of the contestant that the others are compared with."""
    baseline_title: ClassVar[str]
    """What the baseline is called in texts."""
    figure: ClassVar[str]
    """What `estimate` is, in words."""
    quantity: ClassVar[str]
    """What the contestants differ in, in words, such as "loss"."""
    smaller_is_better: ClassVar[bool]
    """Whether an estimate below 1 is better than the baseline's."""

    verdicts: Mapping[str, tuple[Any, ...]]
    trials: int
    seeds: int

    @property
    def contestants(self) -> tuple[str, ...]:
        """Names of all that were compared, the baseline's among them."""
        return tuple(self.verdicts)

    def task_facts(self) -> list[dict[str, Any]]:
        """Return the facts that distinguish the tasks: for each task, a mapping of their names to values."""
        raise NotImplementedError

    @property
    def telling(self) -> Sequence[int]:
        """Places of the tasks that a claim may be made of."""
        return range(len(self.task_facts()))

    @property
    def claimed(self) -> Sequence[int]:
        """Places of the tasks that the figures are of: of a pilot all."""
        return range(len(self.task_facts())) if self.too_few() else self.telling

    def estimate(self, name: str, tasks: Sequence[int] | None = None) -> Estimate:
        """Return a contestant's figure, with interval, over all seeds of the claimed tasks or of those given."""
        raise NotImplementedError

    def improvement(self, name: str) -> Estimate:
        """Return the probability that a run of a contestant is better than one of the baseline on the same task."""
        raise NotImplementedError

    def too_few(self) -> str:
        """Return what this comparison has too few of for a claim, in words; empty if it has enough of everything."""
        return too_few({"tasks": len(self.telling), "seeds": self.seeds, "settings": self.trials})

    def words(self, estimate: Estimate) -> str:
        """Return an estimate in words; that of a pilot without its interval, which could not be quoted."""
        return f"{estimate.value:.3f}" if self.too_few() else str(estimate)

    def conclusions(self) -> list[str]:
        """Return what has been shown, in sentences: first whether anything can be, then one for each contestant."""
        tasks = len(self.claimed)
        if few := self.too_few():
            return [f"A pilot: it has {few}. That is too few to say which is better."]
        found = []
        for name in self.contestants:
            if name == self.baseline:
                continue
            estimate = self.estimate(name)
            told = f"its {self.quantity} is {change_words(estimate)}"
            if estimate.low <= 1.0 <= estimate.high:
                told += f"; a difference of about {50 * (estimate.high - estimate.low):.1f}% could have been shown"
            found.append(f"{name} {self.shown(estimate)} {self.baseline_title} on {tasks} tasks: {told}.")
        return found

    def shown(self, estimate: Estimate) -> str:
        """Return what an estimate beside another shows, in the words before the other's name."""
        if estimate.low <= 1.0 <= estimate.high:
            return "is not shown to differ from"
        return "is better than" if (estimate.value < 1.0) == self.smaller_is_better else "is worse than"

    def warnings(self) -> list[str]:
        """Return what makes the comparison say less than it seems to, a sentence each; shown before all results."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, the statistics with it."""
        common = {"baseline": self.baseline, "trials": self.trials, "seeds": self.seeds, "too_few": self.too_few()}
        return common | {"warnings": self.warnings(), "conclusions": self.conclusions(), **self.more_facts()}

    def more_facts(self) -> dict[str, Any]:
        """Return what `to_dict` says of this kind of comparison, its `rules` among it."""
        raise NotImplementedError

    def table(self) -> pd.DataFrame:
        """Return a row for each contestant and task.

        Its columns: `contestant`, the facts of the task, `mean` and `standard_error` of the results of the runs that
        did not diverge, how many `diverged`, and the tuned `setting`.
        """
        import pandas as pd

        rows = []
        for name, found in self.verdicts.items():
            for facts, verdict in zip(self.task_facts(), found, strict=True):
                mean, error = mean_and_error(verdict.results)
                diverged = sum(result is None for result in verdict.results)
                numbers = {"mean": mean, "standard_error": error, "diverged": diverged}
                rows.append({"contestant": name, **facts, **numbers, "setting": verdict.setting})
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """Return a row for each contestant: its `figure` over all tasks, and `low` and `high` of its 95% interval.

        A pilot has no interval; see `too_few`.
        """
        import pandas as pd

        rows = [self.estimate(name) for name in self.contestants]
        index = pd.Index(self.contestants, name="contestant")
        table = pd.DataFrame(rows, index=index).set_axis(["figure", "low", "high"], axis=1)
        return table.drop(columns=["low", "high"]) if self.too_few() else table

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {self.words(self.estimate(name))}" for name in self.contestants)
        return f"<Comparison on {counted(len(self.task_facts()), 'task')}, {self.figure}: {figures}>"

    def __rich__(self) -> Group:
        from .comparison_text import comparison_text

        return comparison_text(self)

    def _repr_html_(self) -> str:
        import html

        table = self.table()
        table["setting"] = [setting_words(setting) for setting in table["setting"]]
        parts = [f"<p><b>careful: {html.escape(warning)}</b></p>" for warning in self.warnings()]
        parts += [f"<p>{html.escape(sentence)}</p>" for sentence in self.conclusions()]
        parts += [f"<p>{html.escape(self.figure)}, {self.seeds} seeds</p>"]
        parts += [self.summary().to_html(float_format="%.3f"), table.to_html(index=False, float_format="%.4g")]
        return "\n".join(parts)


def too_few(has: Mapping[str, int]) -> str:
    """Return what of tasks, seeds and settings is too few for a claim, in words; empty if nothing is."""
    told = {"tasks": "tasks that tell"}
    few = [what for what, least in NEEDED.items() if has[what] < least]
    return ", ".join(f"{has[what]} of {NEEDED[what]} {told.get(what, what)}" for what in few)


def change_words(estimate: Estimate) -> str:
    """Return a ratio and its interval in words, as a difference from 1."""
    value, low, high = (100 * (x - 1) for x in estimate)
    kind = "smaller" if value < 0 else "larger"
    return f"{abs(value):.1f}% {kind}, 95% interval {low:+.1f}% to {high:+.1f}%"


def setting_words(setting: Mapping[str, float]) -> str:
    """Return a setting in words."""
    words = {name: rate_words(value) if "learning_rate" in name else f"{value:.4g}" for name, value in setting.items()}
    return ", ".join(f"{name} {value}" for name, value in words.items())


def result_words(results: Sequence[float | None], decimals: int) -> str:
    """Return the mean of results and its standard error in words, or how many runs diverged."""
    diverged = sum(result is None for result in results)
    if diverged:
        return f"{diverged} of {len(results)} diverge"
    mean, error = mean_and_error(results)
    return f"{mean:.{decimals}f} ±{error:.{decimals}f}"


def loss_words(loss: float | None) -> str:
    """Return a loss in words."""
    return "diverged" if loss is None else f"{loss:.4f}"


@dataclass(frozen=True)
class Judgement:
    """One contestant on one task: a piece of work.

    Attributes:
        contestant: its name.
        task: place of the task.
        label: what is shown while it is being made.
        cost: how long it takes, relative to the others of the contest.
        mark: hash of all that its verdict depends on.
    """

    contestant: str
    task: int
    label: str
    cost: float
    mark: str


class Contest(Protocol[Found]):
    """What is to be judged; all of it was checked when the contest was made."""

    @property
    def verdict(self) -> type[Found]:
        """The class of the verdicts."""
        ...

    @property
    def judgements(self) -> Sequence[Judgement]:
        """All judgements, in the order in which they are best made."""
        ...

    @property
    def at_once(self) -> int:
        """How many judgements are made at the same time."""
        ...

    def judge(self, waiting: Sequence[Judgement]) -> Iterator[tuple[Judgement, Found]]:
        """Make judgements, and yield each with its verdict as it comes."""
        ...

    def shares(self) -> Mapping[Judgement, float]:
        """Return how much is done of judgements that are in work, from 0 to 1, as far as it is known."""
        ...

    def words(self, verdict: Any) -> str:
        """Return a verdict in words."""
        ...


@standard_numerics()
def compare(
    rules: Any,
    *,
    tasks: Any = (),
    sizes: Any = (),
    env: Any = (),
    horizon: Any = (),
    trials: int | None = None,
    seeds: int | None = None,
    agent: Mapping[str, Any] | None = None,
    workers: int | None = None,
    status: Callable[[str], None] | None = None,
) -> Comparison:
    """Compare rules, all tuned alike: optimizers on `tasks` against AdamW, objectives in each `env` against PPO.

    Each contestant gets the same number of settings of one quasi-random sequence on each task, tried by successive
    halving; agents get more where the best lies at the end of a range. The best is run on seeds that the tuning has not
    seen. Verdicts are kept in the user's cache as they come, so a
    comparison that was stopped goes on when it is called again, and nothing is judged twice.

    Args:
        rules: one or several; each a published rule's name, a rule file, a run's directory, an optimizer's import path
            (``"optax:nadamw"``), a `Rule`, an `Objective`, a run (anything with such a rule as `best`), or a function
            of `learning_rate` that returns an optax transform. Its attribute `search_space`, where it has one, maps
            `learning_rate` and hyperparameters to the ranges that are tuned.
        tasks: for optimizers: one or several tasks, each a name, a set (``"held-out"``), an import path, or a `Task`.
        sizes: for optimizers: one or several of "2k", "20k", "200k" and "2m"; instead of the tasks themselves, all of
            their families that are of about so many weights.
        env: for objectives: one or several environments, each a name or an `Environment`.
        horizon: for objectives: one or several lengths of a lifetime, in environment steps; by default the longest
            with which the first learned rule among them was found.
        trials: settings tried of each rule on each task; by default 64 for optimizers, 8 for objectives.
        seeds: runs of each rule on each task at its best setting; by default 5 for optimizers, 10 for objectives.
        agent: for objectives: settings that all agents share, such as ``{"workers": 16}``; by default those that the
            first learned rule among them was found with.
        workers: processes, or for objectives devices (a CPU's cores are devices); by default all.
        status: function that is called with a line for each judgement and every nine seconds, at times from another
            thread. By default the lines go to standard error, on a terminal as a progress bar.

    Returns:
        What was found: `table()`, `summary()`, `to_dict()`, or print it.

    Raises:
        RulesmithError: a rule, a task, an environment, a horizon or a number is not right, in one line; before any
            work begins.
    """
    rules, tasks, sizes, env, horizon = map(_listed, (rules, tasks, sizes, env, horizon))
    if not rules:
        raise RulesmithError("name at least one rule to compare")
    if tasks and (env or horizon or agent):
        raise RulesmithError(
            "--tasks compares optimizers; --env (or --levels), --horizon and --agent objectives: give one of them"
        )
    if not tasks and not env:
        raise RulesmithError("name --tasks (of optimizers), or at least one --env or --levels (of objectives)")
    for name, number, least in (("trials", trials, 1), ("seeds", seeds, 2), ("workers", workers, 1)):
        if number is not None and (type(number) is not int or number < least):
            why = "; an interval needs them" if name == "seeds" else ""
            raise RulesmithError(f"{name} is {number!r}; it must be a whole number, at least {least}{why}")
    if tasks:
        from .optimizer_contest import OptimizerContest

        optimizers = OptimizerContest(rules, tasks, trials=trials or 64, seeds=seeds or 5, sizes=sizes, workers=workers)
        return _kept_with_runs(rules, optimizers.comparison(judged(optimizers, status)))
    from .objective_comparison import ObjectiveContest

    objectives = ObjectiveContest(
        rules, env, horizon, trials=trials or 8, seeds=seeds or 10, agent=agent, workers=workers
    )
    return _kept_with_runs(rules, objectives.comparison(judged(objectives, status)))


def _kept_with_runs(rules: Sequence[Any], found: Comparison) -> Comparison:
    """Keep a comparison with each run whose rule is in it, and return it."""
    for given in rules:
        directory = Path(given) if isinstance(given, str | Path) else getattr(given, "directory", None)
        if directory is not None and directory.is_dir():
            rule = rule_meant(given)
            assert rule is not None
            keep_comparison(directory, rule.name, rule_mark(rule), found.to_dict())
    return found


def judged(contest: Contest[Found], status: Callable[[str], None] | None = None) -> dict[Judgement, Found]:
    """Judge what is not known yet, keep it as it comes, and return the verdicts of all judgements.

    Args:
        contest: what is to be judged.
        status: see `compare`.
    """
    found: dict[Judgement, Found] = {}
    for judgement in contest.judgements:
        verdict = cache.known_verdict(judgement.mark, contest.verdict)
        if verdict is not None:
            found[judgement] = verdict
    waiting = [judgement for judgement in contest.judgements if judgement not in found]
    total = len(contest.judgements)
    known = f"{total} judgements, of which {len(found)} are known; {len(waiting)} to make"
    if total == 1:
        known = f"1 judgement, {'which is known' if found else 'to be made'}"
    first = f"{known}{cache.not_kept_words()}"
    with (
        reporting(waiting, contest.at_once, status, first, contest.shares) as finished,
        contextlib.closing(_verdicts(contest, waiting)) as verdicts,
    ):
        for judgement, verdict in verdicts:
            cache.keep_verdict(judgement.mark, verdict)
            found[judgement] = verdict
            finished(judgement, f"{judgement.label} {contest.words(verdict)} ({setting_words(verdict.setting)})")
    return found


def _verdicts(contest: Contest[Found], waiting: Sequence[Judgement]) -> Generator[tuple[Judgement, Found], None, None]:
    """Yield verdicts; as a separate generator, so that closing it ends what the contest has begun."""
    if waiting:
        yield from contest.judge(waiting)


def rule_meant(given: Any) -> Rule | Objective | None:
    """Return the rule that a contestant stands for, with the name that a comparison shows; None if it is not a rule.

    A run's rule is named after the run's directory, since the rules that runs find have similar names.

    Raises:
        RulesmithError: there is no such rule.
    """
    if isinstance(given, Rule | Objective):
        return given
    if isinstance(given, str | Path):
        from ..search.runs import load

        rule = load(given)
        return renamed(rule, Path(given)) if Path(given).is_dir() else rule
    best = getattr(given, "best", None)
    if not isinstance(best, Rule | Objective):
        return None
    directory = getattr(given, "directory", None)
    return renamed(best, Path(directory)) if isinstance(directory, str | Path) else best


def renamed(rule: Rule | Objective, directory: Path) -> Rule | Objective:
    """Return a rule, named after the directory of its run."""
    import dataclasses

    words = re.sub(r"[^A-Za-z0-9_-]+", "-", directory.resolve().name)[:60]
    return dataclasses.replace(rule, name=words if words[:1].isalpha() else f"run-{words}")


def check_names(names: Sequence[str], what: str) -> None:
    """Raise RulesmithError if a name occurs twice."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise RulesmithError(f"two {what} are called {twice[0]!r}; give one of them another name")


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) and not hasattr(given, "_fields") else [given]


def finite_or(numbers: Sequence[float | None], instead: float) -> np.ndarray:
    """Return numbers as an array, None replaced."""
    return np.array([instead if number is None else number for number in numbers], float)
