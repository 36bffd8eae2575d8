"""Run stores cut, with flipped bits, and swapped: right results or one line, and the runs beside them untouched."""

import hashlib
import random
import shutil

import pytest
from rulesmith import RulesmithError, load, open_run
from rulesmith.results.reporting import runs_table
from rulesmith.results.views import run_json, run_text
from rulesmith.search.method import Workers, discover
from rulesmith.search.methods import objective, symbolic
from rulesmith.search.methods.objective import ObjectiveSearch
from rulesmith.search.methods.symbolic import Symbolic
from rulesmith.search.store import FILE

SYMBOLIC = Symbolic(tasks=("iris-mlp-2k",), seeds=1, population=16, tournament=3, batch=8)
AGENTS = {"workers": 4, "minibatches": 2, "epochs": 1}
DAMAGES = 400


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage") / "runs"
    discover(symbolic.METHOD, SYMBOLIC, folder / "symbolic", bound=80, resources=Workers(1))
    small = {"environments": ("Catch-bsuite",), "horizon": (6e2, 2e3), "rule": "lpo"}
    config = ObjectiveSearch(**small, es=objective.EsSettings(population=4))
    discover(objective.METHOD, config, folder / "objective", bound=3)
    return folder


def digests(folder):
    return {path: hashlib.blake2b(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def read_everything(directory, folder):
    """Read a run in every way, and list all; return the errors."""
    errors = []
    for way in (
        run_json,
        run_text,
        load,
        lambda path: open_run(path).hall_of_fame,
        lambda path: open_run(path).history,
    ):
        try:
            way(directory)
        except RulesmithError as error:
            errors.append(str(error))
    assert runs_table(folder).row_count == len(list(folder.iterdir()))
    return errors


def damaged(data, rng, other):
    """Return a store's bytes after one damage."""
    at = rng.choice((rng.randrange(100), rng.randrange(len(data))))  # often in SQLite's header
    match rng.randrange(5):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 2:
            return data[:at] + bytes(rng.randrange(1, 5000)) + data[at + 1 :]
        case 3:
            return data[: at - at % 4096] + other[: rng.randrange(1, 20_000)] + data[at - at % 4096 :]
        case _:
            return rng.choice((other, b"", b"text", other[:4096] + data[4096:], bytes(reversed(data))))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["symbolic", "objective"])
def test_a_damaged_store_is_told_in_a_line(runs, tmp_path, name):
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder)
    before, rng = digests(runs), random.Random(name)
    whole, other = (
        (runs / each / FILE).read_bytes() for each in (name, "objective" if name == "symbolic" else "symbolic")
    )
    fine = 0
    for _ in range(DAMAGES):
        for extra in (folder / name).glob(FILE + "-*"):
            extra.unlink()
        (folder / name / FILE).write_bytes(damaged(whole, rng, other))
        errors = read_everything(folder / name, folder)
        assert not any("\n" in error for error in errors), errors
        fine += not errors
        assert {path.name: mark for path, mark in digests(folder).items() if path.parent.name != name} == {
            path.name: mark for path, mark in before.items() if path.parent.name != name
        }
    print(f"{name}: {DAMAGES} damaged stores, {DAMAGES - fine} of them told in a line, {fine} read all the same")
