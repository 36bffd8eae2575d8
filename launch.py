"""Launching a search from Python: what `rulesmith discover` does, as a function."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .programs import RulesmithError
from .results.run import Run
from .results.views import ending, view_of
from .search import method as methods
from .search.engine import Observer
from .search.method import Devices, Method, Workers
from .search.runs import method_named, method_of
from .search.store import FILE, Store, holds_run

RUNS_FOLDER = Path("runs")
"""Where runs are made if nothing else is said."""


def discover(
    config: Any = None,
    out: str | Path | None = None,
    *,
    minutes: float | None = None,
    programs: int | None = None,
    generations: int | None = None,
    steps: int | None = None,
    resume: bool = False,
    callbacks: Sequence[Observer] = (),
    resources: Workers | Devices | None = None,
    progress: bool = True,
) -> Run:
    """Search for a rule, or go on with a search, and return its run.

    The run goes on until a bound is reached, a callback says stop, nothing is left to do, or it is interrupted.
    Whichever it is, all whole steps are kept, and the same call with ``resume=True`` goes on.

    Args:
        config: what to search: `Symbolic`, `ObjectiveSearch`, `CurriculumSearch`, `DriftSearch`, `Distillation` or
            `Refinement`. With `resume` it may be left out; if it is given, it must be the run's own.
        out: the run's directory; by default a new one under runs/ (to resume: the latest of the method's there).
        minutes: stop after so long, counted from now, at the end of a step.
        programs: stop after so many programs, counted from the run's start; for searches over programs.
        generations: the same for `ObjectiveSearch`.
        steps: the same for `CurriculumSearch` and `Refinement`.
        resume: go on with the run in `out`.
        callbacks: functions of each step's `Record`; one that returns True stops the run. Of those that have a method
            `finish`, such as `TensorBoard` and `WandB`, it is called with the run in the end.
        resources: where to compute: `Workers` or `Devices`; by default on all of this machine.
        progress: whether to show how the search goes.

    Raises:
        RulesmithError: config, directory or a bound is not right; in one line.

    Example:
        >>> import rulesmith, tempfile
        >>> config = rulesmith.Symbolic(tasks=("iris-mlp-2k",), population=10, batch=4)
        >>> def enough(record):
        ...     return record.step == 2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = rulesmith.discover(config, folder + "/run", callbacks=[enough], progress=False)
        ...     run.state, len(run.history)
        ('stopped', 2)
    """
    if config is None and not (resume and out):
        raise RulesmithError("give a config of what to search; or resume=True and out, the directory of a run")
    if config is None:
        with Store.open(Path(out or "")) as store:
            method = method_named(store.fact("method"))
    else:
        method = method_of(config)
    bounds = {"programs": programs, "generations": generations, "steps": steps}
    for name, value in bounds.items():
        if value is not None and name != method.unit:
            raise RulesmithError(f"{name} does not bound a search of method {method.name!r}; {method.unit} does")
    where = directory_of(method, Path(out) if out else None, resume)
    how = {"minutes": minutes, "resume": resume, "resources": resources, "callbacks": callbacks}
    try:
        run_method(method, config, where, bound=bounds[method.unit], progress=progress, **how)
    finally:
        _finish(callbacks, where)
    return Run(where)


def _finish(callbacks: Sequence[Observer], directory: Path) -> None:
    """Call `finish` of the callbacks that have it, with the run, if it has made a step."""
    waiting = [callback for callback in callbacks if hasattr(callback, "finish")]
    if waiting and holds_run(directory) and (run := Run(directory)).begun:
        for callback in waiting:
            callback.finish(run)  # pyright: ignore[reportFunctionMemberAccess]


def run_method(
    method: Method[Any],
    config: Any,
    directory: Path,
    *,
    bound: int | None,
    minutes: float | None,
    progress: bool = True,
    **how: Any,
) -> None:
    """Run a search under its display; `how` is for `search.method.discover`. Ctrl-C ends it in good order.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; all whole steps are kept, and a run without one leaves its name free.
    """
    if not progress:
        methods.discover(method, config, directory, bound=bound, minutes=minutes, **how)
        return
    display = view_of(method).display(directory, bound, minutes, method.name)
    with display:
        try:
            methods.discover(
                *(method, config, directory),
                bound=bound,
                minutes=minutes,
                observers=[display],
                status=display.status,
                **how,
            )
        except KeyboardInterrupt:
            kept = "all that was whole is kept, and --resume (in Python: resume=True) goes on"
            begun = (directory / FILE).exists()
            display.status(f"stopped; {kept if begun else 'before the first step, so nothing is kept'}")
            raise
    display.end(ending(directory))


def directory_of(method: Method[Any], out: Path | None, resume: bool) -> Path:
    """Return a run's directory: the one given, the method's latest to resume, or a new one.

    Raises:
        RulesmithError: there is no run to resume.
    """
    if out:
        return out
    if not resume:
        return RUNS_FOLDER / time.strftime(f"{method.name}-%Y%m%d-%H%M%S")
    found = sorted(RUNS_FOLDER.glob(f"*/{FILE}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found:
        try:
            with Store.open(path.parent) as store:
                if store.fact("method") == method.name:
                    return path.parent
        except RulesmithError:
            continue
    raise RulesmithError(f"no run of {method.name!r} under {RUNS_FOLDER}/ to resume; name its directory with --out")
