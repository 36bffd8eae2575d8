"""A Ray worker is killed every minute for ten minutes: nothing is lost, and the same is found as without."""

import os
import signal
import subprocess
import threading

import pytest
from rulesmith.results.views import run_json
from rulesmith.search.method import Workers, discover
from rulesmith.search.methods.symbolic import METHOD, Symbolic
from small_runs import everything

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

CONFIG = Symbolic(tasks=("iris-mlp-2k",), seeds=1, population=40, tournament=5, batch=16)
KILLS, EVERY = 10, 60.0
"""How many workers are killed, and the seconds between."""


@pytest.fixture
def two_workers():
    """Ray on this machine, with room for two workers."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def workers():
    """Return the process numbers of the Ray workers that this process has started, the oldest first."""
    listing = ["ps", "-e", "--sort=start_time", "-o", "pid=,ppid=,args="]
    listed = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    processes = [line.split(None, 2) for line in listed.splitlines()]
    ours = {os.getpid()}
    while more := {int(pid) for pid, parent, _ in processes if int(parent) in ours} - ours:
        ours |= more
    evaluating = [int(pid) for pid, _, words in processes if words.startswith(("ray::_evaluate", "ray::IDLE"))]
    return [pid for pid in evaluating if pid in ours]


def test_killed_workers_change_nothing(two_workers, tmp_path, figures):
    killed, enough = [], threading.Event()

    def kill():
        while len(killed) < KILLS:
            if enough.wait(EVERY):
                return
            for pid in workers()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        enough.set()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        stop = lambda record: enough.is_set()  # noqa: E731
        discover(METHOD, CONFIG, tmp_path / "ray", resources=Workers(ray=True), callbacks=[stop])
    finally:
        enough.set()
        killer.join()
    programs = run_json(tmp_path / "ray", stats=False)["programs"]
    figures(f"{len(killed)} Ray workers killed, a minute apart, in a search of {programs:,} programs")
    assert len(set(killed)) == KILLS
    discover(METHOD, CONFIG, tmp_path / "pool", bound=programs, resources=Workers(2))
    assert everything(tmp_path / "ray") == everything(tmp_path / "pool")
    figures("equal to the search in which none was killed")
