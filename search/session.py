"""One session of a run: the engine with a clock, a bound, a store, and observers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from . import engine
from .array_store import ArrayStore
from .engine import Curriculum, Observer, Problem, Record, States, Strategy
from .program_store import ProgramStore


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


def run_over_programs(
    store: ProgramStore,
    strategy: Strategy,
    curriculum: Curriculum,
    problem: Problem,
    *,
    key: Any,
    programs: int | None,
    minutes: float | None,
    observers: Sequence[Observer],
) -> None:
    """Go on with a run over programs from its last step.

    Args:
        store: of the run.
        strategy: of the engine.
        curriculum: of the engine.
        problem: of the engine.
        key: of the run.
        programs: stop after so many, counted from the start of the run; None if only time bounds it.
        minutes: see `run_session`.
        observers: see `run_session`; the store need not be among them.
    """
    run_session(
        strategy,
        curriculum,
        problem,
        key=key,
        begin=store.resume() or (0, engine.initial(strategy, curriculum, problem, key)),
        reached=lambda _, states: programs is not None and states.strategy.proposed >= programs,
        minutes=minutes,
        observers=[store, *observers],
    )


def run_with_checkpoints(
    store: ArrayStore | None,
    strategy: Strategy,
    curriculum: Curriculum,
    problem: Problem,
    *,
    key: Any,
    bound: int | None,
    minutes: float | None,
    observers: Sequence[Observer],
) -> None:
    """Go on with a run over networks from its last checkpoint, and end with one.

    Args:
        store: of the run, its `rule_of` set; of several hosts only the first has one, and all follow its states.
        strategy: of the engine.
        curriculum: of the engine.
        problem: of the engine.
        key: of the run.
        bound: the last step; None if only time bounds the run.
        minutes: see `run_session`.
        observers: see `run_session`; the store need not be among them.
    """
    import numpy as np

    from ..meta.population import from_first_host

    first = engine.initial(strategy, curriculum, problem, key)
    step, states = (store.resume(first) if store else None) or (0, first)
    step, states = from_first_host((np.int32(step), states))
    latest: list[Record] = []
    kept_by: list[Observer] = [store, lambda record: latest.__setitem__(slice(None), [record])] if store else []
    try:
        run_session(
            strategy,
            curriculum,
            problem,
            key=key,
            begin=(int(step), states),
            reached=lambda step, _: bound is not None and step >= bound,
            minutes=minutes,
            observers=[*kept_by, *observers],
        )
    finally:
        if store and latest and (store.last_state() or (0,))[0] < latest[0].step:
            store.checkpoint(latest[0].step, latest[0].states)
