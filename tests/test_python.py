"""All of rulesmith from Python: a search of one's own task, its run as tables, callbacks, what a resume takes."""

import ast
import io
import json
import os
import subprocess
import sys
import types
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pandas as pd
import pytest
import rulesmith
from rich.console import Console
from rulesmith import RulesmithError, Symbolic, Task, Workers, cli
from rulesmith.envs.tasks.task import shuffled_splits, squared_error
from rulesmith.programs.vocabulary import FUNCTIONS, SIZES
from rulesmith.results import display as displays
from rulesmith.results.views import run_json, view_of
from rulesmith.search.config_codec import from_plain, to_plain
from rulesmith.search.runs import METHODS, method_named, method_of

RULESMITH = str(Path(sys.executable).parent / "rulesmith")


def wave(noise=0.0):
    x = np.random.default_rng(0).uniform(-3, 3, (240, 2)).astype(np.float32)
    return shuffled_splits(x, np.sin(x).sum(1, keepdims=True) + 2 + noise)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.tanh(nn.Dense(16)(x)))


def task(noise=0.0):
    """Return a task whose loss is a closure, which reaches worker processes by value."""
    return Task("wave", "made", lambda: wave(noise), Net(), lambda y, t: squared_error(y, t) + 0.01, 40, 32)


SMALL = Symbolic(seeds=1, population=8, tournament=3, batch=6)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    records = []

    def third(record):
        records.append(record)
        return record.step == 3

    folder = tmp_path_factory.mktemp("python") / "run"
    config = replace(SMALL, tasks=(task(),))
    made = rulesmith.discover(config, folder, callbacks=[third], resources=Workers(2), progress=False)
    assert [record.step for record in records] == [1, 2, 3]
    return made


def test_a_run_is_tables(run):
    assert isinstance(run.best, rulesmith.Rule)
    assert run.method == "symbolic"
    fame, history, lineage = run.hall_of_fame, run.history, run.lineage()
    assert all(isinstance(rows, pd.DataFrame) for rows in (fame, history, lineage))
    assert list(fame["fitness"]) == sorted(fame["fitness"])
    assert fame.iloc[0]["losses"].keys() == {"wave"}
    assert list(history["step"]) == [1, 2, 3]
    assert (history["seconds"] > 0).all()
    assert lineage.iloc[0]["origin"] == "start"
    assert lineage.iloc[-1]["fitness"] == fame.iloc[0]["fitness"]
    assert rulesmith.Program.parse(fame.iloc[0]["program"])
    assert len(repr(run)) < 200
    assert "symbolic" in repr(run)
    assert fame.iloc[0]["program"].split("(")[0] in run._repr_html_()
    assert rulesmith.open_run(run.directory).best.program == run.best.program
    assert run.report(run.directory / "r.html").read_text().startswith("<!doctype html>")


def test_a_run_with_a_task_of_ones_own_goes_on_with_the_same_one_only(run):
    assert run.config["tasks"][0]["object"] == "wave"
    with pytest.raises(RulesmithError, match="go on from Python too"):
        from_plain(Symbolic, run.config)
    other = replace(SMALL, tasks=(task(noise=0.5),))
    with pytest.raises(RulesmithError, match=r"tasks is wave in .* and wave here"):
        rulesmith.discover(other, run.directory, resume=True, programs=20, progress=False)
    changed = replace(SMALL, tasks=(task(),), population=9)
    with pytest.raises(RulesmithError, match=r"population is 8 in .* and 9 here"):
        rulesmith.discover(changed, run.directory, resume=True, programs=20, progress=False)
    before = run.history
    again = rulesmith.discover(
        replace(SMALL, tasks=(task(),)), run.directory, resume=True, programs=19, resources=Workers(1), progress=False
    )
    assert len(again.history) == len(before) + 1


