"""How a run stands: one figure, under one name, and one verdict; every place that speaks of a run takes them from here.

A `Figure` is the number that a search makes smaller or larger, with the yardstick beside it and, for agents, what those
that learn nothing reach. It is of data that the search looked at, so alone it never proves that a rule is better; that
takes a comparison, and the latest one of a run is kept in its directory (`keep_comparison`).
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..programs import RulesmithError, rule_file
from ..programs.objective import Objective
from ..programs.parts import Programs
from ..programs.quantities import counted
from ..programs.rule import Rule

COMPARISON = "comparison.json"
"""The file in a run's directory that holds the latest comparison of its rule."""
NOTHING, WORSE, UNKNOWN, BETTER = "below learning nothing", "worse", "not yet known", "better"
YARDSTICK = "yardstick"
"""Verdicts in short."""
BAD = (NOTHING, WORSE)
"""Those after which a rule is not to be used."""


@dataclass(frozen=True)
class Conclusion:
    """What is known of a rule beside the yardstick: in short, and in a sentence."""

    kind: str
    sentence: str


@dataclass(frozen=True)
class Figure:
    """The number by which a run is spoken of.

    Attributes:
        name: what it is, with its unit, such as "loss / AdamW's".
        value: the number.
        smaller: whether smaller is better.
        yardstick: what it is measured against, such as "tuned AdamW"; "" for nothing.
        at: the yardstick's own number.
        where: on what it was measured, such as "the search's own tasks".
        error: its standard error, where that is known; infinite where too little was seen.
        nothing: what agents that learn nothing reach; None where there are no agents.
    """

    name: str
    value: float
    smaller: bool
    yardstick: str
    where: str
    at: float = 1.0
    error: float = 0.0
    nothing: float | None = None

    @property
    def scale(self) -> str:
        """How the number is to be read."""
        better = "smaller is better" if self.smaller else "larger is better"
        if not self.yardstick:
            return better
        ends = [f"{self.yardstick} {self.at:.4g}"]
        if self.nothing is not None:
            ends.append(f"agents that learn nothing {self.nothing:.4g}")
        return f"{', '.join(ends)}; {better}"

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4f} ({self.scale})"

    @property
    def verdict(self) -> Conclusion:
        """What the number alone says, on the data that the search looked at."""
        sign = 1.0 if self.smaller else -1.0
        if self.nothing is not None and self.value < self.nothing:
            return Conclusion(NOTHING, f"Agents that it trains are below agents that learn nothing, on {self.where}.")
        if not self.yardstick:
            return Conclusion(UNKNOWN, "Whether agents learn with it is not yet known.")
        if math.isinf(self.error):
            return Conclusion(
                UNKNOWN, f"Too little has been seen on {self.where} to say how it is beside {self.yardstick}."
            )
        behind = sign * (self.value - self.at)
        if behind > 2 * self.error:
            return Conclusion(
                WORSE, f"It is worse than {self.yardstick} even on {self.where}, which the search looked at."
            )
        close = "as good as" if abs(behind) <= 2 * self.error else "better than"
        told = f"On {self.where} it looks {close} {self.yardstick}, but the search looked at these: no proof yet."
        return Conclusion(UNKNOWN, told)


@dataclass(frozen=True)
class Standing:
    """A run's figure, None where it has none yet, and its verdict."""

    figure: Figure | None
    verdict: Conclusion


def standing(figure: Figure | None, comparison: Mapping[str, Any] | None, seen: Sequence[str]) -> Standing:
    """Return how a run stands.

    Args:
        figure: of the run.
        comparison: what `kept_comparison` returns of its rule.
        seen: names of the tasks and environments that the search looked at.
    """
    if figure is None:
        return Standing(None, Conclusion(UNKNOWN, "Nothing has been found yet."))
    own = figure.verdict
    if comparison is None or own.kind == NOTHING:
        return Standing(figure, own)
    return Standing(figure, verdict_of(comparison["found"], comparison["rule"], seen) or own)


def verdict_of(found: Mapping[str, Any], name: str, seen: Sequence[str] = ()) -> Conclusion | None:
    """Return what a comparison says of a rule; None if it has no such rule.

    Args:
        found: as `Comparison.to_dict` returns it.
        name: the rule's name there.
        seen: tasks that a search of the rule looked at; losses on them are no proof.
    """
    rule = found["rules"].get(name)
    if rule is None:
        return None
    if name == found.get("baseline"):
        return Conclusion(YARDSTICK, "It is the yardstick: others are judged by how they compare with it.")
    below = [
        warning for warning in found.get("warnings", ()) if f" {name} is below agents that learn nothing" in warning
    ]
    if below:
        return Conclusion(NOTHING, f"Careful: {below[0]}.")
    agents = "environment" in rule["tasks"][0]
    smaller, yardstick = not agents, "tuned PPO" if agents else "tuned AdamW"
    value, low, high = (rule["interquartile_mean"][key] for key in ("value", "low", "high"))
    figure = f"{'normalized return' if agents else 'loss / that of AdamW'} {value:.3f}"
    if few := found.get("too_few"):
        return Conclusion(
            UNKNOWN, f"A pilot against {yardstick} gave {figure}: it has {few}, too few to say which is better."
        )
    figure += f" [{low:.3f}, {high:.3f}] over {counted(len(found.get('claimed', rule['tasks'])), 'task')}"
    looked = sorted({row["task"] for row in rule["tasks"]} & set(seen)) if not agents else []
    if looked:
        return Conclusion(
            UNKNOWN, f"Against {yardstick}: {figure}, but the search looked at {', '.join(looked)}: no proof."
        )
    if low <= 1.0 <= high:
        return Conclusion(UNKNOWN, f"Not shown to differ from {yardstick}: {figure}.")
    better = (value < 1.0) == smaller
    return Conclusion(BETTER if better else WORSE, f"{'Better' if better else 'Worse'} than {yardstick}: {figure}.")


def rule_mark(rule: Rule | Objective) -> str:
    """Return a hash of what a rule computes."""
    return rule.mark() if isinstance(rule, Objective) else Programs.of(rule.programs).digest


def keep_comparison(directory: Path, rule: str, mark: str, found: Mapping[str, Any]) -> None:
    """Keep a comparison with a run, so that it is shown wherever the run is; where it cannot be written, it is not.

    Args:
        directory: of the run.
        rule: what its rule is called in the comparison.
        mark: hash of the rule.
        found: the comparison.
    """
    kept = {"rule": rule, "mark": mark, "found": found}
    with contextlib.suppress(RulesmithError):
        rule_file.write_text(directory / COMPARISON, json.dumps(kept) + "\n")


def kept_comparison(directory: Path, mark: str) -> dict[str, Any] | None:
    """Return the comparison that is kept with a run; None if there is none, or the run's rule is another by now."""
    try:
        kept = json.loads((directory / COMPARISON).read_text(encoding="utf-8"))
        if kept["mark"] != mark or kept["rule"] not in kept["found"]["rules"]:
            return None
        return kept
    except (OSError, ValueError, LookupError, TypeError):
        return None
