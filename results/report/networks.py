"""Reports of searches over networks that train agents, and of what a drift does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...programs import rule_file
from ...programs.objective import Objective
from ...search.array_store import ArrayStore
from ...search.numerics import computing
from ...search.problems.return_scale import ReturnScale
from ...search.runs import method_named
from ..layout import rate_words
from ..objective_reporting import MOMENTS, slopes
from ..signs_of_life import LIFE_SIGNS, dead_parts, signs_in
from ..views import Course, Findings, history, tasks_of
from . import plots
from .document import Grid, Part, Plot, Section

_SMOOTH = 15
"""Generations over which a running mean is shown."""


def findings_of_networks(store: ArrayStore) -> Findings:
    """Return what a report shows of a search over networks by generations."""
    rule: Any = method_named(store.fact("method")).rule(store)  # raises where there is none yet
    config, reference = store.fact("config"), store.fact("reference") or {}
    low, high = config["horizon"]
    kind = (
        f"search for an objective, {config['rule']} by {config['strategy']}, on {', '.join(tasks_of(config))} in "
        f"lifetimes of {low:,.0f} to {high:,.0f} steps"
    )
    rows = history(store)
    steps = sum(row["env_steps"] for row in rows)
    facts = [("environment steps", f"{steps:,}", f"in {len(rows):,} generations")]
    warnings = [ReturnScale(**row).warning(name) for name, row in reference.items()]
    warnings += dead_parts(signs_in(rows)).values()
    scale = [
        (name, f"{row['random']:.2f}", f"{row['ppo']:.2f}", rate_words(row["learning_rate"]))
        for name, row in reference.items()
    ]
    columns = ("environment", "random policy", "tuned PPO", "learning rate of both")
    yardsticks = Grid(columns, scale, columns[1:], "what 0 and 1 are: mean returns at the longest horizon")
    sections = [
        Section("Course", [*_course(rows), yardsticks], "How the search went; returns are of its own lifetimes.")
    ]
    sections += signs_sections(rows)
    if rule.kind == "drift":
        sections.append(Section("What it does", drift_parts(rule), DRIFT))
    course = Course("generation", [(row["step"], x) for row, x in zip(rows, smoothed([r["center"] for r in rows]))])
    return Findings(kind, facts, [warning for warning in warnings if warning], sections, course)


DRIFT = (
    "The drift is taken from what a change of the policy gains, r A. Where the pull, A less the drift's slope over the "
    "ratio, is 0, a further change gains nothing: there the rule stops the policy."
)


def smoothed(values: Sequence[float], width: int = _SMOOTH) -> list[float]:
    """Return running means over up to `width` values before each."""
    sums = np.cumsum([0.0, *values])
    return [(sums[i] - sums[max(0, i - width)]) / (i - max(0, i - width)) for i in range(1, len(sums))]


SIGNS_NOTE = (
    "Figures that tell when a part does nothing. Entropies are shares of the greatest; y between states is the "
    "deviation of its probabilities; critics explain a share of the variance of returns."
)


def signs_sections(rows: Sequence[Mapping[str, Any]]) -> list[Section]:
    """Return the signs of life of a run's steps; nothing where no step has any."""
    signs, parts = signs_in(rows), list[Part]()
    for sign in LIFE_SIGNS:
        if sign.name in signs:
            points = plots.thinned(smoothed(signs[sign.name]), [row["step"] for row in rows if sign.name in row])
            parts.append(plots.lines(sign.title, {sign.title: points}, "step", sign.title, height=160))
    return [Section("Signs of life", parts, SIGNS_NOTE)] if parts else []


def _course(rows: Sequence[Mapping[str, Any]]) -> list[Part]:
    centers = [row["center"] for row in rows]
    steps = [row["step"] for row in rows]
    curves = {"the strategy's mean": plots.thinned(smoothed(centers), steps)}
    if "median" in rows[0]:
        curves["candidates' median"] = plots.thinned(smoothed([row["median"] for row in rows]), steps)
        curves["best candidate"] = plots.thinned(smoothed([row["best"] for row in rows]), steps)
    levels = {"tuned PPO": 1.0, "agents that learn nothing": 0.0}
    y = "normalized return"
    note = f"Whole lines are running means over {_SMOOTH} generations."
    course = plots.lines("normalized return by generation", curves, "generation", y, levels=levels, note=note)
    diverged = [row["diverged"] for row in rows]
    parts: list[Part] = [course]
    if any(diverged):
        lost = {"diverged": plots.thinned(diverged, steps)}
        parts.append(plots.lines("candidates that diverged", lost, "generation", "candidates"))
    return parts


