"""A disk that fills in mid-run: one line, whole steps kept, and the run goes on when there is room."""

import os
import resource
import subprocess

import pytest
from commands import RULESMITH, everything, finish

WORDS = ("discover", "symbolic", "--tasks", "iris-mlp-2k", "--preset", "demo", "--workers", "1", "--programs", "600")


def mounted(folder, size):
    """Mount a file system of a size in memory; False where this is not allowed."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    return done.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "limited"])
def test_a_full_disk_ends_a_run_in_a_line_and_loses_no_step(tmp_path, kind):
    status, out = finish(*WORDS, "--out", tmp_path / "whole")
    assert status == 0, out
    size = (tmp_path / "whole" / "run.sqlite").stat().st_size
    disk = tmp_path / "disk"
    if kind == "full":
        if not mounted(disk, size // 2):
            pytest.skip("no file system can be mounted here")
        limits = {}
    else:  # what a quota does: a file may not grow beyond a size
        disk.mkdir()
        limits = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))}
    try:
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        words = [RULESMITH, *WORDS, "--out", str(disk / "run")]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, **limits)
        assert done.returncode not in (0, -25), done.stdout  # not by the signal of the limit
        assert "Traceback" not in done.stderr + done.stdout
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("rulesmith: "), done.stderr
        if kind == "full":
            subprocess.run(["mount", "-o", f"remount,size={20 * size}", str(disk)], check=True)
        status, out = finish(*WORDS, "--resume", "--out", disk / "run")
        assert status == 0, out
        assert everything(disk / "run") == everything(tmp_path / "whole")
        print(f"{kind}: {last}")
    finally:
        if kind == "full":
            subprocess.run(["umount", str(disk)], check=False)
