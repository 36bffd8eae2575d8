"""Discover the update rules that train neural networks; inspect them; export them as optax transforms."""

from __future__ import annotations

import json as json_module
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from .launch import discover, distill, refine
from .programs import Program, RulesmithError
from .programs.objective import Objective

CONFIG = (FlagCreatePairsOff,)

app = tyro.extras.SubcommandApp()
app.command(discover, name="discover")
app.command(distill)
app.command(refine)

RuleName = Annotated[str, arg(metavar="RULE")]


@app.command
def runs(directory: Positional[Path] = Path("runs")) -> None:
    """List the runs under a directory, the best program of each."""
    from .results.reporting import runs_table

    _print(runs_table(directory))


@app.command
def show(rule: Positional[RuleName], json: bool = False, stats: bool = False) -> None:
    """Show a rule (a published one, a rule file) or a run (its hall of fame and its best rule).

    Args:
        rule: a published rule's name, a rule file, or a run's directory.
        json: as JSON; of a run, nothing that depends on clock, machine, workers or the directory's name.
        stats: with --json of a run, add those.
    """
    from .results import reporting
    from .results.catalog import load

    if (Path(rule) / "run.sqlite").exists():
        report = reporting.run_json(Path(rule), stats=stats) if json else reporting.run_text(Path(rule))
    else:
        report = reporting.rule_json(load(rule)) if json else reporting.rule_text(load(rule))
    if json:
        print(json_module.dumps(report, indent=2))
    else:
        _print(report)


@app.command
def report(
    run: Positional[Path],
    output: Annotated[Path | None, arg(aliases=["-o"])] = None,
    comparison: Path | None = None,
) -> None:
    """Write a run's report as one HTML file: what was found, how it came about, what it does.

    Args:
        run: the run's directory.
        output: the file to write; by default report.html in the run's directory.
        comparison: a file of `rulesmith compare --json`, to be shown too.
    """
    from .results.html import write_report

    output = output or run / "report.html"
    write_report(run, output, comparison)
    print(f"{output}: the report of {run}")


@app.command
def rules() -> None:
    """List the published rules."""
    from .results.reporting import rules_table

    _print(rules_table())


@app.command
def tasks() -> None:
    """List the tasks, and the sets they are in."""
    from .results.reporting import tasks_table

    _print(tasks_table())


@app.command
def environments() -> None:
    """List the environments of reinforcement learning."""
    from .results.reporting import environments_table

    _print(environments_table())


@app.command
def level(
    name: Positional[Annotated[str, arg(metavar="LEVEL")]],
    seed: int = 0,
    png: Path | None = None,
    output: Annotated[Path | None, arg(aliases=["-o"])] = None,
) -> None:
    """Show a level of the grid-world: its map, what is possible there; write it as a picture or a file to edit.

    Args:
        name: a level's file, a named level (dense, longer, ...), a distribution (all, mazes, ...), of which one is
            drawn, or a run on a curriculum: its level with the highest score (a picture shows more of them).
        seed: of that draw.
        png: a picture to write.
        output: a level file (.toml) to write.
    """
    from .results.level_reporting import show_level

    _print(show_level(name, seed, png, output))


@app.command
def vocabulary() -> None:
    """Print every word of the language, as a Markdown table."""
    from .programs.vocabulary import vocabulary_table

    print(vocabulary_table())


@app.command
def check(file: Positional[Path]) -> None:
    """Check a rule file, or a program's text (.py): types, simplified form, digest and cost.

    Args:
        file: a rule file (.toml) or the text of one program.
    """
    from .programs import rule_file
    from .programs.analysis import summarize
    from .results.reporting import programs_of

    if file.suffix == ".toml":
        programs = programs_of(rule_file.read(file))
    else:
        programs = {"all": _program(file)}
    for label, program in programs.items():
        summary = summarize(program)
        title = "" if label == "all" else f" for {label} leaves"
        print(f"valid{title}: {summary.length} statements matter of {len(program.statements)}")
        print(f"digest {summary.digest}\ncost   {summary.cost} multiplications a weight and step\n")
        print(program.simplified().to_text())


@app.command
def diff(a: Positional[RuleName], b: Positional[RuleName]) -> None:
    """Compare two rules, simplified: equal in what they compute, or where they differ."""
    from .results.catalog import load
    from .results.reporting import rule_diff

    _print(rule_diff(load(a), load(b)))


