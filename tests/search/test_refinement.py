"""Refinement: who takes part in the funnel, what removal does to a program, and a whole one on tiny tasks."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import rulesmith
from rich.console import Console
from rulesmith import RulesmithError, load
from rulesmith.programs import rule_file
from rulesmith.programs.parts import Programs
from rulesmith.results.report.writing import write_report
from rulesmith.results.views import run_json, run_text
from rulesmith.results.views.refinement import overfitting
from rulesmith.search.method import Workers, discover
from rulesmith.search.methods import symbolic
from rulesmith.search.methods.refinement import (
    METHOD,
    Finalist,
    Refined,
    Refinement,
    finalists_of,
    keep_selection,
    refined,
)
from rulesmith.search.methods.symbolic import WARM_START
from rulesmith.search.program_store import ProgramStore
from rulesmith.search.strategies.refining import moved, shorter

EVIDENCE = Path(rulesmith.__file__).parent / "results" / "evidence"
TASKS = ("iris-mlp-2k",)
CLUTTERED = """
def update(w, g, m, lr):
    m = interp(g, m, 0.9)
    u = sign(m) + 0.000001 * tanh(g)
    return lr * u, m
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("refine") / "run"
    config = symbolic.Symbolic(tasks=("digits-mlp-2k",), seeds=1, population=20, tournament=5, batch=16)
    discover(symbolic.METHOD, config, directory, bound=161, resources=Workers(2))
    return directory


def small(run):
    """Return a small refinement of a run, with two rounds of the funnel."""
    sizes = {"finalists": 4, "rounds": 1, "trials": 3, "seeds": 1, "batch": 2}
    return Refinement((run,), TASKS, ("breast-cancer-mlp-2k",), name="tiny", **sizes)


def test_finalists_are_the_best_and_those_that_once_were(run):
    with ProgramStore.open(run) as store:
        rows, (only,) = finalists_of(store, 8), finalists_of(store, 1)
        archive = store.archive()
        best, leaders = math.inf, []
        for candidate, score in store.candidates():
            if score.complete and score.fitness < best:
                best = score.fitness
                leaders.append(candidate.programs.digest)
    digests = [row.programs.digest for row in rows]
    assert len(set(digests)) == len(rows) <= 8
    assert archive[0].candidate.programs.digest in digests
    assert only.programs.digest == archive[0].candidate.programs.simplified().digest
    assert set(digests) & set(leaders[:-1])
    assert all(row.search >= archive[0].fitness for row in rows)


def test_a_statement_is_passed_over_by_one_of_its_operands():
    program = Programs.parse(CLUTTERED).simplified()
    found = {option.digest for _, option in shorter(program)}
    without = Programs.parse("def update(g, m, lr):\n    m = interp(g, m, 0.9)\n    return lr * sign(m), m\n")
    no_sign = Programs.parse(CLUTTERED.replace("sign(m)", "m"))
    assert without.digest in found
    assert no_sign.digest in found
    assert all(option.simplified().statements < program.statements for _, option in shorter(program))


def test_constants_move_and_nothing_else_does():
    import random

    program = Programs.parse(WARM_START).only
    changed = moved(Programs.of(program), 0.5, random.Random(1)).only
    assert [s.function for s in changed.statements] == [s.function for s in program.statements]
    pairs = [
        (a, b)
        for s, t in zip(program.statements, changed.statements, strict=True)
        for a, b in zip(s.operands, t.operands, strict=True)
    ]
    assert all(a == b for a, b in pairs if isinstance(a, str))
    numbers = [(a, b) for a, b in pairs if isinstance(a, float)]
    assert all(a != b for a, b in numbers)
    assert all(b < 1 for a, b in numbers if a < 1)


