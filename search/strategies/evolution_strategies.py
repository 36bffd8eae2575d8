"""Evolution strategies over a network's parameters, from evosax, chosen by name.

Candidates are a pytree of stacked parameters, ``(population, ...)``; they are told a fitness for each task, higher is
better. Fitness is compared within a task only, so tasks need no common scale: candidates get *centred ranks* among all
that were tried on the same task, or the members of an antithetic pair the *pairwise rank*, which of the two was better.
evosax orders antithetic populations [+z, -z]: the other half of pair i is i + population / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from ...programs import RulesmithError
from ...programs.errors import unknown

FULL_COVARIANCE_LIMIT = 3000
"""Parameters above which a full covariance matrix takes too much memory and time."""

_DETERMINISTIC = 0  # evosax's `tell` takes a key that these strategies do not use


class StrategyKind(NamedTuple):
    """What must be known of a strategy before it is chosen."""

    make: Callable[..., Any]
    pairs: bool
    full_covariance: bool


def _open_es(population: int, start: Any, optimizer: Any, sigma: Callable[[Any], Any], evosax: Any) -> Any:
    return evosax.Open_ES(population, start, optimizer=optimizer, std_schedule=sigma)


def _pgpe(population: int, start: Any, optimizer: Any, sigma: Callable[[Any], Any], evosax: Any) -> Any:
    return evosax.PGPE(population, start, optimizer=optimizer)


EVOLUTION_STRATEGIES: dict[str, StrategyKind] = {
    "open-es": StrategyKind(_open_es, pairs=True, full_covariance=False),
    "pgpe": StrategyKind(_pgpe, pairs=True, full_covariance=False),
    "snes": StrategyKind(lambda n, start, o, s, evosax: evosax.SNES(n, start), pairs=False, full_covariance=False),
    "sep-cma-es": StrategyKind(
        lambda n, start, o, s, evosax: evosax.Sep_CMA_ES(n, start), pairs=False, full_covariance=False
    ),
    "cma-es": StrategyKind(lambda n, start, o, s, evosax: evosax.CMA_ES(n, start), pairs=False, full_covariance=True),
}


@dataclass(frozen=True)
class EsSettings:
    """Settings of an evolution strategy.

    Attributes:
        population: Candidates of a generation.
        sigma: Standard deviation of the noise.
        sigma_decay: Factor on sigma, each generation (open-es).
        learning_rate: Learning rate of Adam on the mean (open-es, pgpe).
        learning_rate_decay: Factor on the learning rate, each generation.
        ranks: How fitness is compared: centred (all candidates share their tasks), pairwise (each antithetic pair has
            tasks of its own), or alone (each candidate has; what sharing a task is worth shows beside the others).
    """

    population: int = 64
    sigma: float = 0.1
    sigma_decay: float = 1.0
    learning_rate: float = 0.02
    learning_rate_decay: float = 1.0
    ranks: Literal["centred", "pairwise", "alone"] = "centred"

    @property
    def groups(self) -> int:
        """How many groups of candidates there are, each of which shares its tasks."""
        return {"centred": 1, "pairwise": self.population // 2, "alone": self.population}[self.ranks]


class EvolutionStrategy:
    """A strategy of the engine; its state is evosax's.

    Args:
        name: which one; see `EVOLUTION_STRATEGIES`.
        settings: its settings.
        start: parameters to start from, a pytree.

    Raises:
        RulesmithError: the strategy does not exist, does not go with pairwise ranks or so many parameters, or the
            population does not suit it.
    """

    def __init__(self, name: str, settings: EsSettings, start: Any) -> None:
        from evosax import algorithms

        if name not in EVOLUTION_STRATEGIES:
            raise unknown("strategy", name, EVOLUTION_STRATEGIES)
        kind = EVOLUTION_STRATEGIES[name]
        size = sum(np.size(leaf) for leaf in jax.tree.leaves(start))
        if settings.ranks == "pairwise" and not kind.pairs:
            raise RulesmithError(f"pairwise ranks need antithetic pairs, which {name} does not have; use open-es")
        if kind.full_covariance and size > FULL_COVARIANCE_LIMIT:
            raise RulesmithError(
                f"{name} keeps a full covariance matrix, too large for the {size:,} parameters of this rule "
                f"(at most {FULL_COVARIANCE_LIMIT:,}); use open-es, snes or sep-cma-es"
            )
        if settings.population < 2 or (kind.pairs and settings.population % 2):
            raise RulesmithError(f"a population of {settings.population}: {name} takes even numbers above 0")
        rate = optax.exponential_decay(settings.learning_rate, 1, settings.learning_rate_decay)
        sigma = optax.exponential_decay(settings.sigma, 1, settings.sigma_decay)
        self.settings = settings
        self._start = start
        self._es = kind.make(settings.population, start, optax.adam(rate), sigma, algorithms)
        self._params = self._es.default_params
        if hasattr(self._params, "std_init"):
            self._params = self._params.replace(std_init=settings.sigma)

    def init(self, key: Any) -> Any:
        """Return the state with the start as its mean."""
        return self._es.init(key, self._start, self._params)

    def ask(self, state: Any, key: Any) -> Any:
        """Return a population and, last, the mean, which is tried too: a pytree of ``(population + 1, ...)``."""
        population, _ = self._es.ask(key, state, self._params)
        return jax.tree.map(lambda x, m: jnp.concatenate([x, m[None]]), population, self._es.get_mean(state))

    def tell(self, state: Any, candidates: Any, feedback: Float[np.ndarray, "population tasks"]) -> Any:
        """Return the state after a generation; NaN is the worst fitness. `feedback` has no row for the mean."""
        candidates = jax.tree.map(lambda x: x[:-1], candidates)
        # `ask` also refreshes what some strategies keep of their covariance, which depends on the state alone.
        _, state = self._es.ask(jax.random.key(_DETERMINISTIC), state, self._params)
        worth = jnp.asarray(shaped(np.asarray(feedback), self.settings.ranks), jnp.float32)
        return self._es.tell(jax.random.key(_DETERMINISTIC), candidates, -worth, state, self._params)[0]

    def mean(self, state: Any) -> Any:
        """Return the parameters that the state stands for."""
        return jax.tree.map(np.asarray, self._es.get_mean(state))


def shaped(fitness: Float[np.ndarray, "population tasks"], ranks: str) -> Float[np.ndarray, " population"]:
    """Return what each candidate is worth: its mean rank over tasks, between -0.5 and 0.5; NaN is the worst."""
    known = np.where(np.isfinite(fitness), fitness, -np.inf)
    if ranks == "pairwise":
        half = len(known) // 2
        better = 0.5 * (np.greater(known[:half], known[half:]) * 1.0 - np.less(known[:half], known[half:]))
        return np.concatenate([better, -better]).mean(axis=1)
    from scipy.stats import rankdata

    return (rankdata(known, axis=0) - 1).mean(axis=1) / (len(known) - 1) - 0.5


__all__ = ["EVOLUTION_STRATEGIES", "EsSettings", "EvolutionStrategy", "shaped"]
