"""The command line. Searches take their options from the config classes; presets are the defaults."""

from __future__ import annotations

import functools
import json as json_module
import keyword
import operator
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from .programs import RulesmithError
from .programs.errors import nearest
from .programs.objective import Objective
from .programs.rule import START

CONFIG = (FlagCreatePairsOff, tyro.conf.DisallowNone)

RuleName = Annotated[str, arg(metavar="RULE")]
RuleNames = Positional[Annotated[tuple[str, ...], arg(metavar="RULE [RULE ...]", help_behavior_hint="")]]
SomeNames = Annotated[tuple[str, ...], arg(help_behavior_hint="")]
Many = UseAppendAction[Annotated[tuple[str, ...], arg(help_behavior_hint="")]]
ManyNumbers = UseAppendAction[Annotated[tuple[float, ...], arg(help_behavior_hint="")]]
OptionalFile = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
OutputFile = Annotated[Path, arg(metavar="FILE", aliases=["-o", "--out"])]
OptionalOutput = Annotated[Path | None, arg(metavar="FILE", aliases=["-o", "--out"], help_behavior_hint="")]
OptionalCount = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]


def runs(directory: Positional[Path] = Path("runs"), sort: str = "started") -> None:
    """List the runs under a directory: how each stands, its figure and its verdict.

    Example: rulesmith runs --sort figure

    Args:
        directory: The directory that holds the runs.
        sort: Column to sort by: run, started, method, state, time, figure or verdict; the best come first.
    """
    from .results.reporting import runs_table

    _print(runs_table(directory, sort))


def show(
    rule: Positional[RuleName], json: bool = False, stats: bool = False, latex: bool = False, follow: bool = False
) -> None:
    """Show a rule (a published one, a rule file), or a run with its best rule.

    Example: rulesmith show lion

    Args:
        rule: A published rule's name, a rule file, or a run's directory.
        json: Print JSON; of a run, nothing that depends on clock, machine, workers or the directory's name.
        stats: With --json of a run, add what depends on those.
        latex: Print the rule's equations, as LaTeX.
        follow: Of a run that goes on, show how it stands until it ends.
    """
    from .results import reporting, views
    from .search.runs import load
    from .search.store import holds_run

    if latex:
        if json:
            raise RulesmithError("show prints JSON or LaTeX, not both")
        print(load(rule).to_latex())
        return
    if follow:
        if not holds_run(Path(rule)) or json:
            raise RulesmithError(f"{rule}: --follow is for a run's directory, without --json")
        from .results.following import follow as follow_run

        follow_run(Path(rule), _console())
        return
    if holds_run(Path(rule)):
        report = views.run_json(Path(rule), stats=stats) if json else views.run_text(Path(rule))
    else:
        report = reporting.rule_json(load(rule)) if json else reporting.rule_text(load(rule))
    if json:
        print(json_module.dumps(report, indent=2))
    else:
        _print(report)


