"""The engine: one loop for all methods.

```
curriculum.sample -> strategy.ask -> problem.evaluate -> strategy.tell -> curriculum.update -> observers
```
The parts are values with pure methods over states, and every random number of a step comes from the run's key and the
step's number. So a run is a function of (parts, key), and can go on from any step whose states were kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax


class Strategy(Protocol):
    """Proposes candidates and learns from what they are worth."""

    def init(self, key: jax.Array) -> Any:
        """Return the first state."""
        ...

    def ask(self, state: Any, key: jax.Array) -> Any:
        """Return the next candidates: a sequence, or a pytree with an axis of candidates."""
        ...

    def tell(self, state: Any, candidates: Any, feedback: Any) -> Any:
        """Return the state after hearing, in the candidates' order, what became of them."""
        ...


class Curriculum(Protocol):
    """Chooses what candidates are tried on."""

    def init(self, key: jax.Array) -> Any:
        """Return the first state."""
        ...

    def sample(self, state: Any, key: jax.Array) -> Any:
        """Return the tasks of this step."""
        ...

    def update(self, state: Any, tasks: Any, scores: Any) -> Any:
        """Return the state after hearing the tasks' scores."""
        ...


class Problem(Protocol):
    """Tells what candidates are worth."""

    def init(self, key: jax.Array) -> Any:
        """Return the first state."""
        ...

    def evaluate(self, state: Any, candidates: Any, tasks: Any, key: jax.Array) -> Evaluation:
        """Return the new state, feedback for the strategy, scores for the curriculum, metrics for observers."""
        ...


class Evaluation(NamedTuple):
    """What `Problem.evaluate` returns."""

    state: Any
    feedback: Any
    scores: Any
    metrics: dict[str, Any]


class States(NamedTuple):
    """The states of the three parts."""

    strategy: Any
    curriculum: Any
    problem: Any


@dataclass(frozen=True)
class Record:
    """One step of a run, as observers see it. `states` are those after the step."""

    step: int
    tasks: Any
    candidates: Any
    feedback: Any
    scores: Any
    metrics: dict[str, Any]
    states: States


Observer = Callable[[Record], None]


def initial(strategy: Strategy, curriculum: Curriculum, problem: Problem, key: jax.Array) -> States:
    """Return the states at the start of a run."""
    keys = jax.random.split(jax.random.fold_in(key, 0), 3)
    return States(strategy.init(keys[0]), curriculum.init(keys[1]), problem.init(keys[2]))


def run(
    strategy: Strategy,
    curriculum: Curriculum,
    problem: Problem,
    *,
    key: jax.Array,
    states: States,
    step: int,
    until: Callable[[int, States], bool],
    observers: Sequence[Observer] = (),
) -> States:
    """Run from `step` and its states until `until(step, states)`, and return the last states."""
    while not until(step, states):
        step += 1
        sample, ask, evaluate = jax.random.split(jax.random.fold_in(key, step), 3)
        tasks = curriculum.sample(states.curriculum, sample)
        candidates = strategy.ask(states.strategy, ask)
        evaluation = problem.evaluate(states.problem, candidates, tasks, evaluate)
        states = States(
            strategy.tell(states.strategy, candidates, evaluation.feedback),
            curriculum.update(states.curriculum, tasks, evaluation.scores),
            evaluation.state,
        )
        record = Record(step, tasks, candidates, evaluation.feedback, evaluation.scores, evaluation.metrics, states)
        for observer in observers:
            observer(record)
    return states
