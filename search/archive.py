"""The archive: the best programs of a run, its hall of fame, and the front of fitness against length and cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from .candidates import Candidate, Feedback

SIZE = 50


@dataclass(frozen=True)
class Entry:
    """A program of the archive: its candidate, and its fitness (smaller is better)."""

    candidate: Candidate
    fitness: float


class Row(NamedTuple):
    """What decides whether a candidate enters the archive; see `Candidate` and `Score`."""

    number: int
    fitness: float
    length: int
    cost: float


def merge(
    entries: tuple[Entry, ...], candidates: Iterable[Candidate], feedback: Iterable[Feedback]
) -> tuple[Entry, ...]:
    """Return the archive after a batch: the `SIZE` best programs and the Pareto front, best first.

    Of programs with equal fitness only one stays, the shortest, then the oldest: most compute the same function.
    """
    told_of = [(c, told.score.fitness) for c, told in zip(candidates, feedback, strict=True) if told.score.complete]
    known = {candidate.index: candidate for candidate, _ in told_of} | {e.candidate.index: e.candidate for e in entries}
    rows = [_row(entry.candidate, entry.fitness) for entry in entries]
    rows += [_row(candidate, fitness) for candidate, fitness in told_of]
    return tuple(Entry(known[row.number], row.fitness) for row in best_of(rows))


def best_of(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of the `SIZE` best candidates and of the Pareto front, best first.

    Among `rows`, older candidates come first. See `merge` for candidates with equal fitness.
    """
    best: dict[float, Row] = {}
    for row in rows:
        held = best.get(row.fitness)
        if held is None or row.length < held.length:
            best[row.fitness] = row
    ranked = sorted(best.values(), key=lambda row: (row.fitness, row.length, row.number))
    front = {row.number for row in _front(ranked)}
    return [row for i, row in enumerate(ranked) if i < SIZE or row.number in front]


def pareto(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that no other beats in one of fitness, length and cost, and equals in the rest; best last."""
    known = {entry.candidate.index: entry for entry in entries}
    found = _front(_row(entry.candidate, entry.fitness) for entry in known.values())
    return [known[row.number] for row in found]


def _row(candidate: Candidate, fitness: float) -> Row:
    return Row(candidate.index, fitness, candidate.length, candidate.cost)


def _front(rows: Iterable[Row]) -> list[Row]:
    best: dict[tuple[int, float], Row] = {}  # by length and cost
    for row in rows:
        held = best.get((row.length, row.cost))
        if held is None or (row.fitness, row.number) < (held.fitness, held.number):
            best[row.length, row.cost] = row
    front: list[Row] = []
    for row in sorted(best.values(), key=lambda row: (row.length, row.cost, row.fitness)):
        if not any(kept.fitness <= row.fitness and kept.cost <= row.cost for kept in front):
            front.append(row)
    return front
