"""What `rulesmith compare --tasks` prints of optimizers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from . import statistics
from .layout import table
from .training_comparison import BASELINE, PROFILE, TrainingComparison


def training_comparison_text(found: TrainingComparison) -> Group:
    """Return a comparison for the terminal: test losses by task, the statistics over all, and what else tells."""
    tuned = "; ".join(
        f"{name}: " + ", ".join(f"{key} {low:g} to {high:g}" for key, (low, high) in ranges.items())
        for name, ranges in found.ranges.items()
    )
    note = (
        f"{found.seeds} seeds each, test losses at the end of the schedule, after {found.trials} settings tried of "
        f"every optimizer on every task. Tuned: {tuned}.\n"
        "Brackets are 95% stratified bootstrap intervals over the seeds of both sides; ± is the standard error of the "
        "mean; a diverged run counts as a thousand times AdamW's worst."
    )
    parts = [_losses(found), _overall(found), _scales(found), _profile(found), _measures(found)]
    return Group(*(item for part in parts if part is not None for item in (part, Text())), Text(note))


def _losses(found: TrainingComparison) -> Table:
    names = list(found.verdicts)
    rows = table("task", "weights", *names, right=("weights", *names))
    for i, task in enumerate(found.tasks):
        cells = []
        for name in names:
            every = found.verdicts[name][i].losses
            losses = np.array([loss for loss in every if loss is not None])
            if len(losses) == len(every):
                error = losses.std(ddof=1) / np.sqrt(len(losses))
                cells.append(f"{losses.mean():.4f} ±{error:.4f}")
            else:
                cells.append(f"{len(every) - len(losses)} of {len(every)} diverge")
        rows.add_row(task.name, f"{task.parameters:,}", *cells)
    return rows


def _overall(found: TrainingComparison) -> Table:
    columns = ("interquartile mean of loss / AdamW's", "better than AdamW in", "wins on", "reaches AdamW's loss after")
    rows = table("optimizer", *columns)
    base = found.losses(BASELINE)
    for name in found.verdicts:
        if name == BASELINE:
            rows.add_row(name, "1 by definition")
            continue
        losses = found.losses(name)
        wins = int((losses.mean(axis=1) < base.mean(axis=1)).sum())
        shares = [found.steps_to_baseline(name, i) for i in range(len(found.tasks))]
        reached = [share for share in shares if share is not None]
        after = f"{np.median(reached):.0%} of its steps, on {len(reached)} tasks" if reached else "never"
        better = str(statistics.improvement(-losses, -base))
        rows.add_row(name, str(found.estimate(name)), better, f"{wins} of {len(base)} tasks", after)
    return rows


def _scales(found: TrainingComparison) -> Table | None:
    groups = found.scales()
    if len(groups) < 2:
        return None
    rows = table("by size of the network", *groups)
    for name in found.verdicts:
        if name != BASELINE:
            rows.add_row(name, *(str(found.estimate(name, members)) for members in groups.values()))
    return rows


def _profile(found: TrainingComparison) -> Table:
    heads = [f"{bound:g}" for bound in PROFILE]
    rows = table("share of runs with loss / AdamW's up to", *heads, right=heads)
    for name in found.verdicts:
        share = 1 - statistics.profile(found.relative(name), PROFILE)
        rows.add_row(name, *(f"{x:.0%}" for x in share))
    return rows


def _measures(found: TrainingComparison) -> Table:
    heads = (
        *("step time / AdamW's", "bytes a weight", "update / weights", "against gradient's sign", "sharpness"),
        *("weights near zero", "settings within 5%"),
    )
    rows = table("more than the score", *heads, right=heads)

    def mean(values: Sequence[float | None], form: str) -> str:
        known = [value for value in values if value is not None]
        return format(float(np.median(known)), form) if known else "-"

    for name, verdicts in found.verdicts.items():
        rows.add_row(
            name,
            mean([v.step_seconds / v.adamw_seconds for v in verdicts], ".2f"),
            mean([v.state_bytes for v in verdicts], ".1f"),
            mean([v.update_size for v in verdicts], ".2g"),
            mean([v.sign_agreement for v in verdicts], ".0%"),
            mean([v.sharpness for v in verdicts], ".3g"),
            mean([v.sparsity for v in verdicts], ".1%"),
            mean([v.basin for v in verdicts], ".0%"),
        )
    return rows
