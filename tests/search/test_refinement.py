"""Refinement: who takes part in the funnel, what removal does to a program, and a whole one on tiny tasks."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import rulesmith
from rich.console import Console
from rulesmith import Program, RulesmithError, load
from rulesmith.programs import rule_file
from rulesmith.results.html import write_report
from rulesmith.results.refinement_text import overfitting, refinement_text
from rulesmith.results.reporting import run_text
from rulesmith.search.executors import Here
from rulesmith.search.methods.refinement import (
    Finalist,
    Refined,
    RefinementConfig,
    _moved,
    finalists_of,
    keep_selection,
    refine,
    refined_rule,
    refinement_evaluator,
    shorter,
)
from rulesmith.search.methods.symbolic import WARM_START, SymbolicConfig, discover
from rulesmith.search.program_store import ProgramStore

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
    config = SymbolicConfig(tasks=("digits-mlp-2k",), seeds=1, population=20, tournament=5, batch=16)
    discover(config, directory, programs=161, workers=2)
    return directory


def test_finalists_are_the_best_and_those_that_once_were(run):
    with ProgramStore.open(run) as store:
        rows, (only,) = finalists_of(store, 8), finalists_of(store, 1)
        archive = store.archive()
        best, leaders = math.inf, []
        for candidate, score, _ in store.candidates():
            if score.complete and score.fitness < best:
                best = score.fitness
                leaders.append(candidate.program.digest)
    digests = [row.program.digest for row in rows]
    assert len(set(digests)) == len(rows) <= 8
    assert archive[0].candidate.program.digest in digests
    assert only.program.digest == archive[0].candidate.program.simplified().digest
    assert set(digests) & set(leaders[:-1])
    assert all(row.search >= archive[0].fitness for row in rows)


def test_a_statement_is_passed_over_by_one_of_its_operands():
    program = Program.parse(CLUTTERED).simplified()
    found = {option.digest for _, option in shorter(program)}
    without = Program.parse("def update(g, m, lr):\n    m = interp(g, m, 0.9)\n    return lr * sign(m), m\n")
    no_sign = Program.parse(CLUTTERED.replace("sign(m)", "m"))
    assert without.digest in found
    assert no_sign.digest in found
    assert all(len(option.simplified().statements) < len(program.statements) for _, option in shorter(program))


def test_constants_move_and_nothing_else_does():
    import random

    program = Program.parse(WARM_START)
    moved = _moved(program, 0.5, random.Random(1))
    assert [s.function for s in moved.statements] == [s.function for s in program.statements]
    pairs = [
        (a, b)
        for s, t in zip(program.statements, moved.statements, strict=True)
        for a, b in zip(s.operands, t.operands, strict=True)
    ]
    assert all(a == b for a, b in pairs if isinstance(a, str))
    numbers = [(a, b) for a, b in pairs if isinstance(a, float)]
    assert all(a != b for a, b in numbers)
    assert all(b < 1 for a, b in numbers if a < 1)


def test_a_run_is_refined_to_a_rule(run, tmp_path):
    executor, heard = Here(refinement_evaluator), []
    config = RefinementConfig(funnel=(TASKS, ("breast-cancer-mlp-2k",)), finalists=4, rounds=1, trials=3, seeds=1)
    result = refine([run], config, executor, heard.append)
    assert len(result.finalists[0].rounds) == 2
    assert [len(row.rounds) for row in result.finalists].count(2) == math.ceil(len(result.finalists) / 4)
    first, tuned, _ = result.fitness
    assert tuned <= first == result.finalists[0].rounds[-1]
    assert len(result.program.statements) <= len(result.finalists[0].program.statements)
    rule = refined_rule(result, "tiny")
    path = tmp_path / "tiny.toml"
    rule_file.write_text(path, rule_file.dumps(rule))
    again = load(path)
    assert again.program.digest == result.program.digest
    assert again.provenance["origin"] == "rulesmith"
    assert refinement_text(result)
    assert again.evidence["lineage"][0].startswith("0 start")
    assert len(again.evidence["finalists_of_its_run"]) == len(result.finalists)
    keep_selection(result, config)
    with ProgramStore.open(run) as store:
        kept = store.fact("selection")
    assert kept["tasks"] == list(TASKS)
    assert [row[0] for row in kept["finalists"]] == sorted(row.index for row in result.finalists)
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(run_text(run))
    assert "on iris-mlp-2k" in console.export_text()
    write_report(run, tmp_path / "report.html")
    assert "on selection tasks" in (tmp_path / "report.html").read_text()
    for comparison, figure in (("root-momentum", "performance profile"), ("lpg-small", "entropy of the policy")):
        write_report(run, tmp_path / "report.html", EVIDENCE / f"{comparison}.json")
        assert figure in (tmp_path / "report.html").read_text()
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(RulesmithError, match="not what `rulesmith compare --json` writes"):
        write_report(run, tmp_path / "report.html", tmp_path / "other.json")
    with ProgramStore.open(run, write=True):
        keep_selection(result, config, heard.append)
    assert "another run is writing here" in heard[-1]
    assert any("constants" in line for line in heard)


def test_the_searchs_own_order_is_held_against_the_funnels():
    program = Program.parse(WARM_START)
    rows = [Finalist("r", i, program, 0.7 + 0.01 * i, (1.5 - 0.1 * i,)) for i in range(6)]
    result = Refined(rows, [], program, (1.0, 1.0, 1.0), 0.1, [])
    text = overfitting(result)
    assert "-1.000" in text
    assert "the search's best has 1.5000 on selection tasks, the chosen one 1.0000" in text
    assert np.isfinite(result.noise)


def test_only_runs_over_optimizers_are_refined(tmp_path):
    with pytest.raises(RulesmithError, match="no run here"):
        refine([tmp_path], RefinementConfig(), Here(refinement_evaluator))
    with pytest.raises(RulesmithError, match="did you mean 'selection'"):
        refine([tmp_path], RefinementConfig(funnel=(("selectio",),)), Here(refinement_evaluator))
