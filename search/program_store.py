"""What a search over programs keeps: each candidate with its score, and the states after every step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..meta.score import Score
from ..programs import RulesmithError
from ..programs.parts import Programs
from .archive import Entry, Row, best_of, pareto
from .candidates import Candidate
from .engine import Record, States
from .state_codec import Decoder, Encoder
from .store import Store, finite, infinite


class Best(NamedTuple):
    """The best candidate of a run.

    Attributes:
        number: the candidate's number.
        programs: its programs, simplified.
        fitness: smaller is better.
        losses: losses by task.
    """

    number: int
    programs: Programs
    fitness: float
    losses: dict[str, float]


class Outcome(NamedTuple):
    """What became of a program.

    Attributes:
        number: the candidate's number.
        refused: invalid mutants that were tried before it.
        source: where its score came from: "evaluated", or "digest" or "fingerprint" of one that is known.
        fitness: smaller is better.
        complete: whether it was tried on all tasks.
    """

    number: int
    refused: int
    source: str
    fitness: float
    complete: bool


class ProgramStore(Store):
    """The store of a run over programs; an observer of the engine."""

    TABLES = """
    CREATE TABLE candidates (
        number INTEGER PRIMARY KEY, step INTEGER NOT NULL, parent INTEGER, origin TEXT NOT NULL,
        refused INTEGER NOT NULL, digest TEXT NOT NULL, length INTEGER NOT NULL, cost REAL NOT NULL,
        program TEXT NOT NULL, source TEXT NOT NULL, fingerprint TEXT NOT NULL, fitness REAL, reason TEXT NOT NULL,
        losses TEXT NOT NULL, rungs TEXT NOT NULL
    );
    """
    BY_STEP = ("candidates",)
    _kept: dict[int, Candidate] | None = None
    """Candidates in the table that states may refer to by number."""

    def __call__(self, record: Record[Any, Any, Any, Any]) -> None:
        """Write a step with all its candidates and the states after it."""
        rows = []
        for candidate, told in zip(record.candidates, record.feedback, strict=True):
            score = told.score
            rows.append(
                (
                    *(candidate.index, record.step, candidate.parent, candidate.origin, candidate.refused),
                    *(candidate.digest, candidate.length, candidate.cost, candidate.programs.to_flat_text()),
                    *(told.source, told.fingerprint),
                    *(finite(score.fitness), score.reason, json.dumps(dict(score.losses)), json.dumps(score.rungs)),
                )
            )
        kept = self._kept or {}
        kept |= {candidate.index: candidate for candidate in record.candidates}
        used: dict[int, Candidate] = {}

        def reference(value: Any) -> int | None:
            if type(value) is not Candidate or kept.get(value.index) != value:
                return None
            used[value.index] = value
            return value.index

        encoder = Encoder(reference=reference)
        state = encoder.plain(record.states._asdict(), "states")
        insert = f"INSERT INTO candidates VALUES ({', '.join('?' * 15)})"
        self.write(record.step, record.metrics, state, ledgers=encoder.ledgers, insert=insert, rows=rows)
        self._kept = used

    def states(self, examples: Any = None) -> tuple[int, States[Any, Any, Any]] | None:
        """See `Store.states`."""
        last = self.last_state()
        if last is None:
            return None
        step, plain = last
        wanted: set[int] = set()
        _collect(plain, wanted)
        found = {candidate.index: candidate for candidate, _ in self.candidates(wanted)}
        with self._errors():
            decoder = Decoder(examples, dereference=found.__getitem__, ledger=self._ledger)
            states = States(**{name: decoder.value(each) for name, each in plain.items()})
        self._kept = found
        return step, states

    @staticmethod
    def amount(record: Record[Any, Any, Any, Any]) -> int:
        """Return how many programs were proposed in a step."""
        return len(record.candidates)

    def done(self) -> int:
        """Return how many programs were proposed."""
        with self._errors():
            return self._connection.execute("SELECT COUNT(*) FROM candidates").fetchone()[0]

    def candidates(self, wanted: set[int] | None = None) -> Iterator[tuple[Candidate, Score]]:
        """Yield candidates with their scores, by number.

        Args:
            wanted: numbers of candidates; None for all.
        """
        query = "SELECT * FROM candidates ORDER BY number"
        with self._errors():
            for row in self._connection.execute(query):
                number, _, parent, origin, refused, digest, length, cost, text, _, _, fitness, reason, losses, rungs = (
                    row
                )
                if wanted is None or number in wanted:
                    programs = Programs.parse(text)
                    candidate = Candidate(number, programs, parent, origin, refused, digest, length, cost)
                    told = infinite(fitness), reason, json.loads(losses), tuple(json.loads(rungs))
                    yield candidate, Score(*told)

    def fitnesses(self) -> Iterator[Row]:
        """Yield the candidates that were tried on all tasks, by number."""
        query = "SELECT number, fitness, length, cost FROM candidates WHERE reason = '' AND fitness IS NOT NULL"
        with self._errors():
            yield from (Row(*row) for row in self._connection.execute(f"{query} ORDER BY number").fetchall())

    def outcomes(self) -> Iterator[Outcome]:
        """Yield what became of each program, by number."""
        query = "SELECT number, refused, source, fitness, reason = '' FROM candidates ORDER BY number"
        with self._errors():
            for number, refused, source, fitness, complete in self._connection.execute(query).fetchall():
                yield Outcome(number, refused, source, infinite(fitness), bool(complete) and fitness is not None)

    def counts(self) -> dict[str, int]:
        """Return how many programs were tried, and how many of their scores were measured or known already."""
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

    def archive(self) -> tuple[Entry, ...]:
        """Return the best programs of the run, best first; see `archive.merge`."""
        best = {row.number: row.fitness for row in best_of(self.fitnesses())}
        found = {candidate.index: candidate for candidate, _ in self.candidates(set(best))}
        return tuple(Entry(found[number], fitness) for number, fitness in best.items())

    def best(self) -> Best:
        """Return the best candidate.

        Raises:
            RulesmithError: no program has been tried on all tasks yet.
        """
        archive = self.archive()
        if not archive:
            raise RulesmithError(f"{self.directory}: the run has no evaluated program yet")
        candidate = archive[0].candidate
        losses = self.scores({candidate.index})[candidate.index].losses
        return Best(candidate.index, candidate.programs.simplified(), archive[0].fitness, dict(losses))

    def scores(self, numbers: set[int]) -> dict[int, Score]:
        """Return the scores of some candidates."""
        return {candidate.index: score for candidate, score in self.candidates(numbers)}

    def lineage(self, number: int) -> list[tuple[int, str, float]]:
        """Return (number, origin, fitness) of a candidate and its ancestors, oldest first."""
        line = []
        with self._errors():
            current: int | None = number
            while current is not None:
                row = self._connection.execute(
                    "SELECT parent, origin, fitness FROM candidates WHERE number = ?", (current,)
                ).fetchone()
                line.append((current, row[1], infinite(row[2])))
                current = row[0]
        return line[::-1]

    def front(self) -> list[Entry]:
        """Return the Pareto front of fitness against length and cost, shortest first."""
        return pareto(self.archive())


def _collect(plain: Any, found: set[int]) -> None:
    """Add the numbers of the candidates that plain states refer to."""
    if isinstance(plain, dict):
        if "$kept" in plain:
            found.add(plain["$kept"])
        for each in plain.values():
            _collect(each, found)
    elif isinstance(plain, list):
        for each in plain:
            _collect(each, found)
