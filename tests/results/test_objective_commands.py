"""The commands that inspect and compare objectives, on a tiny run."""

import json

import numpy as np
import pytest
from in_process import command, said
from rulesmith import load
from rulesmith.programs import rule_file
from rulesmith.programs.objective import Objective, Shapes
from rulesmith.search.method import discover
from rulesmith.search.methods.objective import METHOD, ObjectiveSearch
from rulesmith.search.strategies.evolution_strategies import EsSettings

SMALL = {"workers": 4, "steps": 8, "minibatches": 2, "epochs": 2, "widths": (8,)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    config = ObjectiveSearch(
        environments=("Catch-bsuite",), horizon=(64, 320), episodes=4, agent=SMALL, es=EsSettings(population=4)
    )
    discover(METHOD, config, directory, bound=3)
    return directory


def test_show_runs_report_export(run, tmp_path):
    shown = said("show", str(run))
    assert "3 generations" in shown
    assert "pull at ratio" in shown
    assert json.loads(said("show", str(run), "--json"))["generations"] == 3
    assert "objective, ta-lpo, open-es" in said("runs", str(run.parent))
    page = tmp_path / "report.html"
    said("report", str(run), "-o", str(page))
    text = page.read_text()
    assert "The drift is taken from what a change of the policy gains" in text
    assert "pull on the ratio for A = +1" in text
    said("export", str(run), "-o", str(tmp_path / "mine.py"))
    assert "def found_ta_lpo(" in (tmp_path / "mine.py").read_text()
    said("export", str(run), "-o", str(tmp_path / "mine.toml"))
    found, again = load(run), load(tmp_path / "mine.toml")
    assert all(np.array_equal(found.arrays[name], again.arrays[name]) for name in found.arrays)
    assert json.loads(said("show", "dpo", "--json"))["kind"] == "drift"
    assert "drift(r, a" in said("check", str(rule_file.published_objectives()["ppo-clip"]))
    assert "+def drift" in said("diff", "ppo-clip", "dpo")


def test_lists():
    listed = said("environments")
    assert "CartPole-v1" in listed
    assert "grid/small" in listed
    assert "brax/ant" in listed
    rules = said("rules")
    assert "ppo-clip" in rules
    assert "lion" in rules


def test_lpg_compares_with_ppo(tmp_path):
    net = Objective("net-lpg", "lpg", arrays=Shapes.lpg(timed=True, hidden=8).draw(0, 1.0))
    rule_file.write(net, tmp_path / "net.toml")
    words = ["--env", "grid/sparse", "--horizon", "400", "--seeds", "2", "--trials", "1", "--agent"]
    words += ["workers=4", "steps=8", "minibatches=2", "widths=[8]", "--json", str(tmp_path / "found.json")]
    done = said("compare", str(tmp_path / "net.toml"), *words)
    assert "net-lpg" in done
    assert "ppo-clip" in done
    assert json.loads((tmp_path / "found.json").read_text())["seeds"] == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["compare", "lion", "--env", "CartPole-v1", "--horizon", "1e4"], "is an optimizer"),
        (["compare", "dpo"], "at least one --env or --levels"),
        (["compare", "dpo", "--env", "CartPole-v1", "--horizon", "1e4", "--agent", "workers"], "NAME=VALUE"),
        (["compare", "dpo", "--env", "CartPole-v7", "--horizon", "1e4"], "did you mean 'CartPole-v1'"),
        (["distill", "dpo"], "not a learned drift"),
        (["distill", "lion"], "not a learned drift"),
        (["report", "nowhere"], "a rule file or a run"),
        (["discover", "objective", "--rule", "symbolic", "--generations", "3"], "`discover drift`"),
        (["export", "dpo", "-o", "x.py", "--lift"], "--lift"),
    ],
)
def test_bad_input_gets_one_line(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command(*words)
    assert done.status == 2
    assert says in done.errors
    assert len(done.errors.strip().splitlines()) == 1


def test_runs_of_one_method_are_not_resumed_by_another(run):
    for words in (["symbolic"], ["drift"]):
        done = command("discover", *words, "--resume", "--out", str(run))
        assert done.status == 2
        assert "is not a run of" in done.errors
