"""The mutations of symbolic search: insert a statement, delete one, change one operand (Chen et al. 2023, section 2.2).

Three more are ours: change one constant (without that, a search that only tuned constants found better programs), put a
running average in the place of an operand, and let one program for all leaves become two, or one of two the only one.

All are plain Python on tuples. A mutant may be invalid (a deleted statement can leave a name unbound): `mutate` tries
until one passes the static checks, and says how many did not.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..programs import Program, ProgramError, Statement
from ..programs.analysis import summarize
from ..programs.parts import Programs, digest_of
from ..programs.program import Operand, Slot, number_temporaries
from ..programs.vocabulary import DIALECTS, FUNCTIONS, NUMBERS, Shape

MUTATIONS = {"insert": 3, "delete": 3, "operand": 3, "constant": 3, "average": 1, "share": 1}
"""The mutations of an optimizer, and how often each is drawn beside the others."""
DRIFT_MUTATIONS = {"insert": 1, "delete": 1, "operand": 1, "constant": 1}
"""The mutations of a drift, which has neither states nor classes of leaves."""

_WORDS = {
    kind: [n for n, function in FUNCTIONS.items() if function.kind in dialect.kinds]
    for kind, dialect in DIALECTS.items()
}
_LARGEST = 1e30
_COMMON = (0.9, 0.99, 0.999, 0.1, 0.01, 0.5, 2.0, 1.0)
"""Literals that a new operand may be, before a random factor."""
_WEIGHTS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Weights of the past in a new running average."""

WordCosts = Mapping[str, Mapping[str, float]]
"""By class of leaves ("all", "matrix", "other"), the time of each word."""

_COSTS = {name: float(function.cost) for name, function in FUNCTIONS.items()}
STATIC_COSTS: WordCosts = {"all": _COSTS, "matrix": _COSTS, "other": _COSTS}
"""Costs for one weight, in multiplications, as the vocabulary states them."""


@dataclass(frozen=True)
class Limits:
    """Limits that a mutant must keep to.

    Attributes:
        statements: the most statements of a program's text, dead code included.
        cost: the highest cost of a step, in the unit of `words`.
        words: what each word costs.
    """

    statements: int = 40
    cost: float = 150.0
    words: WordCosts = field(default_factory=lambda: STATIC_COSTS, repr=False)


@dataclass(frozen=True)
class RuleSummary:
    """What a search needs to know of a rule before it runs.

    Attributes:
        digest: see `Programs.digest`.
        length: statements that reach an update.
        cost: of a step, in the unit of the limits.
    """

    digest: str
    length: int
    cost: float


@dataclass(frozen=True)
class Mutant:
    """Valid programs, what made them, and how many mutants were refused before them."""

    programs: Programs
    summary: RuleSummary
    kind: str
    refused: int


def inlined(programs: Programs) -> Programs:
    """Return the programs with hyperparameters as literals: a search mutates both alike."""
    return programs.mapped(_inlined)


def _inlined(program: Program) -> Program:
    values = dict(program.hyperparameters)

    def operand(value: Operand) -> Operand:
        return values.get(value, value) if isinstance(value, str) else value

    statements = tuple(s._replace(operands=tuple(map(operand, s.operands))) for s in program.statements)
    changed = {s.target for s in statements} & set(values)
    if changed:
        raise ProgramError(f"hyperparameter {min(changed)!r} is assigned; a search cannot start there")
    return replace(program, hyperparameters=(), statements=statements, returns=tuple(map(operand, program.returns)))


