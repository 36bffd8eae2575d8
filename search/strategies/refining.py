"""From many good programs of a search to one: a strategy that asks for a refinement's trials, in phases.

1. *funnel*: finalists are tried on larger tasks, round after round; a share of them goes on.
2. *constants*: the winner's literals are moved at random, by rounds of steps that get smaller; the best is kept.
3. *noise*: the program is tried with other groups of seeds, which tells what a difference is worth.
4. *removal*: every shorter program that skips one statement is tried; 5. *confirmation*: the best of them
   is tried with the other seeds, and is kept if it costs nothing within noise. Both repeat until every removal costs.

The state says which phase it is and what its trials so far gave; what is left to try follows from it. So a refinement
can be interrupted and resumed like every other run (Chen et al. 2023, section 2.3).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...programs import Program, ProgramError, Statement
from ...programs.parts import Programs
from ...programs.program import Operand
from ..candidates import Candidate, Feedback
from ..mutation import Limits, checked, rounded

NOISE_GROUPS = 3
"""Groups of other seeds by which the noise of a fitness is measured."""
NO_LIMITS = Limits(statements=10_000, cost=math.inf)
"""What is refined may be of any length and cost."""
PHASES = ("funnel", "constants", "noise", "removal", "confirmation", "done")


@dataclass(frozen=True)
class RefinementTrial(Candidate):
    """A rule to try in full.

    Attributes:
        round: round of the funnel, from 0; it decides the tasks.
        seeds: seeds of the trainings.
    """

    round: int = 0
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Removal:
    """A statement, and the fitness without it; `gone` if it was removed."""

    statement: str
    fitness: float
    gone: bool


@dataclass(frozen=True)
class Refining:
    """The state.

    Attributes:
        phase: one of `PHASES`.
        round: round of the funnel or of the constants' tuning, from 0.
        found: fitnesses of the phase's trials so far.
        asked: trials so far, in all phases.
        rounds: each finalist's fitnesses in the funnel.
        alive: places of the finalists in this round of the funnel.
        programs: the winner, as refined so far.
        fitness: fitness of the winner, then with its constants tuned, then after removals.
        start: fitness of the tuned program with each group of seeds.
        options: fitnesses of the shorter programs that removal tried last.
        removals: the removed statements, then those that stayed, each with the fitness without it.
    """

    phase: str
    round: int
    found: tuple[float, ...]
    asked: int
    rounds: tuple[tuple[float, ...], ...]
    alive: tuple[int, ...]
    programs: Programs | None = None
    fitness: tuple[float, ...] = ()
    start: tuple[float, ...] = ()
    options: tuple[float, ...] = ()
    removals: tuple[Removal, ...] = ()

    @property
    def noise(self) -> float:
        """Standard deviation of a fitness over groups of seeds."""
        return float(np.std(self.start, ddof=1)) if len(self.start) > 1 else math.nan


@dataclass(frozen=True)
class Refiner:
    """The strategy.

    Attributes:
        finalists: programs of the first round.
        names: names of the finalists, which order equally good ones.
        funnel: rounds of the funnel.
        kept: share of the finalists that goes on from a round to the next.
        rounds: rounds of the tuning of constants; each halves the steps.
        trials: settings of the constants in a round.
        seeds: trainings of each task for each step size.
        batch: trials in a step.
        seed: seed of the random constants.
    """

    finalists: tuple[Programs, ...]
    names: tuple[Any, ...]
    funnel: int
    kept: float
    rounds: int
    trials: int
    seeds: int
    batch: int
    seed: int
    _cache: dict[Any, list[tuple[Programs, str, tuple[int, ...]]]] = field(default_factory=dict, repr=False)

    def init(self, key: Any) -> Refining:
        """Return the state at the start."""
        count = len(self.finalists)
        return Refining("funnel", 0, (), 0, ((),) * count, tuple(range(count)))

    def trials_of(self, state: Refining) -> list[tuple[Programs, str, tuple[int, ...]]]:
        """Return all trials of the state's phase: programs, what they are, and seeds."""
        mark = (state.phase, state.round, state.alive, state.programs)
        if mark not in self._cache:
            self._cache.clear()
            self._cache[mark] = self._trials(state)
        return self._cache[mark]

    def _trials(self, state: Refining) -> list[tuple[Programs, str, tuple[int, ...]]]:
        own = tuple(range(self.seeds))
        others = [tuple(100 * (i + 1) + seed for seed in own) for i in range(NOISE_GROUPS)]
        if state.phase == "funnel":
            return [(self.finalists[i], "finalist", own) for i in state.alive]
        programs = state.programs
        assert programs is not None
        if state.phase == "constants":
            draws = [random.Random(f"{self.seed} {state.round} {i}") for i in range(self.trials)]
            return [(moved(programs, 0.8 * 0.5**state.round, rng), "constants", own) for rng in draws]
        if state.phase == "noise":
            return [(programs, "noise", group) for group in others]
        if state.phase == "removal":
            return [(option, f"without {statement}", own) for statement, option in shorter(programs)]
        if state.phase == "confirmation":
            statement, option = list(shorter(programs))[int(np.argmin(state.options))]
            return [(option, f"without {statement}, other seeds", group) for group in others]
        return []

    def ask(self, state: Refining, key: Any) -> list[RefinementTrial]:
        """Return the next trials of the phase."""
        done = len(state.found)
        rows = self.trials_of(state)[done : done + self.batch]
        last = self.funnel - 1
        where = state.round if state.phase == "funnel" else last
        trials = []
        for number, (programs, what, seeds) in enumerate(rows, state.asked):
            summary = checked(programs, NO_LIMITS)
            facts = (summary.digest, summary.length, summary.cost)
            trials.append(RefinementTrial(number, programs, None, what, 0, *facts, where, seeds))
        return trials

    def tell(self, state: Refining, candidates: Sequence[RefinementTrial], feedback: Sequence[Feedback]) -> Refining:
        """Return the state after trials; at the end of a phase, the next one's."""
        found = (*state.found, *(told.score.fitness for told in feedback))
        state = replace(state, found=found, asked=state.asked + len(candidates))
        while state.phase != "done" and len(state.found) >= len(self.trials_of(state)):
            state = self._next(state)
        return state

    def _next(self, state: Refining) -> Refining:
        found, fresh = state.found, replace(state, found=())
        if state.phase == "funnel":
            return self._after_round(fresh, found)
        if state.phase == "constants":
            programs, first, tuned = state.programs, state.fitness[0], state.fitness[-1]
            if min(found) < tuned:
                programs, tuned = _settled(self.trials_of(state)[int(np.argmin(found))][0]), min(found)
            fresh = replace(fresh, programs=programs, fitness=(first, tuned), round=state.round + 1)
            return fresh if fresh.round < self.rounds else replace(fresh, phase="noise")
        if state.phase == "noise":
            first, tuned = state.fitness[0], state.fitness[-1]
            return replace(fresh, phase="removal", start=(tuned, *found), fitness=(first, tuned, tuned))
        if state.phase == "removal":
            if not found or not math.isfinite(min(found)):
                return self._ended(replace(fresh, options=found))
            return replace(fresh, phase="confirmation", options=found)
        best = min(state.options)
        costs = np.log([best, *found]) - np.log(state.start)
        if not costs.mean() <= costs.std(ddof=1) / math.sqrt(len(costs)):
            return self._ended(fresh)
        assert state.programs is not None
        statement, option = list(shorter(state.programs))[int(np.argmin(state.options))]
        removals = (*state.removals, Removal(statement, best, True))
        fitness = (*state.fitness[:2], best)
        return replace(
            fresh, phase="removal", programs=_settled(option), fitness=fitness, removals=removals, options=()
        )

    def _after_round(self, state: Refining, found: tuple[float, ...]) -> Refining:
        rounds = list(state.rounds)
        for place, fitness in zip(state.alive, found, strict=True):
            rounds[place] = (*rounds[place], fitness)
        order = sorted(state.alive, key=lambda place: (rounds[place][-1], self.names[place]))
        state = replace(state, rounds=tuple(rounds))
        if state.round + 1 < self.funnel:
            alive = tuple(order[: max(1, math.ceil(len(order) * self.kept))])
            return replace(state, round=state.round + 1, alive=alive)
        best = rounds[order[0]][-1]
        if not math.isfinite(best):
            return replace(state, phase="done", alive=tuple(order))
        programs = _settled(self.finalists[order[0]])
        winner = replace(state, round=0, alive=tuple(order), fitness=(best, best), programs=programs)
        return replace(winner, phase="constants" if self.rounds else "noise")

    def _ended(self, state: Refining) -> Refining:
        assert state.programs is not None
        least: dict[str, float] = {}
        options = list(shorter(state.programs))
        for i in sorted(range(len(state.options)), key=lambda i: (state.options[i], i)):
            least.setdefault(options[i][0], state.options[i])
        worth = tuple(Removal(name, fitness, False) for name, fitness in least.items())
        return replace(state, phase="done", removals=(*state.removals, *worth))


