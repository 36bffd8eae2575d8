"""Runs of every method, killed (SIGKILL) at random moments and resumed, end as those that were never stopped."""

import contextlib
import random
import signal
import subprocess
import time

import pytest
from commands import everything, finish, start
from rulesmith import RulesmithError
from rulesmith.search.store import Store

SEARCH = ("discover", "symbolic", "--tasks", "iris-mlp-2k", "--preset", "demo", "--workers", "1")
AGENTS = ("--env", "Catch-bsuite", "--horizon", "6e2:2e3")
LEVELS = ("--levels", "small", "--agents", "4", "--hidden", "8", "--updates", "5:10", "--replay.capacity", "16")
METHODS = {
    "symbolic": (60, [*SEARCH, "--programs", "600"]),
    "objective": (
        40,
        ["discover", "objective", "--rule", "lpo", *AGENTS, "--es.population", "4", "--generations", "60"],
    ),
    "drift": (30, ["discover", "drift", *AGENTS, "--population", "8", "--programs", "40", "--workers", "1"]),
    "curriculum": (30, ["discover", "curriculum", *LEVELS, "--held-out", "2", "--probe", "10", "--steps", "40"]),
    "refinement": (
        40,
        ["refine", "{source}", "--tasks", "iris-mlp-2k", "--finalists", "6", "--rounds", "2", "--trials", "4"],
    ),
}
"""By method: how often it is killed, and the command. Together 200 kills."""


def begun(directory):
    """Tell whether a run has a whole step; before that its name is free, and there is nothing to resume."""
    try:
        with Store.open(directory) as store:
            return store.begun()
    except RulesmithError:
        return False


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A search to refine."""
    folder = tmp_path_factory.mktemp("source") / "run"
    status, out = finish(*SEARCH, "--programs", "200", "--out", folder)
    assert status == 0, out
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_killed_runs_end_as_one_never_stopped(method, source, tmp_path):
    wanted, words = METHODS[method]
    words = [word.format(source=source) for word in words]
    began = time.monotonic()
    status, out = finish(*words, "--out", tmp_path / "whole")
    assert status == 0, out
    longest = 1.2 * (time.monotonic() - began)
    rng, kills, runs = random.Random(method), 0, 0
    whole = everything(tmp_path / "whole")
    while kills < wanted:
        cut, done = tmp_path / f"cut-{runs}", False
        runs += 1
        while not done:
            process = start(*words, *(["--resume"] if begun(cut) else []), "--out", cut)
            if kills < wanted:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=rng.uniform(0.2, longest))
                process.send_signal(signal.SIGKILL)
            out, _ = process.communicate()
            assert process.returncode in (0, -signal.SIGKILL), out
            kills += process.returncode == -signal.SIGKILL
            done = process.returncode == 0
        assert everything(cut) == whole
    print(
        f"{method}: {kills} kills over {runs} runs in {time.monotonic() - began:.0f} s, all equal to one never stopped"
    )