def checked(programs: Programs, limits: Limits) -> RuleSummary:
    """Return the summary of programs that may be evaluated.

    Raises:
        ProgramError: one is invalid, too long, too costly, holds a constant that float32 cannot hold, or does not
            depend on gradient and learning rate.
    """
    digests, length, cost = [], 0, 0.0
    for label, program in programs.parts:
        if len(program.statements) > limits.statements:
            found = len(program.statements)
            raise ProgramError(f"the program has {found} statements; in this search it may have {limits.statements}")
        summary = summarize(program)
        words = limits.words[label]
        cost += sum(words[name] for name in summary.called)
        length += summary.length
        if cost > limits.cost:
            raise ProgramError(f"a step costs {cost:.3g}; at most {limits.cost:.3g} is allowed")
        if summary.overflows:
            raise ProgramError("a constant is too large: float32 ends at 3.4e38")
        for name in program.dialect.needs:
            if name not in summary.reads:
                raise ProgramError(f"the {program.kind} does not depend on the {program.dialect.inputs[name]}")
        digests.append(summary.digest)
    return RuleSummary(digest_of(digests, len(set(digests)) == 1 and programs.alike), length, cost)


def mutate(
    programs: Programs,
    rng: random.Random,
    limits: Limits,
    kinds: Mapping[str, float] | None = None,
    attempts: int = 100,
) -> Mutant:
    """Return a valid mutant, one mutation away.

    Args:
        programs: the rule to mutate.
        rng: draws the mutation.
        limits: what the mutant must keep to.
        kinds: how often each mutation is drawn beside the others; by default as the rule's dialect has them.
        attempts: how many mutants are made at most.

    Raises:
        ProgramError: none of `attempts` mutants was valid.
    """
    kinds = kinds or mutations_of(programs)
    names, shares = list(kinds), list(kinds.values())
    for refused in range(attempts):
        (kind,) = rng.choices(names, shares)
        try:
            mutant = _share(programs, rng) if kind == "share" else _mutated(programs, rng, _MUTATIONS[kind])
            return Mutant(mutant, checked(mutant, limits), kind, refused)
        except ProgramError:
            continue
    raise ProgramError(f"none of {attempts} mutants was valid")


def mutations_of(programs: Programs) -> Mapping[str, float]:
    """Return the mutations that a rule's dialect has, and how often each is drawn beside the others."""
    return MUTATIONS if programs.dialect.states else DRIFT_MUTATIONS


def exchanged(programs: Programs, other: Programs, rng: random.Random) -> Programs:
    """Return the programs with the other rule's program for one class of leaves; both rules have two."""
    label: str = _pick(rng, [label for label, _ in programs.parts])
    return programs.with_part(label, other[label])


def _mutated(programs: Programs, rng: random.Random, mutation: Any) -> Programs:
    """Return the rule with one of its programs mutated; long ones are chosen more often."""
    place = rng.random() * programs.statements
    for label, program in programs.parts:
        place -= len(program.statements)
        if place < 0 or label == programs.parts[-1][0]:
            return programs.with_part(label, mutation(program, rng))
    raise AssertionError("a rule has a program")


def _share(programs: Programs, rng: random.Random) -> Programs:
    """Return two programs where there was one, of which one is mutated; or one of two, for all leaves."""
    if len(programs.parts) > 1:
        return Programs.of(_pick(rng, [program for _, program in programs.parts]))
    two = Programs(tuple((label, programs.only) for label in ("matrix", "other")))
    kind: str = _pick(rng, list(_MUTATIONS))
    return _mutated(two, rng, _MUTATIONS[kind])


def _pick(rng: random.Random, choices: Sequence[Any]) -> Any:
    return choices[int(rng.random() * len(choices))]


def _literal(rng: random.Random) -> float:
    return rounded(_pick(rng, _COMMON) * 2.0 ** rng.gauss(0, 1) * (1 if rng.random() < 0.8 else -1))


def _other_constant(value: float, rng: random.Random) -> float:
    """Return a constant times 2 ** N(0, 1), or the distance from 1 of an average's weight so; for 0 a new one."""
    factor = 2.0 ** rng.gauss(0, 1)
    if value == 0.0:
        return _literal(rng)
    if 0.5 < value < 1.0 and rng.random() < 0.5:
        return rounded(1.0 - (1.0 - value) * factor)
    return rounded(value * factor)


