"""What strategies propose and what they are told."""

from __future__ import annotations

from dataclasses import dataclass

from ..meta.score import Score
from ..programs import Program


@dataclass(frozen=True)
class Candidate:
    """A program to evaluate.

    Attributes:
        index: its number in the run, from 0.
        program: the program, hyperparameters inlined.
        parent: index of the candidate it was bred from, or None.
        origin: what made it: a mutation's name, or "start".
        refused: invalid mutants tried before it.
        digest: semantic hash of the program.
        length: statements that reach an update.
    """

    index: int
    program: Program
    parent: int | None
    origin: str
    refused: int
    digest: str
    length: int


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