def test_a_resume_under_other_flags_of_jax_that_change_results_is_refused(run):
    config = replace(SMALL, tasks=(task(),))
    for flag, other in (("jax_default_prng_impl", "rbg"), ("jax_default_matmul_precision", "float32")):
        before = getattr(jax.config, flag)
        jax.config.update(flag, other)
        try:
            with pytest.raises(RulesmithError, match=f"{flag} was .* set it as it was"):
                rulesmith.discover(config, run.directory, resume=True, programs=40, progress=False)
        finally:
            jax.config.update(flag, before)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: rulesmith.discover(), "give a config"),
        (lambda: rulesmith.discover("symbolic"), "is no config"),
        (lambda: rulesmith.discover(SMALL, generations=3), "programs does"),
        (lambda: rulesmith.discover(SMALL, minutes=0), "minutes is 0; it must be above 0"),
        (lambda: rulesmith.discover(replace(SMALL, tasks=())), "name at least one task"),
        (lambda: rulesmith.discover(replace(SMALL, tasks="iris-mlp-2k")), "tasks is one string; give a tuple"),
        (lambda: rulesmith.discover(replace(SMALL, tasks=(task(), task()))), "wave is named twice"),
        (lambda: rulesmith.discover(replace(SMALL, strategy="evolutoin")), "did you mean 'evolution'"),
        (lambda: rulesmith.open_run("nowhere"), "no run here"),
    ],
)
def test_what_cannot_be_launched_is_refused_in_a_line(call, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RulesmithError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_every_method_is_a_value_that_its_configs_lead_to():
    for name in METHODS:
        method = method_named(name)
        config = method.preset("demo").config
        assert method.name == name
        assert method_of(config) is method
        assert view_of(method).text
        plain = json.loads(json.dumps(to_plain(config)))
        assert to_plain(from_plain(method.config, plain)) == plain
    for wrong in ({"seed": "x"}, {"seeed": 1}, {"tasks": 3}):
        with pytest.raises(RulesmithError, match="config"):
            from_plain(Symbolic, wrong)


def test_public_names():
    assert rulesmith.__version__
    for name in rulesmith.__all__:
        assert getattr(rulesmith, name).__doc__, name
    with pytest.raises(AttributeError):
        rulesmith.nothing  # noqa: B018


def test_rules_and_levels_are_short_and_have_html():
    rule, network = rulesmith.load("muon"), rulesmith.load("ta-lpo-invaders")
    level = rulesmith.Level(*_dense())
    for value, word in ((rule, "muon"), (network, "parameters"), (level, "Level"), (rule.programs["matrix"], "update")):
        assert len(repr(value)) < 200
        assert word in repr(value)
        assert "<" in value._repr_html_()
    assert "orthogonalize" in rule._repr_html_()
    assert "episodes of" in level._repr_html_()
    assert "&lt;" in replace(rule, description="<script>")._repr_html_()


def _dense():
    from rulesmith.results.level_reporting import find_level

    return find_level("dense", 0)


def test_the_live_panel_is_drawn(run, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(displays, "Console", lambda **options: Console(force_terminal=True, width=60, file=shown))
    shown = io.StringIO()
    config = replace(SMALL, tasks=(task(),), seed=1)
    rulesmith.discover(config, run.directory.parent / "live", programs=7, resources=Workers(1))
    text = shown.getvalue()
    assert "hall of fame" in text
    assert "def update(" in text
    assert "programs/s" in text
    assert "loss / AdamW's" in text


def test_a_notebook_shows_progress_in_its_cell(run, monkeypatch):
    pages = []

    class Handle:
        def update(self, data, raw):
            pages.append(data["text/html"])

    module = types.ModuleType("IPython.display")
    module.display = lambda *data, **options: Handle()
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    made = lambda **options: Console(force_jupyter=True, file=io.StringIO())  # noqa: E731
    monkeypatch.setattr(displays, "Console", lambda **options: Console(**options) if "record" in options else made())
    config = replace(SMALL, tasks=(task(),), seed=2)
    rulesmith.discover(config, run.directory.parent / "notebook", programs=7, resources=Workers(1))
    assert pages
    assert "hall of fame" in pages[-1]


def command(*words, cwd):
    return subprocess.run([RULESMITH, *words], capture_output=True, text=True, cwd=cwd, env={**os.environ})


@pytest.mark.slow
def test_the_same_command_with_resume_goes_on(tmp_path, monkeypatch):
    words = ["discover", "symbolic", "--tasks", "iris-mlp-2k", "--population", "8", "--batch", "6", "--seeds", "1"]
    words += ["--out", "mine", "--workers", "1", "--preset", "demo"]
    monkeypatch.chdir(tmp_path)
    cli.run([*words, "--programs", "7"])
    cli.run([*words, "--programs", "13", "--resume"])
    assert run_json(tmp_path / "mine", stats=False)["programs"] == 13
    for option, value, says in (
        ("--population", "9", "population is 8 in mine and 9 here"),
        ("--seed", "4", "seed is 0 in mine and 4 here"),
        ("--preset", "standard", "preset is demo in mine and standard here"),
    ):
        given = [*words]
        if option in given:
            given[given.index(option) + 1] = value
        else:
            given += [option, value]
        with pytest.raises(RulesmithError) as caught:
            cli.run([*given, "--programs", "19", "--resume"])
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    done = command("discover", "symbolic", "--resume", "--out", "mine", "--programs", "19", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run_json(tmp_path / "mine", stats=False)["programs"] == 19


def test_a_plain_script_may_search_at_its_top_level(tmp_path):
    (tmp_path / "script.py").write_text(
        "import rulesmith\nfrom dataclasses import replace\nfrom rulesmith.envs.tasks import tasks\n"
        "print('script begins')\n"
        "own = replace(tasks()['iris-mlp-2k'], name='own', loss=lambda y, t: ((y - t[:, None]) ** 2).mean(-1) + 0.01)\n"
        "config = rulesmith.Symbolic(tasks=(own,), seeds=1, population=6, tournament=2, batch=4)\n"
        "run = rulesmith.discover(config, 'mine', programs=5, resources=rulesmith.Workers(2), progress=False)\n"
        "print(len(run.hall_of_fame) > 0)\n"
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["script begins", "True"]


def test_a_start_that_fails_leaves_its_name_free(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from rulesmith import Task\nfrom rulesmith.envs.tasks import tasks\nfrom dataclasses import replace\n"
        "def loss(y, t):\n    raise ValueError('no loss')\n"
        "task = replace(tasks()['iris-mlp-2k'], name='broken', loss=loss)\n"
    )
    done = command("discover", "symbolic", "--tasks", "nowhere:task", "--out", "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot be imported" in done.stderr
    assert not (tmp_path / "mine").exists()


def test_a_users_modules_are_found_by_every_command(tmp_path):
    (tmp_path / "own.py").write_text(
        "import optax\nfrom dataclasses import replace\nfrom rulesmith.envs.tasks import tasks\n"
        "task = replace(tasks()['iris-mlp-2k'], name='own', steps=20)\n"
        "def opt(learning_rate):\n    return optax.sgd(learning_rate)\n"
    )
    words = ["compare", "own:opt", "--tasks", "own:task", "--trials", "1", "--seeds", "2", "--json", "found.json"]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(json.loads((tmp_path / "found.json").read_text())["rules"]) == {"opt", "adamw"}
    done = command("tune", "sgd", "--tasks", "own:task", "--trials", "1", "--seeds", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_public_name_means_one_thing():
    """A class, function or constant of one name stands in one module, but for what every module of a kind has."""
    found = defaultdict(set)
    for parts, tree in modules():
        for node in tree.body:
            targets = [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []
            if isinstance(node, (ast.Assign, ast.AnnAssign)):
                given = node.targets if isinstance(node, ast.Assign) else [node.target]
                targets = [target.id for target in given if isinstance(target, ast.Name)]
            for name in targets:
                if not name.startswith("_"):
                    found[name].add("/".join(parts))
    assert {name: places for name, places in found.items() if len(places) > 1 and name not in SHARED} == {}


OF_EVERY_METHOD = {"METHOD", "PRESETS", "MEASURE"}
OF_EVERY_VIEW = {"VIEW", "run_json", "run_text", "hall_of_fame", "lineage"}
OF_EVERY_KIND_OF_FILE = {"read", "loads", "dumps", "find"}
COMMANDS = {
    "discover",
    "refine",
    "distill_network",
    "check",
    "compare",
    "tune",
    "tasks",
    "distill",
    "diff",
    "show",
    "report",
    "run",
    "parse",
}
OF_EVERY_TABLE_OF_WORDS = {*FUNCTIONS, *SIZES, "spread", "unit", "clip_to"}
SHARED = OF_EVERY_TABLE_OF_WORDS | OF_EVERY_METHOD | OF_EVERY_VIEW | OF_EVERY_KIND_OF_FILE | COMMANDS | {"TASKS"}


ORDER = ("programs", "envs", "meta", "search", "results", "launch", "cli")
"""Parts of the package; each may import those before it, and `programs` no other."""


def modules():
    """Yield each module of the package: the parts of its path, and its syntax tree."""
    root = Path(rulesmith.__file__).parent
    for path in (*root.glob("*.py"), *(path for part in ORDER for path in (root / part).rglob("*.py"))):
        yield path.relative_to(root).with_suffix("").parts, ast.parse(path.read_text())


def test_imports_point_one_way():
    wrong = []
    for parts, tree in modules():
        for node in ast.walk(tree):
            if parts[0] in ORDER and isinstance(node, ast.ImportFrom) and node.level:
                place = [*parts[: len(parts) - node.level], *(node.module or "").split(".")]
                above = ORDER[1:] if parts[0] == "programs" else ORDER[ORDER.index(parts[0]) + 1 :]
                if place[0] in above:
                    wrong.append(f"{'/'.join(parts)} imports {place[0]}")
    assert wrong == []
