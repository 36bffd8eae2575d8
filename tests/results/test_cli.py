import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from in_process import command, said
from rich.console import Console
from rulesmith import load
from rulesmith.programs import rule_file
from rulesmith.programs.rule_file import published, published_objectives
from rulesmith.results.layout import show, table
from rulesmith.results.listing import listed, listing
from rulesmith.results.reporting import environments_table, rule_diff, rule_text, rules_table, runs_table, tasks_table
from rulesmith.search.store import FILE


def test_help_and_lists():
    assert "discover" in said("--help")
    listed = said("rules")
    assert all(name in listed for name in published())
    assert len(listed.splitlines()) == len(published()) + len(published_objectives()) + 1
    assert "digits-mlp-2k" in said("tasks")
    assert said("vocabulary").startswith("| word |")


def test_a_shell_completes_commands_and_the_options_of_searches(tmp_path):
    (tmp_path / "completion").write_text(said("--tyro-print-completion", "bash"))
    (tmp_path / "ask").write_text(
        f"""source {tmp_path}/completion
        ask=$(complete -p rulesmith | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); $ask rulesmith "${{@: -1}}" "${{@: -2:1}}"; echo "${{COMPREPLY[@]}}"
        """
    )

    def completed(*words):
        return subprocess.run(["bash", tmp_path / "ask", *words], capture_output=True, text=True).stdout.split()

    assert completed("rulesmith", "sh") == ["show"]
    assert completed("rulesmith", "discover", "symbolic", "--tour") == ["--tournament"]
    assert "--framework" in completed("rulesmith", "export", "--")


def test_show_check_diff_export(tmp_path):
    shown = json.loads(said("show", "lion", "--json"))
    assert shown["programs"]["all"]["digest"] == load("lion").program.digest
    (tmp_path / "p.py").write_text("def update(g, lr):\n    dead = sqrt(g)\n    return lr * g\n")
    checked = said("check", str(tmp_path / "p.py"))
    assert "1 statements matter of 2" in checked
    assert "dead" not in checked
    assert "compute the same" in said("diff", "sgd", "sgd")
    assert "+" in said("diff", "adam", "adamw")
    out = tmp_path / "o.py"
    said("export", "lion", "-o", str(out))
    assert "def lion(" in out.read_text()
    said("export", "sgd", "-o", str(tmp_path / "o.toml"), "--lift")
    assert load(tmp_path / "o.toml").program.digest == load("sgd").program.digest


