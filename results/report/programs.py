"""Reports of searches over programs, and of refinements: how the best came about, and what else there is."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...programs.objective import Objective
from ...search.archive import Entry
from ...search.config_codec import names_of
from ...search.methods.refinement import refined
from ...search.program_store import ProgramStore
from ...search.runs import method_named
from ...search.store import infinite
from ..selection_text import overfitting_of
from ..views import Course, Findings, programs, refinement, tasks_of
from . import plots
from .document import Grid, Link, Listing, Part, Plot, Prose, Section

_PARTS = 40
"""Parts of a run of which shares are shown."""
_POINTS = 600
"""The most single programs in a plot."""


def findings(store: ProgramStore) -> Findings:
    """Return what a report shows of a search over programs."""
    method, config, counts = store.fact("method"), store.fact("config"), store.counts()
    store.best()  # raises where there is none yet
    kind = f"{method} search by {config['strategy']} on {', '.join(tasks_of(config)) or 'the rule it distils'}"
    every = max(counts["programs"] + counts["invalid"], 1)
    tried = f"{counts['programs']:,}"
    how = (
        f"{counts['evaluated']:,} trained, {counts['cached']:,} known already, {counts['invalid'] / every:.0%} invalid"
    )
    sections = [
        Section("Course", _course(store), "How the search went, and when the best was found."),
        Section("Hall of fame", _fame(store), "The best programs, and what shorter or cheaper ones cost."),
        Section("Lineage", _lineage(store), "How the best program came about, one change after another."),
    ]
    losses = store.best().losses
    if programs.finds_optimizers(config) and losses:
        sections.append(Section("Tasks", _tasks(store, losses), "Where the best program is good, and where it is not."))
    if selection := store.fact("selection"):
        text = f"Programs from the whole search, tried on {', '.join(selection['tasks'])} too."
        sections.append(Section("Elsewhere", _selection(selection), text))
    rule = method_named(method).rule(store)
    if isinstance(rule, Objective):
        from .networks import drift_parts

        sections.append(Section("What it does", drift_parts(rule)))
    return Findings(kind, [("programs tried", tried, how)], [], sections, Course("programs", _best_so_far(store)))


def findings_of_refinement(store: ProgramStore) -> Findings:
    """Return what a report shows of a refinement."""
    method_named("refinement").rule(store)  # raises where there is none yet
    result, config = refined(store), store.fact("config")
    kind = f"refinement of {', '.join(map(str, config['runs']))} on {', '.join(names_of(config['tasks']))}"
    rows = [(row.index, row.search, row.rounds[0]) for row in result.finalists if row.rounds]
    steps = ("the winner", "with its constants tuned", "without what does nothing")
    known = [(name, f"{fitness:.4f}") for name, fitness in zip(steps, result.fitness)]
    chosen: list[Part] = [
        _against_search(sorted(rows)),
        Prose(refinement.overfitting(result) + "."),
        Grid(("step", "loss / AdamW's"), known, ("loss / AdamW's",), note="; ".join(refinement.within_noise(result))),
    ]
    sections = [Section("Choice", chosen, "Finalists of the search on larger tasks that it had not seen.")]
    worth = [(row.statement, row.fitness, row.gone) for row in result.removals]
    if worth:
        sections.append(Section("Statements", statements_parts(worth, result.fitness[-1], result.noise), STATEMENTS))
    noise = f"{result.noise:.4f}" if math.isfinite(result.noise) else "not yet known"
    facts = [("noise of a fitness", noise, "standard deviation over groups of seeds")]
    return Findings(kind, facts, [], sections, Course("trials", [(store.done(), result.fitness[-1])]))


STATEMENTS = "What the loss becomes when one statement is left out and its operand stands for its result."


def statements_parts(rows: Sequence[tuple[str, float, bool]], whole: float, noise: float) -> list[Part]:
    """Return what each statement of a program is worth.

    Args:
        rows: (statement, fitness without it, whether it was removed) each.
        whole: fitness of the whole program.
        noise: standard deviation of a fitness; NaN where it is not known.
    """
    spread = 2 * noise if math.isfinite(noise) else 0.0
    rows = [(f"{i}. {name}", worth, gone) for i, (name, worth, gone) in enumerate(spelled_out(rows), 1)]
    known = [(name, worth) for name, worth, gone in rows if math.isfinite(worth) and not gone]
    bars = [(name, "", worth, worth - spread, worth + spread) for name, worth in sorted(known, key=lambda row: -row[1])]
    note = f"The dashed line is the whole program's {whole:.4f}"
    note += f"; bars are twice the noise of {noise:.4f}." if spread else "."
    parts: list[Part] = []
    if bars:
        most = whole + _BEYOND * max(float(np.quantile([worth for _, worth in known], 0.75)) - whole, spread)
        if most < max(worth for _, worth in known):
            note += " An arrow stands for a larger value, its number beside it."
        else:
            most = math.inf
        x = "loss / AdamW's"
        parts.append(plots.bars("loss / AdamW's without the statement", bars, x, level=whole, most=most, note=note))
    table = [
        (name, f"{worth:.4f}" if math.isfinite(worth) else "diverges", "removed" if gone else "")
        for name, worth, gone in rows
    ]
    return [*parts, Grid(("statement", "loss / AdamW's without it", ""), table, ("loss / AdamW's without it",))]


_BEYOND = 3.0
"""Losses without a statement that lie so many times as far from the whole as most do are beyond the axis."""
_STATEMENT = re.compile(r"(?P<target>\w+) = (?P<call>.*?)(?: \((?P<where>matrix|other)\))?")
_NAMELESS = re.compile(r"\b_\d+\b")
"""A value without a name of its own, which the text of a program shows as part of others."""


def spelled_out(rows: Sequence[tuple[str, float, bool]]) -> list[tuple[str, float, bool]]:
    """Return statements as a program's text has them: for which leaves first, values without names written out.

    >>> rows = [("_1 = square(g) (other)", 1.0, False), ("v = sqrt(_1) (other)", 1.0, False)]
    >>> [name for name, *_ in spelled_out(rows)]
    ['other: square(g)', 'other: v = sqrt(square(g))']
    """
    found = [(_STATEMENT.fullmatch(name), name, worth, gone) for name, worth, gone in rows]
    calls = {(m["where"], m["target"]): m["call"] for m, _, _, gone in found if m and not gone}

    def written(call: str, where: str, deep: int = 0) -> str:
        def inner(name: re.Match[str]) -> str:
            known = calls.get((where, name[0]))
            return written(known, where, deep + 1) if known and deep < 20 else name[0]

        return _NAMELESS.sub(inner, call)

    told = []
    for match, name, worth, gone in found:
        if match is None or gone:  # what a removed one was made of may have another name by now
            told.append((name, worth, gone))
            continue
        target = "" if _NAMELESS.fullmatch(match["target"]) else f"{match['target']} = "
        where = f"{match['where']}: " if match["where"] else ""
        told.append((f"{where}{target}{written(match['call'], match['where'])}", worth, gone))
    return told


def _course(store: ProgramStore) -> list[Part]:
    config = store.fact("config")
    every = list(store.outcomes())
    rows = [row for row in every if row.complete]

    def value(fitness: float) -> float:
        return programs.figure_of(config, fitness).value

    name = programs.figure_of(config, 0.0).name
    best = _best_so_far(store)
    points = [
        {"x": row.number, "y": value(row.fitness), "of": "a program"} for row in _sampled(rows, every_nth=_POINTS)
    ]
    course = plots.course(f"{name}, by programs tried", points, best, "programs", name)
    parts: list[Part] = [course, _shares(every)]
    return parts


def _best_so_far(store: ProgramStore) -> list[tuple[float, float]]:
    """Return (program's number, figure) of each program that was the best when it came, and of the best at the end."""
    config = store.fact("config")
    least, found = math.inf, []
    for row in store.outcomes():
        if row.complete and row.fitness < least:
            least = row.fitness
            found.append((float(row.number), programs.figure_of(config, least).value))
    return [*found, (float(store.done() - 1), found[-1][1])] if found else []


def _sampled(rows: Sequence[Any], every_nth: int) -> Sequence[Any]:
    """Return at most about so many of the rows, those of the best half first where most are hopeless."""
    if not rows:
        return rows
    bound = np.quantile([row.fitness for row in rows], 0.9)
    near = [row for row in rows if row.fitness <= bound]
    return near[:: max(1, len(near) // every_nth)]


def _shares(every: Sequence[Any]) -> Plot:
    names = {"trained": "evaluated", "duplicate": "digest", "cached": "fingerprint"}
    rows = []
    for part in np.array_split(np.arange(len(every)), min(_PARTS, len(every))):
        members = [every[i] for i in part]
        sources, refused = Counter(row.source for row in members), sum(row.refused for row in members)
        counts = {name: sources[source] for name, source in names.items()} | {"invalid": refused}
        whole = max(sum(counts.values()), 1)
        for order, (name, count) in enumerate(counts.items()):
            rows.append({"x": members[-1].number, "of": name, "share": round(count / whole, 4), "order": order})
    note = "Duplicates compute what a known program does, by its text; cached ones by its values."
    return plots.shares("what became of proposed programs", rows, "programs", [*names, "invalid"], note)


def _fame(store: ProgramStore) -> list[Part]:
    config = store.fact("config")
    found = programs.families(store.archive())
    front = {entry.candidate.index for entry in store.front()}
    name, smaller = programs.figure_of(config, 0.0).name, programs.figure_of(config, 0.0).smaller
    cost = programs.cost_of(config)

    def value_of(entry: Entry) -> float:
        return programs.figure_of(config, entry.fitness).value

    shown = [*found[: 2 * programs.FAME]]
    shown += [family for family in found if family.best.candidate.index in front and family not in shown]
    in_family = {family.best.candidate.index for family in shown}
    extra = [entry for entry in store.front() if entry.candidate.index not in in_family]
    points = [
        {
            "length": entry.candidate.length,
            "value": round(value_of(entry), 5),
            "cost": float(f"{entry.candidate.cost:.3g}"),
            "of": "on the front" if entry.candidate.index in front else "all others",
            "opens": f"program-{entry.candidate.index}",
            "number": entry.candidate.index,
        }
        for entry in [*(family.best for family in shown), *extra]
    ]
    better = "below" if smaller else "above"
    note = "On the front is what no shorter and cheaper program beats; the line joins the best of each length. "
    note += f"A point opens its program; better is {better}."
    points.sort(
        key=lambda row: (row["of"] != "on the front", row["length"], row["value"] if smaller else -row["value"])
    )
    least = math.inf
    for row in points:  # the best of each length that beats all shorter ones
        worth = row["value"] if smaller else -row["value"]
        row["stair"] = row["of"] == "on the front" and worth < least
        least = min(least, worth)
    front_plot = plots.points(
        f"{name} against length",
        points,
        ("length", "statements that matter"),
        ("value", name),
        more=[("cost", "cost", ".3~g"), ("number", "candidate", "d")],
        line="stair",
        note=note,
    )
    columns = (name, "alike", "length", "cost", "program")
    rows = []
    for family in shown:
        candidate = family.best.candidate
        link = Link(f"candidate {candidate.index:,}", f"program-{candidate.index}")
        cells = (programs.fitness_range(config, family), str(family.count), str(candidate.length))
        rows.append((*cells, f"{candidate.cost:.3g}", link))
    table_note = f"Alike: so many programs differ in constants only, and are one row with their range. Cost: {cost}."
    listings = [
        Listing(
            entry.candidate.programs.simplified().to_text(),
            f"candidate {entry.candidate.index:,}: {name} {value_of(entry):.4f}",
            f"program-{entry.candidate.index}",
            folded=True,
        )
        for entry in [*(family.best for family in shown), *extra]
    ]
    return [front_plot, Grid(columns, rows, columns[:4], note=table_note), *listings]


def _lineage(store: ProgramStore) -> list[Part]:
    config = store.fact("config")
    rows = programs.lineage(store)
    name = programs.figure_of(config, 0.0).name
    walk: list[Part] = []
    values = [programs.figure_of(config, row["fitness"]).value for row in rows]
    points = [(float(i), value) for i, value in enumerate(values)]
    walk.append(plots.lines(f"{name}, ancestor by ancestor", {"lineage": points}, "ancestor", name))
    before, shown = "", float("nan")
    for row, value in zip(rows, values, strict=True):
        if row["program"] == before:
            continue
        gain = f", {value - shown:+.4f}" if math.isfinite(value - shown) else ""
        title = f"candidate {row['candidate']:,} by {row['origin']}: {value:.4f}{gain}"
        text = changed_lines(before, row["program"]) if before else row["program"]
        walk.append(Listing(text, title, language="diff" if before else "python"))
        before, shown = row["program"], value
    return walk


def changed_lines(before: str, after: str) -> str:
    """Return the lines in which two texts differ, with a line around them.

    >>> print(changed_lines("a\\nb\\nc\\nd\\ne", "a\\nb\\nx\\nd\\ne"))
     b
    -c
    +x
     d
    """
    found = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))[2:]
    return "\n".join("..." if line.startswith("@@") else line for line in found[1:]).removeprefix("...\n")


def _tasks(store: ProgramStore, losses: Mapping[str, float]) -> list[Part]:
    reference, seeds = store.fact("reference") or {}, store.fact("config")["seeds"]
    noise = reference.get("noise", {})
    rows = []
    for task, loss in losses.items():
        factor = math.exp(2 * noise.get(task, 0.0) / math.sqrt(seeds))
        rows.append((task, "", loss, loss / factor, loss * factor))
    note = "Validation losses, which the search looked at. Intervals are twice AdamW's own noise there over the seeds."
    return [plots.bars("loss / AdamW's by task", rows, "loss / AdamW's", note=note)]


def _selection(selection: Mapping[str, Any]) -> list[Part]:
    pairs = [(row[1], infinite(row[2])) for row in selection["finalists"]]
    rows = [(row[0], infinite(row[1]), infinite(row[2])) for row in selection["finalists"]]
    return [_against_search(sorted(rows)), Prose(overfitting_of(pairs) + ".")]


def _against_search(rows: Sequence[tuple[int, float, float]]) -> Plot:
    curves = {
        "on the search's tasks": [(float(index), search) for index, search, _ in rows],
        "on selection tasks": [(float(index), other) for index, _, other in rows],
    }
    title = "finalists: loss / AdamW's in the search and on selection tasks"
    return plots.lines(title, curves, "candidate", "loss / AdamW's", levels={"tuned AdamW": 1.0})
