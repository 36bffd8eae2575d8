"""The store: one SQLite file in a run's directory that holds all of the run but its large arrays.

Whatever a step adds and the states after it are written in one transaction, so a run that is killed at any instant goes
on from the last whole one. Everything in it is data, which is checked as a run is opened (see `seals`). A store knows
nothing of what the states hold (see `state_codec`); `program_store`, `array_store` and `level_store` say what else
their kinds of runs keep.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from ..programs import RulesmithError
from ..programs.text_file import one_line
from . import seals

if TYPE_CHECKING:
    from .engine import Record, States
    from .state_codec import Ledger

_Kind = TypeVar("_Kind", bound="Store")
FILE = "run.sqlite"
_LOCK = "run.lock"
ENDED = "ended"
"""The fact that says how the last session ended, where it could say so: "done", or "failed" and why."""
_APPLICATION = 0x52534D31
_VERSION = 7
"""The version of stores."""
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE steps (step INTEGER PRIMARY KEY, metrics TEXT NOT NULL);
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), step INTEGER NOT NULL, value TEXT NOT NULL);
CREATE TABLE ledgers (place TEXT, key TEXT, step INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY (place, key));
"""


class Store:
    """A run's directory. Use as a context manager; `create` and `open` make one.

    A store opened for writing is locked: a second run in the same directory is refused.
    """

    TABLES: ClassVar[str] = ""
    """SQL that makes the further tables of a kind of run."""
    BY_STEP: ClassVar[tuple[str, ...]] = ()
    """Names of those tables whose rows belong to a step, in a column `step`."""

    def __init__(self, directory: Path, connection: sqlite3.Connection, lock: Any = None) -> None:
        self.directory = directory
        self._connection = connection
        self._lock = lock

    @classmethod
    def create(cls, directory: Path, facts: dict[str, Any]) -> Self:
        """Start a run in a directory that has none, and keep the facts that say what it is.

        Raises:
            RulesmithError: the directory holds a run, is in use, or cannot be written.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RulesmithError(f"{directory}: cannot be made: {error.strerror}") from None
        lock = _lock(directory)
        path = directory / FILE
        if path.exists():
            with cls.open(directory) as other:
                if other.begun():
                    raise RulesmithError(
                        f"{directory} holds a run already; add --resume to go on with it, or choose another --out"
                    )
                other.remove_files()  # a run that was killed before its first step
        with _plain_errors(path):
            part = path.with_suffix(".part")
            part.unlink(missing_ok=True)
            connection = _connected(part)
            connection.executescript(_SCHEMA + cls.TABLES)
            seals.add(connection)
            rows = [(name, json.dumps(value)) for name, value in facts.items()]
            with connection:
                connection.executemany("INSERT INTO facts VALUES (?, ?)", rows)
            connection.close()  # folds the write-ahead log into the file
            part.rename(path)
            return cls(directory, _connected(path), lock)

    @classmethod
    def open(cls, directory: Path, *, write: bool = False) -> Self:
        """Open the run in a directory.

        Raises:
            RulesmithError: there is none, it is no run of ours, it is damaged, or (for writing) it is in use.
        """
        path = directory / FILE
        if not holds_run(directory):
            raise RulesmithError(f"{directory}: no run here (there is no {FILE})")
        lock = _lock(directory) if write else None
        with _plain_errors(path):
            connection = _connected(path) if write else _reading(path)
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if application != _APPLICATION:
                raise RulesmithError(f"{path}: not a store of rulesmith")
            if version != _VERSION:
                raise RulesmithError(f"{path}: made by another version of rulesmith (store {version}, here {_VERSION})")
            whole = connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
            if not whole or seals.broken(connection):
                raise RulesmithError(f"{path}: the store is damaged")
            return cls(directory, connection, lock)

    def of_kind(self, kind: type[_Kind]) -> _Kind:
        """Return this store as one of a kind, with the same connection."""
        return kind(self.directory, self._connection, self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the run."""
        self._connection.close()
        if self._lock:
            self._lock.close()

    def remove(self) -> None:
        """Delete the run, as if it had never begun; whatever else is in its directory stays."""
        self.remove_files()
        if self._lock:
            (self.directory / _LOCK).unlink(missing_ok=True)
        if not any(self.directory.iterdir()):
            self.directory.rmdir()

    def remove_files(self) -> None:
        """Delete what the run has written, but not its lock."""
        self._connection.close()
        for path in self.directory.glob(f"{FILE}*"):
            path.unlink(missing_ok=True)

    def begun(self) -> bool:
        """Tell whether the run has made a whole step."""
        return self.last_state() is not None

    def fact(self, name: str) -> Any:
        """Return one of the facts kept at the start; None where there is none of that name."""
        with self._errors():
            row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
            return json.loads(row[0]) if row else None

    def add_fact(self, name: str, value: Any) -> None:
        """Keep one more fact."""
        with self._errors(), self._connection:
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def __call__(self, record: Record[Any, Any, Any, Any]) -> None:
        """Write a step, as an observer of the engine."""
        raise NotImplementedError

    def close_step(self, record: Record[Any, Any, Any, Any]) -> None:
        """Write what is left to write after the last step of a session; by default nothing is."""

    def write(
        self,
        step: int,
        metrics: dict[str, float],
        state: Any = None,
        *,
        ledgers: Mapping[str, Ledger] | None = None,
        insert: str = "",
        rows: Iterable[Sequence[Any]] = (),
    ) -> None:
        """Write a step in one transaction.

        Args:
            step: its number.
            metrics: figures of the step.
            state: plain data from which the run can go on after it; None keeps the one before.
            ledgers: parts of the states that only grow, by their place there; only new entries are written.
            insert: SQL that writes `rows`.
            rows: rows of one of the `TABLES`.
        """
        from .state_codec import Encoder

        ledgers = ledgers or {}
        encode = Encoder().plain
        grown = [
            (place, key, step, json.dumps(encode(value, f"{place}[{key!r}]")))
            for place, ledger in ledgers.items()
            for key, value in ledger.unwritten.items()
        ]
        with self._errors(), self._connection:
            if insert:
                self._connection.executemany(insert, rows)
            self._connection.executemany("INSERT OR REPLACE INTO ledgers VALUES (?, ?, ?, ?)", grown)
            self._connection.execute("INSERT OR REPLACE INTO steps VALUES (?, ?)", (step, json.dumps(metrics)))
            if state is not None:
                self._connection.execute("INSERT OR REPLACE INTO state VALUES (0, ?, ?)", (step, json.dumps(state)))
        for ledger in ledgers.values():
            ledger.unwritten.clear()

    def last_state(self) -> tuple[int, Any] | None:
        """Return the last step that has a state, and the state; None before the first."""
        with self._errors():
            row = self._connection.execute("SELECT step, value FROM state").fetchone()
            return None if row is None else (row[0], json.loads(row[1]))

    def states(self, examples: Any = None) -> tuple[int, States[Any, Any, Any]] | None:
        """Return the last step whose states were kept, and these states; None before the first.

        Args:
            examples: states of the same parts (their first ones), by which classes are known.

        Raises:
            RulesmithError: the states are of other parts, or damaged.
        """
        raise NotImplementedError

    def resume(self, examples: Any) -> tuple[int, States[Any, Any, Any]] | None:
        """Return what `states` does, and delete what later steps wrote, since they will be done again."""
        found = self.states(examples)
        step = found[0] if found else 0
        with self._errors(), self._connection:
            for table in ("steps", "ledgers", *self.BY_STEP):
                self._connection.execute(f"DELETE FROM {table} WHERE step > ?", (step,))
        return found

    @staticmethod
    def amount(record: Record[Any, Any, Any, Any]) -> int:
        """Return how much a step adds to `done`."""
        return 1

    def done(self) -> int:
        """Return how much was done up to the last states, in the unit that bounds the run; by default steps."""
        last = self.last_state()
        return last[0] if last else 0

    def _ledger(self, place: str) -> dict[str, Any]:
        """Return a ledger's entries, as plain data."""
        last = self.last_state()
        query = "SELECT key, value FROM ledgers WHERE place = ? AND step <= ? ORDER BY rowid"
        with self._errors():
            rows = self._connection.execute(query, (place, last[0] if last else 0)).fetchall()
            return {key: json.loads(value) for key, value in rows}

    def steps(self) -> list[tuple[int, dict[str, Any]]]:
        """Return each step's number and metrics."""
        with self._errors():
            rows = self._connection.execute("SELECT step, metrics FROM steps ORDER BY step").fetchall()
            return [(step, json.loads(metrics)) for step, metrics in rows]

    def seconds(self) -> float:
        """Return the time that the run's steps took, over all its sessions."""
        return sum(metrics.get("seconds", 0.0) for _, metrics in self.steps())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with _plain_errors(self.directory / FILE):
            yield