def report(
    subjects: Positional[Annotated[tuple[str, ...], arg(metavar="RUN|RULE|FILE", help_behavior_hint="")]] = (),
    output: OptionalOutput = None,
    compare: SomeNames = (),
    comparison: OptionalFile = None,
    format: str = "html",
    full: bool = False,
    watch: bool = False,
) -> None:
    """Write a report of a run, a rule or a comparison as one file: what was found, how, and why to believe it.

    Example: rulesmith report runs/mine -o mine.html

    Args:
        subjects: A run's directory, a rule's name or file, or a file of `rulesmith compare --json`.
        output: The file to write; by default report.html in a run's directory, or NAME-report.html here.
        compare: Runs to set side by side instead.
        comparison: A file of `rulesmith compare --json` to show with a run or a rule; by default the latest of the run.
        format: html, or md with the figures in a folder beside it.
        full: Compute first what takes training, unless it is known: what statements are worth, tuning, learning curves,
            what freezing the clock costs. Kept in the run's directory; Ctrl-C is safe.
        watch: Write the file anew while the run goes on; the open page follows.
    """
    named: tuple[str, ...] = (*subjects, *compare)
    if not named:
        raise RulesmithError("name a run's directory, a rule, or a file of `rulesmith compare --json`")
    if compare and len(named) < 2:
        raise RulesmithError("--compare: name at least two runs")
    if len(named) > 1 and not compare:
        raise RulesmithError("a report is of one thing; --compare sets several runs side by side")
    formats = ("html", "md")
    if format not in formats:
        raise RulesmithError(f"no format {format!r}{nearest(format, formats)}; there are {', '.join(formats)}")
    first = Path(next(iter(named)))
    folder, stem = (first, "report") if first.is_dir() and not compare else (Path(), f"{first.stem}-report")
    output = output or folder / f"{stem}.{format}"
    from .results.report.writing import write_report

    say = functools.partial(print, flush=True) if watch else None
    write_report(named, output, comparison, full=full, watch=say)
    print(f"{output}: the report of {' and '.join(named)}")


def rules() -> None:
    """List the published rules.

    Example: rulesmith rules
    """
    from .results.reporting import rules_table

    _print(rules_table())


def tasks() -> None:
    """List the tasks, and the sets they are in.

    Example: rulesmith tasks
    """
    from .results.reporting import tasks_table

    _print(tasks_table())


def environments() -> None:
    """List the environments of reinforcement learning.

    Example: rulesmith environments
    """
    from .results.reporting import environments_table

    _print(environments_table())


def level(
    name: Positional[Annotated[str, arg(metavar="LEVEL")]],
    seed: int = 0,
    png: OptionalFile = None,
    output: OptionalOutput = None,
) -> None:
    """Show a level of the grid-world: its map, and what is possible there; or write it as a picture or a file to edit.

    Example: rulesmith level mazes --seed 3 --png maze.png

    Args:
        name: A level's file, a named level (dense, longer, ...), a distribution (all, mazes, ...), of which one is
            drawn, or a run on a curriculum: its level with the highest score (a picture shows more of them).
        seed: Seed of that draw.
        png: A picture to write.
        output: A level file (.toml) to write.
    """
    from .results.level_reporting import show_level

    _print(show_level(name, seed, png, output))


def vocabulary() -> None:
    """Print every word of the language, as a Markdown table.

    Example: rulesmith vocabulary
    """
    from .programs.vocabulary import vocabulary_table

    print(vocabulary_table())


def check(file: Positional[Path]) -> None:
    """Check a rule file, or a program's text (.py): types, simplified form, digest and cost.

    Example: rulesmith check my_rule.toml

    Args:
        file: A rule file (.toml) or the text of one program.
    """
    from .programs import rule_file
    from .programs.analysis import questions, summarize
    from .results.reporting import programs_of

    if file.suffix == ".toml":
        programs = programs_of(rule_file.read(file))
    else:
        programs = {"all": rule_file.read_program(file)}
    for label, program in programs.items():
        summary = summarize(program)
        title = "" if label == "all" else f" for {label} leaves"
        print(f"valid{title}: {summary.length} statements matter of {len(program.statements)}")
        print(f"digest {summary.digest}\ncost   {summary.cost} multiplications a weight and step\n")
        for question in questions(program):
            print(f"Is this meant? {question}.\n")
        print(program.simplified().to_text())


def diff(a: Positional[RuleName], b: Positional[RuleName]) -> None:
    """Compare two rules, simplified: equal in what they compute, or where they differ.

    Example: rulesmith diff adam adamw

    Args:
        a: A published rule's name, a rule file, or a run's directory.
        b: The other rule.
    """
    from .results.reporting import rule_diff
    from .search.runs import load

    _print(rule_diff(load(a), load(b)))


