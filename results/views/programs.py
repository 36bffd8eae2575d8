"""Runs over programs: searches of optimizers and of drifts, and distillations."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ...programs import RulesmithError, rule_file
from ...programs.objective import Objective
from ...search.archive import Entry, merge
from ...search.config_codec import names_of
from ...search.engine import Record
from ...search.problems.return_scale import ReturnScale
from ...search.program_store import ProgramStore
from ...search.runs import method_named
from ...search.store import infinite
from .. import pictures
from ..display import Display
from ..layout import careful, code, section, show, table, text_part
from ..reporting import rule_text
from ..selection_text import overfitting_of
from . import Rows, View


class Measure(NamedTuple):
    """The words that are used for the fitness of programs.

    Attributes:
        words: what it is.
        column: heading of a table's column.
        line: what follows the number in a line.
        verdict: function of the number to a sentence.
        cost: what a program's cost is.
    """

    words: str
    column: str
    line: str
    verdict: Callable[[float], str]
    cost: str = "multiplications for a sample"


def _against_adamw(fitness: float) -> str:
    start = "below" if fitness < 1 else "above"
    return f"Its loss on the search's tasks is {fitness:.3f} of tuned AdamW's ({start} 1; on validation data"


MEASURES = {
    "symbolic": Measure(
        "loss / AdamW's",
        "loss / AdamW's",
        "of tuned AdamW's loss",
        _against_adamw,
        "time of a step / of a batch's gradient",
    ),
    "drift": Measure(
        "minus the return at the end of a lifetime (0 random, -1 tuned PPO)",
        "minus return",
        "(minus the return at the end of a lifetime; 0 random, -1 tuned PPO)",
        lambda fitness: (
            f"Agents trained by it return {-fitness:.3f}{', below random policies' if fitness > 0 else ''} (0 random, "
            "1 tuned PPO; in lifetimes"
        ),
    ),
    "distillation": Measure(
        "squared error of the slope, relative to the learned drift's square",
        "error of the slope",
        "of the learned drift's mean square slope is not explained",
        lambda fitness: f"It leaves {fitness:.1%} of the learned drift's squared slope unexplained (at ratios",
    ),
}
"""The words of each method."""


class ProgramDisplay(Display):
    """The display of a search over programs."""

    def __init__(self, directory: Path, budget: int | None, minutes: float | None, method: str) -> None:
        super().__init__(directory, budget, minutes, method)
        self.measure = MEASURES[method]
        self.tried = self.refused = self.proposed = 0
        self.sources: Counter[str] = Counter()
        self.archive: tuple[Entry, ...] | None = None

    def count(self, record: Record[Any, Any, Any, Any]) -> None:
        """Take in a step's figures."""
        if self.archive is None:  # a resumed run has an archive already
            with ProgramStore.open(self.directory) as store:
                self.archive, self.proposed = store.archive(), store.done()
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
        bound = f" of {self.budget:,}" if self.budget else ""
        return f"{self.proposed:,} programs{bound}{self.spent(now)}"

    def line(self, record: Record[Any, Any, Any, Any], now: float) -> str:
        """Return the plain line of a step."""
        archive = self.archive or ()
        found = f"{archive[0].fitness:.4f} {self.measure.line}" if archive else "none yet"
        return f"{self._budget(record, now)}, {self._rate(now):.0f}/s, {self._shares()}; best {found}"

    def panel(self, record: Record[Any, Any, Any, Any], now: float) -> Panel:
        """Return the live panel: budget, shares, hall of fame, the best program."""
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in (self.measure.column, "statements", "candidate"):
            table.add_column(column, justify="right", no_wrap=True)
        archive = self.archive or ()
        for entry in archive[:6]:
            table.add_row(f"{entry.fitness:.4f}", str(entry.candidate.length), str(entry.candidate.index))
        head = f"{self._budget(record, now)}   {self._rate(now):.0f} programs/s   {self._shares()}"
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
        self.console.print(
            f"\n{self.measure.verdict(best.fitness)}"
            f"\nthat the search looked at, so no proof yet). Next:"
            f"\n  rulesmith show {self.quoted}\n  rulesmith export {self.quoted} -o my_rule.py",
            soft_wrap=True,
        )


