"""Rules, runs and tasks as text for the terminal and as JSON."""

from __future__ import annotations

import difflib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..programs import Program, RulesmithError, rule_file
from ..programs.analysis import summarize
from ..programs.objective import Objective
from ..programs.rule import Rule
from ..search.archive import Entry
from ..search.array_store import ArrayStore
from ..search.level_store import LevelStore
from ..search.runs import open_run
from ..search.store import FILE, infinite
from . import curriculum_reporting, objective_reporting
from .layout import code, facts_table, table
from .objective_reporting import objective_json, objective_text
from .refinement_text import overfitting_of


def rules_table() -> Table:
    """Return the published rules, a line each."""
    rows = table("rule", "what it is", "origin")
    for path in (rule_file.published() | rule_file.published_objectives()).values():
        rule = rule_file.read(path)
        rows.add_row(rule.name, rule.description, str(rule.provenance.get("origin", "")))
        rows.columns[0].min_width = max(rows.columns[0].min_width or 0, len(rule.name))  # names are there to be typed
    return rows


def environments_table() -> Table:
    """Return the environments, a line each."""
    from ..envs.brax_environments import BRAX_BACKENDS, BRAX_BROKEN, BRAX_NAMES
    from ..envs.gymnax_environments import GYMNAX_BROKEN
    from ..envs.registry import make, names

    rows = table("environment", "observations", "actions", "longest episode", right=("longest episode",))
    for name in names():
        if name.split("/")[0] != "brax":  # whose making takes seconds each
            env = make(name)
            rows.add_row(name, str(env.observations), str(env.actions), f"{env.max_steps:,}")
    for name in BRAX_NAMES:
        rows.add_row(f"brax/{name}", f"reals; backends {', '.join(BRAX_BACKENDS)}", "reals", "1,000")
    for name, reason in (GYMNAX_BROKEN | BRAX_BROKEN).items():
        rows.add_row(name, f"not offered: {reason}")
    return rows


def tasks_table() -> Table:
    """Return the tasks, a line each."""
    from ..envs.tasks import SETS, tasks

    rows = table("task", "data", "weights", "steps", "batch", "set", right=("weights", "steps", "batch"))
    for task in tasks().values():
        member = ", ".join(name for name, names in SETS.items() if task.name in names)
        rows.add_row(task.name, task.data_set, f"{task.parameters:,}", str(task.steps), str(task.batch_size), member)
    return rows


def rule_text(rule: Rule | Objective) -> Group:
    """Return a rule for the terminal."""
    if isinstance(rule, Objective):
        return objective_text(rule)
    parts: list[Any] = [Text(f"{rule.name}: {rule.description}" if rule.description else rule.name, style="bold")]
    for label, program in rule.programs.items():
        title = "" if label == "all" else f"for {label} leaves, "
        parts += [Text(), code(program.to_text()), Text()]
        summary = summarize(program)
        parts.append(Text(f"{title}{summary.length} statements, cost {summary.cost}, digest {summary.digest}"))
    if rule.learning_rate:
        parts.append(Text("learning rates to try: {:g} to {:g}".format(*rule.learning_rate)))
    for title, facts in (("origin", rule.provenance), ("evidence", rule.evidence)):
        if facts:
            parts += [Text(), facts_table(title, facts)]
    return Group(*parts)


def rule_json(rule: Rule | Objective) -> dict[str, Any]:
    """Return a rule as JSON."""
    if isinstance(rule, Objective):
        return objective_json(rule)
    return {
        "name": rule.name,
        "description": rule.description,
        "programs": {
            label: {"text": program.to_text(), "digest": program.digest} for label, program in rule.programs.items()
        },
        "hyperparameters": rule.hyperparameters,
        "learning_rate": rule.learning_rate,
        "provenance": dict(rule.provenance),
        "evidence": dict(rule.evidence),
    }


