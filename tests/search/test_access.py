"""Runs where this user may not write, where files cannot be locked, and caches that cannot be."""

import errno
import fcntl
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from rulesmith import RulesmithError, Symbolic, Workers, discover, load, open_run
from rulesmith.results.reporting import runs_table
from rulesmith.search import executors, store
from rulesmith.search.program_store import ProgramStore


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = Symbolic(tasks=("iris-mlp-2k",), population=8, tournament=2, batch=8, seeds=1)
    return discover(config, tmp_path_factory.mktemp("runs") / "mine", programs=16, resources=Workers(1), progress=False)


@pytest.fixture
def read_only(monkeypatch):
    """Make SQLite refuse what it refuses in another user's folder; who runs the tests may be root."""
    access = os.access

    def inside(path):
        return store.holds_run(Path(path)) or store.holds_run(Path(path).parent)

    class Refusing(sqlite3.Connection):
        def execute(self, *words):
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error

    monkeypatch.setattr(store, "_connected", lambda path: sqlite3.connect(path, factory=Refusing))
    monkeypatch.setattr(os, "access", lambda path, mode: (mode != os.W_OK or not inside(path)) and access(path, mode))


def test_a_run_that_may_only_be_read_is_read(run, read_only, tmp_path):
    before = sorted(path.name for path in run.directory.iterdir())
    assert len(open_run(run.directory).history) == len(run.history)
    assert load(run.directory).name == run.best.name
    assert runs_table(run.directory.parent).row_count == 1
    run.report(tmp_path / "report.html")
    assert sorted(path.name for path in run.directory.iterdir()) == before


def test_what_only_the_log_of_a_killed_run_holds_is_read_too(tmp_path, request):
    made = ProgramStore.create(tmp_path / "live", {"method": "symbolic"})
    made.add_fact("late", 3)  # in the log; the run is killed before it is folded into the file
    shutil.copytree(tmp_path / "live", tmp_path / "killed")
    request.getfixturevalue("read_only")
    with ProgramStore.open(tmp_path / "killed") as found:
        assert found.fact("late") == 3


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOLCK, "its file system cannot lock files"),
        (errno.EOPNOTSUPP, "its file system cannot lock files"),
        (errno.EWOULDBLOCK, "another run is writing here"),
    ],
)
def test_a_lock_that_fails_says_why(tmp_path, monkeypatch, number, says):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(RulesmithError, match=says):
        ProgramStore.create(tmp_path / "run", {})


def test_a_folder_that_cannot_be_made_or_read_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(RulesmithError, match="cannot be made"):
        ProgramStore.create(tmp_path / "file" / "run", {})

    def denied(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(RulesmithError, match="cannot be read: Permission denied"):
        open_run(tmp_path)


def test_caches_that_cannot_be_written_are_not_used(tmp_path, monkeypatch):
    (tmp_path / "rulesmith").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert executors.cache_folder("xla") is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert executors.cache_folder("xla") == tmp_path / "new" / "rulesmith" / "xla"
