"""What strategies propose and what they are told."""

from __future__ import annotations

from dataclasses import dataclass

from ..meta.score import Score
from ..programs.parts import Programs


@dataclass(frozen=True)
class Candidate:
    """A rule to evaluate: one program, or one for each class of leaves.

    Attributes:
        index: its number in the run, from 0.
        programs: the rule's programs, hyperparameters inlined.
        parent: index of the candidate it was bred from, or None.
        origin: what made it: a mutation's name, or "start".
        refused: invalid mutants tried before it.
        digest: semantic hash of the programs.
        length: statements that reach an update.
        cost: time of a step, in the unit of the search's limits.
    """

    index: int
    programs: Programs
    parent: int | None
    origin: str
    refused: int
    digest: str
    length: int
    cost: float = 0.0


@dataclass(frozen=True)
class Feedback:
    """A score, and where it came from.

    Attributes:
        score: the score.
        source: "evaluated", or where in the cache it was found: by "digest", or by "fingerprint".
        fingerprint: fingerprint of the program, or "" where the digest was known already.
    """

    score: Score
    source: str
    fingerprint: str = ""