def _entry_json(entry: Entry, losses: dict[str, float]) -> dict[str, Any]:
    program = entry.candidate.program.simplified()
    return {
        "candidate": entry.candidate.index,
        "fitness": entry.fitness,
        "length": entry.candidate.length,
        "digest": entry.candidate.digest,
        "losses": losses,
        "program": program.to_text(),
    }


def run_json(directory: Path, *, stats: bool) -> dict[str, Any]:
    """Return a run as JSON: what it is, its hall of fame and Pareto front; with `stats`, clock and versions too."""
    with open_run(directory) as store:
        if isinstance(store, LevelStore):
            return curriculum_reporting.run_json(store, stats=stats)
        if isinstance(store, ArrayStore):
            return objective_reporting.run_json(store, stats=stats)
        archive, front = store.archive(), store.front()
        scores = store.scores({entry.candidate.index for entry in archive})
        counts = store.counts()
        report = {
            "method": store.fact("method"),
            "config": store.fact("config"),
            **counts,
            "hall_of_fame": [_entry_json(e, dict(scores[e.candidate.index].losses)) for e in archive],
            "pareto_front": [entry.candidate.index for entry in front],
            "lineage": [list(row) for row in store.lineage(archive[0].candidate.index)] if archive else [],
        }
        if stats:
            seconds = store.seconds()
            report["stats"] = {
                "seconds": seconds,
                "programs_per_second": (counts["programs"] + counts["invalid"]) / seconds if seconds else None,
                "versions": store.fact("versions"),
                "python": store.fact("python"),
                "started": store.fact("started"),
            }
    return report


def run_text(directory: Path) -> Group:
    """Return a run for the terminal."""
    with open_run(directory) as store:
        if isinstance(store, LevelStore):
            return curriculum_reporting.run_text(store)
        if isinstance(store, ArrayStore):
            return objective_reporting.run_text(store)
        archive, front, counts = store.archive(), store.front(), store.counts()
        config, seconds, method = store.fact("config"), store.seconds(), store.fact("method")
        measure, selection = store.fact("measure") or "loss / AdamW's", store.fact("selection")
        line = store.lineage(archive[0].candidate.index) if archive else []
        rule = store.rule(archive[0]) if archive else None
    rate = (counts["programs"] + counts["invalid"]) / seconds if seconds else 0.0
    head = Text(f"{directory}: {method} search, {config['strategy']}, seed {config['seed']}", style="bold")
    facts = (
        f"tasks {', '.join(config['tasks'])}; {counts['programs']:,} programs in {seconds / 60:.1f} minutes "
        f"({rate:.0f}/s with {counts['invalid']:,} invalid ones); {counts['evaluated']:,} trained, "
        f"{counts['cached']:,} known from the cache"
    )
    parts: list[Any] = [head, Text(facts)]
    if rule is None:
        return Group(*parts, Text("no program has been tried on all tasks yet"))
    shown = table("length", "fitness", "candidate", right=("length", "fitness", "candidate"))
    for entry in front:
        shown.add_row(str(entry.candidate.length), f"{entry.fitness:.4f}", str(entry.candidate.index))
    parts += [Text(f"\nbest for each length (Pareto front); fitness: {measure.rstrip(',')}", style="bold"), shown]
    if selection:
        pairs = [(row[1], infinite(row[2])) for row in selection["finalists"]]
        parts += [Text(f"\non {', '.join(selection['tasks'])}", style="bold"), Text(overfitting_of(pairs))]
    steps = [f"{number} ({origin}, {fitness:.3f})" for number, origin, fitness in line]
    shown = steps if len(steps) <= 8 else [*steps[:3], "...", *steps[-4:]]
    parts += [Text(f"\nlineage of the best, {len(steps)} generations", style="bold"), Text(" > ".join(shown)), Text()]
    return Group(*parts, rule_text(rule))