def export(
    rule: Positional[RuleName],
    output: OutputFile,
    lift: bool = False,
    framework: Literal["jax", "torch", "discobench"] = "jax",
) -> None:
    """Write a rule as one Python file that needs only jax and optax, or only torch (or, to a .toml, as a rule file).

    Example: rulesmith export runs/mine -o my_optimizer.py

    Args:
        rule: A published rule's name, a rule file, or a run's directory.
        output: The file to write.
        lift: Make the program's literals hyperparameters.
        framework: What the file is for: jax, an optax transform; torch, an optimizer (of a drift a loss); or
            discobench, of a drift the loss function of its task OnPolicyRL_loss.
    """
    from .programs import rule_file
    from .programs.parts import Programs
    from .search.runs import load

    if output.suffix not in (".py", ".toml"):
        raise RulesmithError(f"{output}: the output is a .py or a .toml file")
    if output.suffix == ".py":
        _check_module_name(output)
    elif framework != "jax":
        raise RulesmithError(f"{output}: a rule file is for no framework; for --framework {framework} name a .py file")
    loaded = load(rule)
    _warn_of(rule)
    if isinstance(loaded, Objective):
        if lift:
            raise RulesmithError(f"--lift makes literals of an optimizer's program hyperparameters; {rule} is none")
        _export_objective(loaded, output, framework)
        return
    if framework == "discobench":
        raise RulesmithError(f"--framework discobench takes a drift, as a loss; {rule} is an optimizer")
    if lift:
        loaded = replace(loaded, programs=dict(Programs.of(loaded.programs).lifted().parts))
    rule_file.write_text(output, rule_file.dumps(loaded) if output.suffix == ".toml" else loaded.to_source(framework))
    start = loaded.evidence.get(START)
    rate = f"{start if isinstance(start, float) else 1e-3:.2g}"
    steps = ", total_steps=N" if loaded.needs_total_steps else ""
    if output.suffix == ".toml":
        print(f"{output}: {loaded.name}, as a rule file")
    elif framework == "torch":
        name = loaded.class_name
        print(f"{output}: {loaded.name}, as an optimizer of PyTorch")
        print(f"use it: from {output.stem} import {name}; optimizer = {name}(model.parameters(), lr={rate}{steps})")
    else:
        name = loaded.function_name
        print(f"{output}: {loaded.name}, as an optax transform")
        print(f"use it: from {output.stem} import {name}; tx = {name}({rate}{steps})")


def _warn_of(rule: str) -> None:
    """Say so on standard error if a run's rule is known to be worse than the yardstick, or than learning nothing."""
    from .search.runs import open_store
    from .search.store import holds_run

    if holds_run(Path(rule)):
        from .results.standing import BAD
        from .results.views import standing_of

        method, store = open_store(Path(rule))
        with store:
            verdict = standing_of(method, store).verdict
        if verdict.kind in BAD:
            print(f"careful: {verdict.sentence}", file=sys.stderr)


@dataclass(frozen=True)
class Basics:
    """Where a run is and how long it takes.

    Attributes:
        minutes: Minutes from the first step on, after which the search stops; by default the preset's, unless
            another bound is given. A refinement ends by itself.
        out: The run's directory; by default a new one under runs/.
        resume: Go on with the run in --out (by default the latest) where it stopped. Other options may be left out;
            those given must be as they were.
    """

    minutes: Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")] = None
    out: Annotated[Path | None, arg(metavar="DIRECTORY", help_behavior_hint="")] = None
    resume: bool = False


