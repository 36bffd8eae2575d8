"""Runs over programs: searches of optimizers and of drifts, and distillations."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ...programs import Program
from ...programs.parts import Programs
from ...programs.program import Operand
from ...programs.quantities import counted, pace
from ...programs.rule import START
from ...search.archive import Entry, merge
from ...search.engine import Record
from ...search.problems.return_scale import ReturnScale
from ...search.program_store import ProgramStore
from ...search.runs import method_named
from ...search.store import infinite
from ..display import Display
from ..layout import careful, code, export_step, show, table
from ..reporting import rule_text
from ..selection_text import overfitting_of
from ..standing import Figure
from . import Findings, Rows, View, compare_step, tasks_of

FAME = 12
"""Families of programs that are shown."""


def finds_optimizers(config: Mapping[str, Any]) -> bool:
    """Return whether a search over programs with this config finds optimizers; others find drifts."""
    return "tasks" in config


def figure_of(config: Mapping[str, Any], fitness: float) -> Figure:
    """Return the figure of a fitness, in which smaller is better."""
    where = ", ".join(tasks_of(config)) or "the rule's own environments"
    if finds_optimizers(config):
        return Figure("loss / AdamW's", fitness, True, "tuned AdamW", f"the validation data of {where}")
    if "rule" in config:  # which is distilled
        return Figure("unexplained share of the slope", fitness, True, "", where)
    return Figure("normalized return", -fitness, False, "tuned PPO", where, nothing=0.0)


def cost_of(config: Mapping[str, Any]) -> str:
    """Return what a program's cost is, in words."""
    return "time of a step / of a batch's gradient" if finds_optimizers(config) else "multiplications for a sample"


class Family(NamedTuple):
    """Programs of one length that differ in nothing but constants.

    Attributes:
        best: the best of them.
        worst: the largest fitness among them.
        count: how many they are.
    """

    best: Entry
    worst: float
    count: int


def families(entries: Iterable[Entry]) -> list[Family]:
    """Return programs in families, best first."""
    found: dict[tuple[str, int], Family] = {}
    for entry in entries:  # two programs that are alike but for constants are no family of the one program
        mark = (_without_constants(entry.candidate.programs), entry.candidate.length)
        known = found.get(mark)
        if known is None:
            found[mark] = Family(entry, entry.fitness, 1)
        else:
            best = min(known.best, entry, key=lambda each: (each.fitness, each.candidate.index))
            found[mark] = Family(best, max(known.worst, entry.fitness), known.count + 1)
    return sorted(found.values(), key=lambda family: family.best.fitness)


def _without_constants(programs: Programs) -> str:
    """Return a hash of programs that does not depend on their literals."""

    def blank(operand: Operand) -> Operand:
        return 0.4142 if isinstance(operand, float) else operand

    def blanked(program: Program) -> Program:
        statements = tuple(each._replace(operands=tuple(map(blank, each.operands))) for each in program.statements)
        return replace(program, statements=statements, returns=tuple(map(blank, program.returns)))

    return programs.simplified().mapped(blanked).digest


