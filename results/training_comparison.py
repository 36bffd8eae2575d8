"""`rulesmith compare` for optimizers: each tuned alike on each task, then judged by test losses against tuned AdamW's.

A judgement of one optimizer on one task is a job; jobs run in a pool of processes, one a core, and each result is kept
by its content (the optimizer, the task, the protocol, JAX's version) in the user's cache: what is stopped goes on where
it was, and nothing is measured twice.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..envs.tasks import Task, find
from ..meta.contestants import Contestant, contestant_at, contestant_of_rule
from ..meta.judging import FIRST_SEED, Verdict, judge
from ..meta.tuning import TUNING_SEEDS
from ..programs import RulesmithError, rule_file
from ..programs.rule import Rule
from ..search.executors import Pool
from . import statistics
from .catalog import called, load

BASELINE = "adamw"
SCALES = ((5_000, "up to 5k weights"), (50_000, "5k to 50k"), (10**12, "above 50k"))


def contestant(name: str) -> Contestant:
    """Return an optimizer by a published rule's name, a rule file, a run, or an import path.

    Raises:
        RulesmithError: there is none.
    """
    if ":" in name:
        return contestant_at(name)
    rule = load(name)
    if not isinstance(rule, Rule):
        raise RulesmithError(f"{name} is an objective of reinforcement learning; compare it with --env, not --tasks")
    return contestant_of_rule(replace(rule, name=called(name, rule.name)))


@dataclass(frozen=True)
class TrainingComparison:
    """Optimizers on tasks.

    Attributes:
        tasks: in the order of the verdicts.
        verdicts: by optimizer, `BASELINE` among them.
        ranges: what was tuned of each.
        trials: settings tried of each on each task.
        seeds: runs of each at its best setting.
    """

    tasks: tuple[Task, ...]
    verdicts: Mapping[str, tuple[Verdict, ...]]
    ranges: Mapping[str, Mapping[str, tuple[float, float]]]
    trials: int
    seeds: int

    def losses(self, name: str, tasks: Sequence[int] | None = None) -> Float[np.ndarray, "tasks seeds"]:
        """Return test losses; a diverged run counts as a thousand times the worst of AdamW's that did not."""
        rows = []
        for i in range(len(self.tasks)) if tasks is None else tasks:
            worst = max((loss for loss in self.verdicts[BASELINE][i].losses if loss is not None), default=1.0)
            rows.append([1e3 * worst if loss is None else loss for loss in self.verdicts[name][i].losses])
        return np.array(rows, float)

    def relative(self, name: str) -> Float[np.ndarray, "tasks seeds"]:
        """Return losses over the interquartile mean of tuned AdamW's on the same task."""
        return self.losses(name) / statistics.interquartile_mean(self.losses(BASELINE), axis=1)[:, None]

    def estimate(self, name: str, tasks: Sequence[int] | None = None) -> statistics.Estimate:
        """Return the interquartile mean of the loss relative to tuned AdamW's, with its interval."""
        return statistics.relative(self.losses(name, tasks), self.losses(BASELINE, tasks))

    def scales(self) -> dict[str, list[int]]:
        """Return tasks by their networks' size."""
        groups: dict[str, list[int]] = {}
        for i, task in enumerate(self.tasks):
            label = next(label for most, label in SCALES if task.parameters <= most)
            groups.setdefault(label, []).append(i)
        return {label: groups[label] for _, label in SCALES if label in groups}

    def steps_to_baseline(self, name: str, task: int) -> float | None:
        """Return the share of the training after which the mean validation loss is AdamW's final one; None if never."""
        final = self.verdicts[BASELINE][task].validation[-1]
        curve = self.verdicts[name][task].validation
        for i, loss in enumerate(curve, 1):
            if loss is not None and final is not None and loss <= final:
                return i / len(curve)
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, the statistics with it."""
        base = self.losses(BASELINE)
        rules = {}
        for name, verdicts in self.verdicts.items():
            share = 1 - statistics.profile(self.relative(name), PROFILE)
            rules[name] = {
                "interquartile_mean": self.estimate(name)._asdict(),
                "improvement_over_adamw": statistics.improvement(-self.losses(name), -base)._asdict(),
                "by_scale": {label: self.estimate(name, members)._asdict() for label, members in self.scales().items()},
                "profile": {"below": PROFILE.tolist(), "share": share.tolist()},
                "ranges": {key: list(value) for key, value in self.ranges[name].items()},
                "steps_to_adamw": [self.steps_to_baseline(name, i) for i in range(len(self.tasks))],
                "tasks": [verdict.to_dict() for verdict in verdicts],
            }
        return {
            "baseline": BASELINE,
            "trials": self.trials,
            "tuning_seeds": TUNING_SEEDS,
            "seeds": self.seeds,
            "first_seed": FIRST_SEED,
            "rules": rules,
        }


PROFILE = np.array([0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0])
"""Relative losses at which the performance profile is kept."""


def compare_optimizers(
    names: Sequence[str],
    tasks: Sequence[str],
    *,
    trials: int,
    seeds: int,
    workers: int | None = None,
    status: Callable[[str], None] = lambda _: None,
) -> TrainingComparison:
    """Judge optimizers on tasks; tuned AdamW is always one of them.

    Args:
        names: see `contestant`.
        tasks: names, sets or import paths.
        trials: settings tried of each on each task.
        seeds: runs of each at its best setting.
        workers: processes; by default one for each core.
        status: told each result.

    Raises:
        RulesmithError: an optimizer, a task or a number is not right; in one line.
    """
    if seeds < 2 or trials < 1:
        raise RulesmithError("--seeds must be at least 2 (an interval needs them), --trials at least 1")
    found = {name: contestant(name) for name in dict.fromkeys((*names, BASELINE))}
    labels = [entry.name for entry in found.values()]
    if len(set(labels)) < len(labels):
        raise RulesmithError(f"two optimizers are called {max(labels, key=labels.count)!r}")
    made = find(list(tasks))
    paths = {task.name: path for path, task in _paths(tasks)}
    if len(paths) < len(made):
        raise RulesmithError("a task is named twice")
    # The largest first, so that the workers end together.
    jobs = [
        (name, paths[task.name], trials, seeds)
        for task in sorted(made, key=lambda task: -task.parameters * task.steps)
        for name in found
    ]
    marks = {job: _mark(found[job[0]], next(t for t in made if paths[t.name] == job[1]), trials, seeds) for job in jobs}
    known = {job: verdict for job in jobs if (verdict := _kept(marks[job])) is not None}
    waiting = [job for job in jobs if job not in known]
    status(f"{len(jobs)} judgements, of which {len(known)} are known; {len(waiting)} to make")
    if waiting:
        pool = Pool(functools.partial(_judge_build), min(workers or os.cpu_count() or 1, len(waiting)))
        try:
            for job, verdict in pool.each(waiting):
                _keep(marks[job], verdict)
                known[job] = verdict
                known_losses = [loss for loss in verdict.losses if loss is not None]
                mean = f"{np.mean(known_losses):.4f}" if len(known_losses) == seeds else "diverges"
                setting = ", ".join(f"{key} {value:g}" for key, value in verdict.setting.items())
                status(f"{verdict.task}: {found[job[0]].name} {mean} ({setting})")
        finally:
            pool.close()
    return TrainingComparison(
        tuple(made),
        {
            entry.name: tuple(known[name, paths[task.name], trials, seeds] for task in made)
            for name, entry in found.items()
        },
        {entry.name: dict(entry.ranges) for entry in found.values()},
        trials,
        seeds,
    )


def _paths(names: Sequence[str]) -> list[tuple[str, Task]]:
    """Return tasks with what a worker finds each by: its name, or its import path."""
    return [(name if ":" in name else task.name, task) for name in names for task in find([name])]


def _judge_build() -> Callable[[tuple[str, str, int, int]], Verdict]:
    import sys

    sys.path.insert(0, str(Path.cwd()))

    def run(job: tuple[str, str, int, int]) -> Verdict:
        name, task, trials, seeds = job
        return judge(contestant(name), find([task])[0], trials, seeds)

    return run


def _mark(entry: Contestant, task: Task, trials: int, seeds: int) -> str:
    """Return a hash of all that a verdict depends on; of a task that is its data, and its loss as JAX sees it."""
    import jax

    hasher = hashlib.blake2b(digest_size=16)
    versions = [metadata.version(name) for name in ("jax", "optax", "rulesmith")]
    where = (jax.default_backend(), platform.processor(), platform.machine())
    what = (entry.digest, task.name, task.steps, task.batch_size, trials, seeds, TUNING_SEEDS, FIRST_SEED)
    hasher.update(repr((what, versions, where)).encode())
    for part in task.data:
        for array in part:
            hasher.update(np.ascontiguousarray(array).tobytes())
    weights = jax.eval_shape(task.init, jax.random.key(0))
    batch = [array[: task.batch_size] for array in task.data.train]
    hasher.update(str(jax.make_jaxpr(task.mean_loss)(weights, *batch)).encode())
    hasher.update(str(jax.make_jaxpr(task.init)(jax.random.key(0))).encode())
    return hasher.hexdigest()


def _place(mark: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rulesmith" / "verdicts" / f"{mark}.json"


def _kept(mark: str) -> Verdict | None:
    try:
        return Verdict(**json.loads(_place(mark).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _keep(mark: str, verdict: Verdict) -> None:
    path = _place(mark)
    path.parent.mkdir(parents=True, exist_ok=True)
    rule_file.write_text(path, json.dumps(verdict.to_dict()))
