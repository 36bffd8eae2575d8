"""A hundred thousand damaged and hostile rule files: read, or refused in a line, in little time, and never run."""

import subprocess
import sys
import warnings
from itertools import islice
from pathlib import Path

import pytest
from hostile import read_all, write
from mutants import mutants

pytestmark = pytest.mark.slow
PARTS, EACH = 10, 10_000
SLOWEST = 1.0
"""Seconds of a core that a file may take."""
MOST_MEMORY = 500.0
"""Megabytes that reading may take beside what the process has."""
RULESMITH = str(Path(sys.executable).parent / "rulesmith")


@pytest.mark.parametrize("part", range(1, PARTS + 1))
def test_mutated_files_are_read_or_refused_in_a_line(part, tmp_path, monkeypatch, figures):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_all(part, EACH, tmp_path)
    figures(
        f"{EACH:,} mutated files: {found.valid.total():,} valid, {found.refused.total():,} refused in a line; "
        f"the slowest took {found.slowest:.2f} s, all of them {found.memory:.0f} MB"
    )
    assert found.slowest < SLOWEST
    assert found.memory < MOST_MEMORY


def test_the_command_refuses_them_in_a_line_too(tmp_path, monkeypatch, figures):
    monkeypatch.chdir(tmp_path)
    statuses = []
    for mutant in islice(mutants(0, 60), 60):
        path = write(mutant, tmp_path)
        done = subprocess.run([RULESMITH, "show", str(path)], capture_output=True, text=True)
        assert done.returncode in (0, 2), (mutant, done)
        assert len(done.stderr.splitlines()) == (done.returncode == 2), (mutant, done)
        statuses.append(done.returncode)
    assert not Path("RAN").exists()
    figures(f"`rulesmith show` of {len(statuses)} mutated files: {statuses.count(2)} refused in a line, the rest shown")
