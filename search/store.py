"""The store: one SQLite file in a run's directory that holds all of the run.

A batch's candidates and the strategy's state after it are written in one transaction, so a run that is killed at any
instant goes on from the last whole batch. Everything in it is data: programs are text, states are JSON.
"""

from __future__ import annotations

import fcntl
import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..meta.score import Score
from ..programs import Program, RulesmithError
from ..programs.rule import Rule
from .archive import Entry, pareto
from .candidates import Candidate
from .engine import Record, States
from .strategies.evolution import Population

FILE = "run.sqlite"
_APPLICATION = 0x52534D31
_VERSION = 1
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE candidates (
    number INTEGER PRIMARY KEY, step INTEGER NOT NULL, parent INTEGER, origin TEXT NOT NULL, refused INTEGER NOT NULL,
    digest TEXT NOT NULL, length INTEGER NOT NULL, program TEXT NOT NULL, source TEXT NOT NULL,
    fingerprint TEXT NOT NULL, fitness REAL, reason TEXT NOT NULL, losses TEXT NOT NULL
);
CREATE TABLE steps (step INTEGER PRIMARY KEY, metrics TEXT NOT NULL);
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), step INTEGER NOT NULL, value TEXT NOT NULL);
"""


class Store:
    """A run's directory. Use as a context manager; `create` and `open` make one.

    A store opened for writing is locked: a second run in the same directory is refused.
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection, lock: Any = None) -> None:
        self.directory = directory
        self._connection = connection
        self._lock = lock

    @classmethod
    def create(cls, directory: Path, facts: dict[str, Any]) -> Store:
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
            connection.executescript(_SCHEMA)
            rows = [(name, json.dumps(value)) for name, value in facts.items()]
            with connection:
                connection.executemany("INSERT INTO facts VALUES (?, ?)", rows)
            connection.close()  # folds the write-ahead log into the file
            part.rename(path)
            return cls(directory, sqlite3.connect(path), lock)

    @classmethod
    def open(cls, directory: Path, *, write: bool = False) -> Store:
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

    def __enter__(self) -> Store:
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

    def add_fact(self, name: str, value: Any) -> None:
        """Keep one more fact."""
        with self._errors(), self._connection:
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def __call__(self, record: Record) -> None:
        """Write a step, as an observer of the engine."""
        rows = []
        for candidate, told in zip(record.candidates, record.feedback, strict=True):
            score = told.score
            rows.append(
                (
                    *(candidate.index, record.step, candidate.parent, candidate.origin, candidate.refused),
                    *(
                        candidate.digest,
                        candidate.length,
                        candidate.program.to_flat_text(),
                        told.source,
                        told.fingerprint,
                    ),
                    *(_finite(score.fitness), score.reason, json.dumps(dict(score.losses))),
                )
            )
        state = json.dumps(_encode(record.states.strategy))
        with self._errors(), self._connection:
            self._connection.executemany(f"INSERT INTO candidates VALUES ({', '.join('?' * 13)})", rows)
            self._connection.execute("INSERT INTO steps VALUES (?, ?)", (record.step, json.dumps(record.metrics)))
            self._connection.execute("INSERT OR REPLACE INTO state VALUES (0, ?, ?)", (record.step, state))

    def resume(self) -> tuple[int, States] | None:
        """Return the last step and its states, the problem's being its cache; None before the first step."""
        with self._errors():
            row = self._connection.execute("SELECT step, value FROM state").fetchone()
            if row is None:
                return None
            step, value = row[0], json.loads(row[1])
            wanted = {number for number, _ in (*value["members"], *value["archive"])}
            entries: dict[int, Entry] = {}
            cache: dict[str, Score] = {}
            for candidate, score, marks in self.candidates(wanted):
                if candidate is not None:
                    entries[candidate.index] = Entry(candidate, score.fitness)
                cache.update(dict.fromkeys(filter(None, marks), score))
        members, archive = (
            tuple(Entry(entries[number].candidate, _infinite(fitness)) for number, fitness in value[name])
            for name in ("members", "archive")
        )
        population = Population(members, archive, value["proposed"], value["since_restart"], value["restarts"])
        return step, States(population, None, cache)

    def candidates(self, wanted: set[int] | None = None) -> Iterator[tuple[Candidate | None, Score, tuple[str, str]]]:
        """Yield candidates in order with their scores and (digest, fingerprint).

        Those not `wanted` come as None: parsing a program takes longer than all else.
        """
        query = "SELECT * FROM candidates ORDER BY number"
        with self._errors():
            for row in self._connection.execute(query):
                number, _, parent, origin, refused, digest, length, text, _, mark, fitness, reason, losses = row
                candidate = None
                if wanted is None or number in wanted:
                    candidate = Candidate(number, Program.parse(text), parent, origin, refused, digest, length)
                yield candidate, Score(_infinite(fitness), reason, json.loads(losses)), (digest, mark)

    def counts(self) -> dict[str, int]:
        """Return how many programs were tried, and by which way their fitness was come by."""
        with self._errors():
            rows = self._connection.execute("SELECT source, COUNT(*) FROM candidates GROUP BY source").fetchall()
            (refused,) = self._connection.execute("SELECT COALESCE(SUM(refused), 0) FROM candidates").fetchone()
        found = dict(rows)
        return {
            "programs": sum(found.values()),
            "evaluated": found.get("evaluated", 0),
            "cached": found.get("digest", 0) + found.get("fingerprint", 0),
            "invalid": refused,
        }

    def seconds(self) -> float:
        """Return the time that the run's steps took, over all its sessions."""
        with self._errors():
            rows = self._connection.execute("SELECT metrics FROM steps").fetchall()
        return sum(json.loads(metrics).get("seconds", 0.0) for (metrics,) in rows)

    def archive(self) -> tuple[Entry, ...]:
        """Return the best programs of the run, best first."""
        found = self.resume()
        return found[1].strategy.archive if found else ()

    def scores(self, numbers: set[int]) -> dict[int, Score]:
        """Return the scores of some candidates."""
        found = {}
        for candidate, score, _ in self.candidates(numbers):
            if candidate is not None:
                found[candidate.index] = score
        return found

    def lineage(self, number: int) -> list[tuple[int, str, float]]:
        """Return (number, origin, fitness) of a candidate and its ancestors, oldest first."""
        line = []
        with self._errors():
            current: int | None = number
            while current is not None:
                row = self._connection.execute(
                    "SELECT parent, origin, fitness FROM candidates WHERE number = ?", (current,)
                ).fetchone()
                line.append((current, row[1], _infinite(row[2])))
                current = row[0]
        return line[::-1]

    def best_rule(self) -> Rule:
        """Return the best program of the run as a rule, simplified.

        Raises:
            RulesmithError: the run has found none yet.
        """
        archive = self.archive()
        if not archive:
            raise RulesmithError(f"{self.directory}: the run has no evaluated program yet")
        return self.rule(archive[0])

    def rule(self, entry: Entry) -> Rule:
        """Return a program of the archive as a rule, simplified, with where it comes from."""
        config = self.fact("config")
        number = entry.candidate.index
        losses = self.scores({number})[number].losses
        evidence: dict[str, Any] = {"search_fitness": entry.fitness}
        evidence |= {f"search loss on {task}, relative to tuned AdamW": loss for task, loss in losses.items()}
        provenance = {"origin": "rulesmith", "method": f"symbolic, {config['strategy']}", "start": config["init"]}
        provenance |= {"seed": config["seed"], "candidate": number}
        program = entry.candidate.program.simplified()
        return Rule(
            f"found-{number}", {"all": program}, "found by symbolic search", (1e-4, 1.0), {}, provenance, evidence
        )

    def front(self) -> list[Entry]:
        """Return the Pareto front of fitness against length, shortest first."""
        return pareto(self.archive())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with _plain_errors(self.directory / FILE):
            yield


def _encode(population: Population) -> dict[str, Any]:
    return {
        "members": [(entry.candidate.index, _finite(entry.fitness)) for entry in population.members],
        "archive": [(entry.candidate.index, _finite(entry.fitness)) for entry in population.archive],
        "proposed": population.proposed,
        "since_restart": population.since_restart,
        "restarts": population.restarts,
    }


def _finite(fitness: float) -> float | None:
    return fitness if math.isfinite(fitness) else None


def _infinite(fitness: float | None) -> float:
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
