"""The mutations of symbolic search: insert a statement, delete one, change one operand (Chen et al. 2023, section 2.2),
and change one constant: without that mutation, a search that only tuned constants found better programs.

All are plain Python on tuples. A mutant may be invalid (a deleted statement can leave a name unbound): `mutate` tries
until one passes the static checks, and says how many did not.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from ..programs import Program, ProgramError, Statement
from ..programs.analysis import Summary, summarize
from ..programs.program import Operand, number_temporaries
from ..programs.vocabulary import DIALECTS, FUNCTIONS, NUMBERS

MUTATIONS = ("insert", "delete", "operand", "constant")

_WORDS = {
    kind: [n for n, function in FUNCTIONS.items() if not function.heavy and function.kind in dialect.kinds]
    for kind, dialect in DIALECTS.items()
}
_LARGEST = 1e30
_COMMON = (0.9, 0.99, 0.999, 0.1, 0.01, 0.5, 2.0, 1.0)
"""Literals that a new operand may be, before a random factor."""


@dataclass(frozen=True)
class Limits:
    """Limits that a mutant must keep to.

    Attributes:
        statements: the most statements of the text, dead code included.
        cost: the highest static cost of a step (see the vocabulary).
    """

    statements: int = 40
    cost: int = 150


@dataclass(frozen=True)
class Mutant:
    """A valid program, what made it, and how many mutants were refused before it."""

    program: Program
    summary: Summary
    kind: str
    refused: int


def inlined(program: Program) -> Program:
    """Return the program with hyperparameters as literals: a search mutates both alike."""
    values = dict(program.hyperparameters)

    def operand(value: Operand) -> Operand:
        return values.get(value, value) if isinstance(value, str) else value

    statements = tuple(s._replace(operands=tuple(map(operand, s.operands))) for s in program.statements)
    changed = {s.target for s in statements} & set(values)
    if changed:
        raise ProgramError(f"hyperparameter {min(changed)!r} is assigned; a search cannot start there")
    return replace(program, hyperparameters=(), statements=statements, returns=tuple(map(operand, program.returns)))


def checked(program: Program, limits: Limits) -> Summary:
    """Return the summary of a program that may be evaluated.

    Raises:
        ProgramError: it is invalid, too long, too costly, holds a constant that float32 cannot hold, or does not depend
            on gradient and learning rate.
    """
    if len(program.statements) > limits.statements:
        raise ProgramError(f"{len(program.statements)} statements; at most {limits.statements} are allowed")
    summary = summarize(program)
    if summary.cost > limits.cost:
        raise ProgramError(f"a step costs {summary.cost}; at most {limits.cost} is allowed")
    if summary.overflows:
        raise ProgramError("a constant is too large: float32 ends at 3.4e38")
    for name in program.dialect.needs:
        if name not in summary.reads:
            raise ProgramError(f"the {program.kind} does not depend on the {program.dialect.inputs[name]}")
    return summary


def mutate(
    program: Program, rng: random.Random, limits: Limits, kinds: tuple[str, ...] = MUTATIONS, attempts: int = 100
) -> Mutant:
    """Return a valid mutant of a program, one mutation away.

    Raises:
        ProgramError: none of `attempts` mutants was valid.
    """
    for refused in range(attempts):
        kind = kinds[int(rng.random() * len(kinds))]
        try:
            mutant = _MUTATIONS[kind](program, rng)
            return Mutant(mutant, checked(mutant, limits), kind, refused)
        except ProgramError:
            continue
    raise ProgramError(f"none of {attempts} mutants was valid")


def _pick(rng: random.Random, choices: list) -> object:
    return choices[int(rng.random() * len(choices))]


def _literal(rng: random.Random) -> float:
    return rounded(_pick(rng, _COMMON) * 2.0 ** rng.gauss(0, 1) * (1 if rng.random() < 0.8 else -1))  # pyright: ignore


def rounded(value: float) -> float:
    """Return the value to four significant digits: constants stay readable, and nearly equal ones meet in the cache."""
    if not math.isfinite(value) or abs(value) > _LARGEST:
        return math.copysign(_LARGEST, value)
    return float(f"{value:.4g}")


def _operand(rng: random.Random, names: list[str]) -> Operand:
    return _literal(rng) if rng.random() < 0.2 else _pick(rng, names)  # pyright: ignore[reportReturnType]


def _names(program: Program, before: int) -> list[str]:
    """Return the variables that a statement at this place may read."""
    names = dict.fromkeys((*program.inputs, *(s.target for s in program.statements[:before]), *NUMBERS))
    return list(names)


def _insert(program: Program, rng: random.Random) -> Program:
    statements = program.statements
    place = int(rng.random() * (len(statements) + 1))
    word: str = _pick(rng, _WORDS[program.kind])  # pyright: ignore[reportAssignmentType]
    names = _names(program, place)
    operands = tuple(_operand(rng, names) for _ in range(FUNCTIONS[word].arity))
    if rng.random() < 0.7:  # an existing variable, so that what follows reads the new value
        target: str = _pick(rng, [name for name in names if name not in NUMBERS])  # pyright: ignore
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
    """Change one operand of a statement or of the return; with `constants`, one literal, by a factor 2 ** N(0, 1)."""
    rows = [s.operands for s in program.statements] + [program.returns]
    places = [(i, j) for i, row in enumerate(rows) for j, o in enumerate(row) if not constants or isinstance(o, float)]
    if not places:
        raise ProgramError("no constant to change")
    i, j = places[int(rng.random() * len(places))]
    old = rows[i][j]
    if isinstance(old, float) and (constants or rng.random() < 0.5):
        new: Operand = rounded(old * 2.0 ** rng.gauss(0, 1))
    else:
        new = _operand(rng, _names(program, i))
    row = (*rows[i][:j], new, *rows[i][j + 1 :])
    if i == len(program.statements):
        return number_temporaries(replace(program, returns=row))
    changed = program.statements[i]._replace(operands=row)
    return number_temporaries(
        replace(program, statements=(*program.statements[:i], changed, *program.statements[i + 1 :]))
    )


_MUTATIONS = {
    "insert": _insert,
    "delete": _delete,
    "operand": lambda program, rng: _change(program, rng, constants=False),
    "constant": lambda program, rng: _change(program, rng, constants=True),
}
