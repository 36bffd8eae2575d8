"""The rules of the grid-world (Oh et al. 2020, appendix; the public code of Jackson et al. 2023).

An agent moves in four or nine directions; entering the cell of an object collects it, which gives its reward and may
end the episode; a collected object comes back, with some probability at each step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32

from ..environment import Box, Discrete, Environment, Step
from .level import Level

FOUR = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)], np.int32)
"""Up, down, left, right."""
FIVE = np.array([*FOUR, (0, 0)], np.int32)
"""Up, down, left, right, and staying: the moves of the public code."""
NINE = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], np.int32)
"""To each neighbouring cell, and staying."""


class GridState(NamedTuple):
    """An episode's state.

    Attributes:
        cell: number of the agent's cell, row * board + column.
        present: which objects are there to collect.
        places: number of each object's cell.
        time: steps done.
    """

    cell: Int32[Array, ""]
    present: Bool[Array, " o"]
    places: Int32[Array, " o"]
    time: Int32[Array, ""]


def _drawn(key: Any, level: Level, shape: tuple[int, ...]) -> Array:
    """Return the numbers of free cells, drawn uniformly."""
    return jnp.asarray(level.cells)[jax.random.randint(key, shape, 0, level.free)]


def _reset(key: Any, level: Level) -> GridState:
    first, second = jax.random.split(key)
    cell = jnp.where(level.start < 0, _drawn(first, level, ()), level.start)
    places = jnp.where(level.places < 0, _drawn(second, level, level.places.shape), level.places)
    return GridState(cell, level.exists, places, jnp.int32(0))


def _step(key: Any, state: GridState, action: Array, level: Level, moves: np.ndarray) -> tuple[GridState, Any, Any]:
    board = len(level.walls)
    ends, respawns, anew = jax.random.split(key, 3)
    position = jnp.stack([state.cell // board, state.cell % board])
    wanted = position + jnp.asarray(moves)[action]
    inside = ((wanted >= 0) & (wanted < board)).all()
    row, column = jnp.clip(wanted, 0, board - 1)
    cell = jnp.where(inside & ~jnp.asarray(level.walls)[row, column], row * board + column, state.cell)
    hit = state.present & (state.places == cell) & (cell != state.cell)
    reward = jnp.sum(jnp.where(hit, level.rewards, 0.0))
    shape = hit.shape
    terminated = (hit & (jax.random.uniform(ends, shape) < level.ends)).any()
    gone = level.exists & (~state.present | hit)
    back = gone & (jax.random.uniform(respawns, shape) < level.respawns)
    places = jnp.where(back & (level.places < 0), _drawn(anew, level, shape), state.places)
    return GridState(cell, (state.present & ~hit) | back, places, state.time + 1), reward, terminated


def _number(state: GridState) -> Array:
    """Return the tabular observation: one number for each position and set of objects that are there."""
    bits = jnp.sum(state.present * 2 ** jnp.arange(len(state.present)))
    return (state.cell * 2 ** len(state.present) + bits).astype(jnp.int32)


def _planes(state: GridState, level: Level) -> Array:
    """Return the image observation, (board, board, 2 + objects): the agent, the walls, and each object."""
    board = len(level.walls)
    cells = jnp.arange(board * board)[:, None]
    places = jnp.where(state.present, state.places, -1)
    planes = [cells == state.cell, level.walls.reshape(-1, 1), cells == places]
    return jnp.concatenate(planes, axis=1).astype(jnp.float32).reshape(board, board, -1)


def moves_of(env: Environment) -> np.ndarray:
    """Return the moves of an environment of levels."""
    assert isinstance(env.actions, Discrete)
    return next(moves for moves in (FOUR, FIVE, NINE) if len(moves) == env.actions.count)


def environment_of(
    name: str, level: Level, *, tabular: bool, max_steps: int, draw: Any = None, moves: np.ndarray = NINE
) -> Environment:
    """Return the environment of a level, which serves all levels on boards of the same shape.

    Args:
        name: the environment's name.
        level: the default one.
        tabular: whether observations are numbers of states, for which objects need fixed places; else they are images.
        max_steps: an upper bound on the length of each level's episodes.
        draw: function of a key to a level.
        moves: `FOUR`, `FIVE` or `NINE`.
    """
    board, objects = len(level.walls), len(level.rewards)

    def observed(state: GridState, level: Level) -> Array:
        return _number(state) if tabular else _planes(state, level)

    def reset(key: Any, level: Level) -> tuple[Array, GridState]:
        state = _reset(key, level)
        return observed(state, level), state

    def step(key: Any, state: GridState, action: Array, level: Level) -> Step:
        state, reward, terminated = _step(key, state, action, level, moves)
        truncated = (state.time >= level.steps) & ~terminated
        return Step(observed(state, level), state, reward, terminated, truncated)

    observations = Discrete(board * board * 2**objects) if tabular else Box((board, board, 2 + objects), 0.0, 1.0)
    return Environment(name, reset, step, level, observations, Discrete(len(moves)), max_steps, draw=draw)
