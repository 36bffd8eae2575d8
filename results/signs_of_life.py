"""Signs of life in words: whether each part of a search over networks does something.

A step's metrics hold the figures (`search.problems.signs`). What looks dead for long is told in a sentence, while the
search runs and afterwards; a single step says nothing, since agents are born and die.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

LONG = 50
"""Steps, of those that have figures, over whose mean a part must look dead before that is told."""


class Sign(NamedTuple):
    """A figure, and when it tells that a part is dead.

    Attributes:
        name: in the metrics.
        title: in tables and texts.
        form: how it is written.
    """

    name: str
    title: str
    form: str


LIFE_SIGNS = (
    Sign("policy_entropy", "policies' entropy", ".3f"),
    Sign("y_entropy", "entropy of y", ".4f"),
    Sign("y_spread", "y between states", ".4f"),
    Sign("explained_variance", "explained by critics", ".2f"),
    Sign("clipped", "clipped gradients", ".0%"),
    Sign("regularizers", "regularizers / objective", ".2f"),
    Sign("rule_gradient", "rule's gradient", ".2g"),
)
"""In the order in which they are shown. Entropies are shares of the greatest; y between states is the deviation of its
probabilities; explained by critics is the share of the targets' variance; clipped are agents' gradients."""

_Means = Mapping[str, float]
_DEAD: tuple[tuple[str, Callable[[_Means], bool], str], ...] = (
    (
        "y",
        lambda m: m.get("y_entropy", 0.0) > 0.99 and m.get("y_spread", 1.0) < 0.02,
        "the prediction y is uniform in all states (entropy {y_entropy:.4f} of the greatest, deviation between states "
        "{y_spread:.4f}): the rule predicts nothing",
    ),
    (
        "y",
        lambda m: m.get("y_entropy", 1.0) <= 0.99 and m.get("y_spread", 1.0) < 0.005,
        "the prediction y is the same in all states (deviation {y_spread:.4f}): it says nothing of a state",
    ),
    (
        "critics",
        lambda m: m.get("explained_variance", 1.0) < 0.05,
        "critics explain {explained_variance:.0%} of the variance of returns: they hardly help",
    ),
    (
        "policies",
        lambda m: 0.97 < m.get("policy_entropy", 0.0) <= 1.0,
        "policies stay uniform (entropy {policy_entropy:.3f} of the greatest): agents hardly learn",
    ),
    (
        "policies",
        lambda m: 0.0 <= m.get("policy_entropy", 1.0) < 0.01,
        "policies are deterministic (entropy {policy_entropy:.3f} of the greatest): nothing more is tried",
    ),
    (
        "clipped",
        lambda m: m.get("clipped", 0.0) > 0.95,
        "{clipped:.0%} of agents' gradients are clipped: only the direction of the rule's updates counts",
    ),
    (
        "regularizers",
        lambda m: m.get("regularizers", 0.0) > 1.0,
        "regularizers are {regularizers:.1f} times as large as the objective: they decide what the rule becomes",
    ),
    (
        "rule",
        lambda m: m.get("rule_gradient", 1.0) < 1e-6,
        "the rule's gradient is {rule_gradient:.1g}: it is not improved",
    ),
)
"""Parts, conditions on the figures' means, and what is said where one holds."""


def signs_in(metrics: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return the figures of steps by name, in the order of `LIFE_SIGNS`; those that no step has are left out."""
    rows = list(metrics)
    found = {sign.name: [row[sign.name] for row in rows if sign.name in row] for sign in LIFE_SIGNS}
    return {name: values for name, values in found.items() if values}


def recent(signs: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the means of the figures over the latest `LONG` steps that have them."""
    return {name: float(np.mean(list(values)[-LONG:])) for name, values in signs.items()}


def dead_parts(signs: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return the parts that have looked dead for long, with a sentence each."""
    means = recent({name: values for name, values in signs.items() if len(values) >= LONG})
    return {part: words.format(**means) for part, holds, words in _DEAD if holds(means)}


def signs_words(signs: Mapping[str, Sequence[float]]) -> str:
    """Return the latest means in one line; empty where there are none."""
    means = recent(signs)
    return ", ".join(f"{sign.title} {means[sign.name]:{sign.form}}" for sign in LIFE_SIGNS if sign.name in means)
