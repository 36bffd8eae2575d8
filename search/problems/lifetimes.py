"""The problem of evolution strategies: a rule is worth the returns at the end of whole lifetimes that it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ...meta.hypers import HyperRange
from ..curricula.level_buffer import Given
from ..curricula.lifetimes import Lifetimes
from ..curricula.scores import Lives
from ..engine import Evaluation
from .return_scale import ReturnScale
from .signs import signs_of
from .yardsticks import Yardstick


class Returns(NamedTuple):
    """Final returns, NaN where an agent diverged.

    Attributes:
        candidates: ``(candidates, each)``; candidate i lives the lifetimes of group i mod groups.
        center: returns of the strategy's mean on the lifetimes of up to four groups, ``(tried * each)``.
        steps: environment steps in total.
        signs: what tells whether all parts of the mean's agents do something, at the end of their lives,
            ``(tried * each)`` each; see `signs_of`.
    """

    candidates: Float[np.ndarray, "candidates each"]
    center: Float[np.ndarray, " tried"]
    steps: int
    signs: Mapping[str, Float[np.ndarray, " tried"]]


def returns_of(population: Any, candidates: Any, hypers: HyperRange, lifetimes: Lifetimes) -> Returns:
    """Let every candidate train its agents; the last candidate is the strategy's mean.

    Args:
        population: a `Population`.
        candidates: stacked parameters, (candidates + 1, ...).
        hypers: the agents' hyperparameters, drawn for each lifetime: all candidates of a group share them.
        lifetimes: the lifetimes, by group.
    """
    import jax

    from ...meta.population import Trials

    count = len(jax.tree.leaves(candidates)[0]) - 1
    groups, each = lifetimes.updates.shape
    tried = min(groups, 4)
    candidate = np.concatenate([np.repeat(np.arange(count), each), np.full(tried * each, count)])
    group = np.concatenate([np.repeat(np.arange(count) % groups, each), np.repeat(np.arange(tried), each)])
    lifetime = np.tile(np.arange(each), count + tried)
    trials = Trials(
        candidate.astype(np.int32),
        lifetimes.updates[group, lifetime],
        lifetimes.keys[group, lifetime],
        jax.tree.map(lambda x: x[group, lifetime], lifetimes.params),
        jax.tree.map(lambda x: x.reshape(groups, each)[group, lifetime], hypers.draw(lifetimes.keys.reshape(-1))),
    )
    lives = population(candidates, trials)
    final, signs = lives.final, {name: _last(curve[count * each :]) for name, curve in lives.figures.items()}
    learner = population.learner
    steps = int(trials.updates.sum()) * learner.workers * learner.steps
    return Returns(final[: count * each].reshape(count, each), final[count * each :], steps, signs)


def _last(curves: Float[np.ndarray, "lives bins"]) -> Float[np.ndarray, " lives"]:
    """Return each life's last known value: a life of few updates leaves some of its parts empty."""
    backwards = curves[:, ::-1]
    return backwards[np.arange(len(curves)), np.argmax(np.isfinite(backwards), axis=1)]


def _signs(population: Any, found: Returns) -> dict[str, float]:
    """Return the signs of life of the agents of the strategy's mean, as metrics."""
    return signs_of(found.signs, population.learner.env, getattr(population.learner.settings, "classes", 0))


class LifetimeProblem:
    """Rules in some environments, by returns that a reference makes comparable.

    Args:
        populations: a `Population` for each environment.
        hypers: what the agents' hyperparameters are drawn between, in each environment.
        references: the scale of returns in each environment.
    """

    def __init__(
        self, populations: Sequence[Any], hypers: Sequence[HyperRange], references: Sequence[ReturnScale]
    ) -> None:
        self._parts = list(zip(populations, hypers, references, strict=True))

    def init(self, key: Any) -> tuple[()]:
        """Return the state: none, since every life ends within a generation."""
        return ()

    def evaluate(self, state: tuple[()], candidates: Any, tasks: Any, key: Any) -> Evaluation:
        """Return the agents' final returns as feedback, (candidates, tasks), NaN where an agent diverged."""
        returns, normalized, center, signs, steps = [], [], [], [], 0
        for (population, hyper_range, reference), lifetimes in zip(self._parts, tasks, strict=True):
            found = returns_of(population, candidates, hyper_range, lifetimes)
            returns.append(found.candidates)
            normalized.append(reference.normalized(found.candidates))
            center.append(np.nan_to_num(reference.normalized(found.center), nan=0.0).mean())
            signs.append(_signs(population, found))
            steps += found.steps
        every = np.concatenate(normalized, axis=1)
        worth = np.nan_to_num(every, nan=0.0).mean(axis=1)
        metrics = {
            "center": float(np.mean(center)),
            "best": float(worth.max()),
            "median": float(np.median(worth)),
            "worst": float(worth.min()),
            "diverged": int(np.isnan(every).any(axis=1).sum()),
            "env_steps": steps,
            **{name: float(np.mean([each[name] for each in signs if name in each])) for name in signs[0]},
        }
        return Evaluation((), np.concatenate(returns, axis=1), worth, metrics)


class PairedProblem:
    """Rules by evolution strategies on a curriculum of levels: each antithetic pair lives on levels of its own.

    A slot of the curriculum is one level of one pair. Every life ends within the step.

    Args:
        population: a `Population`.
        hypers: what the agents' hyperparameters are drawn between.
        each: levels of a pair.
        yardstick: the return that is possible on a level; None if the score needs none.
    """

    def __init__(self, population: Any, hypers: HyperRange, each: int, yardstick: Yardstick | None) -> None:
        self._population, self._hypers, self._each, self._yardstick = population, hypers, each, yardstick

    def init(self, key: Any) -> tuple[()]:
        """Return the state: none."""
        return ()

    def evaluate(self, state: tuple[()], candidates: Any, tasks: Given, key: Any) -> Evaluation:
        """Return the agents' final returns as feedback, (candidates, each), and the pairs' lives as scores."""
        import jax

        lives, measure = jax.random.split(key)
        slots = len(tasks.updates)
        groups = slots // self._each
        shape = (groups, self._each)
        params = jax.tree.map(lambda x: np.reshape(x, (*shape, *x.shape[1:])), tasks.level)
        keys = jax.random.split(lives, slots).reshape(shape)
        found = returns_of(
            self._population, candidates, self._hypers, Lifetimes(tasks.updates.reshape(shape), keys, params)
        )
        pairs = found.candidates.reshape(-1, groups, self._each)
        sound = np.isfinite(pairs).all(axis=0)
        returns = np.where(sound, np.nan_to_num(pairs).mean(axis=0), np.nan).reshape(slots)
        sound = sound.reshape(slots)
        yardstick, steps = tasks.yardstick, 0
        if self._yardstick:
            yardstick, steps = self._yardstick(tasks.level, tasks.updates, np.isnan(yardstick), yardstick, measure)
        over, nothing = np.ones(slots, bool), np.full(slots, np.nan)
        scores = Lives(over, sound, returns, yardstick, nothing, {})
        metrics = {
            "center": float(np.nan_to_num(found.center).mean()),
            "diverged": int(np.isnan(found.candidates).any(axis=1).sum()),
            "env_steps": found.steps,
            "yardstick_steps": steps,
            **_signs(self._population, found),
        }
        return Evaluation((), found.candidates, scores, metrics)
