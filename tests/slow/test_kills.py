"""Runs of every method, killed (SIGKILL) again and again and resumed, end as one that was never stopped."""

import random
import time

import pytest
from small_runs import everything, finish, said, start

pytestmark = pytest.mark.slow

KILLS = {"distillation": 50, "drift": 40, "symbolic": 40, "refinement": 30, "objective": 25, "curriculum": 15}
"""By method; 200 in all. Each process gets one of three moments, one after the other."""
CHECKPOINTS = 0.5
"""Seconds between checkpoints of runs over networks, so that small runs have many."""


def written(directory):
    """Return what changes whenever a run writes: the sizes and times of its files."""
    found = []
    for path in sorted(directory.rglob("*")) if directory.exists() else ():
        try:
            stat = path.stat()
        except OSError:  # it was deleted just now
            continue
        found.append((path, stat.st_size, stat.st_mtime_ns))
    return found


def kill(process, directory, rng, how):
    """Kill a process at a random moment, unless it ends before."""
    if how == "at any time":
        process.join(rng.uniform(0.0, 10.0))
    else:
        before = written(directory)
        while process.is_alive() and written(directory) == before:
            time.sleep(0.001)
        # A write takes some milliseconds, a checkpoint up to a second; or some steps later.
        process.join(rng.uniform(0.0, 0.03) if how == "as it writes" else rng.uniform(0.0, 3.0))
    process.kill()
    process.join()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A search to refine."""
    directory = tmp_path_factory.mktemp("source") / "run"
    finish("symbolic", directory)
    return directory


@pytest.mark.parametrize("method", KILLS)
def test_killed_runs_end_as_one_never_stopped(method, request, tmp_path, figures):
    refined = request.getfixturevalue("source") if method == "refinement" else None
    finish(method, tmp_path / "whole", refined)
    whole = everything(tmp_path / "whole")
    rng, kills, runs = random.Random(method), 0, 0
    while kills < KILLS[method]:
        cut, ended = tmp_path / f"cut-{runs}", False
        while not ended:
            process = start(method, cut, refined, CHECKPOINTS)
            if kills < KILLS[method]:
                kill(process, cut, rng, ("at any time", "as it writes", "after a write")[kills % 3])
            process.join()
            assert process.exitcode in (0, -9), said(cut)
            ended = process.exitcode == 0
            kills += not ended
        assert everything(cut) == whole
        runs += 1
    figures(f"{kills} kills of {runs} runs of {method}, each equal in the end to the run that was never stopped")