SEARCHES = {
    "symbolic": "Search programs that train networks better than tuned AdamW does.",
    "objective": "Search networks (LPO, LPG) that train reinforcement-learning agents better than tuned PPO does.",
    "curriculum": "Search a general rule of reinforcement learning on levels chosen for what can be learned there.",
    "drift": "Search a drift of PPO as a program, by the returns of the agents that it trains.",
}
"""The searches of `rulesmith discover`, each the method of that name."""
EXAMPLES = {
    "symbolic": "rulesmith discover symbolic --tasks digits-mlp-2k --minutes 5 --out runs/mine",
    "objective": "rulesmith discover objective --rule ta-lpo --env CartPole-v1 --horizon 1e4:1e5 --minutes 5",
    "curriculum": "rulesmith discover curriculum --levels small --score algorithmic-regret --minutes 5",
    "drift": "rulesmith discover drift --env CartPole-v1 --horizon 1e4:2e4 --minutes 5",
    "distillation": "rulesmith distill lpo-invaders --minutes 2",
    "refinement": "rulesmith refine runs/mine -o my_rule.toml",
}
_SHOWN = {"distillation": "distill", "refinement": "refine"}
"""Commands of methods that are no searches of `discover`."""


def _search(
    name: str, words: list[str], about: str, execute: bool, more: Callable[[list[str]], list[str]] = list
) -> Path | None:
    """Parse a search's options and run it; return the run's directory, or None where the options were only parsed.

    Args:
        name: the method's name.
        words: the command line's words after the command.
        about: what the search does, in a sentence.
        execute: whether to run it.
        more: function of the words to those that are parsed.
    """
    words = _merged(more(words))
    _check_names(words)
    from .launch import directory_of, run_method
    from .search.config_codec import from_plain
    from .search.runs import method_named

    method = method_named(name)
    given = {key: value for key, value in zip(words, [*words[1:], ""]) if key in ("--preset", "--out", "--rule")}
    wants_help = "--help" in words or "-h" in words
    preset = method.preset(given.get("--preset", "demo"), given.get("--rule") if name != "distillation" else None)
    config, recorded = preset.config, None
    resume = "--resume" in words and not wants_help and execute
    if resume:
        out = directory_of(method, Path(given["--out"]) if "--out" in given else None, True)
        with method.store.open(out) as store:
            kept, recorded = store.fact("config"), store.fact("preset")
            if store.fact("method") == method.name:
                config = from_plain(method.config, kept)
        if "--preset" in given and given["--preset"] != recorded:
            raise RulesmithError(f"preset is {recorded} in {out} and {given['--preset']} here: a run keeps its own")
    config, basics, bound, resources, chosen = _parsed(method, config, words, name, about)
    if not execute:
        return None
    if resume and recorded and basics.minutes is None and bound is None:
        preset = method.preset(recorded)
    minutes = preset.minutes if basics.minutes is None and bound is None else basics.minutes
    directory = directory_of(method, basics.out, basics.resume)
    how = {"bound": bound, "minutes": minutes, "resume": basics.resume, "resources": resources}
    run_method(method, config, directory, **how, facts={"preset": chosen})
    return directory


def _check_names(words: list[str]) -> None:
    """Raise RulesmithError for a task or an environment that is not there, before what takes seconds is imported."""
    from .results.listing import check_environments, check_tasks

    checks = {"--tasks": check_tasks, "--then": check_tasks}
    checks |= {"--env": check_environments, "--environments": check_environments}
    check = None
    for word in words:
        if word.startswith("--"):
            check = checks.get(word)
        elif check:
            check([word])


def _parsed(method: Any, config: Any, words: list[str], name: str, about: str) -> Any:
    """Return the config, the basics, the bound by number and the resources that words say."""
    shown = _SHOWN.get(name, f"discover {name}")
    return tyro.cli(_options_of(method, config, name, about), args=words, prog=f"rulesmith {shown}", config=CONFIG)


