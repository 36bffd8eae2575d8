r"""A program as equations: what each variable is called in papers, and what it equals.

A state is `m_{t-1}` before the step and `m_t` after it. Temporaries are written into the expressions that use them. A
state's new value over `1 - \beta^t` is its bias-corrected form, called `\hat{m}_t` wherever it occurs.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from ..compiler import limits
from ..program import Operand, Program
from ..ranges import never_negative
from ..vocabulary import NUMBERS


class Name(NamedTuple):
    """A symbol: its letter in LaTeX, with what stands above it, and its indices."""

    letter: str
    indices: tuple[str, ...] = ()
    mark: str = ""  # "hat", or primes

    @property
    def latex(self) -> str:
        """The symbol in LaTeX."""
        letter = rf"\hat{{{self.letter}}}" if self.mark == "hat" else self.letter + self.mark
        return letter + (f"_{{{','.join(self.indices)}}}" if self.indices else "")


class Call(NamedTuple):
    """A word of the language and its arguments; `root` is the square root of what is never negative."""

    function: str
    arguments: tuple[Term, ...]


Term = float | Name | Call


class Equation(NamedTuple):
    """``left = right``."""

    left: Name
    right: Term


GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
    *("xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
)
_GREEK = {name: f"\\{name}" for name in GREEK}
_PARAMETERS = {
    **_GREEK,
    **{"b": r"\beta", "eps": r"\epsilon", "weight_decay": r"\lambda", "momentum": r"\mu", "decay": r"\rho"},
}
"""Letters of hyperparameters."""
BEFORE, NOW = "t-1", "t"
_INPUTS: dict[str, Term] = {
    **{"w": Name(r"\theta", (BEFORE,)), "g": Name("g", (NOW,)), "lr": Name(r"\eta"), "t": Name("t")},
    **{"progress": Name(r"\tau"), "loss": Name(r"\ell", (NOW,))},
    **{"r": Name("r"), "log_r": Call("ln", (Name("r"),)), "a": Name("A")},
}
_CONSTANTS: dict[str, Term] = {
    **{"rows": Name("n", (r"\mathrm{out}",)), "cols": Name("n", (r"\mathrm{in}",)), "size": Name("n")},
    **{"pi": Name(r"\pi"), "e": Name("e"), "eps": NUMBERS["eps"]},
}


def name_of(word: str, *, parameter: bool = False) -> Name:
    """Return the symbol for a variable's name, without an index of time.

    Args:
        word: the name, such as `v_row`.
        parameter: whether it is a hyperparameter: `b1` is beta with index 1 then.
    """
    letters = _PARAMETERS if parameter else _GREEK
    if word in letters:
        return Name(letters[word])
    parts = word.split("_")
    if parts[-1] == "hat" and len(parts) > 1:
        return name_of("_".join(parts[:-1]))._replace(mark="hat")
    rest = "_".join(parts[1:])
    if rest in letters:  # adam_weight_decay
        return Name(letters[rest], (rf"\mathrm{{{parts[0]}}}",))
    for place in (0, -1):
        found = re.fullmatch(r"([A-Za-z]+)(\d*)", parts[place])
        if found and (found[1] in letters or len(found[1]) == 1):
            others = parts[1:] if place == 0 else parts[:-1]
            index = (found[2],) if found[2] else ()
            return Name(letters.get(found[1], found[1]), (*index, *(rf"\mathrm{{{part}}}" for part in others)))
    return Name(rf"\mathrm{{{' '.join(parts)}}}".replace(" ", r"\ "))


def at(name: Name, time: str) -> Name:
    """Return the symbol with an index of time behind its others."""
    return name._replace(indices=(*name.indices, time))


def replaced(term: Term, old: Term, new: Term) -> Term:
    """Return a term with another one in the place of a part."""
    if term == old:
        return new
    if isinstance(term, Call):
        return term._replace(arguments=tuple(replaced(each, old, new) for each in term.arguments))
    return term


def equations(program: Program) -> list[Equation]:
    r"""Return a program as equations, in its order; the last one is that of the weights `\theta_t`, or of the drift."""
    states = [slot.name for slot in program.states]
    bound: dict[str, Term] = {**_CONSTANTS}
    bound |= {name: at(name_of(name), BEFORE) if name in states else _INPUTS[name] for name in program.inputs}
    bound |= {name: name_of(name, parameter=True) for name, _ in program.hyperparameters}

    last = {statement.target: i for i, statement in enumerate(program.statements)}
    news = {value: name for name, value in reversed(list(zip(states, program.returns[1:]))) if value in last}
    uses = Counter(operand for s in program.statements for operand in s.operands)
    versions: Counter[str] = Counter(program.inputs)
    found: list[Equation] = []
    reserved = [at(name_of(name), NOW) for name in states]
    positive = never_negative(program, limits(program))

    def read(operand: Operand) -> Term:
        return bound[operand] if isinstance(operand, str) else operand

    for i in _live(program):
        target, function, operands = program.statements[i]
        word = "root" if function == "sqrt" and positive[i] else function
        value = Call(word, tuple(map(read, operands)))
        if target.startswith("_") and uses[target] <= 1 and not (target in news and last[target] == i):
            bound[target] = value
            continue
        if target in news and last[target] == i:
            left = at(name_of(news[target]), NOW)
        else:
            symbol = name_of(f"z{target[1:]}" if target.startswith("_") else target)
            timed = at(symbol, NOW) if program.kind == "update" else symbol
            left = timed if timed.mark else timed._replace(mark="'" * versions[target])
            versions[target] += 1
            while left in {*(each.left for each in found), *reserved, *bound.values()}:
                left = left._replace(mark=left.mark + "'")
        found.append(Equation(left, value))
        bound[target] = left

    if program.kind == "drift":
        return [*found, Equation(Name("D"), read(program.returns[0]))]
    before = {}
    for name, operand in zip(states, program.returns[1:]):
        value, left = read(operand), at(name_of(name), NOW)
        if value == bound.get("g") and operand == "g":  # what it holds is the last step's gradient
            before[at(name_of(name), BEFORE)] = Name("g", (BEFORE,))
        elif value != left:
            found.append(Equation(left, value))
    weights = Name(r"\theta", (NOW,))
    step = Call("subtract", (_INPUTS["w"], read(program.returns[0])))
    found = corrected([*found, Equation(weights, step)], reserved)
    for old, new in before.items():
        found = [Equation(left, replaced(right, old, new)) for left, right in found]
    return found


def _live(program: Program) -> list[int]:
    """Return the places of the statements that a returned value depends on."""
    wanted = {operand for operand in program.returns if isinstance(operand, str)}
    found = []
    for i in range(len(program.statements) - 1, -1, -1):
        target, _, operands = program.statements[i]
        if target in wanted:
            wanted.discard(target)
            wanted |= {operand for operand in operands if isinstance(operand, str)}
            found.append(i)
    return found[::-1]


def corrected(found: list[Equation], states: list[Name]) -> list[Equation]:
    r"""Return equations in which bias-corrected states have their own symbols, each defined before its first use."""
    done: list[Equation] = []
    defined: dict[Term, Name] = {}
    renamed: dict[Name, Name] = {}
    for left, right in found:
        for old, new in renamed.items():
            right = replaced(right, old, new)
        for part in _corrections(right, states):
            if part in defined:
                continue
            state: Name = part.arguments[0]  # pyright: ignore[reportAssignmentType]
            hat = state._replace(mark="hat")
            another = any(each == hat and value != part for each, value in found)
            if hat in defined.values() or another:
                continue
            defined[part] = hat
            if part == right and left not in states:
                renamed[left] = hat
            done.append(Equation(hat, part))
        if left in renamed:
            continue
        for part, hat in defined.items():
            right = replaced(right, part, hat)
        done.append(Equation(left, right))
    return done


def _corrections(term: Term, states: list[Name]) -> list[Call]:
    """Return the parts of a term that are a state over 1 - beta ** t."""
    if not isinstance(term, Call):
        return []
    inner = [part for each in term.arguments for part in _corrections(each, states)]
    match term:
        case Call("divide", (Name() as state, Call("subtract", (1.0, Call("power", (Name(), Name("t"))))))):
            return [*inner, term] if state in states else inner
    return inner
