"""What `rulesmith compare --json` wrote, as figures of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .pictures import COLOURS, LAYOUT, curve
from .statistics import Estimate


def conclusion(found: Mapping[str, Any]) -> str:
    """Return the interquartile means in a sentence."""
    words = [f"{name} {Estimate(**rule['interquartile_mean'])}" for name, rule in found["rules"].items()]
    scale = "0 random, 1 tuned PPO" if _of_objectives(found) else "test loss / tuned AdamW's: below 1 is better"
    careful = "".join(f"Careful: {warning}. " for warning in found.get("warnings", ()))
    return f"{careful}Interquartile means ({scale}), 95% intervals, {found['seeds']} seeds: {'; '.join(words)}."


def figures(found: Mapping[str, Any]) -> list[Any]:
    """Return the figures of a comparison of objectives or of optimizers."""
    return _of_lifetimes(found["rules"]) if _of_objectives(found) else _of_training(found["rules"])


def _of_objectives(found: Mapping[str, Any]) -> bool:
    return "environment" in next(iter(found["rules"].values()))["tasks"][0]


def _of_lifetimes(rules: Mapping[str, Any]) -> list[Any]:
    parts = []
    for i, task in enumerate(next(iter(rules.values()))["tasks"]):
        if not all("curve" in rule["tasks"][i] for rule in rules.values()):
            continue  # evidence that was shortened has no curves
        where = f"{task['environment']}, {task['horizon']:,.0f} steps"
        for title, pick in (
            ("return of training episodes", lambda t: t["curve"]),
            ("entropy of the policy", lambda t: t["figures"]["entropy"]),
            ("size of updates, KL(old, new)", lambda t: t["figures"]["update size"]),
        ):
            lines = {name: pick(rule["tasks"][i]) for name, rule in rules.items()}
            parts.append(curve(f"{where}: {title}", lines, "share of the lifetime", title, 1 / 20))
    return parts


def _of_training(rules: Mapping[str, Any]) -> list[Any]:
    import plotly.graph_objects as go

    words = {"title": "performance profile", "xaxis_title": "at most this times tuned AdamW's test loss"}
    profile = go.Figure(layout={**LAYOUT, **words, "yaxis_title": "share of runs"})
    words = {"title": "interquartile mean by weights, 95% intervals", "yaxis_title": "test loss / tuned AdamW's"}
    sizes = go.Figure(layout={**LAYOUT, **words})
    words = {"title": "best learning rate by weights, geometric mean over tasks", "yaxis_title": "learning rate"}
    rates = go.Figure(layout={**LAYOUT, **words}).update_yaxes(type="log")
    for (name, rule), colour in zip(rules.items(), COLOURS * 9, strict=False):
        points, style = rule["profile"], {"color": colour}
        profile.add_scatter(x=points["below"], y=points["share"], name=name, line=style, mode="lines+markers")
        means = [Estimate(**mean) for mean in rule["by_scale"].values()]
        bars = {"array": [m.high - m.value for m in means], "arrayminus": [m.value - m.low for m in means]}
        title = f"{name}, {_slope_words(rule['slope_by_tenfold_size'])}" if "slope_by_tenfold_size" in rule else name
        ratios = [mean.value for mean in means]
        sizes.add_scatter(
            x=list(rule["by_scale"]), y=ratios, error_y=bars, name=title, line=style, mode="lines+markers"
        )
        best = rule.get("best_learning_rates", {})
        rates.add_scatter(x=list(best), y=list(best.values()), name=name, line=style, mode="lines+markers")
    every = [mean[key] for rule in rules.values() for mean in rule["by_scale"].values() for key in ("low", "high")]
    sizes.update_layout(scattermode="group").update_yaxes(range=[min(every) - 0.02, max(every) + 0.02])
    parts = [profile, sizes, *([rates] if any("best_learning_rates" in rule for rule in rules.values()) else [])]
    for i, task in enumerate(next(iter(rules.values()))["tasks"]):
        lines = {name: rule["tasks"][i]["validation"] for name, rule in rules.items()}
        parts.append(curve(f"{task['task']}: validation loss", lines, "share of the training", "loss", 1 / 20, 1 / 20))
    return parts


def _slope_words(slope: Mapping[str, float]) -> str:
    """Return in words by how much ten times as many weights change the ratio to AdamW's loss."""
    value, low, high = (100 * (math.exp(slope[key]) - 1) for key in ("value", "low", "high"))
    return f"{value:+.1f}% [{low:+.1f}, {high:+.1f}] with ten times as many"
