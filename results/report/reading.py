"""A rule read aloud: one sentence of plain words that says what its program does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ...programs import Program
from ...programs.objective import Objective
from ...programs.program import Operand, Statement
from ...programs.rule import Rule

MOST_WORDS = 70
"""Of a longer sentence only what the program is made of is said."""
_TINY = 1e-4
"""A number below this that is added only keeps a division from failing."""
_UNBIASED = "the unbiased "
_UNBIASED_MEANS = "Unbiased: freed of the start at 0."
_INPUTS = {
    "w": "the weights",
    "g": "the gradient",
    "lr": "the learning rate",
    "t": "the number of the step",
    "progress": "the share of the training that is over",
    "loss": "the batch's loss",
    "h": "the curvature",
    "r": "the ratio",
    "a": "the advantage",
    "log_r": "the logarithm of the ratio",
}
_ONE = {
    "sqrt": "the root of |{}|",
    "square": "the square of {}",
    "sign": "the sign of {}",
    "abs": "the absolute value of {}",
    "reciprocal": "one over {}",
    "negative": "minus {}",
    "exp": "e to the power of {}",
    "log": "the logarithm of {}",
    "norm": "the length of {}",
    "global_norm": "the length of {} over all leaves",
    "rms": "the root mean square of {}",
    "mean": "the mean of {}",
    "row_mean": "the mean of {} for each output",
    "col_mean": "the mean of {} for each input",
    "row_norm": "the length of {} for each output",
    "col_norm": "the length of {} for each input",
    "orthogonalize": "{} with all its singular values made equal",
    "tanh": "{} squashed into -1 to 1",
    "relu": "{} where it is above 0",
}
_TWO = {
    "maximum": "the larger of {} and {}",
    "minimum": "the smaller of {} and {}",
    "power": "{} to the power of {}",
    "clip": "{} cut to ±{}",
    "clip_by_global_norm": "{} shortened to a length of {} over all leaves",
    "dot": "the product of {} and {}, summed",
    "cosine_similarity": "how much {} and {} point the same way",
}


class _Phrase(NamedTuple):
    """Words for a value, and how tightly they hold together: 0 for a sum, 1 for a product, 2 for a single thing."""

    words: str
    bond: int = 2

    def within(self, least: int) -> str:
        return self.words if self.bond >= least else f"({self.words})"


def reading_of(rule: Rule | Objective) -> str:
    """Return what a rule does, in a sentence or one for each of its programs."""
    if isinstance(rule, Objective):
        if rule.program is None:
            size = sum(array.size for array in rule.arrays.values())
            clock = "knows how much of the lifetime is over" if rule.timed else "does not know how much time is left"
            return f"It is a network of {size:,} numbers, so no formula says what it does; it {clock}."
        return sentence(rule.program)
    told = []
    for label, program in rule.programs.items():
        where = {"all": "", "matrix": "On matrices: ", "other": "On all other weights: "}[label]
        told.append(where + sentence(program))
    return " ".join(told)


def sentence(program: Program) -> str:
    """Return what a program does, in a sentence.

    >>> text = "def update(g, m, lr, b=0.9):\\n    m = interp(g, m, b)\\n    return lr * sign(m), m"
    >>> sentence(Program.parse(text))
    'Each step subtracts the learning rate times the sign of m, where m is a running average of the gradient over \
about 10 steps.'
    """
    short = program.simplified()
    states = {slot.name for slot in short.states}
    known: dict[str, _Phrase] = {name: _Phrase(_INPUTS.get(name, name)) for name in short.inputs}
    known |= {name: _Phrase(f"the old {name}") for name in states}
    values = dict(short.hyperparameters)
    known |= {name: _Phrase(name) for name in values}
    kept = dict(zip((slot.name for slot in short.states), short.returns[1:], strict=True))
    last = {statement.target: i for i, statement in enumerate(short.statements)}
    averages: list[str] = []
    for i, statement in enumerate(short.statements):
        target = statement.target
        average = _average(statement, known, values) if kept.get(target) == target and last[target] == i else ""
        if average:
            averages.append(f"{target} is {average}")
            states.discard(target)
            known[target] = _Phrase(target)
        else:
            known[target] = _phrase(statement, known, values)
    update = _operand(short.returns[0], known)
    start = "Each step subtracts" if program.kind == "update" else "From what a change of the policy gains it takes"
    where = f", where {_joined(averages)}" if averages else ""
    told = f"{start} {update.words}{where}."
    later = {name: _operand(kept[name], known).words for name in kept if name in states}
    becomes = [f"{name} becomes {words}" for name, words in later.items() if words != f"the old {name}"]
    every = f"{told} Then {_joined(becomes)}." if becomes else told
    if _UNBIASED in every:
        told, every = (f"{text} {_UNBIASED_MEANS}" for text in (told, every))
    for text in (every, told):
        if len(text.split()) <= MOST_WORDS:
            return text
    return _ingredients(short, averages)


def _operand(operand: Operand, known: dict[str, _Phrase]) -> _Phrase:
    return known.get(operand, _Phrase(operand)) if isinstance(operand, str) else _Phrase(f"{operand:.4g}")


def _average(statement: Statement, known: dict[str, _Phrase], values: dict[str, float]) -> str:
    """Return the words for a running average, "" where a statement is none."""
    if statement.function != "interp":
        return ""
    new, old, weight = statement.operands
    if isinstance(weight, str) and weight not in values:
        return ""  # its weight changes from step to step
    share = values.get(weight) if isinstance(weight, str) else weight
    if old != statement.target:
        new, old = old, new
        share = None if share is None else 1.0 - share
    if old != statement.target or known[statement.target].words != f"the old {statement.target}":
        return ""
    words = _operand(new, known).words
    if share is None or not 0 <= share < 1 or re.search(rf"\bthe old {statement.target}\b", words):
        return ""
    steps = f"{1 / (1 - share):.2g}" if share < 0.99 else f"{1 / (1 - share):,.0f}"
    return f"a running average of {words} over about {steps.removesuffix('.0')} steps"


def _phrase(statement: Statement, known: dict[str, _Phrase], values: dict[str, float]) -> _Phrase:
    function, operands = statement.function, statement.operands
    large = [x for x in operands if not 0 < abs(values.get(x, 1.0) if isinstance(x, str) else x) < _TINY]
    if function in ("add", "maximum") and len(large) == 1:
        return _operand(large[0], known)
    said = [_operand(operand, known) for operand in operands]
    infix: dict[str, Callable[[], _Phrase]] = {
        "add": lambda: _Phrase(f"{said[0].words} plus {said[1].words}", 0),
        "subtract": lambda: _Phrase(f"{said[0].words} minus {said[1].within(1)}", 0),
        "multiply": lambda: _Phrase(f"{said[0].within(1)} times {said[1].within(1)}", 1),
        "divide": lambda: _quotient(*said),
        "interp": lambda: _Phrase(f"a mean of {said[0].within(1)} and {said[1].within(1)}", 1),
    }
    if function in infix:
        return infix[function]()
    if function == "where":
        bound, other, yes, no = (each.within(1) for each in said)
        return _Phrase(f"({yes} where {bound} is above {other}, else {no})")
    if function == "sqrt" and said[0].words.startswith("(") and said[0].bond == 2:
        said = [said[0]._replace(words=said[0].words[1:-1])]  # its bars are brackets enough
    inner = [said[0].words] if function == "sqrt" else [each.within(2) for each in said]
    if function in _ONE and len(inner) == 1:
        return _Phrase(_ONE[function].format(*inner))
    if function in _TWO and len(inner) == 2:
        return _Phrase(_TWO[function].format(*inner))
    return _Phrase(f"{function.replace('_', ' ')} of {_joined(inner)}")


def _quotient(above: _Phrase, below: _Phrase) -> _Phrase:
    if below.words.startswith("1 minus ") and below.words.endswith(f" to the power of {_INPUTS['t']}"):
        return _Phrase(f"{_UNBIASED}{above.within(2)}")
    return _Phrase(f"{above.within(1)} divided by {below.within(2)}", 1)


def _joined(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _ingredients(program: Program, averages: list[str]) -> str:
    """Return what a long program is made of."""
    functions = dict.fromkeys(statement.function.replace("_", " ") for statement in program.statements)
    common = ("add", "subtract", "multiply", "divide", "negative")
    others = [name for name in functions if name not in common]
    keeps = f"; {_joined(averages)}" if averages else ""
    what = f"{len(program.statements)} statements of {_joined(others)} and arithmetic" if others else "arithmetic"
    return f"It is too long to read aloud: {what}{keeps}."
