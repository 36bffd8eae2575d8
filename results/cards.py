"""Rule cards: what to know of an optimizer before one uses it, made from a comparison.

`python -m rulesmith.results.cards COMPARISON.json LOOKS`, with what `rulesmith compare --json` wrote and how often its
tasks were looked at by now, writes the cards of the published optimizers that it judged, and the comparison itself,
without its bulk, to `results/evidence`. A card is evidence: `rulesmith show` shows it, and exported files carry it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..envs.tasks import tasks
from ..meta.judging_optimizers import BASIN
from ..programs import rule_file
from ..programs.quantities import counted
from ..programs.rule import START, Rule
from .layout import rate_words
from .statistics import Estimate

EVIDENCE = Path(__file__).parent / "evidence" / "optimizers.json"
"""The newest claim about published optimizers."""
EARLIER = EVIDENCE.with_name("optimizers-without-warm-up.json")
"""The claim before it, about more of them, in trainings that began at the full learning rate."""
UNJUDGED = {"judged": "not yet on tasks that no search saw"}
"""The card of a rule that no comparison judged."""
_BULK = ("tuning", "whole")
"""What a comparison holds of each optimizer and task that the evidence does not."""


def card(rule: Rule, found: Mapping[str, Any], looks: int) -> dict[str, Any]:
    """Return a rule's card, facts by what they say.

    Args:
        rule: the rule.
        found: a comparison that judged it, as `Comparison.to_dict` returns it.
        looks: how often the comparison's tasks were looked at by now, this time included; a rule that was chosen by
            earlier results on them needs fresh ones.
    """
    judged, pilot = found["rules"][rule.name], bool(found["too_few"])
    rows = [row for row in judged["tasks"] if row["task"] in found["claimed"]]
    names = [row["task"] for row in rows]
    shipped = [tasks()[name] for name in names]
    base = [row for row in found["rules"][found["baseline"]]["tasks"] if row["task"] in found["claimed"]]
    ratios = _ratios(rows, base)
    worst = int(np.argmax(ratios))
    by_size = judged["best_learning_rates"]
    batches = sorted({task.batch_size for task in shipped})
    facts = {
        START: float(rate_words([*by_size.values()][-1])),
        "best learning rates by size": ", ".join(f"{size} {rate_words(rate)}" for size, rate in by_size.items()),
        "learning rates within 5% of the best": _working(rows),
        "other settings, medians": _others(rows),
        "loss / tuned AdamW's": _words(judged["interquartile_mean"], pilot),
    }
    facts |= {f"loss / tuned AdamW's, {size}": _words(ratio, pilot) for size, ratio in judged["by_scale"].items()}
    if "against_best_baseline" in judged:
        facts["loss / that of the best of AdamW, NAdamW, Muon"] = _words(judged["against_best_baseline"], pilot)
    if "slope_by_tenfold_size" in judged:
        value, low, high = (100 * np.expm1(x) for x in judged["slope_by_tenfold_size"].values())
        facts["with ten times as many weights"] = f"{value:+.1f}%" + (
            f" [{low:+.1f}%, {high:+.1f}%]" if not pilot else ""
        )
    sets = len({task.data_set for task in shipped})
    if pilot:
        facts["a pilot"] = f"it has {found['too_few']}: too few to say which is better"
    return facts | {
        "worst on": f"{names[worst]}, {ratios[worst]:.3f} of AdamW's loss",
        "bytes of state a weight": round(float(np.median([row["state_bytes"] for row in rows])), 1),
        "step time / AdamW's": round(float(np.median([r["step_seconds"] / r["adamw_seconds"] for r in rows])), 2),
        "judged on": f"{counted(len(rows), 'task')} of {counted(sets, 'data set')}, batches of {batches[0]} to "
        f"{batches[-1]}, {counted(found['trials'], 'setting')} and {counted(found['seeds'], 'seed')} each, "
        "trained with a warm-up",
        "looks at these tasks": looks,
    }


def _words(estimate: Mapping[str, float], pilot: bool) -> str:
    """Return an estimate in words; that of a pilot without its interval, which could not be quoted."""
    return f"{estimate['value']:.3f}" if pilot else str(Estimate(**estimate))


def _ratios(rows: list[Any], base: list[Any]) -> list[float]:
    def loss(row: Any) -> float:
        return float(np.mean([np.inf if loss is None else loss for loss in row["losses"]]))

    return [loss(own) / loss(theirs) for own, theirs in zip(rows, base, strict=True)]


def _working(rows: list[Any]) -> str:
    """Return the lowest and highest learning rate of good settings, medians over tasks, in words."""
    ends = []
    for row in rows:
        known = [(setting["learning_rate"], loss) for setting, loss in row["tuning"] if loss is not None]
        least = min(loss for _, loss in known)
        rates = [rate for rate, loss in known if loss <= BASIN * least]
        ends.append((min(rates), max(rates)))
    low, high = np.median(ends, axis=0)
    return f"{low:.2g} to {high:.2g}"


def _others(rows: list[Any]) -> str:
    """Return the medians over tasks of what is tuned beside the learning rate, in words."""
    names = [name for name in rows[0]["setting"] if name != "learning_rate"]
    medians = {name: float(np.median([row["setting"][name] for row in rows])) for name in names}
    return ", ".join(f"{name} {value:.2g}" for name, value in medians.items()) or "none"


def shortened(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison without the losses of all settings."""
    rules = {
        name: {**own, "tasks": [{key: x for key, x in row.items() if key not in _BULK} for row in own["tasks"]]}
        for name, own in found["rules"].items()
    }
    return {**found, "rules": rules}


def write_cards(found: Mapping[str, Any], looks: int) -> None:
    """Write the cards of the published optimizers that a comparison judged; those of others stay as they are."""
    known = rule_file.cards()
    made = {}
    for name in rule_file.published():
        judged = name in found["rules"]
        made[name] = card(rule_file.find_optimizer(name), found, looks) if judged else known.get(name, UNJUDGED)
    rule_file.write_text(rule_file.PUBLISHED / "cards.json", json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    path, looks = sys.argv[1:]
    comparison = json.loads(Path(path).read_text(encoding="utf-8"))
    write_cards(comparison, int(looks))
    rule_file.write_text(EVIDENCE, json.dumps(shortened(comparison)) + "\n")