def test_a_run_is_refined_to_a_rule(run, tmp_path):
    discover(METHOD, small(run), tmp_path / "ref", resources=Workers(2))
    with ProgramStore.open(tmp_path / "ref") as store:
        result = refined(store)
    assert result.phase == "done"
    assert len(result.finalists[0].rounds) == 2
    assert [len(row.rounds) for row in result.finalists].count(2) == math.ceil(len(result.finalists) / 4)
    first, tuned, _ = result.fitness
    assert tuned <= first == result.finalists[0].rounds[-1]
    assert result.programs.statements <= result.finalists[0].programs.statements
    with pytest.raises(RulesmithError, match="is not a search for an optimizer"):
        discover(METHOD, small(tmp_path / "ref"), tmp_path / "twice", resources=Workers(2))
    rule = load(tmp_path / "ref")
    path = tmp_path / "tiny.toml"
    rule_file.write_text(path, rule_file.dumps(rule))
    again = load(path)
    assert Programs.of(again.programs).digest == result.programs.digest
    assert again.provenance["origin"] == "rulesmith"
    assert again.evidence["lineage"][0].startswith("0 start")
    assert len(again.evidence["finalists_of_its_run"]) == len(result.finalists)
    assert shown(tmp_path / "ref").count("fitness without it") == 1
    with ProgramStore.open(run) as store:
        kept = store.fact("selection")
    assert kept["tasks"] == list(TASKS)
    assert [row[0] for row in kept["finalists"]] == sorted(row.index for row in result.finalists)
    assert "on iris-mlp-2k" in shown(run)
    write_report([run], tmp_path / "report.html")
    assert "on selection tasks" in (tmp_path / "report.html").read_text()
    write_report([tmp_path / "ref"], tmp_path / "report.html")
    assert "loss / AdamW&#x27;s without it" in (tmp_path / "report.html").read_text()
    for comparison, figure in (("root-momentum", "performance profile"), ("lpg-small", "entropy of the policy")):
        write_report([EVIDENCE / f"{comparison}.json"], tmp_path / "report.html")
        assert figure in (tmp_path / "report.html").read_text()
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(RulesmithError, match="not what `rulesmith compare --json` writes"):
        write_report([run], tmp_path / "report.html", tmp_path / "other.json")
    heard = []
    with ProgramStore.open(run, write=True), ProgramStore.open(tmp_path / "ref") as store:
        keep_selection(store, heard.append)
    assert "another run is writing here" in heard[-1]


@pytest.mark.slow
def test_a_refinement_that_was_stopped_again_and_again_ends_as_one_never_stopped(run, tmp_path):
    discover(METHOD, small(run), tmp_path / "whole", resources=Workers(1))
    phases = []
    for bound in (1, 4, 6, 8, None):  # in the middle of most phases
        again = (tmp_path / "cut").exists()
        discover(METHOD, small(run), tmp_path / "cut", bound=bound, resume=again, resources=Workers(2))
        with ProgramStore.open(tmp_path / "cut") as store:
            phases.append(refined(store).phase)
    assert phases[-1] == "done"
    assert len(set(phases)) > 3
    whole, cut = (json.dumps(run_json(tmp_path / name, stats=False)) for name in ("whole", "cut"))
    assert whole == cut
    assert rule_file.dumps(load(tmp_path / "whole")) == rule_file.dumps(load(tmp_path / "cut"))


def shown(directory):
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(run_text(directory))
    return console.export_text()


def test_the_searchs_own_order_is_held_against_the_funnels():
    program = Programs.parse(WARM_START)
    rows = [Finalist("r", i, program, 0.7 + 0.01 * i, [], (1.5 - 0.1 * i,)) for i in range(6)]
    result = Refined(rows, program, (1.0, 1.0, 1.0), 0.1, (), "done")
    text = overfitting(result)
    assert "-1.000" in text
    assert "the search's best has 1.5000 on selection tasks, the chosen one 1.0000" in text
    assert np.isfinite(result.noise)


def test_only_runs_over_optimizers_are_refined(tmp_path):
    with pytest.raises(RulesmithError, match="no run here"):
        discover(METHOD, Refinement((tmp_path,)), tmp_path / "ref")
    with pytest.raises(RulesmithError, match="did you mean 'selection'"):
        discover(METHOD, Refinement((tmp_path,), ("selectio",)), tmp_path / "ref")
    with pytest.raises(RulesmithError, match="rule name '2024'"):
        discover(METHOD, Refinement((tmp_path,), name="2024"), tmp_path / "ref")
    assert not (tmp_path / "ref").exists()
