"""Stopping from outside: exit statuses, what is written before, and that nothing is left."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rulesmith import RulesmithError, Symbolic, Workers, discover, open_run
from rulesmith.search.methods import symbolic
from rulesmith.search.program_store import ProgramStore

RULESMITH = str(Path(sys.executable).parent / "rulesmith")
SMALL = Symbolic(tasks=("iris-mlp-2k",), population=8, tournament=2, batch=8, seeds=1)

STUCK = """
import gc, hashlib, sys
from pathlib import Path
from rulesmith.search import stopping

stopping.GRACE = 30 if sys.argv[1] == "writing" else 0.5
stopping.listen()
def deaf():
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2**31 - 1)
class Dropped:
    def __del__(self):
        while True:
            pass
try:
    with stopping.written_at_least(lambda: Path("written").touch()):
        print("ready", flush=True)
        if sys.argv[1] == "deaf":
            deaf()
        elif sys.argv[1] == "dropped":
            Dropped()
            deaf()
        with stopping.whole():
            for _ in range(10**7):
                pass
            Path("whole").touch()
        deaf()
except stopping.Stopped as stopped:
    sys.exit(stopped.status)
"""


@pytest.mark.parametrize(
    ("how", "number", "left"),
    [
        ("deaf", signal.SIGTERM, {"written"}),  # as in a compile: Python cannot hear of the signal
        ("dropped", signal.SIGINT, {"written"}),  # a library, or Python itself, drops what the handler raised
        ("writing", signal.SIGTERM, {"whole"}),  # a write is not torn
    ],
)
def test_a_process_ends_soon_whatever_it_is_doing(tmp_path, how, number, left):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert errors == ""
    assert {path.name for path in tmp_path.iterdir()} == left


def test_a_search_stopped_before_its_first_step_leaves_no_process_and_no_run(tmp_path):
    words = ["discover", "symbolic", "--tasks", "digits-mlp-200k", "--workers", "1", "--out", "run"]
    process = subprocess.Popen(
        [RULESMITH, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, bufsize=1
    )
    assert process.stdout
    for line in process.stdout:
        if "starting 1 worker" in line:
            break
    deadline = time.monotonic() + 60
    while not (workers := children(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 143, log
    assert "Traceback" not in log
    assert "stopped; before the first step, so nothing is kept" in log
    assert not (tmp_path / "run").exists()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)


def children(parent):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, RulesmithError])
def test_a_run_without_a_step_leaves_its_name_free(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error("on purpose")

    monkeypatch.setattr(symbolic, "measure_adamw", fail)
    for _ in range(2):
        with pytest.raises(error, match="on purpose"):
            discover(SMALL, tmp_path / "run", programs=8, resources=Workers(1), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_killed_before_its_first_step_is_replaced(tmp_path):
    for name in ("one", "two"):
        ProgramStore.create(tmp_path / "run", {"name": name})  # never closed, as by a kill
        with ProgramStore.open(tmp_path / "run") as store:
            assert store.fact("name") == name
    (tmp_path / "run" / "mine.txt").touch()
    run = discover(SMALL, tmp_path / "run", programs=8, resources=Workers(1), progress=False)
    assert len(open_run(run.directory).history)
    assert (tmp_path / "run" / "mine.txt").exists()
    with pytest.raises(RulesmithError, match="holds a run already"):
        discover(replace(SMALL, seed=1), tmp_path / "run", programs=8, progress=False)


def test_ignored_signals_stay_ignored():
    script = "import os, signal; from rulesmith.search import stopping; stopping.listen(); os.kill(os.getpid(), 1)"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    finally:
        signal.signal(signal.SIGHUP, before)
