"""The archive: the best programs of a run, its hall of fame, and the front of fitness against length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .candidates import Candidate, Feedback

SIZE = 50


@dataclass(frozen=True)
class Entry:
    """A program of the archive: its candidate, and its fitness (smaller is better)."""

    candidate: Candidate
    fitness: float


def merge(
    entries: tuple[Entry, ...], candidates: Iterable[Candidate], feedback: Iterable[Feedback]
) -> tuple[Entry, ...]:
    """Return the archive after a batch: the `SIZE` best programs and the Pareto front, best first.

    Programs with equal fitness are told apart by nothing that a user cares for (most are the same function in
    disguise): the shortest stays, then the oldest.
    """
    best: dict[float, Entry] = {entry.fitness: entry for entry in entries}
    for candidate, told in zip(candidates, feedback, strict=True):
        if told.score.complete:
            held = best.get(told.score.fitness)
            if held is None or candidate.length < held.candidate.length:
                best[told.score.fitness] = Entry(candidate, told.score.fitness)
    ranked = sorted(best.values(), key=lambda e: (e.fitness, e.candidate.length, e.candidate.index))
    front = {entry.candidate.index for entry in pareto(ranked)}
    return tuple(e for i, e in enumerate(ranked) if i < SIZE or e.candidate.index in front)


def pareto(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that no other beats in both fitness and length, shortest first."""
    front: list[Entry] = []
    for entry in sorted(entries, key=lambda e: (e.candidate.length, e.fitness, e.candidate.index)):
        if not front or entry.fitness < front[-1].fitness:
            front.append(entry)
    return front