def finite(fitness: float) -> float | None:
    """Return a number as JSON and SQL have it: None for infinity."""
    return fitness if math.isfinite(fitness) else None


def infinite(fitness: float | None) -> float:
    """Return what `finite` was given."""
    return math.inf if fitness is None else fitness


def holds_run(directory: Path) -> bool:
    """Tell whether a directory holds a run.

    Raises:
        RulesmithError: this user may not look into it.
    """
    try:
        return (directory / FILE).is_file()
    except OSError as error:
        raise RulesmithError(f"{directory}: cannot be read: {error.strerror}") from None


def is_running(directory: Path) -> bool:
    """Tell whether a process is writing the run in a directory."""
    try:
        with (directory / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no lock, or it cannot be looked at
        return False
    return False


def state_of(store: Store) -> str:
    """Return how a run stands, in words: running, done, stopped, or failed with the reason.

    A run that was killed could not say so: it is stopped, since nobody writes it any more.
    """
    return "running" if is_running(store.directory) else store.fact(ENDED) or "stopped"


def _connected(path: Path) -> sqlite3.Connection:
    # The thread that ends a process writes too; see `stopping`.
    return seals.taught(sqlite3.connect(path, check_same_thread=False))


def _reading(path: Path) -> sqlite3.Connection:
    """Return a connection to read from, also where SQLite may not make the files beside a store that it locks with."""
    connection = _connected(path)
    try:
        connection.execute("PRAGMA user_version").fetchone()
        return connection
    except sqlite3.OperationalError as error:
        connection.close()
        if os.access(path.parent, os.W_OK) or not os.access(path, os.R_OK):
            raise
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
    log = path.with_name(f"{FILE}-wal")
    if not (log.exists() and log.stat().st_size):
        return seals.taught(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True))
    found = seals.taught(sqlite3.connect(":memory:"))  # a run that was killed: what its log holds is read from copies
    with tempfile.TemporaryDirectory() as folder:
        for file in (path, log):
            shutil.copy(file, folder)
        copy = sqlite3.connect(Path(folder) / FILE)
        copy.backup(found)
        copy.close()
    return found


def _lock(directory: Path) -> Any:
    try:
        lock = (directory / _LOCK).open("w")
    except OSError as error:
        raise RulesmithError(f"{directory}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        why = f"its file system cannot lock files ({error.strerror}), which a run needs; choose another --out"
        if isinstance(error, BlockingIOError):
            why = "another run is writing here; wait for it, or choose another --out"
        raise RulesmithError(f"{directory}: {why}") from None
    return lock


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, RulesmithError):
            raise
        text = one_line(error)
        if "full" in text or "No space" in text:
            raise RulesmithError(f"{path}: the disk is full; free some space and add --resume to go on") from None
        if isinstance(error, sqlite3.OperationalError):
            raise RulesmithError(f"{path}: {text}") from None
        raise RulesmithError(f"{path}: the store is damaged or not a store of rulesmith ({text})") from None
