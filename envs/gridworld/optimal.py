"""What is possible in a level: the optimal return, exactly, and which cells can be reached.

A tabular level is a finite Markov decision process over (cell, objects present, steps left), so its optimal return is
found by dynamic programming, backwards from the time limit. Objects come back independently of one another, so the
expectation over that is a 2 x 2 matrix for each object: a step needs no product over pairs of sets of objects.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32

from ...programs import RulesmithError
from .dynamics import NINE
from .level import Level


def neighbours(level: Level, moves: np.ndarray = NINE) -> Int32[Array, "cells moves"]:
    """Return the cell that each move leads to from each cell; the same one where a wall or the edge is in the way."""
    board = len(level.walls)
    rows, columns = (x.reshape(-1, 1) for x in np.mgrid[:board, :board])
    wanted_rows, wanted_columns = rows + moves[:, 0], columns + moves[:, 1]
    inside = (wanted_rows >= 0) & (wanted_rows < board) & (wanted_columns >= 0) & (wanted_columns < board)
    wanted = np.clip(wanted_rows, 0, board - 1) * board + np.clip(wanted_columns, 0, board - 1)
    free = inside & ~jnp.asarray(level.walls).reshape(-1)[wanted]
    return jnp.where(free, wanted, rows * board + columns)


def optimal_values(level: Level, moves: np.ndarray = NINE) -> Float32[Array, "cells sets"]:
    """Return the best expected return of an episode from each cell and set of objects present, undiscounted.

    The set of objects is numbered as in tabular observations: bit i is object i. Every object needs a fixed place;
    `optimal_return` checks that. May be jitted and vmapped over levels.

    Args:
        level: a level whose objects have fixed places.
        moves: `FOUR`, `FIVE` or `NINE`.
    """
    board, count = len(level.walls), len(level.rewards)
    cells, sets = board * board, 2**count
    there = jnp.asarray(neighbours(level, moves))
    stays = there == jnp.arange(cells)[:, None]
    present = (np.arange(sets)[:, None] >> np.arange(count)) & 1 == 1
    hit = (jnp.arange(cells)[:, None] == jnp.asarray(level.places))[:, None, :] & present[None]  # cells, sets, objects
    reward = jnp.where(hit, level.rewards, 0.0).sum(-1)
    goes_on = jnp.where(hit, 1.0 - jnp.asarray(level.ends), 1.0).prod(-1)
    left = (jnp.where(hit, 0, present) * 2 ** np.arange(count)).sum(-1)  # the set after collecting
    respawns = jnp.where(level.exists, level.respawns, 0.0)

    def step(_: Any, values: Array) -> Array:
        later = values.reshape((cells, *(2,) * count))
        for i in range(count):
            axis = count - i  # bit i is the i-th axis from the end
            gone, back = (jax.lax.index_in_dim(later, bit, axis) for bit in (0, 1))
            later = jnp.concatenate([gone + respawns[i] * (back - gone), back], axis=axis)
        waiting = later.reshape(cells, sets)
        entering = reward + goes_on * jnp.take_along_axis(waiting, left, axis=1)
        moved = entering[there]  # cells, moves, sets
        return jnp.where(stays[..., None], waiting[:, None], moved).max(axis=1)

    return jax.lax.fori_loop(0, level.steps, step, jnp.zeros((cells, sets)))


def optimal(level: Level, moves: np.ndarray = NINE) -> Float32[Array, ""]:
    """Return the best expected return, averaged over the cells where an episode begins; places are not checked."""
    present = jnp.sum(jnp.asarray(level.exists) * 2 ** jnp.arange(len(level.rewards)))
    return (optimal_values(level, moves)[:, present] * starts(level)).sum() / starts(level).sum()


def optimal_of_many(levels: Level, moves: np.ndarray = NINE) -> Float32[Array, " levels"]:
    """Return the optimal returns of stacked levels."""
    return _optimal_of_many(tuple(map(tuple, moves.tolist())), levels)


@functools.partial(jax.jit, static_argnums=0)
def _optimal_of_many(moves: tuple[tuple[int, int], ...], levels: Level) -> Array:
    return jax.lax.map(lambda level: optimal(level, np.array(moves, np.int32)), levels)


def optimal_return(level: Level, moves: np.ndarray = NINE) -> float:
    """Return the exact optimal return of a level.

    Raises:
        RulesmithError: an object has no fixed place, so that there is no such value.
    """
    random = [i for i, place in enumerate(np.asarray(level.places)) if place < 0 and level.exists[i]]
    if random:
        raise RulesmithError(
            f"object {random[0]} appears on random cells, so the level has no exact optimal return; "
            "exact regret is for tabular levels"
        )
    return float(optimal_of_many(jax.tree.map(lambda x: jnp.asarray(x)[None], level), moves)[0])


def starts(level: Level) -> Bool[Array, " cells"]:
    """Return the cells where an episode may begin."""
    free = ~jnp.asarray(level.walls).reshape(-1)
    return jnp.where(level.start < 0, free, jnp.arange(free.size) == level.start)


def solvable(level: Level, moves: np.ndarray = NINE) -> Bool[Array, ""]:
    """Return whether some object with a positive reward can be collected in an episode at all.

    An object with a random place can if the agent can move. May be jitted and vmapped over levels.
    """
    there = neighbours(level, moves)
    moved = there != jnp.arange(len(there))[:, None]

    def spread(carry: Any) -> Any:
        left, seen, _ = carry
        wider = seen.at[there].max(seen[:, None])
        return left - 1, wider, (wider != seen).any()

    # Cells that are reached before the last step, which enters the object's cell. The cell where an episode begins
    # counts as entered only if the agent comes back to it.
    before = jax.lax.while_loop(
        lambda carry: carry[2] & (carry[0] > 1), spread, (jnp.asarray(level.steps), starts(level), jnp.bool_(True))
    )[1]
    entered = jnp.zeros(before.shape, bool).at[there].max(before[:, None] & moved)
    places = jnp.asarray(level.places)
    reached = jnp.where(places < 0, entered.any(), entered[jnp.clip(places, 0)])
    return (jnp.asarray(level.exists) & (jnp.asarray(level.rewards) > 0) & reached).any()