@app.command
def export(rule: Positional[RuleName], output: Annotated[Path, arg(aliases=["-o"])], lift: bool = False) -> None:
    """Write a rule as one Python file that needs only jax and optax (or, to a .toml, as a rule file).

    Args:
        rule: a published rule's name, a rule file, or a run's directory.
        output: the file to write.
        lift: make the program's literals hyperparameters.
    """
    from .programs import rule_file
    from .results.catalog import load

    loaded = load(rule)
    if output.suffix not in (".py", ".toml"):
        raise RulesmithError(f"{output}: the output is a .py or a .toml file")
    if isinstance(loaded, Objective):
        if lift:
            raise RulesmithError(f"--lift makes literals of an optimizer's program hyperparameters; {rule} is none")
        _export_objective(loaded, output)
        return
    if lift:
        loaded = replace(loaded, programs={label: program.lifted() for label, program in loaded.programs.items()})
    rule_file.write_text(output, rule_file.dumps(loaded) if output.suffix == ".toml" else loaded.to_source())
    print(f"{output}: {loaded.name}, as {'a rule file' if output.suffix == '.toml' else 'an optax transform'}")
    if output.suffix == ".py":
        print(f"use it: from {output.stem} import {loaded.function_name}; tx = {loaded.function_name}(1e-3)")


@app.command
def compare(
    rules: Positional[tuple[str, ...]],
    env: UseAppendAction[tuple[str, ...]] = (),
    levels: UseAppendAction[tuple[str, ...]] = (),
    horizon: UseAppendAction[tuple[float, ...]] = (),
    tasks: tuple[str, ...] = (),
    seeds: int | None = None,
    trials: int | None = None,
    agent: tuple[str, ...] = (),
    json: Path | None = None,
    devices: int | None = None,
) -> None:
    """Compare rules, equally tuned: optimizers by --tasks against tuned AdamW, objectives by --env against tuned PPO.

    Args:
        rules: published rules, rule files, or runs; optimizers by import path too (optax:nadamw, my_module:my_opt).
        env: an environment; may be given several times.
        levels: levels of the grid-world, the same as --env grid/LEVELS: a distribution (all, mazes, ...), of which each
            seed gets one that no search has drawn, a named level (dense, ...), or a level's file.
        horizon: length of a lifetime in environment steps; may be given several times.
        tasks: names, sets (held-out) or import paths of networks to train.
        seeds: runs of each rule on each task, at its best setting; 5 of optimizers, 10 of objectives by default.
        trials: settings tried of each rule on each task, three seeds each; 16 of optimizers, 8 of objectives.
        agent: settings that all agents share, such as workers=16 steps=32; by default those the first rule that has
            some was found with.
        json: keep all returns, settings and statistics in this file.
        devices: cores to use; by default all.
    """
    from .meta.population import use_cores
    from .results.compare_command import run_comparison, run_training_comparison
    from .search.executors import available_cores

    if tasks:
        if env or levels or horizon or agent:
            raise RulesmithError("--tasks compares optimizers, --env and --levels objectives: give one of them")
        how = {"seeds": seeds or 5, "trials": trials or 16, "workers": devices or available_cores()}
        _print(run_training_comparison(rules, tasks, **how, output=json))
        return
    use_cores(devices or available_cores())
    env += tuple(name if name.endswith(".toml") else f"grid/{name}" for name in levels)
    _print(run_comparison(rules, env, horizon, seeds=seeds or 10, trials=trials or 8, agent=agent, output=json))


@app.command
def tune(
    rules: Positional[tuple[str, ...]],
    tasks: tuple[str, ...] = ("search",),
    trials: int = 24,
    seeds: int = 3,
    output: Annotated[Path | None, arg(aliases=["-o"])] = None,
) -> None:
    """Tune rules on tasks, the same quasi-random trials for each; with -o, keep the settings in a JSON file.

    Args:
        rules: published rules or rule files.
        tasks: names, sets, or import paths.
        trials: settings tried of each rule on each task.
        seeds: trainings of each setting.
        output: a file of baselines; rows of the same rule and task are replaced.
    """
    from .results.reporting import tune_rules

    tune_rules(rules, tasks, trials, seeds, output)


def _export_objective(objective: Objective, output: Path) -> None:
    from .programs import rule_file

    if output.suffix == ".toml":
        rule_file.write(objective, output)
        print(f"{output}: {objective.name}, as a rule file")
        return
    if objective.kind == "lpg":
        rule_file.write_arrays(objective, output.with_suffix(".safetensors"))
        print(f"{output.with_suffix('.safetensors')}: the arrays of its network, which the file below reads")
    rule_file.write_text(output, objective.to_source())
    name = objective.function_name
    print(f"{output}: {objective.name}, as an optax transform")
    print(
        f"use it: from {output.stem} import {name}; tx = optax.chain({name}(apply, total_updates=N), optax.adam(1e-3))"
    )


def _program(file: Path) -> Program:
    try:
        return Program.parse(file.read_text())
    except OSError as error:
        raise RulesmithError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RulesmithError(f"{file}: not a text file in UTF-8") from None
    except RulesmithError as error:
        raise type(error)(f"{file}: {error}") from None


def _print(renderable: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    console.print(renderable)


__all__ = ["CONFIG", "app"]
