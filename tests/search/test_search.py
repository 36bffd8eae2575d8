import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulesmith import Program, ProgramError, RulesmithError
from rulesmith.meta.score import Score
from rulesmith.programs import Statement
from rulesmith.programs.analysis import check, summarize
from rulesmith.programs.parts import Programs
from rulesmith.programs.program import number_temporaries
from rulesmith.results.views import run_json
from rulesmith.search.archive import Entry, merge, pareto
from rulesmith.search.candidates import Candidate, Feedback
from rulesmith.search.curricula.fixed import Fixed
from rulesmith.search.engine import initial, run
from rulesmith.search.executors import Here, Pool
from rulesmith.search.method import Preset, jax_flags
from rulesmith.search.methods.symbolic import METHOD, WARM_START, Symbolic
from rulesmith.search.mutation import MUTATIONS, Limits, inlined, mutate
from rulesmith.search.problems.programs import ProgramProblem
from rulesmith.search.program_store import ProgramStore as Store
from rulesmith.search.store import FILE
from rulesmith.search.strategies.program_strategies import program_strategy

START = Programs.parse(WARM_START)
RULESMITH = str(Path(sys.executable).parent / "rulesmith")
CONFIG = Symbolic(population=20, tournament=5, batch=16, restart=150, tasks=("iris-mlp-2k",))


def pretend(job):
    """Score a program's text by a function of its words: quick, the same everywhere."""
    statements = [s for _, program in Programs.parse(job[1]).parts for s in program.statements]
    words = sum(len(s.function) * (i + 3) for i, s in enumerate(statements)) % 97
    return Score(0.5 + words / 97, "", {"words": words / 97})


def build_pretend():
    return pretend


def build_crashing():
    def crash(job):
        if job == "die" and not Path(os.environ["FLAG"]).exists():
            Path(os.environ["FLAG"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    return crash


def scored_by(executor):
    """Return the problem whose scores an executor gives."""
    return ProgramProblem(lambda candidates, tasks: executor.map([("score", c.programs.to_text()) for c in candidates]))


def search(directory, programs, executor, strategy="evolution", resume=False):
    config = replace(CONFIG, strategy=strategy)
    parts = program_strategy(config, START), Fixed(("t",)), scored_by(executor)
    key = jax.random.key(config.seed)
    facts = {"config": config.__dict__, "method": "symbolic", "start": WARM_START, "flags": jax_flags()}
    with Store.open(directory, write=True) if resume else Store.create(directory, facts) as store:
        first = initial(*parts, key)
        step, states = store.resume(first) or (0, first)

        def until(*_):
            return store.done() >= programs

        run(*parts, key=key, states=states, step=step, until=until, observers=[store])
    return json.dumps(run_json(directory, stats=False))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9))
def test_mutants_are_valid_and_one_mutation_away(seed):
    rng = random.Random(seed)
    limits = Limits(statements=12, cost=60)
    mutant = mutate(START, rng, limits)
    assert mutant.kind in MUTATIONS
    for label, program in mutant.programs.parts:
        assert abs(len(program.statements) - START.statements) <= 1
        assert len(program.statements) <= 12
        assert {"g", "lr"} <= summarize(program).reads
        assert label in (("all",) if mutant.kind != "share" else ("matrix", "other"))
    assert mutant.summary.cost <= 60
    assert mutant.summary.digest == mutant.programs.digest


def test_constants_only_changes_constants():
    rng = random.Random(0)
    for _ in range(50):
        mutant = mutate(START, rng, Limits(), {"constant": 1}).programs.only
        assert [s.function for s in mutant.statements] == [s.function for s in START.only.statements]


def test_numbering_temporaries_never_binds_a_name_that_was_unbound():
    read = ("_2", "g")
    program = Program(
        ("g", "lr"), (), (), (Statement("_3", "add", read), Statement("u", "multiply", ("_3", "lr"))), ("u",)
    )
    with pytest.raises(ProgramError, match="before it is assigned"):
        check(number_temporaries(program))


def test_hyperparameters_become_literals():
    program = inlined(Programs.parse("def update(g, lr, c=0.5):\n return lr * c * g")).only
    assert program.hyperparameters == ()
    assert 0.5 in program.statements[0].operands
    with pytest.raises(ProgramError, match="is assigned"):
        inlined(Programs.parse("def update(g, lr, c=0.5):\n c = c * g\n return lr * c"))


def entry(index, fitness, length, cost=1.0):
    return Entry(Candidate(index, START, None, "start", 0, str(index), length, cost), fitness)


def test_archive_and_front():
    entries = [entry(0, 1.0, 5), entry(1, 0.9, 9), entry(2, 0.95, 7), entry(3, 0.97, 8), entry(4, 1.2, 3)]
    assert [e.candidate.index for e in pareto(entries)] == [4, 0, 2, 1]
    scores = [Score(0.9), Score(0.5, "stopped"), Score(0.8)]
    candidates = [entry(i, 0, n).candidate for i, n in ((5, 4), (6, 2), (7, 6))]
    told = [Feedback(score, "evaluated") for score in scores]
    archive = merge(tuple(entries), candidates, told)
    assert [e.candidate.index for e in archive] == [7, 5, 2, 3, 0, 4]  # 1 as fit as 5 and longer, 6 was stopped


def test_a_run_is_a_function_of_its_config_whatever_stops_it(tmp_path):
    here = Here(build_pretend)
    whole = search(tmp_path / "a", 400, here)
    for stop in (17, 100, 250):
        search(tmp_path / "b", stop, here, resume=stop > 17)
    assert search(tmp_path / "b", 400, here, resume=True) == whole
    found = json.loads(whole)
    assert found["programs"] >= 400
    assert found["cached"] > 0
    assert found["hall_of_fame"][0]["fitness"] == min(e["fitness"] for e in found["hall_of_fame"])


