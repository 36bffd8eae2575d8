"""What a search on a curriculum of levels keeps: beside its generations and checkpoints, every life that ended."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..envs.gridworld import level_file
from ..envs.gridworld.level import Level
from .array_store import ArrayStore
from .curricula.level_buffer import Buffer, Given
from .curricula.scores import Lives
from .engine import Record


class LifeRow(NamedTuple):
    """A life that ended, as the store keeps it. What is not known is None.

    Attributes:
        step: the step in which it ended.
        mark: hash of the level.
        first: whether it was the first life on the level since the level came to the buffer.
        updates: its length.
        returns: mean return of episodes by the last policy.
        yardstick: return that was possible.
        score: score that the level got.
        best: highest return of any episode of the life.
        figures: further figures that level scores need, by name; see `meta.life_figures`.
    """

    step: int
    mark: str
    first: bool
    updates: int
    returns: float | None
    yardstick: float | None
    score: float | None
    best: float | None
    figures: dict[str, float | None]


class LevelStore(ArrayStore):
    """The store of a run on a curriculum of levels; an observer of the engine."""

    TABLES = ArrayStore.TABLES + (
        "CREATE TABLE lives (step INTEGER, mark TEXT, first INTEGER, updates INTEGER, returns REAL, yardstick REAL, "
        "score REAL, best REAL, figures TEXT NOT NULL);\n"
        "CREATE TABLE levels (mark TEXT PRIMARY KEY, level TEXT);\n"
    )
    BY_STEP = ("lives",)

    def __call__(self, record: Record[Any, Any, Any, Any]) -> None:
        """Write a step's figures and the lives that ended in it; a checkpoint if the last is old."""
        rows, levels = _rows(record.step, record.tasks, record.scores, record.states.curriculum)
        with self._errors(), self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO levels VALUES (?, ?)", levels)
            kept = [(*row[:-1], json.dumps(row.figures)) for row in rows]
            self._connection.executemany("INSERT INTO lives VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", kept)
        super().__call__(record)

    def held_out(self) -> list[tuple[int, float]]:
        """Return the steps that had a probe, and what it found."""
        last = self.last_state()
        return [(n, m["held_out"]) for n, m in self.steps() if "held_out" in m and last and n <= last[0]]

    def lives(self) -> Iterator[LifeRow]:
        """Yield the lives that ended, oldest first, up to the last checkpoint."""
        last = self.last_state()
        with self._errors():
            found = self._connection.execute(
                "SELECT * FROM lives WHERE step <= ? ORDER BY rowid", (last[0] if last else 0,)
            ).fetchall()
            for row in found:
                yield LifeRow(*row)._replace(first=bool(row[2]), figures=json.loads(row[-1]))

    def level(self, mark: str) -> Level:
        """Return a level that was lived on.

        Raises:
            RulesmithError: what is kept of it is no level.
        """
        with self._errors():
            (text,) = self._connection.execute("SELECT level FROM levels WHERE mark = ?", (mark,)).fetchone()
        return level_file.loads(text)


def lives_of(rows: Sequence[LifeRow]) -> Lives:
    """Return kept lives as the level scores take them; what is not known is NaN."""

    def column(values: Sequence[float | None]) -> np.ndarray:
        return np.array([np.nan if value is None else value for value in values], float)

    every = np.ones(len(rows), bool)
    names = dict.fromkeys(name for row in rows for name in row.figures)
    figures = {name: column([row.figures.get(name) for row in rows]) for name in names}
    returns, yardstick = column([row.returns for row in rows]), column([row.yardstick for row in rows])
    return Lives(every, every, returns, yardstick, column([row.best for row in rows]), figures)


def _rows(step: int, tasks: Given, lives: Lives, buffer: Buffer) -> tuple[list[LifeRow], list[tuple[str, str]]]:
    rows, levels = [], []
    for slot in np.flatnonzero(lives.over):
        mark = "".join(f"{part:08x}" for part in tasks.mark[slot])
        place = tasks.place[slot]
        score = buffer.score[place] if lives.sound[slot] else np.nan
        numbers = [_number(x) for x in (lives.returns[slot], lives.yardstick[slot], score, lives.best[slot])]
        figures = {name: _number(values[slot]) for name, values in lives.figures.items()}
        first = bool(buffer.lives[place] == 1)
        rows.append(LifeRow(step, mark, first, int(tasks.updates[slot]), *numbers, figures=figures))
        if first:
            levels.append((mark, level_file.dumps(jax.tree.map(lambda x, at=slot: x[at], tasks.level))))
    return rows, levels


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