def _options_of(method: Any, config: Any, name: str, about: str) -> Callable[..., Any]:
    """Return the function whose arguments are the options of a search."""

    def command(config: Any, basics: Any, bound: Any, resources: Any, preset: Any = "demo") -> Any:
        return config, basics, bound, resources, preset

    hint = f"Stop after so many {method.unit}, counted from the run's start, at the end of a step."
    count = Annotated[int | None, arg(name=method.unit, metavar="INT", help=hint, help_behavior_hint="")]
    flat = arg(name="")
    minutes = {key: each.minutes for key, each in method.presets.items()}
    lengths = ", ".join(key if bound is None else f"{key} ({_duration(bound)})" for key, bound in minutes.items())
    about_preset = f"Values of the options that are not given, and how long: {lengths}."
    command.__annotations__ = {
        "config": Annotated[method.config, flat],
        "basics": Annotated[Basics, flat],
        "bound": count,
        "resources": Annotated[method.resources, flat],
        "preset": Annotated[str, arg(help=about_preset)] if len(minutes) > 1 else tyro.conf.Suppress[str],
    }
    command.__defaults__ = (config, Basics(), None, method.resources(), "demo")
    safe = "Ctrl-C is safe: all whole steps are kept, and the same command with --resume goes on."
    command.__doc__ = f"{about}\n\n{safe}\n\nExample: {EXAMPLES[name]}"
    return command


def _duration(minutes: float) -> str:
    """Return minutes in words."""
    for unit, size in (("week", 60 * 24 * 7), ("hour", 60)):
        if minutes >= size:
            return f"{minutes / size:g} {unit}{'s' if minutes > size else ''}"
    return f"{minutes:g} minutes"


def _merged(words: list[str]) -> list[str]:
    """Return words in which an option that is given several times is given once, with all its values."""
    options: dict[str, list[str]] = {"": []}
    last = ""
    for word in words:
        if word.startswith("--") or (word.startswith("-") and len(word) == 2 and word[1].isalpha()):
            last, _, value = word.partition("=") if word.startswith("--") else (word, "", "")
            options.setdefault(last, [])
            options[last] += [value] if value else []
        else:
            options[last].append(word)
    return [*options.pop(""), *(word for option, values in options.items() for word in (option, *values))]


def distill(words: list[str], execute: bool) -> None:
    """Distil a learned drift into a readable program: search one with its slope, where its agents went."""
    _search("distillation", words, distill.__doc__ or "", execute)


def distill_network(rule: Positional[RuleName], output: OutputFile, seed: int = 0) -> None:
    """Copy a learned drift into a new network of the same size, which may carry over better; takes half a minute.

    The new network is trained from random weights, on synthetic inputs, to have the same slope. No agent is trained.

    Example: rulesmith distill-network ta-lpo-invaders -o copy.toml

    Args:
        rule: The learned drift: a published one, a rule file, or a run of `discover objective`.
        output: The rule file (.toml) to write; the copy is called as the file is.
        seed: Seed of the new weights and of the inputs.
    """
    from .programs import rule_file
    from .search.network_distillation import distill_network
    from .search.runs import load

    if output.suffix != ".toml":
        raise RulesmithError(f"{output}: a rule file is a .toml")
    rule_file.check_writable(output)
    target = load(rule)
    if not isinstance(target, Objective):
        raise RulesmithError(f"{rule} is an optimizer; distill-network takes a learned drift")
    print(f"training a new network to have {target.name}'s slope, half a minute", flush=True)
    copy = replace(distill_network(target, seed), name=output.stem)
    rule_file.write(copy, output)
    ((what, left),) = copy.evidence.items()
    print(f"{output}: {copy.name}, as a rule file; {what}: {left:.2g}")