def count_tanh(job):
    """Score a program by how often two words stand in it: evolution can climb that, a statement at a time."""
    return Score(1 / (1 + job[1].count("tanh(") + job[1].count("exp(")))


@pytest.mark.slow
def test_evolution_beats_random_search_on_a_function_it_can_climb(tmp_path):
    best = {
        strategy: json.loads(search(tmp_path / strategy, 1500, Here(lambda: count_tanh), strategy))["hall_of_fame"][0][
            "fitness"
        ]
        for strategy in ("evolution", "random")
    }
    assert best["evolution"] < best["random"]


def test_equal_programs_are_trained_once():
    calls = []

    class Counting(Here):
        def map(self, items):
            calls.extend(items)
            return super().map(items)

    problem = scored_by(Counting(build_pretend))
    square, product = (
        Programs.parse(f"def update(g, m, lr):\n m = {x}\n return lr * m * g, m") for x in ("square(g)", "g * g")
    )
    candidates = [Candidate(i, p, None, "start", 0, p.digest, 2) for i, p in enumerate((square, product, square))]
    feedback = problem.evaluate(problem.init(None), candidates, None, None).feedback
    assert [f.source for f in feedback] == ["evaluated", "fingerprint", "digest"]
    assert len(calls) == 1
    assert len({f.score.fitness for f in feedback}) == 1


def test_a_dead_worker_is_replaced_and_its_items_tried_again(tmp_path, monkeypatch):
    monkeypatch.setenv("FLAG", str(tmp_path / "flag"))
    pool = Pool(build_crashing, 2)
    assert pool.map(["a", "die", "b", "c"]) == ["a", "die", "b", "c"]
    pool.close()


def test_faults_of_a_store_are_one_line(tmp_path):
    search(tmp_path / "run", 20, Here(build_pretend))
    with pytest.raises(RulesmithError, match="holds a run already"):
        Store.create(tmp_path / "run", {})
    with Store.open(tmp_path / "run", write=True), pytest.raises(RulesmithError, match="another run is writing"):
        Store.open(tmp_path / "run", write=True)
    with pytest.raises(RulesmithError, match="no run here"):
        Store.open(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(RulesmithError, match="not a store of rulesmith"):
        Store.open(tmp_path / "broken")
    (tmp_path / "foreign").mkdir()
    sqlite3.connect(tmp_path / "foreign" / FILE).execute("CREATE TABLE x (y)").connection.close()
    with pytest.raises(RulesmithError, match="not a store of rulesmith"):
        Store.open(tmp_path / "foreign")
    (tmp_path / "file").write_text("")
    with pytest.raises(RulesmithError, match="cannot be made"):
        Store.create(tmp_path / "file" / "run", {})


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    search(tmp_path / "run", 20, Here(build_pretend))
    before = run_json(tmp_path / "run", stats=False)
    parts = program_strategy(CONFIG, START), Fixed(("t",)), scored_by(Here(build_pretend))
    with Store.open(tmp_path / "run", write=True) as store:
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        found = store.resume(initial(*parts, jax.random.key(0)))
        assert found
        with pytest.raises(RulesmithError, match="disk is full"):
            run(
                *parts,
                key=jax.random.key(0),
                states=found[1],
                step=found[0],
                until=lambda *_: False,
                observers=[store],
            )
    assert run_json(tmp_path / "run", stats=False) == before


def command(*words, **options):
    return subprocess.Popen(
        [RULESMITH, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def shown(directory):
    process = command("show", str(directory), "--json")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    return out


def test_killed_and_interrupted_runs_end_as_one_never_stopped(tmp_path):
    search, until = ["discover", "symbolic"], ["--programs", "200"]
    small = ["--tasks", "iris-mlp-2k", "--seeds", "1", "--population", "20", "--tournament", "5", "--batch", "16"]
    whole = command(*search, *small, *until, "--out", str(tmp_path / "the whole"), "--workers", "1")
    log, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, log
    assert "best" in log
    assert f"rulesmith report '{tmp_path / 'the whole'}'" in log  # what is printed can be pasted
    rng = random.Random(5)
    how = small
    for stop in (signal.SIGKILL, signal.SIGINT):
        process = command(*search, *how, *until, "--out", str(tmp_path / "cut"))
        deadline = time.monotonic() + 120
        begun = _programs(tmp_path / "cut")
        while _programs(tmp_path / "cut") <= begun and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(rng.random() * 0.5)
        process.send_signal(stop)
        sent = time.monotonic()
        process.communicate(timeout=60)
        assert time.monotonic() - sent < 10
        assert process.returncode == (130 if stop == signal.SIGINT else -stop)
        how = ["--resume"]
    last = command(*search, *how, *until, "--out", str(tmp_path / "cut"))
    log, _ = last.communicate(timeout=300)
    assert last.returncode == 0, log
    assert shown(tmp_path / "cut") == shown(tmp_path / "the whole")


def _programs(directory):
    try:
        connection = sqlite3.connect(f"file:{directory / FILE}?mode=ro", uri=True)
        return connection.execute("SELECT COUNT(*) FROM candidates").fetchone()[0]
    except sqlite3.Error:
        return 0


def test_presets_are_valid():
    for name in ("demo", "standard", "paper"):
        preset = METHOD.preset(name)
        assert isinstance(preset, Preset)
        assert METHOD.check(preset.config)["start"]
        assert preset.minutes > 0
    with pytest.raises(RulesmithError, match="did you mean 'demo'"):
        METHOD.preset("demoo")
