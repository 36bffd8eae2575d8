"""The commands that launch a search: `rulesmith discover ...`."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, UseAppendAction, arg

from .programs import RulesmithError
from .programs.objective import Objective

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
    curriculum: Literal["fixed", "regret"] | None = None,
    memory: float | None = None,
    executor: Literal["pool", "ray"] = "pool",
    address: str | None = None,
    cores: int = 1,
    gpus: float = 0.0,
) -> None:
    """Search programs that train networks better than tuned AdamW does.

    Ctrl-C is safe: all whole batches are kept, and the same command with --resume goes on.

    Args:
        preset: demo (1.5 minutes), standard (an hour), or paper (the published scale, for a cluster).
        minutes: stop after so long; the preset's own bound by default, unless --programs is given.
        programs: stop after so many programs, counted from the run's start.
        seed: of the run.
        out: the run's directory; by default a new one under runs/.
        workers: processes; by default one for each core. On a machine with a GPU, programs are trained there at once.
        resume: go on with the run in --out (by default the latest), with the config it began with.
        init: start from a published rule or a rule file; by default AdamW without bias correction.
        tasks: names, sets (search, selection, held-out) or import paths (module:attribute).
        strategy: evolution, or a baseline to compare it with: random, constants.
        curriculum: the order of the tasks: fixed (cheapest first), or regret (first that where the best program does
            worst against tuned AdamW, and the others only for those that beat it there).
        memory: GiB of a GPU for programs that are trained at once, vmapped; by default half of it.
        executor: pool (processes of this machine), or ray (a Ray cluster; needs the extra `ray`).
        address: of the Ray cluster's head, HOST:PORT or auto; by default one is started on this machine.
        cores: that a worker takes, on Ray.
        gpus: that a worker takes, on Ray.
    """
    from .results.display import ProgramDisplay
    from .search.methods import symbolic as method

    config, preset_minutes = method.preset(preset)
    chosen = {"seed": seed, "init": init, "tasks": tasks, "strategy": strategy, "curriculum": curriculum}
    config = replace(config, **_chosen({**chosen, "memory": memory}, resume))
    _above_zero(minutes=minutes, programs=programs, workers=workers, memory=memory)
    if minutes is None and programs is None:
        minutes = preset_minutes
    cluster = method.Cluster(address, cores, gpus) if executor == "ray" else None
    if not cluster and (address or cores != 1 or gpus):
        raise RulesmithError("--address, --cores and --gpus are for --executor ray")
    if cluster and workers:
        raise RulesmithError("--workers is for --executor pool; on Ray there are as many as the cluster has room for")
    directory = _directory(out, resume, "symbolic")
    display = ProgramDisplay(directory, budget=programs, minutes=minutes)
    _search(
        display,
        functools.partial(
            method.discover,
            config,
            directory,
            programs=programs,
            minutes=minutes,
            workers=workers,
            cluster=cluster,
            resume=resume,
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
    programs: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    strategy: str | None = None,
    population: int | None = None,
    ranks: Literal["centred", "pairwise"] | None = None,
    devices: int | None = None,
    hosts: Annotated[str | None, arg(metavar="I/N@HOST:PORT")] = None,
) -> None:
    """Search objectives of reinforcement learning that train agents better than tuned PPO does.

    Ctrl-C is safe: the last whole generation is kept, and the same command with --resume goes on.

    Args:
        rule: lpo or ta-lpo (a learned drift in PPO's loop), lpg or ta-lpg (a learned update), symbolic (a drift as a
            program, by regularized evolution); ta- rules know how much time is left.
        env: an environment; may be given several times. `rulesmith environments` lists them.
        horizon: shortest and longest lifetime of an agent, in environment steps, such as 1e5:1e6.
        preset: demo (1.5 minutes), standard (an hour), or paper (the published scale, for accelerators).
        minutes: stop after so long; the preset's own bound by default, unless --generations is given.
        generations: stop after so many, counted from the run's start.
        programs: the same for --rule symbolic.
        seed: of the run.
        out: the run's directory; by default a new one under runs/.
        resume: go on with the run in --out (by default the latest), with the config it began with.
        strategy: open-es, pgpe, snes, sep-cma-es, cma-es; or meta-gradient, for lpg and ta-lpg.
        population: candidates of a generation; agents that live at once, for meta-gradient.
        ranks: centred (all candidates share their lifetimes) or pairwise (each antithetic pair has its own).
        devices: cores to use; by default all.
        hosts: this is process I of N, from 0, that share their devices; the first listens at HOST:PORT. All are given
            the same options, with --resume too.
    """
    from .meta.population import use_cores
    from .results.display import GenerationDisplay
    from .search.executors import available_cores
    from .search.methods import objective as method

    _above_zero(minutes=minutes, generations=generations, programs=programs, devices=devices)
    use_cores(devices or available_cores())
    if hosts is not None:
        _join(hosts)
    if rule == "symbolic":
        for name, value in (("strategy", strategy), ("ranks", ranks), ("generations", generations)):
            if value is not None:
                raise RulesmithError(
                    f"--{name} is not for --rule symbolic, which is regularized evolution (--programs)"
                )
        base, preset_minutes = method.preset(preset, "lpo")
        given = {"seed": seed, "environments": env or None, "horizon": _horizon(horizon), "population": population}
        bound = preset_minutes if minutes is None and programs is None else minutes
        _search_drifts(base, _chosen(given, resume), out, resume, None, programs, bound)
        return
    if programs is not None:
        raise RulesmithError(f"--programs is for --rule symbolic; a search over {rule} is bounded by --generations")
    config, preset_minutes = method.preset(preset, rule)
    chosen = _chosen({"seed": seed, "environments": env or None, "horizon": _horizon(horizon)}, resume, hosts)
    config = replace(config, **chosen)
    es = _chosen({"name": strategy, "population": population, "ranks": ranks}, resume, hosts)
    if strategy == method.META_GRADIENT:
        es = {"learning_rate": method.META_RATE, **es}
    config = replace(config, es=replace(config.es, **es))
    if minutes is None and generations is None:
        minutes = preset_minutes
    directory = _directory(out, resume, "objective")
    display = GenerationDisplay(directory, budget=generations, minutes=minutes)
    _search(
        display,
        functools.partial(
            method.discover,
            config,
            directory,
            generations=generations,
            minutes=minutes,
            resume=resume,
        ),
    )


@discover.command
def curriculum(
    rule: Literal["lpg", "ta-lpg"] | None = None,
    levels: str | None = None,
    score: str | None = None,
    optimizer: str | None = None,
    antagonist: str | None = None,
    preset: str = "demo",
    minutes: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    agents: int | None = None,
    buffer: int | None = None,
    edit: float | None = None,
    devices: int | None = None,
) -> None:
    """Search a general rule of reinforcement learning on levels that are chosen for what can be learned there.

    Ctrl-C is safe: the last whole step is kept, and the same command with --resume goes on.

    Args:
        rule: lpg (a recurrent net instead of a loss; the default), ta-lpg (which also knows how much time is left).
        levels: all, small, medium, large, mazes; or module:environment, the grid-world with a `draw` of your own.
        score: which levels are replayed: algorithmic-regret, exact-regret, pvl, l1, maxmc; or random (always new
            levels), frozen (those that the buffer was first filled with).
        optimizer: meta-gradient, or es (open-es), pgpe: antithetic pairs live whole lives.
        antagonist: the objective whose agents say what return is possible: a2c, ppo-clip, a rule file.
        preset: demo (1.5 minutes), standard (an hour), or paper (the published scale, for accelerators).
        minutes: stop after so long; the preset's own bound by default, unless --steps is given.
        steps: stop after so many meta-steps, counted from the run's start.
        seed: of the run.
        out: the run's directory; by default a new one under runs/.
        resume: go on with the run in --out (by default the latest), with the config it began with.
        agents: that live at once, each on a level of its own; candidates, for es.
        buffer: levels that are kept for replay.
        edit: share of new levels that are small changes of replayed ones.
        devices: cores to use; by default all.
    """
    from .meta.population import use_cores
    from .results.curriculum_display import CurriculumDisplay
    from .search.executors import available_cores
    from .search.methods import curriculum as method

    _above_zero(minutes=minutes, steps=steps, devices=devices, agents=agents, buffer=buffer)
    use_cores(devices or available_cores())
    config, preset_minutes = method.preset(preset)
    optimizer = {"es": "open-es"}.get(optimizer or "", optimizer)
    given = {"rule": rule, "levels": levels, "score": score, "optimizer": optimizer, "antagonist": antagonist}
    many = _chosen({"agents": agents}, resume)
    if many and optimizer not in (None, method.META_GRADIENT):
        many = {"es": replace(config.es, population=agents)}
    replay = _chosen({"capacity": buffer, "edit": edit}, resume)
    chosen = _chosen({**given, "seed": seed}, resume)
    config = replace(config, replay=replace(config.replay, **replay), **many, **chosen)
    if minutes is None and steps is None:
        minutes = preset_minutes
    directory = _directory(out, resume, "curriculum")
    display = CurriculumDisplay(directory, budget=steps, minutes=minutes)
    _search(
        display,
        functools.partial(
            method.discover,
            config,
            directory,
            steps=steps,
            minutes=minutes,
            resume=resume,
        ),
    )


def distill(
    rule: Positional[Annotated[str, arg(metavar="RULE")]],
    env: UseAppendAction[tuple[str, ...]] = (),
    horizon: Annotated[str | None, arg(metavar="LOW:HIGH")] = None,
    minutes: float = 1.0,
    programs: int | None = None,
    seed: int | None = None,
    out: Path | None = None,
    resume: bool = False,
) -> None:
    """Distil a learned drift into a readable program: search one with its slope, where its agents went.

    Args:
        rule: a learned drift: a rule file or a run.
        env: where an agent is trained to see what the drift meets; by default the rule's own environments.
        horizon: length of that training in environment steps; by default the rule's own.
        minutes: stop after so long.
        programs: stop after so many programs.
        seed: of the run.
        out: the run's directory; by default a new one under runs/.
        resume: go on with the run in --out.
    """
    from .results.catalog import load
    from .search.methods.objective import preset as preset_of

    target = load(rule)
    if not isinstance(target, Objective) or target.kind != "drift" or target.program is not None:
        raise RulesmithError(
            f"{rule} is not a learned drift; `distill` takes one, a rule file or a run of lpo or ta-lpo"
        )
    base, _ = preset_of("demo", "lpo")
    _above_zero(minutes=minutes, programs=programs)
    names, steps = target.provenance.get("environments"), target.provenance.get("horizon")
    given = {"seed": seed, "environments": env or None, "horizon": _horizon(horizon)}
    chosen = _chosen(given, resume)
    if not resume:
        chosen.setdefault("environments", tuple(names or base.environments))
        chosen.setdefault("horizon", tuple(steps or base.horizon))
        chosen["agent"] = dict(target.agent) or dict(base.agent)
    chosen["target"] = target.digest()
    _search_drifts(base, chosen, out, resume, target, programs, minutes)


def refine(
    runs: Positional[tuple[Path, ...]],
    output: Annotated[Path, arg(aliases=["-o"])],
    tasks: tuple[str, ...] = ("selection",),
    then: tuple[str, ...] = (),
    finalists: int = 16,
    rounds: int = 4,
    name: str | None = None,
    workers: int | None = None,
) -> None:
    """Refine what searches over optimizers found: choose on larger tasks, tune constants, remove what does nothing.

    Args:
        runs: directories of `discover symbolic`; of each, programs from all of its course take part.
        output: the rule file (.toml) to write.
        tasks: names or sets to choose on; never those of a claim.
        then: still larger ones, for the best quarter.
        finalists: programs of each run that take part.
        rounds: of tuning the constants.
        name: of the rule; by default the file's.
        workers: processes; by default one for each core.
    """
    from rich.console import Console

    from .programs import rule_file
    from .results.refinement_text import refinement_text
    from .search.executors import Pool, available_cores
    from .search.methods import refinement as method

    _above_zero(finalists=finalists, workers=workers)
    if output.suffix != ".toml":
        raise RulesmithError(f"{output}: a rule file is a .toml")
    if not runs:
        raise RulesmithError("name at least one run's directory")
    rule_file.check_writable(output)
    method.check_name(name or output.stem)
    config = method.RefinementConfig(funnel=(tasks, then) if then else (tasks,), finalists=finalists, rounds=rounds)
    sys.path.insert(0, str(Path.cwd()))  # for tasks by import path
    console = Console(highlight=False)
    pool = Pool(method.refinement_evaluator, workers or available_cores())
    try:
        result = method.refine(runs, config, pool, lambda line: console.print(line, soft_wrap=True))
    finally:
        pool.close()
    console.print(refinement_text(result))
    method.keep_selection(result, config, console.print)
    rule_file.write_text(output, rule_file.dumps(method.refined_rule(result, name or output.stem)))
    console.print(f"\n{output}: the rule. These tasks have chosen it, so no proof yet. Next:", soft_wrap=True)
    console.print(f"  rulesmith compare {output} lion --tasks held-out", soft_wrap=True)


def _search_drifts(
    base: Any,
    chosen: dict[str, Any],
    out: Path | None,
    resume: bool,
    target: Objective | None,
    programs: int | None,
    minutes: float | None,
) -> None:
    """Search drift programs, with a method's config `base` but for what was `chosen`."""
    from .results.display import ProgramDisplay
    from .search.methods import drifts as method

    config = method.DriftSearchConfig(base.environments, base.horizon, agent=base.agent, entropy=base.entropy)
    config = replace(config, **chosen)
    directory = _directory(out, resume, "distillation" if target else "drift")
    measure = "slopes" if target else "returns"
    display = ProgramDisplay(directory, budget=programs, minutes=minutes, measure=measure)
    _search(
        display,
        functools.partial(
            method.discover,
            config,
            directory,
            target=target,
            programs=programs,
            minutes=minutes,
            resume=resume,
        ),
    )


