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
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ..programs import RulesmithError, rule_file
from ..programs.analysis import summarize
from ..programs.rule import Rule
from ..search.archive import Entry
from ..search.store import FILE

_ONE_LINE = ("rule", "what it is", "origin", "task", "run")


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column, justify="right" if column in right else "left", no_wrap=column in _ONE_LINE, min_width=11
        )
    return table


def rules_table() -> Table:
    """Return the published rules, a line each."""
    table = _table("rule", "what it is", "origin")
    for path in rule_file.published().values():
        rule = rule_file.read(path)
        table.add_row(rule.name, rule.description, str(rule.provenance.get("origin", "")))
    return table


def tasks_table() -> Table:
    """Return the tasks, a line each."""
    from ..envs.tasks import SETS, tasks

    table = _table("task", "data", "weights", "steps", "batch", "set", right=("weights", "steps", "batch"))
    for task in tasks().values():
        member = ", ".join(name for name, names in SETS.items() if task.name in names)
        table.add_row(task.name, task.data_set, f"{task.parameters:,}", str(task.steps), str(task.batch_size), member)
    return table


def _code(text: str) -> Syntax:
    return Syntax(text.rstrip(), "python", theme="ansi_light", background_color="default")


def rule_text(rule: Rule) -> Group:
    """Return a rule for the terminal."""
    parts: list[Any] = [Text(f"{rule.name}: {rule.description}" if rule.description else rule.name, style="bold")]
    for label, program in rule.programs.items():
        title = "" if label == "all" else f"for {label} leaves, "
        parts += [Text(), _code(program.to_text()), Text()]
        summary = summarize(program)
        parts.append(Text(f"{title}{summary.length} statements, cost {summary.cost}, digest {summary.digest}"))
    if rule.learning_rate:
        parts.append(Text("learning rates to try: {:g} to {:g}".format(*rule.learning_rate)))
    for title, table in (("origin", rule.provenance), ("evidence", rule.evidence)):
        if table:
            rows = _table(title, "")
            for key, value in table.items():
                rows.add_row(f"  {key}", f"{value:.4f}" if isinstance(value, float) else str(value))
            parts += [Text(), rows]
    return Group(*parts)


def rule_json(rule: Rule) -> dict[str, Any]:
    """Return a rule as JSON."""
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
    with Store.open(directory) as store:
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
    with Store.open(directory) as store:
        archive, front, counts = store.archive(), store.front(), store.counts()
        config, seconds = store.fact("config"), store.seconds()
        line = store.lineage(archive[0].candidate.index) if archive else []
        rule = store.rule(archive[0]) if archive else None
    rate = (counts["programs"] + counts["invalid"]) / seconds if seconds else 0.0
    head = Text(f"{directory}: symbolic search, {config['strategy']}, seed {config['seed']}", style="bold")
    facts = (
        f"tasks {', '.join(config['tasks'])}; {counts['programs']:,} programs in {seconds / 60:.1f} minutes "
        f"({rate:.0f}/s with {counts['invalid']:,} invalid ones); {counts['evaluated']:,} trained, "
        f"{counts['cached']:,} known from the cache"
    )
    parts: list[Any] = [head, Text(facts)]
    if rule is None:
        return Group(*parts, Text("no program has been tried on all tasks yet"))
    table = _table("length", "loss / AdamW's", "candidate", right=("length", "loss / AdamW's", "candidate"))
    for entry in front:
        table.add_row(str(entry.candidate.length), f"{entry.fitness:.4f}", str(entry.candidate.index))
    parts += [Text("\nbest for each length (Pareto front)", style="bold"), table]
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
    table = _table("run", "started", "strategy", "seed", "programs", "best", right=("seed", "programs", "best"))
    for path in paths:
        try:
            with Store.open(path.parent) as store:
                archive, config = store.archive(), store.fact("config")
                best = f"{archive[0].fitness:.4f}" if archive else ""
                count = f"{store.counts()['programs']:,}"
                started = str(store.fact("started"))
                table.add_row(str(path.parent), started, config["strategy"], str(config["seed"]), count, best)
        except RulesmithError as error:
            table.add_row(str(path.parent), str(error))
    return table


def rule_diff(a: Rule, b: Rule) -> Text:
    """Return how two rules differ: by digest, and line by line of the simplified programs."""
    result = Text()
    for label in sorted({*a.programs, *b.programs}):
        first, second = a.programs.get(label), b.programs.get(label)
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
    from .catalog import load

    if trials < 1 or seeds < 1:
        raise RulesmithError("--trials and --seeds must be above 0")
    rules, found = [load(name) for name in names], find(list(tasks))
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
