"""Small random changes of a level, for a curriculum that edits what was hard (ACCEL, Parker-Holder et al. 2022)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .dynamics import NINE
from .level import Level, free_cells
from .optimal import solvable


def edited(key: Any, level: Level, edits: int = 5, moves: np.ndarray = NINE) -> Level:
    """Return a level some random edits away: walls that come or go, objects and starts that move, rewards that change.

    The level's own size, its objects' number and its episodes' length stay. Objects keep to different free cells; an
    edit after which no reward could be reached is not made. May be jitted and vmapped over levels.

    Args:
        key: consumed.
        level: a tabular level.
        edits: how many edits are tried.
        moves: the moves by which a reward must be reached.
    """
    own = _own_cells(level)

    def once(level: Level, key: Any) -> tuple[Level, None]:
        kind, which = jax.random.split(key)
        changed = jax.lax.switch(
            jax.random.randint(kind, (), 0, 4), (_toggle_wall, _move_object, _move_start, _change_reward), which, level
        )
        # A wall may only come or go within the level's own size.
        same_size = ~(changed.walls != level.walls).reshape(-1) | own
        keep = same_size.all() & solvable(changed, moves)
        return jax.tree.map(lambda new, old: jnp.where(keep, new, old), changed, level), None

    return jax.lax.scan(once, jax.tree.map(jnp.asarray, level), jax.random.split(key, edits))[0]


def _own_cells(level: Level) -> Any:
    """Return which cells are of the level's own size: up to the last row or column with a free one."""
    board = len(level.walls)
    free = ~jnp.asarray(level.walls)
    last = jnp.max(jnp.where(free, jnp.maximum(*jnp.mgrid[:board, :board]), 0))
    within = jnp.arange(board) <= last
    return (within[:, None] & within[None, :]).reshape(-1)


def _taken(level: Level) -> Any:
    """Return the cells that hold an object or the start."""
    count = level.walls.size
    places = jnp.where(level.exists, level.places, count)
    marks = jnp.zeros(count + 1, bool).at[places].set(True).at[jnp.where(level.start < 0, count, level.start)].set(True)
    return marks[:count]


def _any(key: Any, mask: Any) -> Any:
    """Return a random cell of a mask."""
    return jnp.argmax(jnp.where(mask, jax.random.uniform(key, mask.shape), -1.0)).astype(jnp.int32)


def _toggle_wall(key: Any, level: Level) -> Level:
    cell = _any(key, _own_cells(level) & ~_taken(level))
    walls = level.walls.reshape(-1).at[cell].set(~level.walls.reshape(-1)[cell]).reshape(level.walls.shape)
    walls, cells, free = free_cells(walls, jnp)
    return level._replace(walls=walls, cells=cells, free=free)


def _empty(key: Any, level: Level, otherwise: Any) -> Any:
    mask = ~level.walls.reshape(-1) & ~_taken(level)
    return jnp.where(mask.any(), _any(key, mask), otherwise)


def _move_object(key: Any, level: Level) -> Level:
    which, where = jax.random.split(key)
    i = _any(which, level.exists & (level.places >= 0))
    return level._replace(places=level.places.at[i].set(_empty(where, level, level.places[i])))


def _move_start(key: Any, level: Level) -> Level:
    return level._replace(start=jnp.where(level.start < 0, level.start, _empty(key, level, level.start)))


def _change_reward(key: Any, level: Level) -> Level:
    which, what = jax.random.split(key)
    i = _any(which, level.exists)
    return level._replace(rewards=level.rewards.at[i].set(jax.random.uniform(what, minval=-1.0, maxval=1.0)))


__all__ = ["edited"]