def _settled(programs: Programs) -> Programs:
    """Return the programs as they are when they are read back from a run's store."""
    return Programs.parse(programs.to_flat_text())


def moved(programs: Programs, size: float, rng: random.Random) -> Programs:
    """Return the rule with every literal multiplied by 2 ** N(0, size); where x is in (0.5, 1), 1 - x is."""

    def move(operand: Operand) -> Operand:
        if not isinstance(operand, float) or operand == 0.0:
            return operand
        factor = 2.0 ** rng.gauss(0, size)
        return rounded(1.0 - (1.0 - operand) * factor) if 0.5 < operand < 1.0 else rounded(operand * factor)

    def changed(program: Program) -> Program:
        statements = tuple(s._replace(operands=tuple(map(move, s.operands))) for s in program.statements)
        return replace(program, statements=statements, returns=tuple(map(move, program.returns)))

    return programs.mapped(changed)


def shorter(programs: Programs) -> Iterator[tuple[str, Programs]]:
    """Yield each statement, in words, with the valid, shorter rules in which an operand stands for its result."""
    for label, program in programs.parts:
        for i, statement in enumerate(program.statements):
            for operand in statement.operands:
                passed = statement._replace(function="add", operands=(operand, 0.0))
                statements = (*program.statements[:i], passed, *program.statements[i + 1 :])
                try:
                    found = programs.with_part(label, replace(program, statements=statements)).simplified()
                    checked(found, NO_LIMITS)
                except ProgramError:
                    continue
                if found.statements < programs.statements:
                    where = "" if label == "all" else f" ({label})"
                    yield words(statement) + where, found


def words(statement: Statement) -> str:
    """Return a statement as text."""
    return f"{statement.target} = {statement.function}({', '.join(map(str, statement.operands))})"