def runs_table(directory: Path) -> Table:
    """Return the runs under a directory, a line each.

    Raises:
        RulesmithError: there is none.
    """
    paths = sorted(directory.glob(f"*/{FILE}"))
    if not paths:
        raise RulesmithError(f"no runs under {directory}/; start one with `rulesmith discover symbolic`")
    rows = table("run", "started", "method", "seed", "tried", "best", right=("seed", "tried", "best"))
    for path in paths:
        try:
            with open_run(path.parent) as store:
                config, started = store.fact("config"), str(store.fact("started"))
                if isinstance(store, ArrayStore):
                    generations = store.steps()
                    method, tried = f"{config['rule']}, {config['strategy']}", f"{len(generations):,} generations"
                    best = f"{generations[-1][1]['center']:.4f}" if generations else ""
                else:
                    archive = store.archive()
                    method, tried = (
                        f"{store.fact('method')}, {config['strategy']}",
                        f"{store.counts()['programs']:,} programs",
                    )
                    best = f"{archive[0].fitness:.4f}" if archive else ""
                rows.add_row(str(path.parent), started, method, str(config["seed"]), tried, best)
        except RulesmithError as error:
            rows.add_row(str(path.parent), str(error))
    return rows


def programs_of(rule: Rule | Objective) -> dict[str, Program]:
    """Return a rule's programs by class of leaves; a drift's as "all".

    Raises:
        RulesmithError: the rule is a network.
    """
    if isinstance(rule, Rule):
        return dict(rule.programs)
    if rule.program is None:
        raise RulesmithError(f"{rule.name} is a network, not a program")
    return {"all": rule.program}


def rule_diff(a: Rule | Objective, b: Rule | Objective) -> Text:
    """Return how two rules differ: by digest, and line by line of the simplified programs.

    Raises:
        RulesmithError: one is a network.
    """
    result = Text()
    ours, theirs = programs_of(a), programs_of(b)
    for label in sorted({*ours, *theirs}):
        first, second = ours.get(label), theirs.get(label)
        title = "" if label == "all" else f" on {label} leaves"
        if first is None or second is None:
            result.append(f"only {(a if second is None else b).name} has a program for {label} leaves\n")
        elif first.digest == second.digest:
            result.append(f"{a.name} and {b.name} compute the same{title} (digest {first.digest})\n", style="green")
        else:
            lines = [program.simplified().to_text().splitlines() for program in (first, second)]
            for line in difflib.unified_diff(lines[0], lines[1], a.name, b.name, lineterm="", n=9):
                style = {"+": "green", "-": "red", "@": "dim"}.get(line[0], "")
                result.append(line + "\n", style=style)
    return result


def tune_rules(names: Sequence[str], tasks: Sequence[str], trials: int, seeds: int, output: Path | None) -> None:
    """Tune rules on tasks, print a line for each, and keep the settings in a file."""
    from importlib import metadata

    from ..envs.tasks import find
    from ..meta.training import Trainer
    from ..meta.tuning import tune
    from ..search.executors import cache_compilations

    if trials < 1 or seeds < 1:
        raise RulesmithError("--trials and --seeds must be above 0")
    rules, found = [rule_file.find_optimizer(name) for name in names], find(list(tasks))
    cache_compilations()
    kept: dict[str, Any] = {"commands": [], "baselines": []}
    if output and output.exists():
        kept = json.loads(output.read_text())
    kept["commands"].append("rulesmith " + shlex.join(sys.argv[1:]))
    for task in found:
        trainer = Trainer(task, runs=seeds)
        for rule in rules:
            tuned = tune(rule, task, trials=trials, seeds=seeds, trainer=trainer)
            setting = ", ".join(f"{name} {value:g}" for name, value in tuned.setting.items())
            print(f"{task.name}: {rule.name} {setting}: validation {tuned.validation:.4f}, test {tuned.test:.4f}")
            sys.stdout.flush()
            row = {**tuned.to_dict(), "jax": metadata.version("jax"), "steps": task.steps, "batch": task.batch_size}
            others = [r for r in kept["baselines"] if (r["rule"], r["task"]) != (rule.name, task.name)]
            kept["baselines"] = [*others, row]
            if output:
                rule_file.write_text(output, json.dumps(kept, indent=1) + "\n")
