"""What `rulesmith compare` prints: results by task, the statistics over all tasks, and what each kind adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..programs.quantities import counted
from .comparison import Comparison, result_words
from .layout import careful, table
from .objective_comparison import LEAD, ObjectiveComparison
from .optimizer_comparison import PROFILE, YARDSTICKS, OptimizerComparison


def comparison_text(found: Comparison) -> Group:
    """Return a comparison for the terminal."""
    if isinstance(found, OptimizerComparison):
        parts = _of_optimizers(found)
    else:
        assert isinstance(found, ObjectiveComparison)
        parts = _of_objectives(found)
    warnings = [careful(warning) for warning in found.warnings()]
    conclusions = [Text(sentence, style="bold") for sentence in found.conclusions()]
    return Group(*[item for part in (*warnings, *parts, *conclusions) for item in (part, Text())][:-1])


def _of_optimizers(found: OptimizerComparison) -> list[Table | Text]:
    tuned = "; ".join(
        f"{name}: " + ", ".join(f"{key} {low:g} to {high:g}" for key, (low, high) in ranges.items())
        for name, ranges in found.ranges.items()
    )
    note = (
        f"{counted(found.seeds, 'seed')} each, test losses at the end of the schedule, after "
        f"{counted(found.trials, 'setting')} tried of every optimizer on every task. Tuned: {tuned}.\n"
        "Brackets are 95% stratified bootstrap intervals over the seeds of both sides; ± is the standard error of the "
        "mean; a diverged run counts as a thousand times AdamW's worst."
    )
    base = found.losses(found.baseline)

    def wins(name: str) -> str:
        return f"{int((found.losses(name).mean(axis=1) < base.mean(axis=1)).sum())} of {counted(len(base), 'task')}"

    def reaches(name: str) -> str:
        shares = [found.steps_to_baseline(name, i) for i in found.claimed]
        reached = [share for share in shares if share is not None]
        return f"{np.median(reached):.0%} of its steps, on {counted(len(reached), 'task')}" if reached else "never"

    overall = _overall(found, "optimizer", {"wins on": wins, "reaches AdamW's loss after": reaches}, of_baseline=False)
    parts = [_results(found, {"weights": "{:,}"}, 4), overall]
    if found.has_envelope:
        parts.append(_envelope(found))
    if len(found.scales()) > 1:
        parts += [_scales(found), _rates(found)]
    return [*parts, _expected(found), _profile(found), _measures(found), Text(note)]


def _of_objectives(found: ObjectiveComparison) -> list[Table | Text]:
    agent = ", ".join(f"{name} {value}" for name, value in found.agent.items()) or "the reference settings"
    note = (
        f"{counted(found.seeds, 'seed')} each, after {counted(found.trials, 'setting')} tried of every rule on every "
        f"task, and more where the best was at the end of a range; agents: {agent}.\n"
        f"A task tells where PPO is {LEAD:g} standard errors above random; the others are in the first tables only.\n"
        "Brackets are 95% stratified bootstrap intervals; ± is the standard error of the mean return."
    )

    def as_good(name: str) -> str:
        return f"{(found.scores(name, found.claimed) >= 1.0 - 1e-9).mean():.0%}"

    overall = _overall(found, "rule", {"runs that reach PPO's mean": as_good}, of_baseline=True)
    return [_results(found, {"steps": "{:,.0f}", "random": "{:.2f}"}, 2), _tuned(found), overall, Text(note)]


def _tuned(found: ObjectiveComparison) -> Table:
    """Return the best learning rates by task, and the ranges that they were sought in; said where at the end of one."""
    names = found.contestants
    rows = table("best learning rate", *names)
    for i, (env, steps) in enumerate(found.tasks):
        cells = []
        for verdict in (found.verdicts[name][i] for name in names):
            low, high = verdict.ranges["learning_rate"]
            edge = ", at the end" if "learning_rate" in verdict.at_edge else ""
            cells.append(f"{verdict.setting['learning_rate']:.3g} of {low:.3g} to {high:.3g}{edge}")
        rows.add_row(f"{env}, {steps:,.0f} steps", *cells)
    return rows


def _results(found: Comparison, numbers: Mapping[str, str], decimals: int) -> Table:
    """Return the results by task.

    Args:
        found: the comparison.
        numbers: how facts of a task that are numbers are written, by name.
        decimals: decimals of the results.
    """
    facts, names = found.task_facts(), found.contestants
    rows = table(*facts[0], *names, right=(*numbers, *names))
    for i, fact in enumerate(facts):
        told = [numbers.get(key, "{}").format(value) for key, value in fact.items()]
        rows.add_row(*told, *(result_words(found.verdicts[name][i].results, decimals) for name in names))
    return rows


def _overall(found: Comparison, what: str, more: Mapping[str, Callable[[str], str]], *, of_baseline: bool) -> Table:
    """Return the statistics over all tasks.

    Args:
        found: the comparison.
        what: what its contestants are called.
        more: columns of this kind of comparison: functions of a contestant's name, by title.
        of_baseline: whether the baseline gets its own figures; otherwise its figure is 1 by definition.
    """
    rows = table(what, found.figure, f"chance that a run beats one of {found.baseline_title}", *more)
    for name in found.contestants:
        if name == found.baseline and not of_baseline:
            rows.add_row(name, "1 by definition")
            continue
        better = "" if name == found.baseline else found.words(found.improvement(name))
        rows.add_row(name, found.words(found.estimate(name)), better, *(column(name) for column in more.values()))
    return rows


def _envelope(found: OptimizerComparison) -> Table:
    best = found.best_baselines()
    counts = ", ".join(f"{name} {best.count(name)}" for name in dict.fromkeys(best))
    others = [name for name in YARDSTICKS if name != found.baseline]
    rows = table("loss / that of", f"the best baseline on each task ({counts})", *others)
    for name in found.contestants:
        told = ["1 by definition" if name == other else found.words(found.against(name, other)) for other in others]
        rows.add_row(name, found.words(found.against_envelope(name)), *told)
    return rows


def _scales(found: OptimizerComparison) -> Table:
    """Return how the ratio to AdamW's loss depends on size: at each, and how much ten times as many weights change."""
    groups = found.scales()
    slopes = {name: slope for name in found.contestants if (slope := found.slope(name)) is not None}
    rows = table("loss / AdamW's by weights", *groups, *(["with ten times as many"] if slopes else []))
    for name in found.contestants:
        if name != found.baseline:
            cells = [found.words(found.estimate(name, members)) for members in groups.values()]
            if name in slopes:
                value, low, high = (100 * np.expm1(x) for x in slopes[name])
                cells.append(f"{value:+.1f}%" if found.too_few() else f"{value:+.1f}% [{low:+.1f}%, {high:+.1f}%]")
            rows.add_row(name, *cells)
    return rows


