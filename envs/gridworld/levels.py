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
from ..quick_compile import quick_jit
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

    @property
    def board(self) -> int:
        """Rows and columns of the arrays."""
        return self.sizes[1]

    @property
    def longest(self) -> int:
        """The greatest length of an episode."""
        return self.steps[1]

    def draw(self, key: Any) -> Level:
        """Return a random level; see `_with_objects` for what is not said above."""
        keys = jax.random.split(key, 4)
        return _with_objects(keys[2], self.walls_of(keys), self.objects, self.steps_of(keys))

    def walls_of(self, keys: Any) -> Any:
        """Return the walls of a random level, given the four keys of its parts."""
        board = self.board
        size = jax.random.randint(keys[0], (), self.sizes[0], board + 1)
        own = jnp.arange(board) < size
        inside = (own[:, None] & own[None, :]).reshape(-1)
        walls = (
            jnp.zeros(board * board, bool).at[jax.random.permutation(keys[1], board * board)[: self.walls]].set(True)
        )
        # A small level could be all wall: the cells in the middle of the smallest level stay free.
        kept = jnp.zeros((board, board), bool).at[1:3, 1:3].set(True).reshape(-1)
        return (~inside | (walls & ~kept)).reshape(board, board)

    def steps_of(self, keys: Any) -> Any:
        """Return the length of its episodes, given the four keys of its parts."""
        return _log_uniform(keys[3], *self.steps)


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

    @property
    def board(self) -> int:
        """Rows and columns of the arrays."""
        return self.size

    @property
    def longest(self) -> int:
        """The greatest length of an episode."""
        return self.steps

    def draw(self, key: Any) -> Level:
        """Return a random maze."""
        keys = jax.random.split(key, 3)
        return _with_objects(keys[2], self.walls_of(keys), self.objects, self.steps)

    def walls_of(self, keys: Any) -> Any:
        """Return the walls of a random maze, given the keys of its parts."""
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
        return turned[jax.random.randint(keys[1], (), 0, 4)]

    def steps_of(self, keys: Any) -> Any:
        """Return the length of its episodes."""
        return self.steps


@dataclass(frozen=True)
class Mixture:
    """Levels of several distributions, each as likely as the others, on boards of the largest.

    Attributes:
        parts: the distributions.
    """

    parts: tuple[Distribution | Mazes, ...]

    @property
    def board(self) -> int:
        """Rows and columns of the arrays."""
        return max(part.board for part in self.parts)

    @property
    def longest(self) -> int:
        """The greatest length of an episode."""
        return max(part.longest for part in self.parts)

    def draw(self, key: Any) -> Level:
        """Return a random level of a random part."""
        which, key = jax.random.split(key)
        chosen = jax.random.randint(which, (), 0, len(self.parts))
        keys = jax.random.split(key, 4)
        walls = [part.walls_of(keys) for part in self.parts]
        padded = [jnp.pad(each, (0, self.board - len(each)), constant_values=True) for each in walls]
        steps = jnp.stack([jnp.float32(part.steps_of(keys)) for part in self.parts])
        counts = jnp.array([part.objects for part in self.parts])
        room = max(part.objects for part in self.parts)
        return _with_objects(keys[2], jnp.stack(padded)[chosen], room, steps[chosen], counts[chosen])


def _log_uniform(key: Any, low: float, high: float, shape: tuple[int, ...] = ()) -> Any:
    return jnp.exp(jax.random.uniform(key, shape, minval=math.log(low), maxval=math.log(high)))


def _with_objects(key: Any, walls: Any, room: int, steps: Any, most: Any = None) -> Level:
    """Return a level with 1 to `most` objects (`room` by default) on different free cells, in arrays for `room`.

    Rewards are uniform in [-1, 1], the first positive. Probabilities of ending are log-uniform in [0.01, 1], of coming
    back in [0.001, 0.1]; episodes begin anywhere.
    """
    keys = jax.random.split(key, 5)
    walls, cells, free = free_cells(walls, jnp)
    exists = jnp.arange(room) < jax.random.randint(keys[0], (), 1, (room if most is None else most) + 1)
    scores = jnp.where(jnp.arange(cells.size) < free, jax.random.uniform(keys[1], cells.shape), -1.0)
    places = cells[jax.lax.top_k(scores, room)[1]]
    rewards = jax.random.uniform(keys[2], (room,), minval=-1.0, maxval=1.0)
    rewards = rewards.at[0].set(jnp.abs(rewards[0]))
    ends = _log_uniform(keys[3], 0.01, 1.0, (room,))
    respawns = _log_uniform(keys[4], 0.001, 0.1, (room,))
    steps = jnp.asarray(steps).astype(jnp.int32)
    return Level(walls, cells, free, jnp.int32(-1), exists, places, rewards, ends, respawns, steps)


_ALL, _MAZES = Distribution((4, 10), 5, 15, (20, 750)), Mazes()
DISTRIBUTIONS: dict[str, Distribution | Mazes | Mixture] = {
    "all": _ALL,
    "small": Distribution((4, 6), 3, 7, (20, 100)),
    "medium": Distribution((6, 8), 4, 10, (100, 250)),
    "large": Distribution((8, 10), 5, 15, (250, 750)),
    "mazes": _MAZES,
    "mixed": Mixture((_ALL, _MAZES)),
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
    level = jax.tree.map(np.asarray, quick_jit(fixed_start)(jax.random.key(0), level))
    return environment_of(
        name, level, tabular=tabular, max_steps=env.max_steps, draw=drawn if draw else None, moves=FIVE
    )


def make_grid(name: str) -> Environment:
    """Return the environment of a named level or distribution; see `PUBLIC` for what may come before the name."""
    full, name = f"grid/{name}", name.removeprefix(PUBLIC)
    with jax.ensure_compile_time_eval():  # the default level is a constant, even where a user's jitted function asks
        env = _make_grid(full, name)
        return _made_public(env, full, env.params, env.draw) if full == f"grid/{PUBLIC}{name}" else env


def _make_grid(full: str, name: str) -> Environment:
    if name in DISTRIBUTIONS:
        distribution = DISTRIBUTIONS[name]
        level = quick_jit(distribution.draw)(jax.random.key(0))
        return environment_of(full, level, tabular=True, max_steps=distribution.longest, draw=distribution.draw)
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
