"""The engine: one loop for all methods.

```
curriculum.sample -> strategy.ask -> problem.evaluate -> strategy.tell -> curriculum.update -> observers
```
The parts are values with pure methods over states, and every random number of a step comes from the run's key and the
step's number. So a run is a function of (parts, key), and can go on from any step whose states were kept. A state is
any pytree or plain data; see `state_codec`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import jax

S = TypeVar("S")
"""A part's state."""
P = TypeVar("P")
"""The problem's state, in types that name the other states too."""
C = TypeVar("C")
"""The candidates of a step: a sequence, or a pytree with an axis of candidates."""
C_in = TypeVar("C_in", contravariant=True)
T = TypeVar("T")
"""The tasks of a step: what its candidates are tried on."""
T_in = TypeVar("T_in", contravariant=True)
F = TypeVar("F")
"""What the strategy is told of the candidates: their fitness, or a gradient."""
F_in = TypeVar("F_in", contravariant=True)
R = TypeVar("R")
"""What the curriculum is told of the tasks: their scores."""
R_in = TypeVar("R_in", contravariant=True)


class Strategy(Protocol[S, C, F_in]):
    """Proposes candidates and learns from what they are worth."""

    def init(self, key: jax.Array) -> S:
        """Return the first state."""
        ...

    def ask(self, state: S, key: jax.Array) -> C:
        """Return the next candidates."""
        ...

    def tell(self, state: S, candidates: C, feedback: F_in) -> S:
        """Return the state after hearing, in the candidates' order, what became of them."""
        ...


class Curriculum(Protocol[S, T, R_in]):
    """Chooses what candidates are tried on."""

    def init(self, key: jax.Array) -> S:
        """Return the first state."""
        ...

    def sample(self, state: S, key: jax.Array) -> T:
        """Return the tasks of this step."""
        ...

    def update(self, state: S, tasks: T, scores: R_in) -> S:
        """Return the state after hearing the tasks' scores."""
        ...


class Problem(Protocol[S, C_in, T_in, F, R]):
    """Tells what candidates are worth."""

    def init(self, key: jax.Array) -> S:
        """Return the first state."""
        ...

    def evaluate(self, state: S, candidates: C_in, tasks: T_in, key: jax.Array) -> Evaluation[S, F, R]:
        """Return the new state, feedback for the strategy, scores for the curriculum, metrics for observers."""
        ...


class Evaluation(NamedTuple, Generic[S, F, R]):
    """What `Problem.evaluate` returns.

    Attributes:
        state: the problem's state after the step.
        feedback: what the strategy is told of the candidates.
        scores: what the curriculum is told of the tasks.
        metrics: figures of the step, for observers; plain numbers.
    """

    state: S
    feedback: F
    scores: R
    metrics: dict[str, Any]


class States(NamedTuple, Generic[S, T, P]):
    """The states of the three parts."""

    strategy: S
    curriculum: T
    problem: P


@dataclass(frozen=True)
class Record(Generic[C, T, F, R]):
    """One step of a run, as observers see it.

    Attributes:
        step: its number, from 1.
        tasks: the tasks that the curriculum chose.
        candidates: the candidates that the strategy proposed.
        feedback: what the strategy was told of them.
        scores: what the curriculum was told of the tasks.
        metrics: figures of the step; `seconds` is its time.
        states: the parts' states after the step.
    """

    step: int
    tasks: T
    candidates: C
    feedback: F
    scores: R
    metrics: dict[str, Any]
    states: States[Any, Any, Any]


Observer = Callable[[Record[Any, Any, Any, Any]], Any]


def initial(
    strategy: Strategy[S, C, F], curriculum: Curriculum[R, T, Any], problem: Problem[P, C, T, F, Any], key: jax.Array
) -> States[S, R, P]:
    """Return the states at the start of a run."""
    keys = jax.random.split(jax.random.fold_in(key, 0), 3)
    return States(strategy.init(keys[0]), curriculum.init(keys[1]), problem.init(keys[2]))


def run(
    strategy: Strategy[Any, C, F],
    curriculum: Curriculum[Any, T, R],
    problem: Problem[Any, C, T, F, R],
    *,
    key: jax.Array,
    states: States[Any, Any, Any],
    step: int,
    until: Callable[[int, States[Any, Any, Any]], bool],
    observers: Sequence[Observer] = (),
) -> States[Any, Any, Any]:
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
