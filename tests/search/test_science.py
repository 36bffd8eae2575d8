"""Longer science, run by `make test-slow`."""

import random
from dataclasses import replace

import pytest
from rulesmith import Program, load
from rulesmith.programs.fingerprint import fingerprint
from rulesmith.search.method import discover
from rulesmith.search.methods.symbolic import METHOD
from rulesmith.search.program_store import ProgramStore as Store

pytestmark = pytest.mark.slow


def best(directory, **changes):
    discover(METHOD, replace(METHOD.preset("demo").config, **changes), directory, bound=2500)
    with Store.open(directory) as store:
        return store.archive()[0].fitness


def test_evolution_beats_adamw_and_the_baselines_at_equal_budget(tmp_path):
    found = {name: best(tmp_path / name, strategy=name) for name in ("evolution", "random", "constants")}
    assert found["evolution"] < 0.95
    assert found["evolution"] < min(found["random"], found["constants"])
    assert load(tmp_path / "evolution").to_optax(0.01)


def test_thousands_of_programs_round_trip_and_simplify(make_program):
    for _ in range(3000):
        program = make_program(random.randrange(10**9))
        short = program.simplified()
        assert Program.parse(program.to_text()) == program
        assert short.simplified() == short
        assert short.digest == program.digest
        assert fingerprint(short) == fingerprint(program)
