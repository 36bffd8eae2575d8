"""Regularized evolution with restarts (Real et al. 2019; Chen et al. 2023, section 2.2).

The population is a queue. A child is a mutant of the best of a few members drawn at random; it enters at the end, and
the oldest leaves, however good. Children are bred in batches from one snapshot of the population, so that the order in
which evaluations end changes nothing. After `restart` programs the population is thrown away: every other restart
begins at the start program again, the others at the best program so far.

`RandomSearch` proposes programs of the same space without selection: the baseline. Constant tuning is evolution whose
only mutation is that of constants.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from ...programs import ProgramError
from ...programs.parts import Programs
from ..archive import Entry, merge
from ..candidates import Candidate, Feedback
from ..mutation import Limits, Mutant, checked, exchanged, mutate


@dataclass(frozen=True)
class EvolutionState:
    """The state of a symbolic strategy.

    Attributes:
        members: the population, oldest first.
        archive: the best programs of the whole run.
        proposed: candidates proposed so far; the next one's index.
        since_restart: candidates proposed since the population was last thrown away.
        restarts: how often that has happened.
    """

    members: tuple[Entry, ...] = ()
    archive: tuple[Entry, ...] = ()
    proposed: int = 0
    since_restart: int = 0
    restarts: int = 0


def _generators(key: jax.Array, count: int) -> list[random.Random]:
    """Return one generator for each child, seeded from the step's key."""
    seeds = np.asarray(jax.random.key_data(key)).tolist()
    return [random.Random(f"{seeds} {child}") for child in range(count)]


EXCHANGES = 0.1
"""Share of the children that take a whole program from another member, where both have two."""


def _start(start: Programs, limits: Limits) -> Candidate:
    summary = checked(start, limits)
    return Candidate(0, start, None, "start", 0, summary.digest, summary.length, summary.cost)


def _child(index: int, parent: int, mutant: Mutant, origin: str) -> Candidate:
    summary = mutant.summary
    what = (summary.digest, summary.length, summary.cost)
    return Candidate(index, mutant.programs, parent, origin, mutant.refused, *what)


@dataclass(frozen=True)
class RegularizedEvolution:
    """See the module.

    Attributes:
        start: the rule to begin with.
        population: number of members.
        tournament: members drawn for each child; the best becomes its parent.
        batch: children bred from one snapshot.
        restart: candidates between restarts.
        limits: what mutants must keep to.
        kinds: the mutations, and how often each is drawn beside the others; by default as the dialect has them.
    """

    start: Programs
    population: int
    tournament: int
    batch: int
    restart: int
    limits: Limits = Limits()
    kinds: Mapping[str, float] | None = None

    def init(self, key: jax.Array) -> EvolutionState:
        """Return an empty population."""
        return EvolutionState()

    def ask(self, state: EvolutionState, key: jax.Array) -> list[Candidate]:
        """Return the next batch: the start program alone at first, then children."""
        if not state.members:
            return [_start(self.start, self.limits)]
        children = []
        for index, rng in enumerate(_generators(key, self.batch), state.proposed):
            members = self.members(state, index)
            parent = self.winner(members, rng)
            mutant = self.breed(parent, members, rng)
            children.append(_child(index, parent.index, mutant, mutant.kind))
        return children

    def members(self, state: EvolutionState, index: int) -> Sequence[Entry]:
        """Return the members from which the parent of child `index` is drawn."""
        return state.members

    def winner(self, members: Sequence[Entry], rng: random.Random) -> Candidate:
        """Return the best of a tournament."""
        drawn = [members[int(rng.random() * len(members))] for _ in range(self.tournament)]
        return min(drawn, key=lambda entry: entry.fitness).candidate

    def breed(self, parent: Candidate, members: Sequence[Entry], rng: random.Random) -> Mutant:
        """Return a child of the parent; `members` are those it was drawn from."""
        if len(parent.programs.parts) > 1 and self.kinds is None and rng.random() < EXCHANGES:
            mate = self.winner(members, rng).programs
            if len(mate.parts) > 1:
                try:
                    child = exchanged(parent.programs, mate, rng)
                    return Mutant(child, checked(child, self.limits), "exchange", 0)
                except ProgramError:  # too costly together
                    pass
        return mutate(parent.programs, rng, self.limits, self.kinds)

    def tell(
        self, state: EvolutionState, candidates: Sequence[Candidate], feedback: Sequence[Feedback]
    ) -> EvolutionState:
        """Return the population with the children added and the oldest gone."""
        entries = tuple(Entry(c, f.score.fitness) for c, f in zip(candidates, feedback, strict=True))
        archive = merge(state.archive, candidates, feedback)
        first = state.members[0] if state.members else entries[0]
        state = EvolutionState(
            (state.members + entries)[-self.population :],
            archive,
            state.proposed + len(candidates),
            state.since_restart + len(candidates),
            state.restarts,
        )
        if state.since_restart < self.restart:
            return state
        start = (
            archive[0] if archive and state.restarts % 2 else replace(first, candidate=_start(self.start, self.limits))
        )
        return replace(state, members=(start,), since_restart=0, restarts=state.restarts + 1)


@dataclass(frozen=True)
class RandomSearch:
    """Mutants of the start program, 1 to `depth` mutations away, independent of all earlier results.

    Attributes:
        start: the rule to begin with.
        batch: candidates of a step.
        depth: the most mutations.
        limits: what mutants must keep to.
        kinds: the mutations, and how often each is drawn beside the others; by default as the dialect has them.
    """

    start: Programs
    batch: int
    depth: int = 12
    limits: Limits = Limits()
    kinds: Mapping[str, float] | None = None

    def init(self, key: jax.Array) -> EvolutionState:
        """Return an empty state."""
        return EvolutionState()

    def ask(self, state: EvolutionState, key: jax.Array) -> list[Candidate]:
        """Return the next batch: the start program alone at first."""
        if not state.proposed:
            return [_start(self.start, self.limits)]
        candidates = []
        for number, rng in enumerate(_generators(key, self.batch)):
            mutant, refused = mutate(self.start, rng, self.limits, self.kinds), 0
            for _ in range(int(rng.random() * self.depth)):
                refused += mutant.refused
                mutant = mutate(mutant.programs, rng, self.limits, self.kinds)
            mutant = replace(mutant, refused=refused + mutant.refused)
            candidates.append(_child(state.proposed + number, 0, mutant, "random"))
        return candidates

    def tell(
        self, state: EvolutionState, candidates: Sequence[Candidate], feedback: Sequence[Feedback]
    ) -> EvolutionState:
        """Return the state with the best programs kept."""
        archive = merge(state.archive, candidates, feedback)
        return EvolutionState((), archive, state.proposed + len(candidates))
