"""How runs are looked at, by kind of run: as text, as JSON, as tables, as figures, and while they go on."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Group
from rich.text import Text

from ...envs.tasks import SETS
from ...programs.quantities import duration
from ...search.config_codec import names_of
from ...search.runs import open_store
from ...search.store import state_of
from ..layout import next_steps_text
from ..standing import BAD, COMPARISON, Conclusion, Figure, Standing, kept_comparison, rule_mark, standing

if TYPE_CHECKING:
    from ...search.method import Method
    from ..display import Display
    from ..report.document import Section

Rows = list[dict[str, Any]]
"""A table: one dictionary for each row, all with the same keys."""


class Course(NamedTuple):
    """How a run's figure went: (x, figure) points, and what x counts."""

    x: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Findings:
    """What a report shows of a run, beside what all reports do.

    Attributes:
        kind: what was searched and how, in a line.
        facts: (name, value, how to read it) of what matters beside the figure.
        warnings: what makes the figure say less than it seems to.
        sections: the rest.
        course: how the figure went.
    """

    kind: str
    facts: Sequence[tuple[str, str, str]]
    warnings: Sequence[str]
    sections: Sequence[Section]
    course: Course


@dataclass(frozen=True)
class View:
    """How runs of a kind are looked at. Functions take the run's store.

    Attributes:
        text: the run as text for the terminal.
        to_json: the run as plain data, which depends on the config, seed and bound alone.
        done: how much was done, in words.
        figure: the run's one number; None where it has none yet.
        report: what the run's report shows of its kind.
        next_steps: what to do next: commands, each with what it does.
        hall_of_fame: the best candidates, best first.
        lineage: how the best candidate came about, oldest first.
        display: makes the display of a running search, from the run's directory, its bound and its minutes.
    """

    text: Callable[[Any], Group]
    to_json: Callable[[Any], dict[str, Any]]
    done: Callable[[Any], str]
    figure: Callable[[Any], Figure | None]
    report: Callable[[Any], Findings]
    next_steps: Callable[[Any], list[tuple[str, str]]]
    hall_of_fame: Callable[[Any], Rows]
    lineage: Callable[[Any], Rows]
    display: Callable[[Path, int | None, float | None, str], Display]


def view_of(method: Method[Any]) -> View:
    """Return how a method's runs are looked at."""
    return importlib.import_module(f".{method.view}", __package__).VIEW


def tasks_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what a run's candidates are tried on: tasks, environments or levels."""
    named = [config[key] for key in ("tasks", "then", "environments", "levels") if config.get(key)]
    return tuple(name for each in named for name in names_of(each if isinstance(each, list | tuple) else [each]))


def compare_step(run: str, config: Mapping[str, Any], more: str = "") -> tuple[str, str]:
    """Return the command that compares a run's rule with tuned PPO, where it was searched if that has a name."""
    names = config.get("environments") or ()
    if any(isinstance(name, dict) for name in names):  # objects of a script
        where = " --env CartPole-v1"
        what = "judges it against tuned PPO elsewhere; on your environment: rulesmith.compare, in Python"
    else:
        where = "".join(f" --env {shlex.quote(name)}" for name in names) or " --env CartPole-v1"
        what = "judges it against tuned PPO on other seeds; name other --env too"
    return f"rulesmith compare {run}{where}{more}", what


def comparison_of(method: Method[Any], store: Any) -> dict[str, Any] | None:
    """Return the comparison that is kept with a run of the rule that it has now; None if there is none."""
    if not (store.directory / COMPARISON).is_file():
        return None
    return kept_comparison(store.directory, rule_mark(method.rule(store)))


def standing_of(method: Method[Any], store: Any) -> Standing:
    """Return how a run stands: its figure and its verdict."""
    figure = view_of(method).figure(store)
    seen = checked_names(tasks_of(store.fact("config")))
    return standing(figure, comparison_of(method, store) if figure else None, seen)


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of tasks, sets unfolded."""
    return tuple(member for name in names for member in SETS.get(name, (name,)))


def standing_text(method: Method[Any], store: Any, found: Standing) -> Group:
    """Return a run's state, figure and verdict, for the terminal."""
    lines = [Text(f"{state_of(store)}; {view_of(method).done(store)} in {duration(store.seconds())}")]
    if found.figure:
        lines.append(Text(str(found.figure), style="bold"))
    style = "bold red" if found.verdict.kind in BAD else "bold"
    lines.append(Text(f"{found.verdict.kind}: {found.verdict.sentence}", style=style))
    return Group(*lines)


def next_steps(method: Method[Any], store: Any, verdict: Conclusion) -> list[tuple[str, str]]:
    """Return what to do next with a run that has this verdict: commands, each with what it does."""
    if not store.begun():
        return []
    steps, state = view_of(method).next_steps(store), state_of(store)
    going_on = f"rulesmith {resume_words(method, store)}"
    if state not in ("done", "running"):
        return [(going_on, "goes on where it stopped"), *steps]
    if verdict.kind in BAD and state == "done" and method.presets["demo"].minutes is not None:
        longer = "searches longer first: what was found is not good enough yet to use"
        return [(f"{going_on} --minutes 60", longer), *steps]
    return steps


def ending(directory: Path) -> Group:
    """Return how a run stands and what to do next, for the terminal."""
    method, store = open_store(directory)
    with store:
        found = standing_of(method, store)
        steps = next_steps_text(next_steps(method, store, found.verdict))
        return Group(Text(), standing_text(method, store, found), Text(), steps)


def run_text(directory: Path) -> Group:
    """Return a run for the terminal.

    Raises:
        RulesmithError: there is no run; see `Store.open`.
    """
    method, store = open_store(directory)
    with store:
        found, shown = standing_of(method, store), view_of(method).text(store)
        steps = next_steps_text(next_steps(method, store, found.verdict))
        return Group(standing_text(method, store, found), Text(), shown, Text(), steps)


def run_json(directory: Path, *, stats: bool) -> dict[str, Any]:
    """Return a run as JSON: what it is and what it found; with `stats`, clock and versions too."""
    method, store = open_store(directory)
    with store:
        report = view_of(method).to_json(store)
        if stats:
            seconds = store.seconds()
            steps = sum(metrics.get("env_steps", 0) for _, metrics in store.steps())
            report["stats"] = {
                "seconds": seconds,
                f"{method.unit}_per_second": store.done() / seconds if seconds else None,
                **({"env_steps_per_second": steps / seconds if seconds else None} if steps else {}),
                **{name: store.fact(name) for name in ("versions", "flags", "python", "started")},
            }
    return report


def resume_words(method: Method[Any], store: Any) -> str:
    """Return the command that goes on with a run, without the program's name."""
    command = {"distillation": "distill", "refinement": "refine"}.get(method.name, f"discover {method.name}")
    return f"{command} --out {shlex.quote(str(store.directory))} --resume"


def history(store: Any) -> Rows:
    """Return the figures of each step up to the last states, one row a step."""
    last = store.last_state()
    rows = [{"step": step, **metrics} for step, metrics in store.steps() if last and step <= last[0]]
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]
