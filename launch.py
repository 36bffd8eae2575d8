"""The commands that launch a search: `rulesmith discover ...`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import UseAppendAction, arg

from .programs import RulesmithError

discover = tyro.extras.SubcommandApp()
discover.__doc__ = "Search for new rules."


@discover.command
def symbolic(
    preset: str = "demo",
    minutes: float | None = None,
    programs: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    workers: int | None = None,
    resume: bool = False,
    init: str | None = None,
    tasks: tuple[str, ...] | None = None,
    strategy: Literal["evolution", "random", "constants"] | None = None,
) -> None:
    """Search programs that train networks better than tuned AdamW does.

    Ctrl-C is safe: all whole batches are kept, and the same command with --resume goes on.

    Args:
        preset: demo (1.5 minutes), standard (an hour), or paper (the published scale, for a cluster).
        minutes: stop after so long; the preset's own bound by default, unless --programs is given.
        programs: stop after so many programs, counted from the run's start.
        seed: of the run.
        out: the run's directory; by default a new one under runs/.
        workers: processes; by default one for each core.
        resume: go on with the run in --out (by default the latest), with the config it began with.
        init: start from a published rule or a rule file; by default AdamW without bias correction.
        tasks: names, sets (search, selection, held-out) or import paths (module:attribute).
        strategy: evolution, or a baseline to compare it with: random, constants.
    """
    from .results.display import ProgramDisplay
    from .search.methods import symbolic as method

    config, preset_minutes = method.preset(preset)
    chosen = {"seed": seed, "init": init, "tasks": tasks, "strategy": strategy}
    config = replace(config, **_chosen(chosen, resume))
    _above_zero(minutes=minutes, programs=programs, workers=workers)
    if minutes is None and programs is None:
        minutes = preset_minutes
    directory = _directory(out, resume, "symbolic")
    display = ProgramDisplay(directory, budget=programs, minutes=minutes)
    _search(
        display,
        lambda: method.discover(
            config,
            directory,
            programs=programs,
            minutes=minutes,
            workers=workers,
            resume=resume,
            observers=[display],
            status=display.status,
        ),
    )


@discover.command
def objective(
    rule: str = "ta-lpo",
    env: UseAppendAction[tuple[str, ...]] = (),
    horizon: Annotated[str | None, arg(metavar="LOW:HIGH")] = None,
    preset: str = "demo",
    minutes: float | None = None,
    generations: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    strategy: str | None = None,
    population: int | None = None,
    devices: int | None = None,
) -> None:
    """Search objectives of reinforcement learning that train agents better than tuned PPO does.

    Ctrl-C is safe: the last whole generation is kept, and the same command with --resume goes on.

    Args:
        rule: lpo or ta-lpo (a learned drift in PPO's loop), lpg or ta-lpg (a learned update); ta- rules know how
            much time is left.
        env: an environment; may be given several times. `rulesmith environments` lists them.
        horizon: shortest and longest lifetime of an agent, in environment steps, such as 1e5:1e6.
        preset: demo (1.5 minutes), standard (an hour), or paper (the published scale, for accelerators).
        minutes: stop after so long; the preset's own bound by default, unless --generations is given.
        generations: stop after so many, counted from the run's start.
        seed: of the run.
        out: the run's directory; by default a new one under runs/.
        resume: go on with the run in --out (by default the latest), with the config it began with.
        strategy: open-es, pgpe, snes, sep-cma-es, xnes, cma-es.
        population: candidates of a generation.
        devices: cores to use; by default all.
    """
    from .meta.population import use_cores
    from .results.display import GenerationDisplay
    from .search.executors import available_cores
    from .search.methods import objective as method

    config, preset_minutes = method.preset(preset, rule)
    chosen = _chosen({"seed": seed, "environments": env or None, "horizon": _horizon(horizon)}, resume)
    config = replace(config, **chosen)
    es = _chosen({"name": strategy, "population": population}, resume)
    config = replace(config, es=replace(config.es, **es))
    _above_zero(minutes=minutes, generations=generations, devices=devices)
    if minutes is None and generations is None:
        minutes = preset_minutes
    directory = _directory(out, resume, "objective")
    use_cores(devices or available_cores())
    display = GenerationDisplay(directory, budget=generations, minutes=minutes)
    _search(
        display,
        lambda: method.discover(
            config,
            directory,
            generations=generations,
            minutes=minutes,
            resume=resume,
            observers=[display],
            status=display.status,
        ),
    )


def _chosen(options: dict[str, Any], resume: bool) -> dict[str, Any]:
    """Return the options that were given; with --resume there must be none."""
    given = {name: value for name, value in options.items() if value is not None}
    if given and resume:
        name = {"environments": "env", "name": "strategy"}.get(next(iter(given)), next(iter(given)))
        raise RulesmithError(f"--{name} has no effect with --resume: a run keeps the config it began with")
    return given


def _above_zero(**options: float | None) -> None:
    for name, value in options.items():
        if value is not None and value <= 0:
            raise RulesmithError(f"--{name} is {value:g}; it must be above 0")


def _horizon(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, _, high = text.partition(":")
        return float(low), float(high or low)
    except ValueError:
        raise RulesmithError(f"--horizon {text}: give LOW:HIGH in environment steps, such as 1e5:1e6") from None


def _directory(out: Path | None, resume: bool, method: str) -> Path:
    """Return a run's directory: the one given, the latest to resume, or a new one."""
    if out:
        return out
    runs = Path("runs")
    if not resume:
        return runs / time.strftime(f"{method}-%Y%m%d-%H%M%S")
    found = sorted(runs.glob("*/run.sqlite"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise RulesmithError(f"no run under {runs}/ to resume; name its directory with --out")
    return found[-1].parent


def _search(display: Any, discover: Callable[[], None]) -> None:
    """Run a search under its display; Ctrl-C ends it in good order."""
    sys.path.insert(0, str(Path.cwd()))  # for tasks and environments by import path
    with display:
        try:
            discover()
        except KeyboardInterrupt:
            display.status("stopped; all that was whole is kept")
    display.end()


__all__ = ["discover"]
