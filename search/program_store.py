"""What a search over programs keeps: each candidate, and the population by the candidates' numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..meta.score import Score
from ..programs import Program, RulesmithError
from ..programs.objective import Objective
from ..programs.rule import Rule
from .archive import Entry, pareto
from .candidates import Candidate
from .engine import Record, States
from .store import Store, finite, infinite
from .strategies.evolution import EvolutionState

LOSS = "search loss, relative to tuned AdamW's,"
"""What the losses of a score are, where the run's facts do not say (`measure`)."""


class ProgramStore(Store):
    """The store of a symbolic run; an observer of the engine."""

    TABLES = """
    CREATE TABLE candidates (
        number INTEGER PRIMARY KEY, step INTEGER NOT NULL, parent INTEGER, origin TEXT NOT NULL,
        refused INTEGER NOT NULL, digest TEXT NOT NULL, length INTEGER NOT NULL, program TEXT NOT NULL,
        source TEXT NOT NULL, fingerprint TEXT NOT NULL, fitness REAL, reason TEXT NOT NULL, losses TEXT NOT NULL
    );
    """

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
                    *(finite(score.fitness), score.reason, json.dumps(dict(score.losses))),
                )
            )
        insert = f"INSERT INTO candidates VALUES ({', '.join('?' * 13)})"
        state = {**_encode(record.states.strategy), "curriculum": record.states.curriculum}
        self.write(record.step, record.metrics, state, insert, rows)

    def resume(self) -> tuple[int, States] | None:
        """Return the last step and its states, the problem's being its cache; None before the first step."""
        last = self.last_state()
        if last is None:
            return None
        step, value = last
        with self._errors():
            wanted = {number for number, _ in (*value["members"], *value["archive"])}
            entries: dict[int, Entry] = {}
            cache: dict[str, Score] = {}
            for candidate, score, marks in self.candidates(wanted):
                if candidate is not None:
                    entries[candidate.index] = Entry(candidate, score.fitness)
                cache.update(dict.fromkeys(filter(None, marks), score))
        members, archive = (
            tuple(Entry(entries[number].candidate, infinite(fitness)) for number, fitness in value[name])
            for name in ("members", "archive")
        )
        population = EvolutionState(members, archive, value["proposed"], value["since_restart"], value["restarts"])
        return step, States(population, value.get("curriculum"), cache)

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
                yield candidate, Score(infinite(fitness), reason, json.loads(losses)), (digest, mark)

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
                line.append((current, row[1], infinite(row[2])))
                current = row[0]
        return line[::-1]

    def best_rule(self) -> Rule | Objective:
        """Return the best program of the run as a rule, simplified.

        Raises:
            RulesmithError: the run has found none yet.
        """
        archive = self.archive()
        if not archive:
            raise RulesmithError(f"{self.directory}: the run has no evaluated program yet")
        return self.rule(archive[0])

    def rule(self, entry: Entry) -> Rule | Objective:
        """Return a program of the archive as a rule, simplified, with where it comes from."""
        config = self.fact("config")
        number = entry.candidate.index
        losses = self.scores({number})[number].losses
        evidence: dict[str, Any] = {"search_fitness": entry.fitness}
        evidence |= {f"{self.fact('measure') or LOSS} on {task}": loss for task, loss in losses.items()}
        provenance = {"origin": "rulesmith", "method": f"symbolic, {config['strategy']}", "start": config["init"]}
        provenance |= {"seed": config["seed"], "candidate": number}
        program = entry.candidate.program.simplified()
        if program.kind == "drift":
            return Objective(
                f"found-{number}",
                "drift",
                program=program,
                description="a drift found by symbolic search",
                agent=config.get("agent", {}),
                provenance=provenance,
                evidence=evidence,
            )
        return Rule(
            f"found-{number}", {"all": program}, "found by symbolic search", (1e-4, 1.0), {}, provenance, evidence
        )

    def front(self) -> list[Entry]:
        """Return the Pareto front of fitness against length, shortest first."""
        return pareto(self.archive())


def _encode(population: EvolutionState) -> dict[str, Any]:
    return {
        "members": [(entry.candidate.index, finite(entry.fitness)) for entry in population.members],
        "archive": [(entry.candidate.index, finite(entry.fitness)) for entry in population.archive],
        "proposed": population.proposed,
        "since_restart": population.since_restart,
        "restarts": population.restarts,
    }
