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

    Of programs with equal fitness only one stays, the shortest, then the oldest: most compute the same function.
    """
    told_of = [(c, told.score.fitness) for c, told in zip(candidates, feedback, strict=True) if told.score.complete]
    known = {candidate.index: candidate for candidate, _ in told_of} | {e.candidate.index: e.candidate for e in entries}
    rows = [(entry.candidate.index, entry.fitness, entry.candidate.length) for entry in entries]
    rows += [(candidate.index, fitness, candidate.length) for candidate, fitness in told_of]
    return tuple(Entry(known[number], fitness) for number, fitness, _ in best_of(rows))


def best_of(rows: Iterable[tuple[int, float, int]]) -> list[tuple[int, float, int]]:
    """Return the (number, fitness, length) of the `SIZE` best candidates and of the Pareto front, best first.

    Among `rows`, older candidates come first. See `merge` for candidates with equal fitness.
    """
    best: dict[float, tuple[int, float, int]] = {}
    for row in rows:
        held = best.get(row[1])
        if held is None or row[2] < held[2]:
            best[row[1]] = row
    ranked = sorted(best.values(), key=lambda row: (row[1], row[2], row[0]))
    front = {row[0] for row in _front(ranked)}
    return [row for i, row in enumerate(ranked) if i < SIZE or row[0] in front]


def pareto(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that no other beats in both fitness and length, shortest first."""
    known = {entry.candidate.index: entry for entry in entries}
    rows = [(entry.candidate.index, entry.fitness, entry.candidate.length) for entry in known.values()]
    return [known[number] for number, _, _ in _front(rows)]


def _front(rows: Iterable[tuple[int, float, int]]) -> list[tuple[int, float, int]]:
    front: list[tuple[int, float, int]] = []
    for row in sorted(rows, key=lambda row: (row[2], row[1], row[0])):
        if not front or row[1] < front[-1][1]:
            front.append(row)
    return front
