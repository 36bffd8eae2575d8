"""Reports of comparisons: of what `rulesmith compare --json` wrote, or was kept with a run or a published rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...programs.quantities import counted
from ..comparison import result_words, setting_words
from ..layout import rate_words
from ..optimizer_comparison import MOST_NOISE
from ..statistics import Estimate
from . import plots
from .document import Grid, Part, Plot, Prose, Section
from .networks import lifetime_parts

_SMALLEST = 1e-12


def of_objectives(found: Mapping[str, Any]) -> bool:
    """Tell whether a comparison is of objectives, by their agents' returns; else it is of optimizers, by losses."""
    return "environment" in next(iter(found["rules"].values()))["tasks"][0]


def comparison_sections(found: Mapping[str, Any], rule: str | None = None) -> list[Section]:
    """Return what a report shows of a comparison.

    Args:
        found: the comparison.
        rule: the contestant that the report is of; None for all.
    """
    conclusions = [Prose(sentence) for sentence in found.get("conclusions", ())]
    careful = [Prose(warning, careful=True) for warning in found.get("warnings", ())]
    told: list[Part] = [*careful, *conclusions, *_overall(found), *_by_task(found)]
    text = f"{found['seeds']} seeds of each at the best of {found['trials']} settings."
    sections = [Section("Compared", [*told, *_more(found)], text)]
    curves = lifetime_parts(found) if of_objectives(found) else _learning_curves(found)
    if curves:
        sections.append(Section("Curves", curves, "At each rule's best setting, means over seeds."))
    if basins := _basins(found, rule):
        sections.append(Section("Tuning", basins, _BASIN))
    return sections


_BASIN = (
    "Every setting that was tried: a wide pale valley is easy to tune, a narrow one is not. A setting's colour is its "
    "validation loss over the rule's best on the task; whatever else is tuned varies too."
)


def _overall(found: Mapping[str, Any]) -> list[Part]:
    agents = of_objectives(found)
    rows = [(name, "", *_ends(rule["interquartile_mean"], found)) for name, rule in found["rules"].items()]
    value = "normalized return: 0 random, 1 tuned PPO" if agents else "loss / AdamW's"
    tasks = next(iter(found["rules"].values()))["tasks"]
    claimed = len(tasks) if agents else len(found.get("claimed", tasks))
    which = "all tasks" if claimed == len(tasks) else counted(claimed, "task")
    note = f"Interquartile means over {which} and all seeds"
    note += (
        ". A pilot: too little was measured for intervals." if found.get("too_few") else ", 95% bootstrap intervals."
    )
    return [plots.bars(value, rows, value, note=note)]