def refine(words: list[str], execute: bool) -> None:
    """Refine what searches over optimizers found: choose on larger tasks, tune constants, remove what does nothing."""
    from .programs import rule_file
    from .search.runs import load

    output: list[Path] = []

    def without_output(words: list[str]) -> list[str]:
        """Take the option -o out; the rule is called as the file is, if nothing else is said."""
        rest = list(words)
        for flag in ("-o", "--output"):
            if flag in rest:
                at = rest.index(flag)
                if at + 1 == len(rest):
                    raise RulesmithError(f"{flag}: name the rule file (.toml) to write")
                output.append(Path(rest[at + 1]))
                del rest[at : at + 2]
        if output and output[0].suffix != ".toml":
            raise RulesmithError(f"{output[0]}: a rule file is a .toml")
        if output:
            if execute:
                rule_file.check_writable(output[0])
            if "--name" not in rest and "--resume" not in rest:
                rest += ["--name", output[0].stem]
        return rest

    about = f"{refine.__doc__}\n\nWith -o FILE.toml, the rule is written there in the end, and called as the file is."
    directory = _search("refinement", words, about, execute, without_output)
    if directory and output:
        rule = load(directory)
        rule_file.write_text(output[0], rule_file.dumps(rule))
        print(f"{output[0]}: {rule.name}, as a rule file")


def compare(
    rules: RuleNames,
    env: Many = (),
    levels: Many = (),
    horizon: ManyNumbers = (),
    tasks: SomeNames = (),
    sizes: SomeNames = (),
    seeds: OptionalCount = None,
    trials: OptionalCount = None,
    agent: SomeNames = (),
    json: OptionalFile = None,
    workers: OptionalCount = None,
) -> None:
    """Compare rules, equally tuned: optimizers by --tasks against tuned AdamW, objectives by --env against tuned PPO.

    What was judged once is kept, so a comparison that was stopped goes on where it was.

    Example: rulesmith compare lion muon --tasks held-out --json found.json

    Args:
        rules: Published rules, rule files, or runs; optimizers by import path too (optax:nadamw, my_module:my_opt).
        env: An environment; may be given several times.
        levels: Levels of the grid-world, the same as --env grid/LEVELS: a distribution (all, mazes, ...), of which each
            seed gets one that no search has drawn, a named level (dense, ...), or a level's file; public-all and so on
            have the details of the public code (five moves, a fixed start).
        horizon: Length of a lifetime in environment steps; may be given several times; by default the longest with
            which the first learned rule was found.
        tasks: Networks to train: names, sets (held-out) or import paths.
        sizes: Instead of the tasks themselves their families at these sizes: 2k, 20k, 200k, 2m.
        seeds: Runs of each rule on each task, at its best setting; by default 5 of optimizers, 10 of objectives.
        trials: Settings tried of each rule on each task, the better ones longer or more often; by default 64 of
            optimizers, 8 of objectives, and more where the best lies at the end of a range.
        agent: Settings that all agents share, such as workers=16 steps=32; by default those that the first learned
            rule was found with.
        json: Keep all results, settings and statistics in this file.
        workers: Cores to use; by default all.
    """
    from .programs import rule_file
    from .results import listing

    env += tuple(name if name.endswith(".toml") else f"grid/{name}" for name in levels)
    listing.check_rules(rules)
    listing.check_tasks(tasks)
    listing.check_environments(env)
    from .results.comparison import compare as compare_rules
    from .search.options import parse_settings

    if json:
        rule_file.check_writable(json)
    found = compare_rules(
        rules,
        tasks=tasks,
        sizes=sizes,
        env=env,
        horizon=horizon,
        seeds=seeds,
        trials=trials,
        agent=parse_settings(agent) if agent else None,
        workers=workers,
    )
    if json:
        rule_file.write_text(json, json_module.dumps(found.to_dict(), indent=1) + "\n")
    _print(found)


