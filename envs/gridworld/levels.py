"""Levels by name (Oh et al. 2020): five with fixed places, five whose objects appear anywhere, and random ones.

Which cells walls and objects take is our choice where the papers do not say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..environment import Discrete, Environment
from .dynamics import FIVE, environment_of
from .level import Level, Thing, free_cells, level_of

_LONGER_WALL = [(row, 4) for row in range(9) if row not in (2, 6)]
_CROSS = [(5, i) for i in range(11) if i not in (1, 3, 7, 9)] + [(i, 5) for i in range(11) if i not in (1, 3, 5, 7, 9)]

TABULAR: dict[str, Level] = {
    "dense": level_of(
        11,
        [Thing(1, 0, 0.05, (2, 2)), Thing(1, 0, 0.05, (8, 8)), Thing(-1, 0.5, 0.1, (5, 5)), Thing(-1, 0, 0.5, (2, 8))],
        steps=500,
    ),
    "sparse": level_of(13, [Thing(1, 1, 0, (10, 10)), Thing(-1, 1, 0, (6, 6))], steps=50, start=(2, 2)),
    "long": level_of(
        11,
        [
            *(Thing(1, 0, 0.01, place) for place in ((1, 1), (9, 9))),
            *(Thing(-1, 0.5, 1, place) for place in ((3, 5), (7, 5))),
        ],
        steps=1000,
    ),
    "longer": level_of(
        9,
        [
            *(Thing(1, 0.1, 0.01, place) for place in ((1, 1), (7, 7))),
            *(Thing(-1, 0.8, 1, place) for place in ((1, 6), (3, 2), (4, 7), (5, 1), (7, 3))),
        ],
        steps=2000,
        walls=_LONGER_WALL,
    ),
    "long-dense": level_of(
        11, [Thing(1, 0, 0.005, place) for place in ((2, 2), (2, 8), (8, 2), (8, 8))], steps=2000, walls=_CROSS
    ),
}
"""Levels whose objects have fixed places."""

RANDOM: dict[str, Level] = {
    "random-dense": level_of(
        11, [Thing(1, 0, 0.05), Thing(1, 0, 0.05), Thing(-1, 0.5, 0.1), Thing(-1, 0, 0.5)], steps=500
    ),
    "random-long": level_of(
        11, [Thing(1, 0, 0.01), Thing(1, 0, 0.01), Thing(-1, 0.5, 1), Thing(-1, 0.5, 1)], steps=1000
    ),
    "random-small": level_of(
        7,
        [Thing(1, 0, 0.05), Thing(1, 0, 0.05), Thing(-1, 0.5, 0.1), Thing(-1, 0.5, 0.1)],
        steps=500,
        walls=[(2, 3), (4, 3)],
    ),
    "random-sparse": level_of(7, [Thing(1, 1, 0), Thing(-1, 1, 0)], steps=50),
    "random-very-dense": level_of(11, [Thing(1, 0, 1)], steps=2000),
}
"""Levels whose objects appear on random free cells; observed as images."""


@dataclass(frozen=True)
class Distribution:
    """Random tabular levels.

    Attributes:
        sizes: least and greatest size.
        objects: the most objects in a level; each has at least one.
        walls: random wall cells of the board.
        steps: least and greatest length of an episode, drawn log-uniformly.
    """

    sizes: tuple[int, int]
    objects: int
    walls: int
    steps: tuple[int, int]

    def draw(self, key: Any) -> Level:
        """Return a random level: rewards uniform in [-1, 1], the first positive; see `_chances` for the rest."""
        board = self.sizes[1]
        keys = jax.random.split(key, 4)
        size = jax.random.randint(keys[0], (), self.sizes[0], board + 1)
        own = jnp.arange(board) < size
        inside = (own[:, None] & own[None, :]).reshape(-1)
        walls = (
            jnp.zeros(board * board, bool).at[jax.random.permutation(keys[1], board * board)[: self.walls]].set(True)
        )
        # A small level could be all wall: the cells in the middle of the smallest level stay free.
        kept = jnp.zeros((board, board), bool).at[1:3, 1:3].set(True).reshape(-1)
        walls = (~inside | (walls & ~kept)).reshape(board, board)
        return _with_objects(keys[2], walls, self.objects, _log_uniform(keys[3], *self.steps))


@dataclass(frozen=True)
class Mazes:
    """Random mazes in which every free cell can be reached: binary-tree mazes, turned at random.

    Attributes:
        size: rows and columns of the board; an odd number.
        objects: the most objects.
        steps: length of an episode.
    """

    size: int = 13
    objects: int = 3
    steps: int = 250

    def draw(self, key: Any) -> Level:
        """Return a random maze."""
        keys = jax.random.split(key, 3)
        rooms = self.size // 2 + 1
        north = jax.random.bernoulli(keys[0], 0.5, (rooms, rooms))
        i, j = jnp.meshgrid(jnp.arange(rooms), jnp.arange(rooms), indexing="ij")
        north = jnp.where(i == 0, False, jnp.where(j == 0, True, north))  # along the edges there is one way only
        opened = (i > 0) | (j > 0)
        walls = jnp.ones((self.size + 1, self.size + 1), bool)
        walls = walls.at[2 * i, 2 * j].set(False)
        walls = walls.at[jnp.where(opened & north, 2 * i - 1, self.size), 2 * j].set(False)
        walls = walls.at[2 * i, jnp.where(opened & ~north, 2 * j - 1, self.size)].set(False)
        walls = walls[: self.size, : self.size]
        turned = jnp.stack([walls, walls[::-1], walls[:, ::-1], walls[::-1, ::-1]])
        return _with_objects(keys[2], turned[jax.random.randint(keys[1], (), 0, 4)], self.objects, self.steps)


def _log_uniform(key: Any, low: float, high: float, shape: tuple[int, ...] = ()) -> Any:
    return jnp.exp(jax.random.uniform(key, shape, minval=math.log(low), maxval=math.log(high)))


def _with_objects(key: Any, walls: Any, most: int, steps: Any) -> Level:
    """Return a level with 1 to `most` objects on different free cells.

    Probabilities of ending are log-uniform in [0.01, 1], of coming back in [0.001, 0.1]; episodes begin anywhere.
    """
    keys = jax.random.split(key, 5)
    walls, cells, free = free_cells(walls, jnp)
    exists = jnp.arange(most) < jax.random.randint(keys[0], (), 1, most + 1)
    scores = jnp.where(jnp.arange(cells.size) < free, jax.random.uniform(keys[1], cells.shape), -1.0)
    places = cells[jax.lax.top_k(scores, most)[1]]
    rewards = jax.random.uniform(keys[2], (most,), minval=-1.0, maxval=1.0)
    rewards = rewards.at[0].set(jnp.abs(rewards[0]))
    ends = _log_uniform(keys[3], 0.01, 1.0, (most,))
    respawns = _log_uniform(keys[4], 0.001, 0.1, (most,))
    steps = jnp.asarray(steps).astype(jnp.int32)
    return Level(walls, cells, free, jnp.int32(-1), exists, places, rewards, ends, respawns, steps)


DISTRIBUTIONS: dict[str, Distribution | Mazes] = {
    "all": Distribution((4, 10), 5, 15, (20, 750)),
    "small": Distribution((4, 6), 3, 7, (20, 100)),
    "medium": Distribution((6, 8), 4, 10, (100, 250)),
    "large": Distribution((8, 10), 5, 15, (250, 750)),
    "mazes": Mazes(),
}
"""Distributions of random levels; all tabular."""

GRID_NAMES = (*TABULAR, *RANDOM, *DISTRIBUTIONS)


PUBLIC = "public-"
"""What the name of a level or a distribution begins with where details are those of the public code (Jackson et al.
2023): five moves instead of nine, and episodes that always begin in the same cell."""


def fixed_start(key: Any, level: Level) -> Level:
    """Return a level whose episodes begin in one free cell without an object, drawn at random where none is fixed."""
    cells = jnp.arange(level.walls.size)
    taken = ((cells[:, None] == jnp.asarray(level.places)) & jnp.asarray(level.exists)).any(axis=1)
    free = ~jnp.asarray(level.walls).reshape(-1)
    room = jnp.where((free & ~taken).any(), free & ~taken, free)
    drawn = jnp.argmax(jnp.where(room, jax.random.uniform(key, room.shape), -1.0)).astype(jnp.int32)
    return level._replace(start=jnp.where(jnp.asarray(level.start) < 0, drawn, level.start))


def _made_public(env: Environment, name: str, level: Level, draw: Any) -> Environment:
    """Return an environment of levels with the details of the public code."""

    def drawn(key: Any) -> Level:
        first, second = jax.random.split(key)
        return fixed_start(second, draw(first))

    tabular = isinstance(env.observations, Discrete)
    level = jax.tree.map(np.asarray, fixed_start(jax.random.key(0), level))
    return environment_of(
        name, level, tabular=tabular, max_steps=env.max_steps, draw=drawn if draw else None, moves=FIVE
    )


def make_grid(name: str) -> Environment:
    """Return the environment of a named level or distribution; see `PUBLIC` for what may come before the name."""
    full, name = f"grid/{name}", name.removeprefix(PUBLIC)
    env = _make_grid(full, name)
    return _made_public(env, full, env.params, env.draw) if full == f"grid/{PUBLIC}{name}" else env


def _make_grid(full: str, name: str) -> Environment:
    if name in DISTRIBUTIONS:
        distribution = DISTRIBUTIONS[name]
        bound = distribution.steps if isinstance(distribution.steps, int) else distribution.steps[1]
        level = distribution.draw(jax.random.key(0))
        return environment_of(full, level, tabular=True, max_steps=bound, draw=distribution.draw)
    return _environment_of_one(full, (TABULAR | RANDOM)[name])


def make_level(path: str) -> Environment:
    """Return the environment of a level's file: tabular if every object has a place on the map.

    Raises:
        RulesmithError: see `level_file.read`.
    """
    from . import level_file

    return _environment_of_one(path, level_file.read(Path(path)))


def _environment_of_one(name: str, level: Level) -> Environment:
    tabular = bool((np.asarray(level.places) >= 0).all())
    return environment_of(name, level, tabular=tabular, max_steps=int(level.steps))
