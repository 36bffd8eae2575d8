"""A disk that fills in mid-run: the run ends with a line, keeps its whole steps, and goes on when there is room.

The disk is a small file system in memory, in a mount namespace of its own, so that nobody else sees it and nothing is
left behind. A limit on the size of files (RLIMIT_FSIZE), which is what a quota looks like to a program, is tested too.
"""

import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from small_runs import everything, tables

pytestmark = pytest.mark.slow

RULESMITH = str(Path(sys.executable).parent / "rulesmith")
TASKS = ("--tasks", "iris-mlp-2k", "--seeds", "1", "--population", "20", "--tournament", "5", "--batch", "16")
AGENTS = ("--rule", "ta-lpo", "--env", "Catch-bsuite", "--horizon", "64:320", "--each", "2", "--episodes", "4")
NETWORKS = ("--agent", "workers=4", "steps=8", "minibatches=2", "epochs=2", "widths=[8]", "--es.population", "6")
SEARCHES = {
    "symbolic": ("discover", "symbolic", *TASKS, "--workers", "1", "--programs", "400"),
    "objective": ("discover", "objective", *AGENTS, *NETWORKS, "--devices", "1", "--generations", "60"),
}
NAMESPACE = ("unshare", "--map-root-user", "--mount")
ON_A_DISK = """
size=$1; shift
mount -t tmpfs -o size=$size tmpfs disk || exit 99
"$@" --out disk/run > first.out 2> first.errors
echo $? > first.status
cp -r disk/run full
mount -o remount,size=64m disk
"$@" --resume --out disk/run > second.out 2>&1 || exit 98
cp -r disk/run end
"""
"""Runs a search on a disk that is full too early, goes on with it on a larger one, and keeps copies of both runs."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    for name, words in SEARCHES.items():
        subprocess.run([RULESMITH, *words, "--out", folder / name], check=True, stdout=subprocess.DEVNULL)
    return folder


def check_stopped(errors, run, whole):
    """Check what a stopped run has said, and that it holds the first steps of the whole one; return how many."""
    assert len(errors.splitlines()) == 1, errors
    assert errors.startswith("rulesmith: "), errors
    kept, all_steps = tables(run)["steps"], tables(whole)["steps"]
    assert kept == all_steps[: len(kept)]
    return len(kept)


@pytest.mark.skipif(subprocess.run([*NAMESPACE, "true"]).returncode != 0, reason="no mount namespaces here")
@pytest.mark.parametrize(("name", "size"), [("symbolic", "120k"), ("symbolic", "300k"), ("objective", "240k")])
def test_a_full_disk(name, size, whole, tmp_path, figures):
    (tmp_path / "disk").mkdir()
    words = [*NAMESPACE, "sh", "-c", ON_A_DISK, "sh", size, RULESMITH, *SEARCHES[name]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, (done, *(path.read_text() for path in tmp_path.glob("*.o*")))
    assert (tmp_path / "first.status").read_text() == "2\n"
    errors = (tmp_path / "first.errors").read_text()
    steps = check_stopped(errors, tmp_path / "full", whole / name)
    assert steps > 0
    assert everything(tmp_path / "end") == everything(whole / name)
    figures(f"a search ({name}) on a disk of {size} ended after {steps} steps: {errors.strip()}; resumed, it is equal")


@pytest.mark.parametrize("name", SEARCHES)
def test_a_limit_on_files(name, whole, tmp_path, figures):
    most = 150_000
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
    words = [RULESMITH, *SEARCHES[name], "--out", tmp_path / "run"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=limit, env=environment)
    assert done.returncode == 2, done
    steps = check_stopped(done.stderr, tmp_path / "run", whole / name)
    subprocess.run([*words, "--resume"], check=True, stdout=subprocess.DEVNULL)
    assert everything(tmp_path / "run") == everything(whole / name)
    figures(f"a search ({name}) whose files are limited ended after {steps} steps: {done.stderr.strip()}; so is this")
