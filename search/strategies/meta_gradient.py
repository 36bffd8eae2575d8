"""Meta-gradient descent: one candidate, the current parameters, moved by Adam down the gradient of the problem."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
import optax

META_GRADIENT = "meta-gradient"
"""Name of this strategy in configs; the others are `evolution_strategies.EVOLUTION_STRATEGIES`."""


class Descent(NamedTuple):
    """Parameters, and Adam's state."""

    params: Any
    optimizer: Any


class MetaGradientDescent:
    """A strategy: it proposes its current parameters, and moves them down the gradient that it is told.

    Args:
        start: parameters to start from, a pytree.
        learning_rate: Adam's learning rate.
        max_gradient_norm: norm that gradients are clipped to.
    """

    def __init__(self, start: Any, learning_rate: float, max_gradient_norm: float = 0.5) -> None:
        self._start = start
        self._optimizer = optax.chain(optax.clip_by_global_norm(max_gradient_norm), optax.adam(learning_rate))
        self._update = jax.jit(self._optimizer.update)

    def init(self, key: Any) -> Descent:
        """Return the state at the start."""
        return Descent(self._start, self._optimizer.init(self._start))

    def ask(self, state: Descent, key: Any) -> Any:
        """Return the current parameters."""
        return state.params

    def tell(self, state: Descent, candidates: Any, feedback: Any) -> Descent:
        """Return the state after a step down the gradient; one that is not finite is not followed."""
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(feedback)):
            return state
        updates, optimizer = self._update(feedback, state.optimizer)
        return Descent(optax.apply_updates(state.params, updates), optimizer)

    def mean(self, state: Descent) -> Any:
        """Return the parameters that the state stands for."""
        return jax.tree.map(np.asarray, state.params)
