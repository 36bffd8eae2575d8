"""What a report is of - a run, a rule, or a comparison - and how each becomes a `Report`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...programs import RulesmithError, rule_file
from ...programs.objective import Objective
from ...programs.parts import Programs
from ...programs.quantities import duration
from ...programs.rule import START, Rule
from ...search.method import Method
from ...search.runs import load, open_store
from ...search.store import holds_run, state_of
from ..cards import EARLIER, EVIDENCE
from ..comparison import renamed
from ..layout import fact_words, rate_words
from ..standing import UNKNOWN, Conclusion, Standing, rule_mark, verdict_of
from ..views import comparison_of, next_steps, standing_of, tasks_of, view_of
from . import plots
from .comparisons import comparison_sections, side_by_side
from .document import Commands, Grid, Listing, Part, Report, Section
from .measured import known_measures, measured_sections
from .networks import DRIFT, drift_parts
from .reading import reading_of

REFRESH = 5.0
"""Seconds after which the page of a run that goes on looks for a newer one."""


def report_of(subject: str | Path, comparison: Path | None = None, *, following: bool = False) -> Report:
    """Return the report of a run, a rule, or a comparison.

    Args:
        subject: a run's directory, a published rule's name, a rule file, or a file of `rulesmith compare --json`.
        comparison: such a file, to be shown with a run or a rule.
        following: whether the report is written anew while the run goes on.

    Raises:
        RulesmithError: there is no such thing, the run has found nothing yet, or the file is not what it should be.
    """
    path = Path(subject)
    if path.suffix == ".json":
        return _of_comparison(path, read_comparison(path))
    found = read_comparison(comparison) if comparison else None
    if holds_run(path):
        method, store = open_store(path)
        with store:
            if found and comparison:
                _check_judged(found, comparison, renamed(method.rule(store), path).name)
            return _of_run(method, store, found, following)
    rule = load(subject)
    if found and comparison:
        _check_judged(found, comparison, rule.name)
    return _of_rule(rule, found)


def _check_judged(found: Mapping[str, Any], comparison: Path, name: str) -> None:
    if name not in found["rules"]:
        raise RulesmithError(f"{comparison}: judges {', '.join(found['rules'])}, not {name}")


def read_comparison(path: Path) -> dict[str, Any]:
    """Return what `rulesmith compare --json` wrote.

    Raises:
        RulesmithError: there is no such file, it is something else, or it cannot be read.
    """
    if not path.exists():
        raise RulesmithError(f"{path}: there is no such file")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not all(rule["tasks"] and rule["interquartile_mean"] for rule in found["rules"].values()):
            raise ValueError
        return {"baseline": next(iter(found["rules"])), **found}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        raise RulesmithError(f"{path}: not what `rulesmith compare --json` writes") from None


def _of_comparison(path: Path, found: dict[str, Any]) -> Report:
    names = [name for name in found["rules"] if name != found["baseline"]]
    kinds = [(name, verdict_of(found, name)) for name in names]
    told = " ".join(f"{name}: {verdict.sentence}" for name, verdict in kinds if verdict)
    alone = kinds[0][1] if len(kinds) == 1 else None
    return Report(
        title=f"{', '.join(names)} beside {found['baseline']}",
        kind=f"a comparison, from {path.name}",
        verdict=alone or Conclusion(kinds[0][1].kind if _same(kinds) and kinds[0][1] else "compared", told),
        facts=side_by_side(found),
        warnings=found.get("warnings", ()),
        sections=comparison_sections(found),
    )


def _same(kinds: Sequence[tuple[str, Conclusion | None]]) -> bool:
    return len({verdict.kind if verdict else "" for _, verdict in kinds}) == 1


def _of_run(method: Method[Any], store: Any, given: dict[str, Any] | None, following: bool) -> Report:
    view, state = view_of(method), state_of(store)
    findings = view.report(store)
    rule = method.rule(store)
    kept = comparison_of(method, store)
    found, name = (kept["found"], kept["rule"]) if kept else (None, None)
    standing = standing_of(method, store)
    if given:
        found, name = given, renamed(rule, store.directory).name
        standing = _with(standing, given, name, tasks_of(store.fact("config")))
    facts = [*_figure_facts(standing), *findings.facts, *_rate_facts(rule)]
    facts.append(("state", state.split(":")[0], f"{view.done(store)} in {duration(store.seconds())}"))
    sections = [*findings.sections]
    sections += measured_sections(known_measures(store.directory, rule_mark(rule)))
    sections += comparison_sections(found, name) if found else []
    sections.append(_next_and_facts(method, store, standing.verdict, found is not None))
    return Report(
        title=f"{store.directory.name}: {rule.name}",
        kind=findings.kind,
        verdict=standing.verdict,
        facts=facts,
        rule=_listing(rule),
        equations=_equations(rule),
        reading=reading_of(rule),
        warnings=findings.warnings,
        sections=sections,
        refresh=REFRESH if following and state == "running" else 0.0,
    )


def _with(standing: Standing, found: Mapping[str, Any], name: str, seen: Sequence[str]) -> Standing:
    return Standing(standing.figure, verdict_of(found, name, seen) or standing.verdict)


def _figure_facts(standing: Standing) -> list[tuple[str, str, str]]:
    figure = standing.figure
    return [(figure.name, f"{figure.value:.4f}", f"{figure.scale}; on {figure.where}")] if figure else []


def _rate_facts(rule: Rule | Objective) -> list[tuple[str, str, str]]:
    rate = rule.evidence.get(START)
    return [("learning rate that worked", rate_words(rate), "a first guess for a network of your own")] if rate else []


def _listing(rule: Rule | Objective) -> Listing | None:
    if isinstance(rule, Objective):
        return Listing(rule.program.to_text(), "the rule") if rule.program else None
    return Listing(Programs.of(rule.programs).to_text(), "the rule")


def _equations(rule: Rule | Objective) -> str:
    return "" if isinstance(rule, Objective) and rule.program is None else rule.to_latex()


def _next_and_facts(method: Method[Any], store: Any, verdict: Conclusion, compared: bool) -> Section:
    run, config = shlex.quote(str(store.directory)), store.fact("config")
    steps = [step for step in next_steps(method, store, verdict) if step[0] != f"rulesmith report {run}"]  # this page
    rows = [(key, _plain(value)) for key, value in config.items()]
    rows += [(key, str(store.fact(key))) for key in ("started", "python")]
    rows += [(key, value) for key, value in (store.fact("versions") or {}).items()]
    if not compared and method.view in ("programs", "generations", "levels", "refinement"):
        full = (
            "adds to this page what takes training: statements' worth, tuning, curves, or what freezing the clock costs"
        )
        steps = [*steps, (f"rulesmith report {run} --full", full)]
    parts: list[Part] = [Commands(steps), Grid(("setting", "value"), rows, title="how it was run", folded=True)]
    return Section("Next", parts, "What to do with it now, and all that is needed to run it again.")


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _of_rule(rule: Rule | Objective, given: dict[str, Any] | None) -> Report:
    found = given or _shipped(rule)
    verdict = verdict_of(found, rule.name) if found else None
    rows = [(key, fact_words(value, key)) for key, value in {**rule.provenance, **rule.evidence}.items()]
    sections = []
    if isinstance(rule, Objective) and rule.kind == "drift":
        sections.append(Section("What it does", drift_parts(rule), DRIFT))
    sections += comparison_sections(_among(found, rule.name), rule.name) if found else []
    if rows:
        sections.append(
            Section("Evidence", [Grid(("fact", ""), rows)], "What is known of it, and where it comes from.")
        )
    use = [(f"rulesmith export {rule.name} -o my_{rule.function_name}.py", "writes it as one readable file")]
    sections.append(Section("Next", [Commands(use)]))
    facts = [*(side_by_side(_alone(found, rule.name)) if found else []), *_rate_facts(rule)]
    kind = "an objective of reinforcement learning" if isinstance(rule, Objective) else "an optimizer"
    return Report(
        title=rule.name,
        kind=f"{kind}: {rule.description}" if rule.description else kind,
        verdict=verdict or Conclusion(UNKNOWN, "It has not been judged yet on tasks that no search saw."),
        facts=facts,
        rule=_listing(rule),
        equations=_equations(rule),
        reading=reading_of(rule),
        sections=sections,
    )


def _shipped(rule: Rule | Objective) -> dict[str, Any] | None:
    """Return the newest comparison that ships with rulesmith and has a published optimizer; None if there is none."""
    published = rule_file.published()
    if isinstance(rule, Objective) or rule.name not in published or rule_file.find_optimizer(rule.name) != rule:
        return None
    judged = (read_comparison(path) for path in (EVIDENCE, EARLIER))
    return next((found for found in judged if rule.name in found["rules"]), None)


def _alone(found: dict[str, Any], name: str) -> dict[str, Any]:
    kept = {key: rule for key, rule in found["rules"].items() if key in (name, found["baseline"])}
    return {**found, "rules": kept}


def _among(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a comparison of a rule with the few that all know, so that its plots can be read."""
    wanted = (found["baseline"], name, "nadamw", "muon", "lion")
    rules = {key: rule for key, rule in found["rules"].items() if key in wanted}
    told = [sentence for sentence in found.get("conclusions", ()) if sentence.startswith(f"{name} ")]
    return {**found, "rules": rules, "conclusions": told, "warnings": ()}


