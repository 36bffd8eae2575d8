"""The store: one SQLite file in a run's directory that holds all of the run but its large arrays.

Whatever a step adds and the states after it are written in one transaction, so a run that is killed at any instant goes
on from the last whole one. Everything in it is data. `program_store` and `array_store` say what their kinds of runs
keep.
"""

from __future__ import annotations

import fcntl
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from ..programs import RulesmithError

FILE = "run.sqlite"
_APPLICATION = 0x52534D31
_VERSION = 2
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE steps (step INTEGER PRIMARY KEY, metrics TEXT NOT NULL);
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), step INTEGER NOT NULL, value TEXT NOT NULL);
"""


class Store:
    """A run's directory. Use as a context manager; `create` and `open` make one.

    A store opened for writing is locked: a second run in the same directory is refused.
    """

    TABLES: ClassVar[str] = ""
    """More tables, of a kind of run."""

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
            raise RulesmithError(
                f"{directory} holds a run already; add --resume to go on with it, or choose another --out"
            )
        with _plain_errors(path):
            part = path.with_suffix(".part")
            part.unlink(missing_ok=True)
            connection = sqlite3.connect(part)
            connection.executescript(_SCHEMA + cls.TABLES)
            rows = [(name, json.dumps(value)) for name, value in facts.items()]
            with connection:
                connection.executemany("INSERT INTO facts VALUES (?, ?)", rows)
            connection.close()  # folds the write-ahead log into the file
            part.rename(path)
            return cls(directory, sqlite3.connect(path), lock)

    @classmethod
    def open(cls, directory: Path, *, write: bool = False) -> Self:
        """Open the run in a directory.

        Raises:
            RulesmithError: there is none, it is no run of ours, it is damaged, or (for writing) it is in use.
        """
        path = directory / FILE
        if not path.is_file():
            raise RulesmithError(f"{directory}: no run here (there is no {FILE})")
        lock = _lock(directory) if write else None
        with _plain_errors(path):
            connection = sqlite3.connect(path)
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if application != _APPLICATION:
                raise RulesmithError(f"{path}: not a store of rulesmith")
            if version != _VERSION:
                raise RulesmithError(f"{path}: made by another version of rulesmith (store {version}, here {_VERSION})")
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise RulesmithError(f"{path}: the store is damaged")
            return cls(directory, connection, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        if self._lock:
            self._lock.close()

    def fact(self, name: str) -> Any:
        """Return one of the facts kept at the start; None where there is none of that name."""
        with self._errors():
            row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def require(self, method: str) -> None:
        """Raise RulesmithError unless the run is one of `discover METHOD`."""
        if self.fact("method") != method:
            raise RulesmithError(f"{self.directory} is not a run of `discover {method}`")

    def add_fact(self, name: str, value: Any) -> None:
        """Keep one more fact."""
        with self._errors(), self._connection:
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def write(
        self,
        step: int,
        metrics: dict[str, float],
        state: Any = None,
        insert: str = "",
        rows: Iterable[Sequence[Any]] = (),
    ) -> None:
        """Write a step in one transaction.

        Args:
            step: its number.
            metrics: of it.
            state: plain data from which the run can go on after it; None keeps the one before.
            insert: SQL for `rows`.
            rows: of a table of the run's kind.
        """
        with self._errors(), self._connection:
            if insert:
                self._connection.executemany(insert, rows)
            self._connection.execute("INSERT OR REPLACE INTO steps VALUES (?, ?)", (step, json.dumps(metrics)))
            if state is not None:
                self._connection.execute("INSERT OR REPLACE INTO state VALUES (0, ?, ?)", (step, json.dumps(state)))

    def last_state(self) -> tuple[int, Any] | None:
        """Return the last step that has a state, and that; None before the first."""
        with self._errors():
            row = self._connection.execute("SELECT step, value FROM state").fetchone()
            return None if row is None else (row[0], json.loads(row[1]))

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


def _lock(directory: Path) -> Any:
    try:
        lock = (directory / "run.lock").open("w")
    except OSError as error:
        raise RulesmithError(f"{directory}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise RulesmithError(
            f"{directory}: another run is writing here; wait for it, or choose another --out"
        ) from None
    return lock


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, RulesmithError):
            raise
        text = str(error)
        if "full" in text or "No space" in text:
            raise RulesmithError(f"{path}: the disk is full; free some space and add --resume to go on") from None
        if isinstance(error, sqlite3.OperationalError):
            raise RulesmithError(f"{path}: {text}") from None
        raise RulesmithError(f"{path}: the store is damaged or not a store of rulesmith ({text})") from None
