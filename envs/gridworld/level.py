"""A level of the grid-world, as data: so thousands of different levels run in one compiled rollout."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float32, Int32

from ...programs import RulesmithError


class Level(NamedTuple):
    """A level on a board of `b` x `b` cells, of which the upper left `size` x `size` are its own, with `o` objects.

    Attributes:
        walls: cells that cannot be entered; all cells outside the level's own size are walls.
        cells: numbers (row * b + column) of the free cells, then those of the others.
        free: how many are free.
        start: number of the cell where an episode begins; -1 draws a free one.
        exists: which of the objects are there.
        places: number of each object's cell; -1 draws a free one at each appearance.
        rewards: reward for entering each object's cell.
        ends: probability that this ends the episode.
        respawns: probability, at each step, that a collected object is there again.
        steps: length after which an episode is truncated.
    """

    walls: Bool[Array, "b b"]
    cells: Int32[Array, " b*b"]
    free: Int32[Array, ""]
    start: Int32[Array, ""]
    exists: Bool[Array, " o"]
    places: Int32[Array, " o"]
    rewards: Float32[Array, " o"]
    ends: Float32[Array, " o"]
    respawns: Float32[Array, " o"]
    steps: Int32[Array, ""]

    def __repr__(self) -> str:
        board = np.shape(self.walls)
        if len(board) != 2 or isinstance(self.walls, Tracer):
            return f"<levels, walls of shape {board}>"
        objects = int(np.asarray(self.exists).sum())
        return f"<Level on a board of {board[0]} x {board[1]}, {int(self.free)} free cells, {objects} objects>"

    def _repr_html_(self) -> str:
        from .pictures import text

        shown = text(self) if np.ndim(self.walls) == 2 else repr(self)
        return f"<pre>{html.escape(shown)}</pre>"


class Thing(NamedTuple):
    """An object of a hand-made level; see `Level`. `place` is (row, column), or None for a random one."""

    reward: float
    ends: float
    respawns: float
    place: tuple[int, int] | None = None


def level_of(
    size: int,
    things: Sequence[Thing],
    steps: int,
    walls: Sequence[tuple[int, int]] = (),
    start: tuple[int, int] | None = None,
    board: int | None = None,
) -> Level:
    """Return a hand-made level.

    Args:
        size: rows and columns.
        things: the objects.
        steps: length of an episode.
        walls: (row, column) of each wall.
        start: where an episode begins; None draws a free cell.
        board: rows and columns of the arrays; `size` by default.

    Raises:
        RulesmithError: there is no free cell, or something is on a wall or off the grid; which one.
    """
    board = board or size
    if not 1 <= size <= board:
        raise RulesmithError(f"a level of size {size} does not fit a board of {board}")
    blocked = np.ones((board, board), bool)
    blocked[:size, :size] = False
    for row, column in walls:
        if not (0 <= row < size and 0 <= column < size):
            raise RulesmithError(f"wall ({row}, {column}) is off the grid of size {size}")
        blocked[row, column] = True
    if blocked.all():
        raise RulesmithError("the level has no free cell")

    def number(cell: tuple[int, int] | None, what: str) -> int:
        if cell is None:
            return -1
        row, column = cell
        if not (0 <= row < size and 0 <= column < size):
            raise RulesmithError(f"{what} at ({row}, {column}) is off the grid of size {size}")
        if blocked[row, column]:
            raise RulesmithError(f"{what} at ({row}, {column}) is on a wall")
        return row * board + column

    for i, thing in enumerate(things):
        if not (0 <= thing.ends <= 1 and 0 <= thing.respawns <= 1):
            raise RulesmithError(f"object {i}: 'ends' and 'respawns' are probabilities, from 0 to 1")
    array: Any = np.asarray  # NumPy's: importing this must not start JAX's devices
    return Level(
        *free_cells(blocked, np),
        start=array(number(start, "the start"), np.int32),
        exists=array([True] * len(things), bool),
        places=array([number(thing.place, f"object {i}") for i, thing in enumerate(things)], np.int32),
        rewards=array([thing.reward for thing in things], np.float32),
        ends=array([thing.ends for thing in things], np.float32),
        respawns=array([thing.respawns for thing in things], np.float32),
        steps=array(steps, np.int32),
    )


def free_cells(walls: Any, xp: Any) -> tuple[Any, Any, Any]:
    """Return walls, the cells' numbers with the free ones first, and how many are free; `xp` is NumPy or JAX's."""
    blocked = walls.reshape(-1)
    return walls, xp.argsort(blocked, stable=True).astype(np.int32), xp.sum(~blocked).astype(np.int32)
