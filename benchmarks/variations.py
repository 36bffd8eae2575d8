"""Variations of regularized evolution, an idea each, for `ablations.py` to measure; what pays moves into the engine."""

from collections import Counter
from dataclasses import dataclass, field, replace

from rulesmith.programs import ProgramError
from rulesmith.programs.program import number_temporaries
from rulesmith.search.mutation import KINDS, Mutant, checked, mutate
from rulesmith.search.strategies.evolution import RegularizedEvolution, _child, _generators, _start


@dataclass(frozen=True)
class Variation(RegularizedEvolution):
    """Regularized evolution in three parts that a variation may replace."""

    def members(self, state, number):
        """Return those that a child's parent is drawn from."""
        return state.members

    def rank(self, entry):
        """Return what the smallest of wins the tournament."""
        return entry.fitness

    def breed(self, parent, other, rng):
        """Return a mutant of the tournament's winner; `other` is the winner of a second one."""
        return mutate(parent.program, rng, self.limits, self.kinds)

    def ask(self, state, key):
        """Return the next batch."""
        if not state.members:
            return [_start(self.start, self.limits)]
        children = []
        for number, rng in enumerate(_generators(key, self.batch)):
            index = state.proposed + number
            members = self.members(state, index)

            def winner(members=members, rng=rng):
                drawn = [members[int(rng.random() * len(members))] for _ in range(self.tournament)]
                return min(drawn, key=self.rank).candidate

            parent = winner()
            mutant = self.breed(parent, winner, rng)
            children.append(_child(index, parent.index, mutant, mutant.kind))
        return children


class Islands(Variation):
    """Four populations; one child in 51 has a parent from anywhere."""

    def members(self, state, number):
        """Return the members of the child's island."""
        if number % 51 == 0:  # coprime to four, so that every island gets some
            return state.members
        return [entry for entry in state.members if entry.candidate.index % 4 == number % 4] or state.members


class Parsimony(Variation):
    """A statement costs 0.1% of fitness in the tournament."""

    def rank(self, entry):
        """Return the fitness with the length's price."""
        return entry.fitness * (1 + 0.001 * entry.candidate.length)


class Novelty(Variation):
    """Programs that compute the same count once in the tournament, however many they are."""

    def members(self, state, number):
        """Return one member for each fitness."""
        return list({entry.fitness: entry for entry in state.members}.values())


class Crossover(Variation):
    """Three children in ten begin as one parent and end as another."""

    def breed(self, parent, other, rng):
        """Return a mutant or a cross."""
        if rng.random() < 0.3:
            first, second = parent.program, other().program
            cut, join = (int(rng.random() * (len(p.statements) + 1)) for p in (first, second))
            statements = first.statements[:cut] + second.statements[join:]
            try:
                child = number_temporaries(replace(second, statements=statements))
                return Mutant(child, checked(child, self.limits), "crossover", 0)
            except ProgramError:
                pass
        return mutate(parent.program, rng, self.limits, self.kinds)


@dataclass(frozen=True)
class Adaptive(Variation):
    """Mutations are drawn in proportion to how often they bettered a parent, and never less than one in ten."""

    better: Counter = field(default_factory=Counter)
    tried: Counter = field(default_factory=Counter)

    def breed(self, parent, other, rng):
        """Return a mutant by a kind that has worked."""
        rates = {kind: (1 + self.better[kind]) / (20 + self.tried[kind]) for kind in KINDS}
        shares = [0.1 + 0.6 * rates[kind] / sum(rates.values()) for kind in KINDS]
        return mutate(parent.program, rng, self.limits, (rng.choices(KINDS, shares)[0],))

    def tell(self, state, candidates, feedback):
        """Count, and go on."""
        known = {entry.candidate.index: entry.fitness for entry in state.members}
        for candidate, told in zip(candidates, feedback, strict=True):
            if candidate.parent in known:
                self.tried[candidate.origin] += 1
                self.better[candidate.origin] += told.score.fitness < known[candidate.parent]
        return super().tell(state, candidates, feedback)


ALL = {
    "islands": Islands,
    "parsimony": Parsimony,
    "novelty": Novelty,
    "crossover": Crossover,
    "adaptive mutations": Adaptive,
}
