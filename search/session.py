"""One session of a run: the engine with a clock, a bound, a store, and observers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from . import engine
from .engine import Curriculum, Observer, Problem, Record, States, Strategy


def run_session(
    strategy: Strategy,
    curriculum: Curriculum,
    problem: Problem,
    *,
    key: Any,
    begin: tuple[int, States],
    reached: Callable[[int, States], bool],
    minutes: float | None,
    observers: Sequence[Observer],
) -> None:
    """Run until `reached(step, states)`, or at the end of a step after `minutes` from now.

    Args:
        strategy: of the engine.
        curriculum: of the engine.
        problem: of the engine.
        key: of the run.
        begin: the step to go on from, and its states.
        reached: the run's bound by number.
        minutes: its bound by time.
        observers: see each record, with the metric `seconds`; the store comes first.
    """
    began = last = time.perf_counter()

    def until(step: int, states: States) -> bool:
        late = minutes is not None and time.perf_counter() - began >= 60 * minutes
        return late or reached(step, states)

    def clocked(record: Record) -> None:
        nonlocal last
        now = time.perf_counter()
        record = replace(record, metrics={**record.metrics, "seconds": now - last})
        last = now
        for observer in observers:
            observer(record)

    step, states = begin
    engine.run(strategy, curriculum, problem, key=key, states=states, step=step, until=until, observers=[clocked])