def _entry_row(entry: Entry, losses: dict[str, float]) -> dict[str, Any]:
    program = entry.candidate.programs.simplified()
    return {
        "candidate": entry.candidate.index,
        "fitness": entry.fitness,
        "length": entry.candidate.length,
        "cost": entry.candidate.cost,
        "digest": entry.candidate.digest,
        "losses": losses,
        "program": program.to_text(),
    }


def hall_of_fame(store: ProgramStore) -> Rows:
    """Return the best programs, best first."""
    archive = store.archive()
    scores = store.scores({entry.candidate.index for entry in archive})
    return [_entry_row(entry, dict(scores[entry.candidate.index].losses)) for entry in archive]


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
    archive, front, counts = store.archive(), store.front(), store.counts()
    config, seconds, method = store.fact("config"), store.seconds(), store.fact("method")
    selection = store.fact("selection")
    rate = (counts["programs"] + counts["invalid"]) / seconds if seconds else 0.0
    head = Text(f"{store.directory}: {method} search, {config['strategy']}, seed {config['seed']}", style="bold")
    where = "tasks" if "tasks" in config else "environments"
    named = names_of(config[where]) or ("the rule's own",)
    facts = (
        f"{where} {', '.join(named)}; {counts['programs']:,} programs in {seconds / 60:.1f} minutes "
        f"({rate:.0f}/s with {counts['invalid']:,} invalid ones); {counts['evaluated']:,} trained, "
        f"{counts['cached']:,} known from the cache"
    )
    parts: list[Any] = [head, Text(facts)]
    if method != "symbolic":
        warnings = [ReturnScale(**row).warning(name) for name, row in (store.fact("reference") or {}).items()]
        parts += [careful(warning) for warning in warnings if warning]
    if not archive:
        return Group(*parts, Text("no program has been tried on all tasks yet"))
    columns = ("length", "cost", "fitness", "candidate")
    shown = table(*columns, right=columns)
    for entry in front:
        candidate = entry.candidate
        cells = (str(candidate.length), f"{candidate.cost:.3g}", f"{entry.fitness:.4f}", str(candidate.index))
        shown.add_row(*cells)
    measure = MEASURES[method]
    title = f"\nbest for each length and cost (Pareto front); fitness: {measure.words}; cost: {measure.cost}"
    parts += [Text(title, style="bold"), shown]
    if selection:
        pairs = [(row[1], infinite(row[2])) for row in selection["finalists"]]
        parts += [Text(f"\non {', '.join(selection['tasks'])}", style="bold"), Text(overfitting_of(pairs))]
    line = store.lineage(archive[0].candidate.index)
    steps = [f"{number} ({origin}, {fitness:.3f})" for number, origin, fitness in line]
    few = steps if len(steps) <= 8 else [*steps[:3], "...", *steps[-4:]]
    parts += [Text(f"\nlineage of the best, {len(steps)} generations", style="bold"), Text(" > ".join(few)), Text()]
    return Group(*parts, rule_text(method_named(method).rule(store)))


def _counts(store: ProgramStore) -> tuple[str, str]:
    archive = store.archive()
    return f"{store.done():,} programs", f"{archive[0].fitness:.4f}" if archive else ""


def _parts(store: ProgramStore) -> list[Any]:
    best: list[float] = []
    for _, fitness, *_ in store.fitnesses():
        best.append(min(fitness, best[-1]) if best else fitness)
    if not best:
        raise RulesmithError(f"{store.directory}: the run has no evaluated program yet")
    step = max(1, len(best) // 2000)
    parts: list[Any] = [
        section("What was searched and found"),
        text_part(run_text(store)),
        section("How it came about"),
        pictures.curve(
            "best fitness by programs tried on all tasks", {"best so far": best[::step]}, "programs", "fitness", step
        ),
    ]
    if selection := store.fact("selection"):
        tasks = f"The funnel tried programs of the whole search on {', '.join(selection['tasks'])} too."
        parts += [section("Does it hold elsewhere?", tasks), pictures.selection(selection["finalists"])]
    rule = method_named(store.fact("method")).rule(store)
    if isinstance(rule, Objective):
        ppo = rule_file.find_objective("ppo-clip")
        parts += [pictures.drift_map(rule), *(pictures.pull_curves(rule, ppo, advantage) for advantage in (1.0, -1.0))]
    return parts


VIEW = View(run_text, run_json, _counts, _parts, hall_of_fame, lineage, ProgramDisplay)
"""How such runs are looked at."""
