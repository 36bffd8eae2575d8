"""A Ray worker killed every minute for ten minutes: the same result, nothing lost."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest
from rulesmith.results.views import run_json
from rulesmith.search.method import Workers, discover
from rulesmith.search.methods.symbolic import METHOD, Symbolic

pytest.importorskip("ray")
CONFIG = Symbolic(tasks=("digits-mlp-2k",), seeds=1, population=40, tournament=5, batch=16)
MINUTES = 10


def workers():
    """Return the numbers of the processes in which Ray evaluates."""
    return [int(word) for word in subprocess.run(["pgrep", "-f", "^ray::"], capture_output=True).stdout.split()]


@pytest.mark.slow
def test_killed_ray_workers_change_nothing(tmp_path):
    killed, over = [], threading.Event()

    def kill():
        while not over.wait(60):
            found = workers()
            if found:
                victim = found[len(killed) % len(found)]
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    killer = threading.Thread(target=kill)
    killer.start()
    began = time.monotonic()
    try:
        discover(METHOD, CONFIG, tmp_path / "ray", minutes=MINUTES + 0.5, resources=Workers(ray=True))
    finally:
        over.set()
        killer.join()
    found = run_json(tmp_path / "ray", stats=False)
    programs = found["programs"]
    discover(METHOD, CONFIG, tmp_path / "pool", bound=programs, resources=Workers(2))
    assert json.dumps(run_json(tmp_path / "pool", stats=False)) == json.dumps(found)
    assert len(killed) >= MINUTES - 1
    print(
        f"{len(killed)} workers killed in {time.monotonic() - began:.0f} s, {programs:,} programs, the same as without"
    )