def drift_parts(objective: Objective) -> list[Part]:
    """Return what a drift does: itself and its pull, over ratio and advantage, at several moments of a lifetime."""
    ppo = rule_file.find_objective("ppo-clip")
    return [*(_pull(objective, ppo, advantage) for advantage in (1.0, -1.0)), *_maps(objective)]


def _moments(objective: Objective) -> tuple[float, ...]:
    return MOMENTS if objective.timed else (0.0,)


def _when(objective: Objective, moment: float) -> str:
    return f"{moment:.0%} of the lifetime" if objective.timed else "at all times"


@computing()
def _maps(objective: Objective) -> list[Plot]:
    import jax.numpy as jnp

    ratios, advantages = np.linspace(0.4, 2.0, 33), np.linspace(-2.5, 2.5, 26)
    r, a = (jnp.asarray(x, jnp.float32) for x in np.meshgrid(ratios, advantages))
    drift, found = objective.drift(), []
    for moment in _moments(objective):
        values = np.asarray(drift(objective.arrays, r, jnp.log(r), a, jnp.float32(moment)))
        title = f"the drift, {_when(objective, moment)}"
        x, y = ("ratio r", ratios.tolist()), ("advantage A", advantages.tolist())
        found.append(plots.heatmap(title, x, y, ("drift", np.nan_to_num(values).tolist())))
    return found


def _pull(objective: Objective, reference: Objective, advantage: float) -> Plot:
    ratios = np.linspace(0.4, 2.0, 81)

    def line(rule: Objective, moment: float) -> list[tuple[float, float]]:
        return list(zip(ratios.tolist(), slopes(rule, ratios, advantage, moment).tolist(), strict=True))

    curves = {_when(objective, moment): line(objective, moment) for moment in _moments(objective)}
    curves[reference.name] = line(reference, 0.0)
    title = f"pull on the ratio for A = {advantage:+g}"
    return plots.lines(title, curves, "ratio r", "pull", levels={"0: nothing to gain": 0.0})


def lifetime_parts(found: Mapping[str, Any]) -> list[Part]:
    """Return curves over agents' lifetimes of a comparison of objectives."""
    rules: Mapping[str, Any] = found["rules"]
    parts: list[Part] = []
    for i, task in enumerate(next(iter(rules.values()))["tasks"]):
        if not all("curve" in rule["tasks"][i] for rule in rules.values()):
            continue  # evidence that was shortened has no curves
        where = f"{task['environment']}, {task['horizon']:,.0f} steps"
        kinds = [("return of training episodes", lambda row: row["curve"])]
        for name, title in (("entropy", "entropy of the policy"), ("update size", "size of updates, KL(old, new)")):
            if all(name in rule["tasks"][i].get("figures", {}) for rule in rules.values()):
                kinds.append((title, lambda row, name=name: row["figures"][name]))
        for title, pick in kinds:
            curves = {}
            for name, rule in rules.items():
                values = pick(rule["tasks"][i])
                curves[name] = plots.thinned(values, [(k + 1) / len(values) for k in range(len(values))])
            levels = {"agents that learn nothing": found["random"][i]} if title.startswith("return") else {}
            parts.append(plots.lines(f"{where}: {title}", curves, "share of the lifetime", title, levels=levels))
    return parts


def clock_parts(rows: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Return what freezing the clock costs: rows of `updates`, `moment`, `own`, `lost` and `error`."""
    bars = [(f"{row['updates']} updates", f"frozen at {row['moment']:.0%}", row["lost"], *_ends(row)) for row in rows]
    note = (
        "Bars are two standard errors of the difference on the same levels and keys; above 0 the rule uses its clock."
    )
    columns = ("lifetime", "with its clock", "frozen at", "return lost")
    cells = [
        (
            f"{row['updates']} updates",
            f"{row['own']:.3f}",
            f"{row['moment']:.0%}",
            f"{row['lost']:+.3f} ±{row['error']:.3f}",
        )
        for row in rows
    ]
    plot = plots.bars("return lost with the clock frozen", bars, "return lost", level=0.0, note=note)
    return [plot, Grid(columns, cells, columns[1:])]


def _ends(row: Mapping[str, Any]) -> tuple[float, float]:
    return row["lost"] - 2 * row["error"], row["lost"] + 2 * row["error"]