class ProgramDisplay(Display):
    """The display of a search over programs."""

    def __init__(self, directory: Path, budget: int | None, minutes: float | None, method: str) -> None:
        super().__init__(directory, budget, minutes, method)
        self.config: dict[str, Any] = {}
        self.tried = self.refused = self.proposed = 0
        self.sources: Counter[str] = Counter()
        self.archive: tuple[Entry, ...] | None = None

    def count(self, record: Record[Any, Any, Any, Any]) -> None:
        """Take in a step's figures."""
        if self.archive is None:  # a resumed run has an archive already
            with ProgramStore.open(self.directory) as store:
                self.archive, self.proposed, self.config = store.archive(), store.done(), store.fact("config")
        else:
            self.archive = merge(self.archive, record.candidates, record.feedback)
            self.proposed += len(record.candidates)
        self.tried += len(record.candidates)
        self.refused += sum(candidate.refused for candidate in record.candidates)
        self.sources.update(feedback.source for feedback in record.feedback)

    def _rate(self, now: float) -> float:
        assert self.searching is not None
        return (self.tried + self.refused) / max(now - self.searching, 1e-9)

    def _shares(self) -> str:
        every = max(self.tried + self.refused, 1)
        duplicates = self.sources["digest"] / every
        cached = self.sources["fingerprint"] / every
        return f"invalid {self.refused / every:.0%}, duplicate {duplicates:.0%}, cached {cached:.0%}"

    def _budget(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        if self.budget and self.proposed <= self.budget:
            return f"{self.proposed:,} of {counted(self.budget, 'program')}{self.spent(now)}"
        over = f", over the {self.budget:,} asked for" if self.budget else ""
        return f"{counted(self.proposed, 'program')}{over}{self.spent(now)}"

    def line(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        """Return the plain line of a step."""
        archive = self.archive or ()
        found = self._figure(archive[0].fitness) if archive else None
        best = f"best {found.name} {found.value:.4f}" if found else "best none yet"
        return f"{self._budget(record, now)}, {pace(self._rate(now))}, {self._shares()}; {best}"

    def _figure(self, fitness: float) -> Figure:
        return figure_of(self.config, fitness)

    def panel(self, record: Record[Any, Any, Any, Any], now: float) -> Panel:
        """Return the live panel: budget, shares, hall of fame, the best program."""
        table = Table(box=None, padding=(0, 2, 0, 0))
        archive = self.archive or ()
        name = self._figure(0.0).name
        for column in (name, "alike", "statements", "candidate"):
            table.add_column(column, justify="right", no_wrap=True)
        for family in families(archive)[:6]:
            best = family.best
            value = f"{self._figure(best.fitness).value:.4f}"
            table.add_row(value, str(family.count), str(best.candidate.length), str(best.candidate.index))
        head = f"{self._budget(record, now)}   {pace(self._rate(now), ' programs')}   {self._shares()}"
        body: list[Any] = [Text(head), Text(), table]
        if archive:
            body += [Text(), Text(archive[0].candidate.programs.simplified().to_text().rstrip(), style="cyan")]
        return Panel(Group(*body), title="hall of fame", title_align="left", width=min(self.console.width, 110))

    def summary(self, record: Record[Any, Any, Any, Any]) -> None:
        """Print the best program and its figure."""
        archive = self.archive or ()
        if not archive:
            self.console.print("no program has been tried on all tasks yet")
            return
        best, now = archive[0], time.perf_counter()
        self.console.print(f"\n{now - self.began:6.1f} s  {self.line(record, now)}\n", soft_wrap=True)
        show(self.console, code(best.candidate.programs.simplified().to_text()))


def hall_of_fame(store: ProgramStore) -> Rows:
    """Return the best programs, best first; of those that differ in constants only the best, with their number."""
    found = families(store.archive())
    scores = store.scores({family.best.candidate.index for family in found})
    return [_family_row(family, dict(scores[family.best.candidate.index].losses)) for family in found]


def _family_row(family: Family, losses: dict[str, float]) -> dict[str, Any]:
    candidate = family.best.candidate
    return {
        "candidate": candidate.index,
        "fitness": family.best.fitness,
        "worst_fitness": family.worst,
        "alike": family.count,
        "length": candidate.length,
        "cost": candidate.cost,
        "digest": candidate.digest,
        "losses": losses,
        "program": candidate.programs.simplified().to_text(),
    }


def lineage(store: ProgramStore) -> Rows:
    """Return the best program's ancestors and itself, oldest first."""
    archive = store.archive()
    line = store.lineage(archive[0].candidate.index) if archive else []
    known = {
        candidate.index: candidate.programs for candidate, _ in store.candidates({number for number, _, _ in line})
    }
    return [
        {"candidate": number, "origin": origin, "fitness": fitness, "program": known[number].simplified().to_text()}
        for number, origin, fitness in line
    ]


def run_json(store: ProgramStore) -> dict[str, Any]:
    """Return a run as plain data: what it is, its hall of fame, its Pareto front, its best program's lineage."""
    return {
        "method": store.fact("method"),
        "config": store.fact("config"),
        **store.counts(),
        "hall_of_fame": hall_of_fame(store),
        "pareto_front": [entry.candidate.index for entry in store.front()],
        "lineage": [[row["candidate"], row["origin"], row["fitness"]] for row in lineage(store)],
    }


def run_text(store: ProgramStore) -> Group:
    """Return a run for the terminal."""
    archive, counts = store.archive(), store.counts()
    config, seconds, method = store.fact("config"), store.seconds(), store.fact("method")
    selection = store.fact("selection")
    rate = (counts["programs"] + counts["invalid"]) / seconds if seconds else 0.0
    head = Text(f"{store.directory}: {method} search, {config['strategy']}, seed {config['seed']}", style="bold")
    where = "tasks" if finds_optimizers(config) else "environments"
    named = tasks_of(config) or ("the rule's own",)
    facts = (
        f"{where} {', '.join(named)}; {counted(counts['programs'], 'program')} in {seconds / 60:.1f} minutes "
        f"({pace(rate)} with {counts['invalid']:,} invalid ones); {counts['evaluated']:,} trained, "
        f"{counts['cached']:,} known already"
    )
    parts: list[Any] = [head, Text(facts)]
    if not finds_optimizers(config):
        warnings = [ReturnScale(**row).warning(name) for name, row in (store.fact("reference") or {}).items()]
        parts += [careful(warning) for warning in warnings if warning]
    if not archive:
        return Group(*parts, Text("no program has been tried on all tasks yet"))
    name = figure_of(config, 0.0).name
    columns = (name, "alike", "length", "cost", "candidate", "front")
    shown = table(*columns, right=columns)
    best_of_front = {entry.candidate.index for entry in store.front()}
    for family in families(archive)[:FAME]:
        candidate = family.best.candidate
        cells = (fitness_range(config, family), str(family.count), str(candidate.length), f"{candidate.cost:.3g}")
        shown.add_row(*cells, str(candidate.index), "yes" if candidate.index in best_of_front else "")
    title = (
        "\nhall of fame; alike: so many differ in constants only; front: nothing shorter and cheaper is better; cost: "
    )
    parts += [Text(title + cost_of(config), style="bold"), shown]
    if selection:
        pairs = [(row[1], infinite(row[2])) for row in selection["finalists"]]
        parts += [Text(f"\non {', '.join(selection['tasks'])}", style="bold"), Text(overfitting_of(pairs))]
    line = store.lineage(archive[0].candidate.index)
    steps = [f"{number} ({origin}, {figure_of(config, fitness).value:.3f})" for number, origin, fitness in line]
    few = steps if len(steps) <= 8 else [*steps[:3], "...", *steps[-4:]]
    parts += [
        Text(f"\nlineage of the best, {counted(len(steps), 'generation')}", style="bold"),
        Text(" > ".join(few)),
        Text(),
    ]
    return Group(*parts, rule_text(method_named(method).rule(store)))


def fitness_range(config: Mapping[str, Any], family: Family) -> str:
    """Return the figures of a family in words, from the best to the worst."""
    ends = (family.best.fitness, family.worst) if family.count > 1 else (family.best.fitness,)
    return " to ".join(f"{figure_of(config, fitness).value:.4f}" for fitness in ends)


def _done(store: ProgramStore) -> str:
    return counted(store.done(), "program")


def _figure(store: ProgramStore) -> Figure | None:
    archive = store.archive()
    return figure_of(store.fact("config"), archive[0].fitness) if archive else None


def _report(store: ProgramStore) -> Findings:
    from ..report.programs import findings

    return findings(store)


def _next_steps(store: ProgramStore) -> list[tuple[str, str]]:
    run, config = shlex.quote(str(store.directory)), store.fact("config")
    if not store.archive():
        return []
    report = (f"rulesmith report {run}", "one page on what was found, how, and why to believe it")
    if not finds_optimizers(config):
        return [compare_step(run, config), report, export_step(run, "my_objective")]
    rule: Any = method_named(store.fact("method")).rule(store)
    return [
        (
            f"rulesmith refine {run} -o my_rule.toml",
            "chooses on larger tasks, tunes constants, drops what does nothing",
        ),
        (f"rulesmith compare {run} lion muon --tasks held-out --sizes 2k 20k", "judges it on tasks no search has seen"),
        report,
        export_step(run, "my_optimizer", rule.function_name, rule.evidence.get(START)),
    ]


VIEW = View(run_text, run_json, _done, _figure, _report, _next_steps, hall_of_fame, lineage, ProgramDisplay)
"""How such runs are looked at."""