def _rates(found: OptimizerComparison) -> Table:
    """Return the best learning rates at each size, so that one sees whether they carry over."""
    rows = table("best learning rate by weights", *found.scales(), right=tuple(found.scales()))
    for name in found.contestants:
        rows.add_row(name, *(f"{rate:.2g}" for rate in found.best_rates(name).values()))
    return rows


def _expected(found: OptimizerComparison) -> Table:
    """Return how good the best of so many settings is: who needs more tuning."""
    best = {name: found.expected_best(name) for name in found.contestants}
    shown = [n for n in best[found.baseline] if n in (1, 4, 16, 64)]
    rows = table("best of so many settings, loss / AdamW's", *map(str, shown))
    for name, estimates in best.items():
        rows.add_row(name, *(found.words(estimates[n]) for n in shown))
    return rows


def _profile(found: OptimizerComparison) -> Table:
    heads = [f"{bound:g}" for bound in PROFILE]
    rows = table("share of runs with loss / AdamW's up to", *heads, right=heads)
    for name in found.contestants:
        rows.add_row(name, *(f"{share:.0%}" for share in found.profile(name)))
    return rows


def _measures(found: OptimizerComparison) -> Table:
    columns: dict[str, tuple[str, Callable[[Any], float | None]]] = {
        "step time / AdamW's": (".2f", lambda v: v.step_seconds / v.adamw_seconds),
        "bytes a weight": (".1f", lambda v: v.state_bytes),
        "update / weights": (".2g", lambda v: v.update_size),
        "against gradient's sign": (".0%", lambda v: v.sign_agreement),
        "sharpness": (".3g", lambda v: v.sharpness),
        "weights near zero": (".1%", lambda v: v.sparsity),
        "settings within 5%": (".0%", lambda v: v.basin),
    }
    rows = table("more than the score", *columns, right=tuple(columns))
    for name, verdicts in found.verdicts.items():
        rows.add_row(name, *(_median([pick(v) for v in verdicts], form) for form, pick in columns.values()))
    return rows


def _median(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return format(float(np.median(known)), form) if known else "-"