def _ends(estimate: Mapping[str, float], found: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return a value and its interval; that of a pilot without one, which could not be quoted."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    return (value, value, value) if found.get("too_few") else (value, low, high)


def _by_task(found: Mapping[str, Any]) -> list[Part]:
    """Return each contestant's figure by task, with two standard errors over seeds, and a table of its results."""
    agents, rules = of_objectives(found), found["rules"]
    base = rules[found["baseline"]]["tasks"]
    bars, rows, noisy = [], [], []
    for i, task in enumerate(base):
        place = f"{task['environment']}, {task['horizon']:,.0f} steps" if agents else task["task"]
        if not agents and task["task"] not in found.get("claimed", (task["task"],)):
            noisy.append(task["task"])
            place += " *"
        scale = 1.0 if agents else _mean(task["losses"])
        for name, rule in rules.items():
            own = rule["tasks"][i]
            known = [value for value in own["scores" if agents else "losses"] if value is not None]
            if name != found["baseline"] and known:
                values = np.array(known) / scale
                error = 2 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
                bars.append((place, name, float(values.mean()), values.mean() - error, values.mean() + error))
            results = own["returns" if agents else "losses"]
            rows.append((place, name, result_words(results, 2 if agents else 4), setting_words(own["setting"])))
    claimed = len(base) - len(noisy)
    stars = (
        f" * Left out of what is claimed, which is of {counted(claimed, 'other task')}: AdamW's own loss varies there "
        f"by {MOST_NOISE:.0%} and more over seeds, so chance decides."
    )
    stars = stars if noisy else ""
    what = "normalized return by task" if agents else "loss / AdamW's by task"
    parts: list[Part] = []
    if bars:
        note = f"Bars are two standard errors of the mean over the rule's seeds.{stars}"
        parts.append(plots.bars(what, bars, what, note=note))
    told = f"± is the standard error.{stars}"
    columns = ("task", "rule", "return" if agents else "test loss", "best setting")
    return [
        *parts,
        Grid(columns, rows, columns[2:3], "results at the best settings", told, folded=True),
    ]


def _mean(losses: Sequence[float | None]) -> float:
    known = [loss for loss in losses if loss is not None]
    return float(np.mean(known)) if known else math.nan


def _more(found: Mapping[str, Any]) -> list[Part]:
    """Return what is known of optimizers beside: ratio against size, best learning rates, performance profile."""
    if of_objectives(found):
        return []
    rules: Mapping[str, Any] = found["rules"]
    parts: list[Part] = []
    sizes = list(next(iter(rules.values()))["by_scale"])
    rows = [
        (size, name, *_ends(estimate, found))
        for name, rule in rules.items()
        if name != found["baseline"]
        for size, estimate in rule["by_scale"].items()
    ]
    if len(sizes) > 1 and rows:
        rows.sort(key=lambda row: sizes.index(row[0]))
        note = "; ".join(
            f"{name} {_slope(rule['slope_by_tenfold_size'])}" for name, rule in rules.items() if _has(rule)
        )
        parts.append(plots.bars("loss / AdamW's by weights", rows, "loss / AdamW's", note=note))
    if all("best_learning_rates" in rule for rule in rules.values()):
        columns = ("rule", *sizes)
        cells = [
            (name, *(rate_words(rule["best_learning_rates"][size]) for size in sizes)) for name, rule in rules.items()
        ]
        parts.append(Grid(columns, cells, columns[1:], "best learning rate by weights"))
    curves = {
        name: list(zip(rule["profile"]["below"], rule["profile"]["share"], strict=True)) for name, rule in rules.items()
    }
    x, y = "at most this times tuned AdamW's loss", "share of runs"
    parts.append(plots.lines("performance profile", curves, x, y, steps=True))
    return parts


def _has(rule: Mapping[str, Any]) -> bool:
    return "slope_by_tenfold_size" in rule


def _slope(slope: Mapping[str, float]) -> str:
    """Return in words by how much ten times as many weights change the ratio to AdamW's loss."""
    value, low, high = (100 * math.expm1(slope[key]) for key in ("value", "low", "high"))
    return f"{value:+.1f}% [{low:+.1f}, {high:+.1f}] with ten times as many weights"


def _learning_curves(found: Mapping[str, Any]) -> list[Part]:
    rules: Mapping[str, Any] = found["rules"]
    parts: list[Part] = []
    for i, task in enumerate(next(iter(rules.values()))["tasks"]):
        curves = {}
        for name, rule in rules.items():
            values = rule["tasks"][i].get("validation") or []
            curves[name] = plots.thinned(values, [(k + 1) / len(values) for k in range(len(values))])
        if any(curves.values()):
            title = f"{task['task']}: validation loss"
            parts.append(plots.lines(title, curves, "share of the training", "loss", log=_positive(curves)))
    return parts


def _positive(curves: Mapping[str, Sequence[tuple[float, float]]]) -> bool:
    return all(value > _SMALLEST for points in curves.values() for _, value in points)


def _basins(found: Mapping[str, Any], rule: str | None) -> list[Part]:
    """Return all settings that were tried, over learning rate and weight decay; on up to two tasks."""
    parts: list[Part] = []
    chosen = [rule] if rule else []
    names = [*chosen, *(name for name in found["rules"] if name not in chosen)][:6]
    for i in _spread(len(next(iter(found["rules"].values()))["tasks"]), 2):
        for name in names:
            if plot := _basin(name, found["rules"][name]["tasks"][i]):
                parts.append(plot)
    return parts


def _spread(count: int, most: int) -> list[int]:
    return sorted({0, count - 1})[:most]


def _basin(name: str, row: Mapping[str, Any]) -> Plot | None:
    tuning = [(setting, loss) for setting, loss in row.get("tuning", ()) if loss is not None]
    if not tuning or "losses" not in row:
        return None
    least = min(loss for _, loss in tuning)
    points = [
        {
            "rate": setting["learning_rate"],
            "decay": setting.get("weight_decay"),
            "loss": round(loss / least, 4),
            "shade": round(min(loss / least, 1.5), 4),
            "told": setting_words(setting),
        }
        for setting, loss in sorted(tuning, key=lambda each: -each[1])
    ]
    title = f"{name} on {row['task']}"
    more = [("loss", "loss / its best", ".3f"), ("told", "setting", "")]
    x = ("rate", "learning rate")
    if all(point["decay"] is None for point in points):
        note = "It has no weight decay to tune."
        y = ("loss", "loss / its best")
        return plots.points(title, points, x, y, log=("x",), more=more, shade=("shade", y[1]), note=note, height=220)
    y, shade = ("decay", "weight decay"), ("shade", "loss / its best, up to 1.5")
    return plots.points(title, points, x, y, shade=shade, log=("x", "y"), more=more, height=220)


def side_by_side(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the figures of a comparison's contestants for the first screen."""
    pilot = bool(found.get("too_few"))
    scale = "0 random, 1 tuned PPO" if of_objectives(found) else "test loss / tuned AdamW's; smaller is better"
    return [
        (name, f"{rule['interquartile_mean']['value']:.3f}", scale if pilot else f"{_interval(rule)} {scale}")
        for name, rule in found["rules"].items()
        if name != found["baseline"]
    ]


def _interval(rule: Mapping[str, Any]) -> str:
    estimate = Estimate(**rule["interquartile_mean"])
    return f"[{estimate.low:.3f}, {estimate.high:.3f}]"
