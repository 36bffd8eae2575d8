"""Runs that refine what searches over optimizers found."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from ...programs.quantities import counted
from ...programs.rule import START
from ...search.config_codec import names_of
from ...search.engine import Record
from ...search.methods.refinement import Refined, refined
from ...search.program_store import ProgramStore
from ...search.runs import method_named
from ...search.strategies.refining import PHASES, Refining
from ..display import Display
from ..layout import code, export_step, show, table
from ..selection_text import overfitting_of
from ..standing import Figure
from . import Findings, Rows, View, tasks_of

NAME = "loss / AdamW's"
_SHOWN = 12


def refinement_text(result: Refined) -> Group:
    """Return a refinement for the terminal: the funnel, how well the search predicted it, the program."""
    rounds = max(len(row.rounds) for row in result.finalists)
    columns = ("candidate", "fitness in the search", *(f"round {i}" for i in range(1, rounds + 1)), "statements")
    rows = table("run", *columns, right=columns)
    for row in result.finalists[:_SHOWN]:
        found = [*(f"{fitness:.4f}" for fitness in row.rounds), *[""] * (rounds - len(row.rounds))]
        rows.add_row(row.run, f"{row.index:,}", f"{row.search:.4f}", *found, str(row.programs.statements))
    steps = ("the winner", "with its constants tuned", "without what does nothing")
    figures = ", ".join(f"{name} {fitness:.4f}" for name, fitness in zip(steps, result.fitness))
    parts: list[Any] = [
        Text("loss / AdamW's, below 1 is better", style="bold"),
        rows,
        Text(overfitting(result)),
    ]
    if result.programs is None:
        return Group(*parts, Text("no program has been chosen yet"))
    noise = f" (a fitness varies by {result.noise:.4f} with the seeds)" if result.noise == result.noise else ""
    parts += [Text(f"\n{figures}{noise}"), *map(Text, within_noise(result)), Text(), code(result.programs.to_text())]
    worth = table("statement", "fitness without it", right=("fitness without it",))
    for removal in result.removals:
        worth.add_row(removal.statement, f"{removal.fitness:.4f}" + (", so it went" if removal.gone else ""))
    return Group(*parts, Text(), worth)


def within_noise(result: Refined) -> list[str]:
    """Return which of a refinement's steps gained less than the noise of a fitness, in a sentence; none if no step."""
    steps = ("tuning the constants", "the removals")
    gains = [before - after for before, after in zip(result.fitness, result.fitness[1:])]
    small = [step for step, gain in zip(steps, gains) if 0 < gain < 2 * result.noise]
    return [f"what {' and '.join(small)} gained is within noise"] if small else []


def overfitting(result: Refined) -> str:
    """Return a sentence on how well the fitness in the search predicted that of the funnel's first round."""
    return overfitting_of([(row.search, row.rounds[0]) for row in result.finalists if row.rounds])