def rounded(value: float) -> float:
    """Return the value to four significant digits: constants stay readable, and nearly equal ones meet in the cache."""
    if not math.isfinite(value) or abs(value) > _LARGEST:
        return math.copysign(_LARGEST, value)
    return float(f"{value:.4g}")


def _operand(rng: random.Random, names: list[str]) -> Operand:
    return _literal(rng) if rng.random() < 0.2 else _pick(rng, names)


def _names(program: Program, before: int) -> list[str]:
    """Return the variables that a statement at this place may read."""
    names = dict.fromkeys((*program.inputs, *(s.target for s in program.statements[:before]), *NUMBERS))
    return list(names)


def _insert(program: Program, rng: random.Random) -> Program:
    statements = program.statements
    place = int(rng.random() * (len(statements) + 1))
    word: str = _pick(rng, _WORDS[program.kind])
    names = _names(program, place)
    operands = tuple(_operand(rng, names) for _ in range(FUNCTIONS[word].arity))
    if rng.random() < 0.7:  # an existing variable, so that what follows reads the new value
        target: str = _pick(rng, [name for name in names if name not in NUMBERS])
    else:
        target = f"_{len(statements) + 1}new"
    inserted = (*statements[:place], Statement(target, word, operands), *statements[place:])
    return number_temporaries(replace(program, statements=inserted))


def _delete(program: Program, rng: random.Random) -> Program:
    if len(program.statements) < 2:
        raise ProgramError("nothing to delete")
    place = int(rng.random() * len(program.statements))
    kept = program.statements[:place] + program.statements[place + 1 :]
    return number_temporaries(replace(program, statements=kept))


def _change(program: Program, rng: random.Random, *, constants: bool) -> Program:
    """Change one operand of a statement or of the return; with `constants`, one literal."""
    rows = [s.operands for s in program.statements] + [program.returns]
    places = [(i, j) for i, row in enumerate(rows) for j, o in enumerate(row) if not constants or isinstance(o, float)]
    if not places:
        raise ProgramError("no constant to change")
    i, j = places[int(rng.random() * len(places))]
    old = rows[i][j]
    if isinstance(old, float) and (constants or rng.random() < 0.5):
        new: Operand = _other_constant(old, rng)
    else:
        new = _operand(rng, _names(program, i))
    row = (*rows[i][:j], new, *rows[i][j + 1 :])
    if i == len(program.statements):
        return number_temporaries(replace(program, returns=row))
    changed = program.statements[i]._replace(operands=row)
    return number_temporaries(
        replace(program, statements=(*program.statements[:i], changed, *program.statements[i + 1 :]))
    )


def _average(program: Program, rng: random.Random) -> Program:
    """Put a running average of a variable in the place where a statement reads it; it is a new state."""
    if len(program.states) >= program.dialect.states:
        raise ProgramError("no state is left")
    places = [(i, j) for i, s in enumerate(program.statements) for j, o in enumerate(s.operands) if isinstance(o, str)]
    places = [(i, j) for i, j in places if program.statements[i].operands[j] not in NUMBERS]
    if not places:
        raise ProgramError("no variable to average")
    i, j = places[int(rng.random() * len(places))]
    taken = program.input_names | {statement.target for statement in program.statements}
    number = 1
    while f"s{number}" in taken:
        number += 1
    name, statement = f"s{number}", program.statements[i]
    weight: float = _pick(rng, _WEIGHTS)
    average = Statement(name, "interp", (statement.operands[j], name, weight))
    reading = statement._replace(operands=(*statement.operands[:j], name, *statement.operands[j + 1 :]))
    return number_temporaries(
        replace(
            program,
            inputs=(*program.inputs, name),
            states=(*program.states, Slot(name, Shape.FULL)),
            statements=(*program.statements[:i], average, reading, *program.statements[i + 1 :]),
            returns=(*program.returns, name),
        )
    )


_MUTATIONS = {
    "insert": _insert,
    "delete": _delete,
    "operand": lambda program, rng: _change(program, rng, constants=False),
    "constant": lambda program, rng: _change(program, rng, constants=True),
    "average": _average,
}