def test_levels_are_shown_and_written(tmp_path):
    shown = said("level", "longer", "--png", str(tmp_path / "l.png"), "-o", str(tmp_path / "l.toml"))
    assert "the optimal return is 9.8316, exactly" in shown
    assert (tmp_path / "l.png").read_bytes().startswith(b"\x89PNG")
    again = said("level", str(tmp_path / "l.toml"))
    assert "the optimal return is 9.8316, exactly" in again
    assert "exactly" not in said("level", "random-dense")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "lionn"], "did you mean 'lion'"),
        (["show", "nowhere.toml"], "cannot be read"),
        (["runs", "nowhere"], "no runs under"),
        (["check", "nowhere.py"], "cannot be read"),
        (["export", "lion", "-o", "x.txt"], ".py or a .toml"),
        (["export", "lion", "-o", "/nowhere/x.py"], "cannot be written"),
        (["export", "lion", "--out", "my-rule.py"], "call it my_rule.py"),
        (["export", "lion", "-o", "a.b.py"], "call it a_b.py"),
        (["export", "lion", "-o", "class.py"], "call it my_class.py"),
        (["export", "lion", "-o", "2x.py"], "call it my_2x.py"),
        (["export", "lion", "-o", "optax.py"], "call it my_optax.py"),
        (["compare", "lion", "--tasks", "iris-mlp-2k", "--trials", "0"], "trials is 0"),
        (["compare", "dpo", "--env", "CartPole-v1", "--seeds", "0"], "seeds is 0"),
        (["compare", "lion", "--tasks", "iris-mlp-2k", "--json", "/nowhere/x.json"], "cannot be written"),
        (["compare", "lion", "--tasks", "iris-mlp-2k", "--json", "."], "it is a folder"),
        (["distill"], "name a learned drift"),
        (["refine", "lion"], "lion is a rule"),
        (["discover", "symbolic", "--statements", "3", "--init", "adamw"], "in this search it may have 3"),
        (["tune", "lion", "--trials", "0"], "above 0"),
        (["discover", "symbolic", "--seeds", "0"], "seeds is 0; it must be a number above 0"),
        (["discover", "curriculum", "--es.sigma", "nan"], "es.sigma is nan; it must be a number above 0"),
        (["refine", "nowhere", "--trials", "0"], "trials is 0"),
        (["discover", "symbolic", "--preset", "demoo"], "did you mean 'demo'"),
        (["discover", "symbolic", "--tasks", "digits-mpl-2k"], "did you mean 'digits-mlp-2k'"),
        (["discover", "symbolic", "--init", "madgrad"], "not proportional to the learning rate"),
        (["discover", "symbolic", "--minutes", "-1"], "above 0"),
        (["discover", "symbolic", "--resume"], "no run of 'symbolic' under"),
        (["discover", "symbolic", "--resume", "--seed", "3"], "no run of 'symbolic'"),
        (["tune", "adamww"], "did you mean 'adamw'"),
        (["level", "alll"], "did you mean 'all'"),
        (["level", "nowhere.toml"], "cannot be read"),
        (["level", "dense", "-o", "x.txt"], "a .toml"),
        (["level", "dense", "--png", "/nowhere/x.png"], "cannot be written"),
        (["level", "dense", "--png", "a.txt"], "a.txt: a picture is a .png"),
        (["discover", "curriculum", "--score", "regrets"], "no score 'regrets'"),
        (["discover", "curriculum", "--levels", "smal"], "did you mean 'small'"),
        (["discover", "curriculum", "--replay.capacity", "3"], "smaller than the number of agents"),
        (["discover", "curriculum", "--strategy", "open-es", "--score", "pvl"], "needs agents' critics"),
        (["discover", "symbolic", "--tasks", "wine-mlp-2k", "--curriculum", "regret"], "name more --tasks"),
        (["compare", "lion"], "name --tasks"),
        (["refine", "nowhere", "-o", "2024.toml"], "rule name '2024'"),
        (["refine", "nowhere", "-o", "/nowhere/x.toml"], "cannot be written"),
        (["refine", "nowhere", "-o", "x.toml"], "no run here"),
        (["discover", "curriculum", "--resume", "--rule", "lpg", "--out", "x"], "no run here"),
        (["discovr", "symbolic"], "did you mean 'discover'"),
        (["discover", "symbolc"], "did you mean 'symbolic'"),
        (["shwo", "lion"], "did you mean 'show'"),
        (["discover", "symbolic", "--strategy", "evolutoin"], "did you mean 'evolution'"),
        (["discover", "symbolic", "--address", "auto"], "are for --ray"),
        (["compare", "lion", "--tasks", "wine-mlp-2k", "--env", "CartPole-v1"], "give one of them"),
        (["compare", "optax:lionn", "--tasks", "wine-mlp-2k"], "cannot be imported"),
    ],
)
def test_bad_input_gets_one_line(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    began = time.perf_counter()
    done = command(*words)
    assert done.status == 2
    assert says in done.errors
    assert len(done.errors.strip().splitlines()) == 1
    assert time.perf_counter() - began < 20


def test_unknown_options_suggest_the_nearest():
    done = command("show", "lion", "--jsno")
    assert done.status == 2
    assert "--json" in done.errors


NO_JAX = """
import sys
from rulesmith import RulesmithError, cli

try:
    cli.run(sys.argv[1:])
except RulesmithError as error:
    print(error)
assert "jax" not in sys.modules
"""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rules"], "root-momentum"),
        (["tasks"], "digits-mlp-2k"),
        (["environments"], "CartPole-v1"),
        (["show", "lion"], "def update"),
        (["show", "loin"], "did you mean 'lion'"),
        (["compare", "lion", "--tasks", "digits-mpl-2k"], "did you mean 'digits-mlp-2k'"),
        (["compare", "dpo", "--env", "CartPole-v2"], "did you mean 'CartPole-v1'"),
        (["compare", "loin", "--tasks", "digits-mlp-2k"], "did you mean 'lion'"),
        (["discover", "symbolic", "--tasks", "nosuch"], "no task 'nosuch'"),
        (["discover", "objective", "--env=nosuch"], "no environment 'nosuch'"),
        (["tune", "loin"], "did you mean 'lion'"),
        (["export", "loin", "-o", "x.py"], "did you mean 'lion'"),
    ],
)
def test_lists_and_names_that_are_wrong_do_not_wait_for_jax(words, says):
    done = subprocess.run([sys.executable, "-c", NO_JAX, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout


def test_the_list_says_what_there_is():
    assert listed() == listing(), "write it anew: python -m rulesmith.results.listing"


def on_terminal(renderable, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    show(console, renderable)
    return console.file.getvalue()


def lists_of_names():
    yield rules_table(), [*rule_file.published(), *rule_file.published_objectives()]
    yield environments_table(), listed()["environments"]
    yield tasks_table(), listed()["tasks"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_lists_fit_the_terminal_and_break_no_word(width):
    for rows, names in lists_of_names():
        text = on_terminal(rows, width)
        assert max(map(len, text.splitlines())) <= width
        words = text.split()
        assert set(names) <= {word.rstrip(":;") for word in words}
        cells = {word for column in rows.columns for cell in column.cells for word in str(cell).split()}
        assert cells <= {*words, *(word.rstrip(";") for word in words)}


@pytest.mark.parametrize("name", ["ta-lpo-invaders", "lion", "root-momentum", "lpg-es"])
def test_a_rule_fits_the_terminal(name):
    text = on_terminal(rule_text(load(name)), 60)
    code = load(name).program.to_text().splitlines() if name in ("lion", "root-momentum") else []
    assert max(len(line) for line in text.splitlines() if line not in code) <= 60
    assert "-1.\n" not in text


def test_runs_fit_the_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "another-run-of-mine"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, FILE).write_bytes(b"damaged")  # a row that says so
    text = on_terminal(runs_table(Path("runs")), 60)
    assert max(map(len, text.splitlines())) <= 60
    assert "runs/another-run-of-mine" in text


def test_a_row_that_does_not_fit_is_a_block():
    rows = table("more than the score", "step time / AdamW's", "sharpness", right=("step time / AdamW's", "sharpness"))
    rows.add_row("my-own-very-long-name", "1,997,962.25", "-0.46")
    assert on_terminal(rows, 46) == (
        "                        step time /           \n"
        "more than the score         AdamW's  sharpness\n"
        "my-own-very-long-name  1,997,962.25      -0.46\n"
    )
    assert on_terminal(rows, 40) == (
        "more than the score\nmy-own-very-long-name\n  step time / AdamW's: 1,997,962.25\n  sharpness: -0.46\n"
    )
    piped = Console(width=40, file=io.StringIO())
    show(piped, rows)
    assert len(piped.file.getvalue().splitlines()) == 3  # of two lines is the head


@pytest.mark.parametrize("width", [30, 60])
def test_a_program_is_shown_whole_at_any_width(width):
    shown = rule_text(load("root-momentum")), rule_diff(load("adam"), load("root-momentum"))
    lines = "".join(on_terminal(each, width) for each in shown).splitlines()
    for name, mark in (("root-momentum", ""), ("root-momentum", "+"), ("adam", "-")):
        for line in (load(name).program if mark == "" else load(name).program.simplified()).to_text().splitlines():
            assert f"{mark}{line}" in lines or f" {line}" in lines


def test_a_programs_text_is_a_rule(tmp_path):
    (tmp_path / "my_sgd.py").write_text("def update(g, lr):\n    return lr * g\n")
    (tmp_path / "my_drift.py").write_text("def drift(r, a):\n    return maximum((r - 1 - clip(r - 1, 0.1)) * a, 0)\n")
    assert load(tmp_path / "my_sgd.py").program == load("sgd").program
    assert (load(tmp_path / "my_drift.py").name, load(tmp_path / "my_drift.py").kind) == ("my-drift", "drift")
    assert "my-sgd" in said("show", tmp_path / "my_sgd.py")
    (tmp_path / "code.py").write_text("import os\nos.abort()\n")
    assert "line 1" in command("show", tmp_path / "code.py").errors


def test_a_state_that_shadows_an_input_is_questioned(tmp_path):
    (tmp_path / "mine.py").write_text("def update(w, g, hessian, lr):\n    return lr * g / (hessian + 1), hessian\n")
    assert "Is this meant? 'hessian' is read as a state" in said("check", tmp_path / "mine.py")