class RefinementDisplay(Display):
    """The display of a refinement: its phase, how far it has come, and the time left."""

    def __init__(self, directory: Path, budget: int | None, minutes: float | None, method: str) -> None:
        super().__init__(directory, budget, minutes, method)
        self.trials = 0
        self.plan: tuple[dict[str, Any], int] | None = None

    def count(self, record: Record[Any, Any, Any, Any]) -> None:
        """Take in a step's figures."""
        self.trials += len(record.candidates)

    def _left(self, state: Refining, now: float) -> str:
        """Return the time left, as if every phase went through once and nothing were removed."""
        if self.plan is None:  # read once: neither changes while a run goes on
            with ProgramStore.open(self.directory) as store:
                self.plan = store.fact("config"), len(store.fact("finalists"))
        config, finalists = self.plan
        statements = state.programs.statements if state.programs else 8
        alive = len(state.alive) if state.phase == "funnel" else 0
        later = math.ceil(finalists * config["kept"]) if config["then"] and state.round == 0 and alive else 0
        constants = {"funnel": config["rounds"], "constants": config["rounds"] - state.round}.get(state.phase, 0)
        after = 2 * statements + 3 if state.phase in PHASES[:3] else 3 if state.phase == "confirmation" else statements
        trials = max(alive + later + constants * config["trials"] + after - len(state.found), 0)
        assert self.searching is not None
        minutes = trials * (now - self.searching) / max(self.trials, 1) / 60
        return "" if state.phase == "done" else f", about {max(minutes, 0.1):.1f} minutes left"

    def line(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        """Return the plain line of a step."""
        state: Refining = record.states.strategy
        rounds = f", round {state.round + 1}" if state.phase in ("funnel", "constants") else ""
        figure = f"; {NAME} {state.fitness[-1]:.4f}" if state.fitness else ""
        return f"{state.phase}{rounds}: {state.asked:,} trials{self.spent(now)}{self._left(state, now)}{figure}"

    def panel(self, record: Record[Any, Any, Any, Any], now: float) -> Panel:
        """Return the live panel: the phase, and the program as refined so far."""
        state: Refining = record.states.strategy
        body: list[Any] = [Text(self.line(record, now))]
        if state.programs:
            body += [Text(), Text(state.programs.to_text().rstrip(), style="cyan")]
        return Panel(Group(*body), title="refinement", title_align="left", width=min(self.console.width, 110))

    def summary(self, record: Record[Any, Any, Any, Any]) -> None:
        """Print what was found."""
        with ProgramStore.open(self.directory) as store:
            result = refined(store)
        show(self.console, refinement_text(result))


def run_json(store: ProgramStore) -> dict[str, Any]:
    """Return a run as plain data: what it is, how far it came, its finalists and the refined program."""
    report = {"method": store.fact("method"), "config": store.fact("config"), "trials": store.done()}
    if store.last_state() is None:
        return report
    result = refined(store)
    return report | {
        "phase": result.phase,
        "finalists": hall_of_fame(store),
        "program": result.programs.to_text() if result.programs else None,
        "fitness": list(result.fitness),
        "noise": result.noise if math.isfinite(result.noise) else None,
        "removals": [[row.statement, row.fitness, row.gone] for row in result.removals],
    }


def run_text(store: ProgramStore) -> Group:
    """Return a run for the terminal."""
    config = store.fact("config")
    head = Text(f"{store.directory}: refinement of {', '.join(config['runs'])}, seed {config['seed']}", style="bold")
    tasks = [", ".join(names_of(config[name])) for name in ("tasks", "then") if config[name]]
    facts = Text(f"tasks {', then '.join(tasks)}; {store.done():,} trials in {store.seconds() / 60:.1f} minutes")
    if store.last_state() is None:
        return Group(head, facts, Text("no program has been tried yet"))
    return Group(head, facts, Text(), refinement_text(refined(store)))


def hall_of_fame(store: ProgramStore) -> Rows:
    """Return the finalists, those that came furthest first."""
    return [
        {
            "run": row.run,
            "candidate": row.index,
            "search_fitness": row.search if math.isfinite(row.search) else None,
            "rounds": [x if math.isfinite(x) else None for x in row.rounds],
            "program": row.programs.to_text(),
        }
        for row in refined(store).finalists
    ]


def lineage(store: ProgramStore) -> Rows:
    """Return the winner's ancestors in its search, oldest first."""
    keys = ("candidate", "origin", "fitness")
    return [dict(zip(keys, row, strict=True)) for row in refined(store).finalists[0].lineage]


def _done(store: ProgramStore) -> str:
    return counted(store.done(), "trial")


def _figure(store: ProgramStore) -> Figure | None:
    result = refined(store) if store.last_state() else None
    if result is None or not result.fitness:
        return None
    error = result.noise if math.isfinite(result.noise) else 0.0
    where = f"the validation data of {', '.join(tasks_of(store.fact('config')))}"
    return Figure(NAME, result.fitness[-1], True, "tuned AdamW", where, error=error)


def _report(store: ProgramStore) -> Findings:
    from ..report.programs import findings_of_refinement

    return findings_of_refinement(store)


def _next_steps(store: ProgramStore) -> list[tuple[str, str]]:
    result, run = refined(store), shlex.quote(str(store.directory))
    if result.programs is None:
        return []
    rule: Any = method_named("refinement").rule(store)
    return [
        (f"rulesmith compare {run} lion muon --tasks held-out --sizes 2k 20k", "judges it on tasks no search has seen"),
        (f"rulesmith report {run}", "one page on what was found, how, and why to believe it"),
        export_step(run, "my_optimizer", rule.function_name, rule.evidence.get(START)),
    ]


VIEW = View(run_text, run_json, _done, _figure, _report, _next_steps, hall_of_fame, lineage, RefinementDisplay)
"""How such runs are looked at."""
