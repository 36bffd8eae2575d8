"""A disk that fills in mid-run: the run ends with a line, keeps its whole steps, and goes on when there is room.

The disk is a small file system in memory, in a mount namespace of its own, so that nobody else sees it and nothing is
left behind. A limit on the size of files (RLIMIT_FSIZE), which is what a quota looks like to a program, is tested too.
"""

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
size=$1; again=$2; shift 2
mount -t tmpfs -o size=$size tmpfs disk || exit 99
"$@" --out disk/run > first.out 2> first.errors
echo $? > first.status
cp -r disk/run full
mount -o remount,size=64m disk
"$@" $again --out disk/run > second.out 2>&1 || exit 98
cp -r disk/run end
"""
"""Runs a search on a disk that fills, and then again on a larger one; keeps copies of both runs."""


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


def on_a_disk(folder, size, again, name):
    """Run a search on a disk of a size, and then again on a larger one; return what it said when the disk was full."""
    (folder / "disk").mkdir()
    if subprocess.run([*NAMESPACE, "true"]).returncode != 0:
        pytest.skip("no mount namespaces here")
    words = [*NAMESPACE, "sh", "-c", ON_A_DISK, "sh", size, again, RULESMITH, *SEARCHES[name]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, (done, *(path.read_text() for path in folder.glob("*.*")))
    assert (folder / "first.status").read_text() == "2\n"
    return (folder / "first.errors").read_text()


@pytest.mark.parametrize(("name", "size"), [("symbolic", "200k"), ("symbolic", "300k"), ("objective", "240k")])
def test_a_disk_that_fills(name, size, whole, tmp_path, figures):
    errors = on_a_disk(tmp_path, size, "--resume", name)
    steps = check_stopped(errors, tmp_path / "full", whole / name)
    assert steps > 0
    assert everything(tmp_path / "end") == everything(whole / name)
    figures(f"a search ({name}) on a disk of {size} ended after {steps} steps: {errors.strip()}; resumed, it is equal")


@pytest.mark.parametrize("size", ["8k", "40k", "80k", "120k"])
def test_a_disk_too_small_to_begin_leaves_the_name_free(size, whole, tmp_path, figures):
    errors = on_a_disk(tmp_path, size, "", "symbolic")
    assert len(errors.splitlines()) == 1, errors
    assert everything(tmp_path / "end") == everything(whole / "symbolic")
    figures(f"a search on a disk of {size} did not begin: {errors.strip()}; begun again, it is equal")


@pytest.mark.parametrize("name", SEARCHES)
def test_a_limit_on_files(name, whole, tmp_path, figures):
    most = 150_000
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
    words = [RULESMITH, *SEARCHES[name], "--out", tmp_path / "run"]
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 2, done
    steps = check_stopped(done.stderr, tmp_path / "run", whole / name)
    subprocess.run([*words, "--resume"], check=True, stdout=subprocess.DEVNULL)
    assert everything(tmp_path / "run") == everything(whole / name)
    figures(f"a search ({name}) whose files are limited ended after {steps} steps: {done.stderr.strip()}; so is this")
