"""Rules, runs and tasks as text for the terminal and as JSON."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..programs import Program, RulesmithError, rule_file
from ..programs.analysis import summarize
from ..programs.errors import nearest
from ..programs.objective import Objective
from ..programs.quantities import duration
from ..programs.rule import START, Rule
from ..search.runs import open_store
from ..search.store import FILE
from .layout import code, facts_table, rate_words, table
from .listing import listed
from .objective_reporting import objective_json, objective_text


def rules_table() -> Table:
    """Return the published rules, a line each."""
    rows = table("rule", "what it is", "origin")
    for path in (rule_file.published() | rule_file.published_objectives()).values():
        rule = rule_file.read(path)
        rows.add_row(rule.name, rule.description, str(rule.provenance.get("origin", "")))
    return rows


def environments_table() -> Table:
    """Return the environments, a line each."""
    rows = table("environment", "observations", "actions", "longest episode", right=("longest episode",))
    for name, facts in listed()["environments"].items():
        rows.add_row(name, *facts)
    for name, reason in listed()["not offered"].items():
        rows.add_row(name, f"not offered: {reason}")
    return rows


def tasks_table() -> Table:
    """Return the tasks, a line each."""
    from ..envs.tasks import SETS

    rows = table("task", "data", "weights", "steps", "batch", "set", right=("weights", "steps", "batch"))
    for task, facts in listed()["tasks"].items():
        rows.add_row(task, *facts, ", ".join(name for name, names in SETS.items() if task in names))
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
    if isinstance(rate := rule.evidence.get(START), float):
        parts.append(Text(f"learning rate that worked: {rate_words(rate)}", style="bold"))
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


SORTS = ("run", "started", "method", "state", "time", "figure", "verdict")
"""What the list of runs can be sorted by."""


def runs_table(directory: Path, sort: str = "started") -> Table:
    """Return the runs under a directory, a line each.

    Args:
        directory: that holds the runs.
        sort: one of `SORTS`; by figure and verdict the best come first, runs with other figures apart.

    Raises:
        RulesmithError: there is none, or nothing of that name to sort by.
    """
    if sort not in SORTS:
        raise RulesmithError(f"no column {sort!r} to sort by{nearest(sort, SORTS)}; there are {', '.join(SORTS)}")
    paths = sorted(directory.glob(f"*/{FILE}"))
    if not paths:
        if (directory / FILE).is_file():
            raise RulesmithError(f"{directory} is itself a run: `rulesmith show {directory}`")
        raise RulesmithError(f"no runs under {directory}/; start one with `rulesmith discover symbolic`")
    found = [_run_row(path.parent) for path in paths]
    found.sort(key=lambda row: row[0][sort])
    rows = table("run", "method", "state", "tasks", "tried", "time", "figure", "verdict", right=("time",))
    for _, cells in found:
        rows.add_row(*cells)
    return rows


def _run_row(directory: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what a run is sorted by, and its cells."""
    from ..search.store import state_of
    from .standing import BETTER, NOTHING, UNKNOWN, WORSE
    from .views import standing_of, tasks_of, view_of

    last = dict.fromkeys(SORTS, "~") | {"run": str(directory), "time": 0.0, "figure": ("~", 0.0), "verdict": (9, 0.0)}
    try:
        method, store = open_store(directory)
        with store:
            config, found, state = store.fact("config"), standing_of(method, store), state_of(store)
            done, seconds, started = view_of(method).done(store), store.seconds(), str(store.fact("started"))
    except RulesmithError as error:
        return last, [str(directory), "", str(error)]
    kind = ", ".join(filter(None, (method.name, config.get("rule"), config.get("strategy"))))
    tasks = tasks_of(config)
    few = ", ".join(tasks[:3]) + (f" and {len(tasks) - 3} more" if len(tasks) > 3 else "")
    figure, verdict = found.figure, found.verdict.kind
    worth = (figure.name, figure.value if figure.smaller else -figure.value) if figure else ("~", 0.0)
    order = (BETTER, UNKNOWN, WORSE, NOTHING).index(verdict)
    keys = {"run": str(directory), "started": started, "method": kind, "state": state, "time": seconds}
    told = f"{figure.name} {figure.value:.4f}" if figure else "none yet"
    cells = [str(directory), kind, state, few, done, duration(seconds), told, verdict if figure else ""]
    return keys | {"figure": worth, "verdict": (order, worth[1])}, cells


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
    result = Text(no_wrap=True, overflow="ignore")
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
