"""Variations of regularized evolution, an idea each, for `ablations.py` to measure; what pays moves into the engine."""

import functools
from dataclasses import dataclass, field, replace

from rulesmith.programs import ProgramError
from rulesmith.programs.parts import Programs
from rulesmith.programs.program import number_temporaries
from rulesmith.search.mutation import MUTATIONS, Mutant, checked, mutate
from rulesmith.search.strategies.evolution import EvolutionState, RegularizedEvolution
from rulesmith.search.strategies.program_strategies import PROGRAM_STRATEGIES


class Islands(RegularizedEvolution):
    """Four populations; one child in 51 has a parent from anywhere."""

    def members(self, state, index):
        """Return the members of the child's island."""
        if index % 51 == 0:  # coprime to four, so that every island gets some
            return state.members
        return [entry for entry in state.members if entry.candidate.index % 4 == index % 4] or state.members


class Parsimony(RegularizedEvolution):
    """A statement costs 0.1% of fitness in the tournament."""

    def members(self, state, index):
        """Return the members with the length's price."""
        return [replace(e, fitness=e.fitness * (1 + 0.001 * e.candidate.length)) for e in state.members]


class Novelty(RegularizedEvolution):
    """Programs that compute the same count once in the tournament, however many they are."""

    def members(self, state, index):
        """Return one member for each fitness."""
        return list({entry.fitness: entry for entry in state.members}.values())


class Crossover(RegularizedEvolution):
    """Three children in ten begin as one parent and end as another."""

    def breed(self, parent, members, rng):
        """Return a mutant or a cross."""
        if rng.random() < 0.3:
            first, second = parent.programs.parts[0][1], self.winner(members, rng).programs.parts[0][1]
            cut, join = (int(rng.random() * (len(p.statements) + 1)) for p in (first, second))
            statements = first.statements[:cut] + second.statements[join:]
            try:
                child = Programs.of(number_temporaries(replace(second, statements=statements)))
                return Mutant(child, checked(child, self.limits), "crossover", 0)
            except ProgramError:
                pass
        return super().breed(parent, members, rng)


@dataclass(frozen=True)
class AdaptiveState(EvolutionState):
    """What evolution keeps, and what `Adaptive` counts.

    Attributes:
        tried: children by mutation, of those whose parent was still a member.
        better: those of them that were better than the parent.
    """

    tried: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MUTATIONS, 0))
    better: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MUTATIONS, 0))


@dataclass(frozen=True)
class Adaptive(RegularizedEvolution):
    """Mutations are drawn in proportion to how often they bettered a parent, and never less than one in ten.

    Attributes:
        shares: how likely each mutation is; `ask` sets it from the state.
    """

    shares: tuple[float, ...] = ()

    def init(self, key):
        """Return an empty population, and nothing counted."""
        return AdaptiveState()

    def ask(self, state, key):
        """Return the next batch, bred with the shares that the state gives."""
        rates = [(1 + state.better[kind]) / (20 + state.tried[kind]) for kind in MUTATIONS]
        shares = tuple(0.1 + 0.6 * rate / sum(rates) for rate in rates)
        return RegularizedEvolution.ask(replace(self, shares=shares), state, key)

    def breed(self, parent, members, rng):
        """Return a mutant by a kind that has worked, or by any where that kind finds nothing to change."""
        try:
            return mutate(parent.programs, rng, self.limits, dict(zip(MUTATIONS, self.shares, strict=True)))
        except ProgramError:
            return super().breed(parent, members, rng)

    def tell(self, state, candidates, feedback):
        """Go on, and count."""
        known = {entry.candidate.index: entry.fitness for entry in state.members}
        tried, better = dict(state.tried), dict(state.better)
        for candidate, told in zip(candidates, feedback, strict=True):
            if candidate.parent in known:
                tried[candidate.origin] += 1
                better[candidate.origin] += told.score.fitness < known[candidate.parent]
        return AdaptiveState(**vars(super().tell(state, candidates, feedback)), tried=tried, better=better)


def varied(made, config, start, limits):
    """Return a variation of the evolution that a config describes."""
    return made(**vars(PROGRAM_STRATEGIES["evolution"](config, start, limits)))


IDEAS = {
    "islands": Islands,
    "parsimony": Parsimony,
    "novelty": Novelty,
    "crossover": Crossover,
    "adaptive mutations": Adaptive,
}
ALL = {name: functools.partial(varied, made) for name, made in IDEAS.items()}
"""Rows for `PROGRAM_STRATEGIES`."""