def tune(
    rules: RuleNames,
    tasks: tuple[str, ...] = ("search",),
    sizes: SomeNames = (),
    trials: int = 64,
    seeds: int = 3,
    workers: OptionalCount = None,
    output: OptionalOutput = None,
) -> None:
    """Tune optimizers on tasks, the same quasi-random trials for each.

    What was tuned once is kept, so tuning that was stopped goes on where it was.

    Example: rulesmith tune lion --tasks digits-mlp-2k

    Args:
        rules: Published rules, rule files, or runs; optimizers by import path too (optax:nadamw, my_module:my_opt).
        tasks: Names, sets, import paths, or all.
        sizes: Instead of the tasks themselves their families at these sizes: 2k, 20k, 200k, 2m.
        trials: Settings tried of each rule on each task.
        seeds: Trainings of the best settings.
        workers: Cores to use; by default all.
        output: A file of baselines (JSON) to keep the settings in; rows of the same rule and task are replaced.
    """
    from .results.listing import check_rules, check_tasks

    check_rules(rules)
    check_tasks(tasks)
    from .results.tuning_command import tune_rules

    tune_rules(rules, tasks, sizes=sizes, trials=trials, seeds=seeds, workers=workers, output=output)


COMMANDS: dict[str, Callable[..., Any]] = {
    "distill": distill,
    "distill-network": distill_network,
    "refine": refine,
    "runs": runs,
    "show": show,
    "report": report,
    "compare": compare,
    "export": export,
    "rules": rules,
    "tasks": tasks,
    "environments": environments,
    "level": level,
    "vocabulary": vocabulary,
    "check": check,
    "diff": diff,
    "tune": tune,
}
"""The commands beside `discover`, by name."""
_BY_WORDS = (distill, refine)
"""Commands that parse their own words."""
for _command in COMMANDS.values():  # tyro keeps a function's line breaks in its help
    _command.__doc__ = re.sub(r"\n {12}", " ", _command.__doc__ or "")


def run(words: list[str], execute: bool = True) -> None:
    """Run a command line.

    Args:
        words: the command and its options.
        execute: whether to run it, beside checking that its options are right.

    Raises:
        RulesmithError: it is not right; in one line.
    """
    match words:
        case [] | ["-h" | "--help"]:
            _help()
        case ["--version"]:
            from importlib import metadata

            print(f"rulesmith {metadata.version('rulesmith')}")
        case ["--tyro-print-completion", *_]:
            _print_completion(words)
        case ["discover"] | ["discover", "-h" | "--help"]:
            _help_of_discover()
        case ["discover", name, *rest]:
            if name not in SEARCHES:
                raise RulesmithError(
                    f"no search {name!r}{nearest(name, SEARCHES)}: `rulesmith discover` takes {', '.join(SEARCHES)}"
                )
            _search(name, rest, SEARCHES[name], execute)
        case [name, *rest]:
            if name not in COMMANDS:
                known = ("discover", *COMMANDS)
                raise RulesmithError(f"no command {name!r}{nearest(name, known)}; `rulesmith --help` lists them")
            command = COMMANDS[name]
            if command in _BY_WORDS:
                command(rest, execute)
            else:
                called = command if execute else functools.wraps(command)(lambda **options: None)
                tyro.cli(called, args=rest, prog=f"rulesmith {name}", config=CONFIG)


def parse(words: list[str]) -> None:
    """Check a command line without running it: `SystemExit` or `RulesmithError` unless its options are right."""
    run(words, execute=False)


def _print_completion(words: list[str]) -> None:
    """Print the shell's completion of all commands and their options; the second word says for which shell."""
    from .search.runs import method_named

    def options(name: str) -> Callable[..., Any]:
        method = method_named(name)
        return _options_of(method, method.preset("demo", None).config, name, "")

    def discover(search: Any) -> None:
        """Search for new rules."""

    kinds = [
        Annotated[type(name, (), {}), tyro.conf.subcommand(name, constructor=options(name), prefix_name=False)]
        for name in SEARCHES
    ]
    discover.__annotations__ = {"search": Annotated[functools.reduce(operator.or_, kinds), arg(name="")]}
    known: dict[str, Callable[..., Any]] = {n: call for n, call in COMMANDS.items() if call not in _BY_WORDS}
    known |= {"discover": discover, **{shown: options(name) for name, shown in _SHOWN.items()}}
    tyro.extras.subcommand_cli_from_dict(known, args=words, prog="rulesmith", config=CONFIG)


