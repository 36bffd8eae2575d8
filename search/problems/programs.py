"""The problem of searches over programs: each is worth its score, and equal programs are scored once.

A *scorer* computes the scores: from networks that a program trains (`trainings`), or from agents that it trains or its
distance to a learned drift (`drifts`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...meta.score import Score
from ..candidates import Candidate, Feedback
from ..engine import Evaluation
from ..state_codec import Ledger

Scorer = Callable[[Sequence[Candidate], Any], list[Score]]
"""Function of candidates and the tasks of the step to the candidates' scores, in their order."""


class Known(NamedTuple):
    """The state: what is known of programs.

    Attributes:
        fingerprints: fingerprint of each digest.
        scores: score of each fingerprint.
    """

    fingerprints: Ledger
    scores: Ledger


@dataclass(frozen=True)
class ProgramProblem:
    """The problem that searches over programs share. Both ledgers are changed in place: they only grow.

    Attributes:
        score: the scorer.
    """

    score: Scorer

    def init(self, key: Any) -> Known:
        """Return the state: nothing is known."""
        return Known(Ledger(), Ledger())

    def evaluate(
        self, state: Known, candidates: Sequence[Candidate], tasks: Any, key: Any
    ) -> Evaluation[Known, list[Feedback], list[Score]]:
        """Score the candidates: from the cache where digest or fingerprint is known, else by the scorer."""
        from ...programs.fingerprint import examine_all

        started = time.perf_counter()
        fingerprints, scores = state
        waiting: dict[str, Candidate] = {}  # the first program of each fingerprint that has no score
        sources: list[tuple[str, str]] = []
        for candidate in candidates:
            if candidate.digest in fingerprints:
                sources.append(("digest", ""))
                continue
            mark, fault = examine_all(candidate.programs)
            fingerprints[candidate.digest] = mark
            if mark in scores or mark in waiting:
                sources.append(("fingerprint", "f" + mark))
                continue
            sources.append(("evaluated", "f" + mark))
            if fault:
                scores[mark] = Score(math.inf, fault)
            else:
                waiting[mark] = candidate
        bred = time.perf_counter()
        scores.update(dict(zip(waiting, self.score(list(waiting.values()), tasks), strict=True)))
        trained = time.perf_counter()
        feedback = [
            Feedback(scores[fingerprints[candidate.digest]], *source)
            for candidate, source in zip(candidates, sources, strict=True)
        ]
        metrics = {"own_seconds": bred - started, "training_seconds": trained - bred}
        return Evaluation(state, feedback, [told.score for told in feedback], metrics)