def _chosen(options: dict[str, Any], resume: bool, hosts: str | None = None) -> dict[str, Any]:
    """Return the options that were given; with --resume there must be none, but for hosts that read no store."""
    given = {name: value for name, value in options.items() if value is not None}
    if given and resume and not hosts:
        first = next(iter(given))
        name = {"environments": "env", "name": "strategy", "capacity": "buffer"}.get(first, first)
        raise RulesmithError(f"--{name} has no effect with --resume: a run keeps the config it began with")
    return given


def _above_zero(**options: float | None) -> None:
    for name, value in options.items():
        if value is not None and value <= 0:
            raise RulesmithError(f"--{name} is {value:g}; it must be above 0")


def _join(hosts: str) -> None:
    """Join several processes, as I/N@HOST:PORT says."""
    import re

    from .meta.population import join_hosts

    found = re.fullmatch(r"(\d+)/(\d+)@(.+:\d+)", hosts)
    if not found or not int(found[1]) < int(found[2]):
        raise RulesmithError(f"--hosts {hosts}: give I/N@HOST:PORT, such as 0/2@10.0.0.1:1234, I from 0 to N - 1")
    join_hosts(found[3], int(found[2]), int(found[1]))


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


def _search(display: Any, discover: Callable[..., None]) -> None:
    """Run a search under its display; Ctrl-C ends it in good order."""
    sys.path.insert(0, str(Path.cwd()))  # for tasks and environments by import path
    with display:
        try:
            discover(observers=[display], status=display.status)
        except KeyboardInterrupt:
            display.status("stopped; all that was whole is kept")
    display.end()


__all__ = ["discover", "distill", "refine"]
