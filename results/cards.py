"""Rule cards: what to know of an optimizer before one uses it, made from a comparison.

`python -m rulesmith.results.cards COMPARISON.json ...`, with what `rulesmith compare --json` wrote, writes those of all
published optimizers, each from the first comparison that has it, and the first comparison itself, without its bulk, to
`results/evidence`. A card is evidence: `rulesmith show` shows it, and exported files carry it.
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

LOOKS = {"held-out": 1}
"""How often the tasks of a claim were looked at: a rule that was chosen by their results needs fresh ones."""


EVIDENCE = Path(__file__).parent / "evidence" / "optimizers.json"
_BULK = ("tuning", "whole")
"""What a comparison holds of each optimizer and task that the evidence does not."""


def card(rule: Rule, *comparisons: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule's card, facts by what they say.

    Args:
        rule: the rule.
        comparisons: as `Comparison.to_dict` returns them; the first that has the rule counts.
    """
    found = next((each for each in comparisons if rule.name in each["rules"]), None)
    if found is None:
        return {"judged": "not yet on tasks that no search saw"}
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
        f"{batches[-1]}, {counted(found['trials'], 'setting')} and {counted(found['seeds'], 'seed')} each",
        "looks at these tasks": LOOKS["held-out"],
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


def write_cards(*paths: Path) -> None:
    """Write the cards of all published optimizers."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    made = {name: card(rule_file.find_optimizer(name), *found) for name in rule_file.published()}
    rule_file.write_text(rule_file.PUBLISHED / "cards.json", json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    write_cards(*given)
    rule_file.write_text(EVIDENCE, json.dumps(shortened(json.loads(given[0].read_text(encoding="utf-8")))) + "\n")