def report_of_several(subjects: Sequence[str | Path]) -> Report:
    """Return a report that sets runs side by side.

    Raises:
        RulesmithError: one of them is no run, or has found nothing yet.
    """
    rows, programs, findings, figures = [], [], {}, {}
    names = _names([Path(subject) for subject in subjects])
    for name, subject in names.items():
        if not holds_run(subject):
            load(str(subject))  # raises where there is nothing of that name
            raise RulesmithError(f"{subject}: --compare sets runs side by side; for rules, `rulesmith compare` does it")
        method, store = open_store(subject)
        with store:
            rule, found = method.rule(store), standing_of(method, store)
            findings[name] = view_of(method).report(store)
            figures[name] = found.figure
            told = (f"{found.figure.value:.4f}", found.figure.name) if found.figure else ("", "")
            done = (view_of(method).done(store), duration(store.seconds()))
            rows.append((name, findings[name].kind, *done, *told, found.verdict.kind))
            shown = _listing(rule)
            text = shown.text if shown else reading_of(rule)
            programs.append(Listing(text, f"{name}: {rule.name}", note=reading_of(rule) if shown else ""))
    columns = ("run", "what was searched", "tried", "time", "figure", "what it is", "verdict")
    courses = {
        (figure.name, findings[name].course.x): {
            other: findings[other].course.points
            for other, its in figures.items()
            if its and (its.name, findings[other].course.x) == (figure.name, findings[name].course.x)
        }
        for name, figure in figures.items()
        if figure
    }
    plotted = [
        plots.lines(f"{figure}, by {x}", lines, x, figure, steps=x == "programs")
        for (figure, x), lines in courses.items()
    ]
    parts: list[Part] = [Grid(columns, rows, ("figure",)), *plotted]
    sections = [
        Section("Side by side", parts, "Only figures of one name can be compared."),
        Section("Rules", programs, "What each of them found."),
    ]
    facts = [(row[0], row[4], f"{row[5]}; {row[6]}") for row in rows]
    return Report(title=" beside ".join(names), kind=f"{len(rows)} runs side by side", facts=facts, sections=sections)


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Return runs by the names of their directories, or by their paths where two have one name."""
    last = [path.resolve().name for path in paths]
    return {str(path) if last.count(name) > 1 else name: path for name, path in zip(last, paths, strict=True)}
