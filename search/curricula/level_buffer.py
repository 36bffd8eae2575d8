"""A buffer of levels with prioritized replay (Jiang et al. 2021; Jackson et al. 2023): a curriculum of the engine.

Each agent has a slot. Whenever a slot is vacant, `sample` gives it a level: either one of the buffer on which no agent
lives, drawn by the rank of its score, or a new one, which replaces the level with the lowest score. `update` keeps the
levels that were given, and scores those on which a life has ended. A level is *active* (an agent lives on it), *idle*
(it has a score and no agent lives on it; only idle levels are replayed), or *spoilt* (no life on it has ended well;
spoilt levels are replaced first).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt32

from ...programs import RulesmithError
from .lifetimes import lengths
from .scores import LevelScore, Lives, rank_weights

_REDRAWS = 20


@dataclass(frozen=True)
class ReplaySettings:
    """How levels are kept and replayed; defaults are GROOVE's, with the staleness of prioritized level replay.

    Attributes:
        capacity: Levels that the buffer holds.
        replay: How likely a new agent gets a level of the buffer, from 0 to 1.
        transform: How scores become weights: rank (1 / rank) or proportional (to the positive part).
        temperature: Weights are raised to the power of 1 / temperature.
        staleness: Share of the draw that goes by how long ago a level was lived, not by its score.
        edit: Share of new levels that are small changes of replayed ones.
    """

    capacity: int = 4000
    replay: float = 0.5
    transform: Literal["rank", "proportional"] = "rank"
    temperature: float = 1.0
    staleness: float = 0.1
    edit: float = 0.0


class Buffer(NamedTuple):
    """The state. Each field but the last four has the axis ``(capacity,)``.

    Attributes:
        level: parameters of the environment, a pytree.
        mark: a hash of the level, by which duplicates are found.
        updates: length of a life on it.
        yardstick: the return that was possible; NaN while unknown. Computed once, kept with the level.
        score: score of the last life on it.
        stamp: step in which the last life on it ended.
        lives: how many lives on it have begun.
        filled: whether the place holds a level.
        evaluated: whether a life on it has ended well, so that it has a score.
        active: whether an agent lives on it.
        slots: place of each agent's level, ``(slots,)``; -1 if it has none.
        step: steps done.
        evicted: how many levels have been replaced so far.
        duplicates: how many drawn levels were in the buffer already, so far.
    """

    level: Any
    mark: UInt32[np.ndarray, "capacity 2"]
    updates: Int32[np.ndarray, " capacity"]
    yardstick: Float32[np.ndarray, " capacity"]
    score: Float32[np.ndarray, " capacity"]
    stamp: Int32[np.ndarray, " capacity"]
    lives: Int32[np.ndarray, " capacity"]
    filled: Bool[np.ndarray, " capacity"]
    evaluated: Bool[np.ndarray, " capacity"]
    active: Bool[np.ndarray, " capacity"]
    slots: Int32[np.ndarray, " slots"]
    step: np.int32
    evicted: np.int32
    duplicates: np.int32

    @property
    def idle(self) -> Bool[np.ndarray, " capacity"]:
        """Which levels may be replayed."""
        return self.filled & self.evaluated & ~self.active


class Given(NamedTuple):
    """The level on which each slot's agent lives, ``(slots,)``; the tasks of a step.

    Attributes:
        vacant: slots that get a new agent.
        place: the level's place in the buffer.
        fresh: whether the level is new there.
        level: parameters of the environment.
        mark: hash of the level.
        updates: length of the life.
        yardstick: the level's yardstick; NaN while unknown.
        duplicates: how many drawn levels were in the buffer already, one number.
    """

    vacant: Bool[np.ndarray, " slots"]
    place: Int32[np.ndarray, " slots"]
    fresh: Bool[np.ndarray, " slots"]
    level: Any
    mark: UInt32[np.ndarray, "slots 2"]
    updates: Int32[np.ndarray, " slots"]
    yardstick: Float32[np.ndarray, " slots"]
    duplicates: int


class LevelBuffer:
    """The curriculum.

    Args:
        draw: function of (a key, how many) to that many new levels, stacked.
        edit: function of (a key, levels) to as many levels, each a few edits away; None if levels cannot be edited.
        updates: shortest and longest life, drawn log-uniformly and kept with a level.
        multiple: lengths of lives are rounded up to a multiple of this, since an agent lives for whole meta-steps.
        slots: agents at once.
        score: the score of levels.
        settings: settings of the replay.

    Raises:
        RulesmithError: the buffer is smaller than the number of agents, or a setting is out of range.
    """

    def __init__(
        self,
        draw: Callable[[Any, int], Any],
        edit: Callable[[Any, Any], Any] | None,
        updates: tuple[int, int],
        slots: int,
        score: LevelScore,
        settings: ReplaySettings,
        multiple: int = 1,
    ) -> None:
        if settings.capacity < slots:
            raise RulesmithError(
                f"a buffer of {settings.capacity} levels is smaller than the number of agents, {slots}, who each live "
                "on a level of their own"
            )
        for name in ("replay", "staleness", "edit"):
            if not 0 <= getattr(settings, name) <= 1:
                raise RulesmithError(f"{name} is {getattr(settings, name):g}; it is a share, from 0 to 1")
        if not settings.temperature > 0:
            raise RulesmithError(f"temperature is {settings.temperature:g}; it must be above 0")
        if settings.edit and edit is None:
            raise RulesmithError("levels of this environment cannot be edited")
        self._draw, self._edit, self._updates, self._multiple = draw, edit, updates, multiple
        self.slots, self.score, self.settings = slots, score, settings

    def init(self, key: Any) -> Buffer:
        """Return an empty buffer."""
        count = self.settings.capacity
        example = jax.tree.map(np.asarray, self._draw(key, 1))
        level = jax.tree.map(lambda x: np.zeros((count, *x.shape[1:]), x.dtype), example)
        whole, real, flag = np.zeros(count, np.int32), np.zeros(count, np.float32), np.zeros(count, bool)
        nothing = np.int32(0)
        slots = np.full(self.slots, -1, np.int32)
        return Buffer(
            level,
            mark=np.zeros((count, 2), np.uint32),
            updates=whole,
            yardstick=real + np.float32(np.nan),
            score=real,
            stamp=whole,
            lives=whole,
            filled=flag,
            evaluated=flag,
            active=flag,
            slots=slots,
            step=nothing,
            evicted=nothing,
            duplicates=nothing,
        )

    def sample(self, state: Buffer, key: Any) -> Given:
        """Return the levels that vacant slots get; the other slots keep theirs.

        Agents live on different levels, unless there are fewer of these than agents, as where a level's file is all.
        """
        vacant = state.slots < 0
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
        place = state.slots.copy()
        fresh = np.zeros(self.slots, bool)
        level = _take(state.level, np.maximum(place, 0))
        mark = state.mark[np.maximum(place, 0)]
        updates = state.updates[np.maximum(place, 0)]
        drawn = self._news(state, vacant, rng, key)
        open_ = state.idle  # levels that may still be given to a slot
        room = list(self._room(state))
        duplicates = 0
        for slot in np.flatnonzero(vacant):
            wants_old = rng.random() < self._replay(state, fresh)
            for attempt in range(_REDRAWS + 1):
                if wants_old and open_.any():
                    place[slot] = rng.choice(len(open_), p=self.probabilities(state, open_))
                    break
                new, its_mark = next(drawn)
                known = (state.mark == its_mark).all(axis=1) & state.filled
                lived = bool((mark[vacant & (place >= 0)] == its_mark).all(axis=1).any())
                if not (known.any() or lived) or (attempt == _REDRAWS and not open_.any()):
                    spot = next(p for p in room if not (place == p).any())
                    place[slot], fresh[slot], mark[slot] = spot, True, its_mark
                    updates[slot] = self._length(rng)
                    _put(level, slot, new)
                    break
                duplicates += 1
                if (known & open_).any():
                    place[slot] = np.flatnonzero(known & open_)[0]
                    break
                if attempt == _REDRAWS and open_.any():  # bad luck
                    place[slot] = rng.choice(len(open_), p=self.probabilities(state, open_))
                    break
            open_ = open_ & (np.arange(len(open_)) != place[slot])
            if not fresh[slot]:
                _put(level, slot, _take(state.level, place[slot]))
                mark[slot], updates[slot] = state.mark[place[slot]], state.updates[place[slot]]
        yardstick = np.where(fresh, np.float32(np.nan), state.yardstick[place])
        return Given(vacant, place, fresh, level, mark, updates, yardstick, duplicates)

    def update(self, state: Buffer, tasks: Given, scores: Lives) -> Buffer:
        """Return the buffer after a step: given levels are active, those whose life is over have a score."""
        step = np.int32(state.step + 1)
        if not (tasks.vacant.any() or scores.over.any()):
            return state._replace(step=step)
        new, place = tasks.fresh, tasks.place
        at = place[new]
        fields = {name: getattr(state, name).copy() for name in Buffer._fields[1:11]}
        level = state.level
        if new.any():
            level = jax.tree.map(np.copy, level)
            _put(level, at, _take(tasks.level, new))
        evicted = np.int32(state.evicted + state.filled[at].sum())
        fields["mark"][at], fields["updates"][at] = tasks.mark[new], tasks.updates[new]
        fields["yardstick"][at], fields["score"][at], fields["lives"][at] = np.nan, 0.0, 0
        fields["filled"][at], fields["evaluated"][at] = True, False
        given = place[tasks.vacant]
        fields["active"][given] = True
        fields["lives"][given] += 1
        fields["slots"][:] = place
        known = np.isfinite(scores.yardstick) & scores.over
        fields["yardstick"][place[known]] = scores.yardstick[known]
        worth = np.asarray(self.score.worth(scores), np.float32)
        good = scores.over & scores.sound & np.isfinite(worth)
        ended, scored = place[scores.over], place[good]
        fields["score"][scored], fields["evaluated"][scored] = worth[good], True
        fields["stamp"][ended], fields["active"][ended] = step, False
        fields["slots"][scores.over] = -1
        duplicates = np.int32(state.duplicates + tasks.duplicates)
        return Buffer(level, **fields, step=step, evicted=evicted, duplicates=duplicates)

    def probabilities(self, state: Buffer, among: Bool[np.ndarray, " capacity"]) -> Float[np.ndarray, " capacity"]:
        """Return how likely each level is drawn for replay; 0 outside `among`, which must hold at least one level."""
        settings = self.settings
        worth, weight = state.score[among].astype(float), np.zeros(len(among))
        by_rank = settings.transform == "rank"
        weight[among] = rank_weights(worth) if by_rank else np.maximum(worth, 0.0) + 1e-6
        weight = weight ** (1.0 / settings.temperature)
        age = np.where(among, float(state.step) - state.stamp, 0.0)
        by_score = weight / weight.sum()
        by_age = age / age.sum() if age.sum() > 0 else among / among.sum()
        mixed = (1.0 - settings.staleness) * by_score + settings.staleness * by_age
        return mixed / mixed.sum()

    def _replay(self, state: Buffer, fresh: Bool[np.ndarray, " slots"]) -> float:
        fixed = self.score.replay
        if fixed == 1.0:
            return float(state.filled.sum() + fresh.sum() >= len(state.filled))
        return self.settings.replay if fixed is None else fixed

    def _length(self, rng: np.random.Generator) -> int:
        drawn = int(lengths(rng.random(), self._updates))
        return -(-drawn // self._multiple) * self._multiple

    def _room(self, state: Buffer) -> Int32[np.ndarray, " places"]:
        """Return places for new levels, the best first: empty, spoilt, then idle from the lowest score."""
        free = np.flatnonzero(~state.active)
        rank = np.where(~state.filled, 0, np.where(~state.evaluated, 1, 2))[free]
        return free[np.lexsort((state.score[free], rank))]

    def _news(self, state: Buffer, vacant: Any, rng: np.random.Generator, key: Any) -> Iterator[tuple[Any, Any]]:
        """Yield new levels with their marks, drawn by the batch."""
        count = 1 << (max(int(vacant.sum()), 1) - 1).bit_length()  # a power of two: few shapes to compile
        while True:
            key, first, second = jax.random.split(key, 3)
            levels = jax.tree.map(np.array, self._draw(first, count))
            if self.settings.edit and self._edit and state.idle.any():
                parents = rng.choice(len(state.filled), count, p=self.probabilities(state, state.idle))
                changed = jax.tree.map(np.asarray, self._edit(second, _take(state.level, parents)))
                which = rng.random(count) < self.settings.edit
                _put(levels, which, _take(changed, which))
            for i in range(count):
                level = _take(levels, i)
                yield level, mark_of(level)


def _take(stacked: Any, at: Any) -> Any:
    return jax.tree.map(lambda x: x[at], stacked)


def _put(stacked: Any, at: Any, rows: Any) -> None:
    """Write rows into stacked arrays, in place."""
    jax.tree.map(lambda x, y: x.__setitem__(at, y), stacked, rows)


def mark_of(level: Any) -> UInt32[np.ndarray, " 2"]:
    """Return a hash of a level, 64 bits."""
    digest = hashlib.blake2b(digest_size=8)
    for leaf in jax.tree.leaves(level):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return np.frombuffer(digest.digest(), np.uint32)
