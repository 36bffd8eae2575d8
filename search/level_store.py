"""What a search on a curriculum of levels keeps: beside its generations and checkpoints, every life that ended."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from ..envs.gridworld import level_file
from ..envs.gridworld.level import Level
from .array_store import ArrayStore
from .curricula.level_buffer import Buffer, Given
from .curricula.scores import Lives
from .engine import Record, States


class LifeRow(NamedTuple):
    """A life that ended, as it is kept. Figures that no one asked for are None.

    Attributes:
        step: in which it ended.
        mark: hash of the level.
        first: whether it was the first life on the level since that came to the buffer.
        updates: its length.
        returns: of the last policy.
        yardstick: return that was possible.
        score: that the level got.
        pvl: positive value loss.
        l1: mean size of the last advantages.
        maxmc: best return of an episode beyond the critic's value.
    """

    step: int
    mark: str
    first: bool
    updates: int
    returns: float | None
    yardstick: float | None
    score: float | None
    pvl: float | None
    l1: float | None
    maxmc: float | None


class LevelStore(ArrayStore):
    """The store of such a run; an observer of the engine once `rule_of` is set."""

    TABLES = ArrayStore.TABLES + (
        "CREATE TABLE lives (step INTEGER, mark TEXT, first INTEGER, updates INTEGER, returns REAL, yardstick REAL, "
        "score REAL, pvl REAL, l1 REAL, maxmc REAL);\n"
        "CREATE TABLE levels (mark TEXT PRIMARY KEY, level TEXT);\n"
    )

    def __call__(self, record: Record) -> None:
        """Write a step's figures and the lives that ended in it; a checkpoint if the last is old."""
        rows, levels = _rows(record.step, record.tasks, record.scores, record.states.curriculum)
        with self._errors(), self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO levels VALUES (?, ?)", levels)
            self._connection.executemany("INSERT INTO lives VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        super().__call__(record)

    def resume(self, like: States) -> tuple[int, States] | None:
        """See `ArrayStore.resume`; later lives are forgotten too."""
        found = super().resume(like)
        with self._errors(), self._connection:
            self._connection.execute("DELETE FROM lives WHERE step > ?", (found[0] if found else 0,))
        return found

    def _where(self) -> dict[str, Any]:
        config = self.fact("config")
        return {"levels": config["levels"], "score": config["score"], "updates": list(config["updates"])}

    def _evidence(self, step: int) -> dict[str, Any]:
        probes = self.held_out()
        return {f"{self.fact('held_out')['unit']} on held-out levels, in the search": probes[-1][1]} if probes else {}

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
            yield LifeRow(*row)._replace(first=bool(row[2]))

    def level(self, mark: str) -> Level:
        """Return a level that was lived on.

        Raises:
            RulesmithError: what is kept of it is no level.
        """
        with self._errors():
            (text,) = self._connection.execute("SELECT level FROM levels WHERE mark = ?", (mark,)).fetchone()
        return level_file.loads(text)


def _rows(step: int, tasks: Given, lives: Lives, buffer: Buffer) -> tuple[list[LifeRow], list[tuple[str, str]]]:
    rows, levels = [], []
    for slot in np.flatnonzero(lives.over):
        mark = "".join(f"{part:08x}" for part in tasks.mark[slot])
        place = tasks.place[slot]
        kept = bool(lives.sound[slot])
        figures = [
            lives.returns[slot],
            lives.yardstick[slot],
            buffer.score[place] if kept else np.nan,
            lives.positive_value_loss[slot],
            lives.l1_value_loss[slot],
            lives.best[slot] - lives.value[slot],
        ]
        numbers = [float(x) if math.isfinite(x) else None for x in figures]
        first = bool(buffer.lives[place] == 1)
        rows.append(LifeRow(step, mark, first, int(tasks.updates[slot]), *numbers))
        if first:
            levels.append((mark, level_file.dumps(jax.tree.map(lambda x, at=slot: x[at], tasks.level))))
    return rows, levels
