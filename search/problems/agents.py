"""The problem of meta-gradients: its state is agents that live on between meta-steps, its feedback the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..curricula.level_buffer import Given
from ..curricula.scores import Lives
from ..engine import Evaluation
from .signs import signs_of
from .yardsticks import Yardstick


class AgentsProblem:
    """Agents on levels that a curriculum gives them.

    Args:
        meta: a `MetaGradient`.
        agents: how many live at once.
        episodes: whole episodes that an agent's last policy is judged by; 0 where its return is not needed.
        yardstick: the return that is possible on a level; None where that is not needed.
        normalized: function of returns to the numbers that the display shows.
    """

    def __init__(
        self,
        meta: Any,
        agents: int,
        episodes: int = 0,
        yardstick: Yardstick | None = None,
        normalized: Callable[[Any], Any] = lambda returns: returns,
    ) -> None:
        self._meta, self._agents, self._episodes = meta, agents, episodes
        self._yardstick, self._normalized = yardstick, normalized
        learner = meta.learner
        self._steps = (meta.settings.updates + 1) * learner.workers * learner.steps * agents

    def init(self, key: Any) -> Any:
        """Return agents whose places are all vacant."""
        import jax

        levels = jax.tree.map(lambda x: np.stack([x] * self._agents), self._meta.learner.env.params)
        return self._meta.born(jax.random.split(key, self._agents), levels, np.ones(self._agents, np.int32))

    def evaluate(self, state: Any, candidates: Any, tasks: Given, key: Any) -> Evaluation:
        """Let the agents make K updates each; return the rule's gradient as feedback, the agents' lives as scores."""
        import jax

        from ...meta.meta_gradient import Newborn

        learner = self._meta.learner

        live, judge, measure = jax.random.split(key, 3)
        newborn = Newborn(tasks.vacant, tasks.level, tasks.updates)
        gradient, state, seen = self._meta.step(candidates, state, newborn, live)
        seen = jax.tree.map(np.asarray, seen)
        whole = seen.over & seen.sound
        returns, yardstick, steps = np.full(self._agents, np.nan), tasks.yardstick, 0
        if self._episodes and whole.any():
            returns = np.asarray(self._meta.judged(state, whole, judge, episodes=self._episodes))
        if self._yardstick:
            unknown = whole & np.isnan(yardstick)
            yardstick, steps = self._yardstick(tasks.level, tasks.updates, unknown, yardstick, measure)
        scores = Lives(
            seen.over,
            seen.sound,
            returns,
            yardstick,
            np.fmax(seen.best, returns),  # where no episode of the life has ended
            seen.figures,
        )
        count, total = seen.episodes.count, seen.episodes.returns
        by_agent = self._normalized(total / np.maximum(count, 1.0))
        metrics = {
            "center": float(self._normalized(total.sum() / max(count.sum(), 1.0))) if count.sum() else 0.0,
            "best": float(by_agent.max()),
            "median": float(np.median(by_agent)),
            "worst": float(by_agent.min()),
            "diverged": int((~seen.sound).sum()),
            "env_steps": self._steps,
            "yardstick_steps": steps,
            "lifetimes_ended": int(seen.over.sum()),
            **signs_of(seen.signs, learner.env, learner.settings.classes),
            "rule_gradient": math.sqrt(sum(float(np.square(leaf).sum()) for leaf in jax.tree.leaves(gradient))),
        }
        return Evaluation(state, gradient, scores, metrics)