def _help() -> None:
    from rich.console import Console
    from rich.table import Table

    rows = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    rows.add_row("discover", f"Search for new rules: {', '.join(SEARCHES)}.")
    for name, command in COMMANDS.items():
        rows.add_row(name, (command.__doc__ or "").split("\n")[0])
    console = Console(highlight=False)
    console.print(
        "usage: rulesmith COMMAND ...\n\nDiscover the update rules that train neural networks; inspect them; export "
        "them as optax transforms.\n"
    )
    console.print(rows)
    console.print(
        "\n`rulesmith COMMAND --help` shows a command's options; `rulesmith --version` the version.\n"
        "Begin with: rulesmith discover symbolic --minutes 1"
    )


def _help_of_discover() -> None:
    from rich.console import Console
    from rich.table import Table

    rows = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, about in SEARCHES.items():
        rows.add_row(name, about)
    console = Console(highlight=False)
    console.print("usage: rulesmith discover SEARCH ...\n\nSearch for new rules.\n")
    console.print(rows)
    console.print("\n`rulesmith discover SEARCH --help` shows a search's options.")
    console.print(f"Example: {EXAMPLES['symbolic']}", soft_wrap=True)


def _export_objective(objective: Objective, output: Path, framework: str) -> None:
    from .programs import rule_file

    name = objective.function_name
    if framework == "discobench":
        from .programs.exporting_discobench import MIDDLE, discobench_source

        rule_file.write_text(output, discobench_source(objective))
        print(f"{output}: {objective.name}, as the loss of DiscoBench's OnPolicyRL_loss")
        if objective.timed:
            print(f"it reads how much of the training is over, which that loss is not told: it is given {MIDDLE:g}")
        return
    if framework == "torch":
        rule_file.write_text(output, objective.to_source(framework))
        print(f"{output}: {objective.name}, as a loss in PyTorch")
        print(
            f"use it: from {output.stem} import {name}; loss = {name}(new_log_prob, old_log_prob, advantage, progress)"
        )
        return

    if output.suffix == ".toml":
        rule_file.write(objective, output)
        print(f"{output}: {objective.name}, as a rule file")
        return
    if objective.kind == "lpg":
        rule_file.write_arrays(objective, output.with_suffix(".safetensors"))
        print(f"{output.with_suffix('.safetensors')}: the arrays of its network, which the file below reads")
    rule_file.write_text(output, objective.to_source())
    print(f"{output}: {objective.name}, as an optax transform")
    print(
        f"use it: from {output.stem} import {name}; tx = optax.chain({name}(apply, total_updates=N), optax.adam(1e-3))"
    )


def _check_module_name(output: Path) -> None:
    """Raise RulesmithError unless the file can be imported, and hides no module that it needs itself."""
    name = output.stem
    if name in {*sys.stdlib_module_names, "jax", "jaxlib", "numpy", "optax", "scipy", "torch"}:
        raise RulesmithError(
            f"{output}: a module of Python, JAX or PyTorch is called {name}; call it my_{name}.py, for example"
        )
    if not name.isidentifier() or keyword.iskeyword(name):
        plain = re.sub(r"\W+", "_", name).strip("_")
        right = plain if plain.isidentifier() and not keyword.iskeyword(plain) else f"my_{plain}".rstrip("_")
        raise RulesmithError(f"{output}: {name!r} cannot be imported; call it {right}.py, for example")


def _console() -> Any:
    """Return the console to print on; where the output goes to no terminal, it is as wide as needed."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def _print(renderable: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from .results.layout import show as show_on

    console = _console()
    if not console.is_terminal and isinstance(renderable, Table):  # a list that another program reads is cut nowhere
        wide = Console(highlight=False, width=10_000)
        console = Console(highlight=False, width=max(160, wide.measure(renderable).maximum))
    show_on(console, renderable)


__all__ = ["COMMANDS", "SEARCHES", "parse", "run"]
