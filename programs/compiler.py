"""The compiler: a program as operations of a library, statement by statement, on one leaf at a time.

A `Backend` is a library of arrays with the table of its words. `update_function` gives the function of one leaf, which
`transform.transform` takes; `exporting` writes the same operations down as source. The two must stay in step: an
exported file has the same jaxpr as the rule it came from.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import jax.numpy as jnp

from . import operations
from .analysis import has_tree_functions
from .folding import TOO_LARGE
from .program import Operand, Program, shape_of
from .ranges import never_negative
from .transform import LeafProgram
from .vocabulary import FUNCTIONS, INPUT_SHAPES, NUMBERS, SIZES, Kind, Shape

OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "negative": operator.neg,
}


class Backend(NamedTuple):
    """A library in which programs run.

    Attributes:
        words: module of the words (and of their helpers) that are our own functions.
        library: module that has the other words, under their names in the vocabulary.
        name: what exported files call the library.
        tensor: name of the word that makes a plain number an array, where the library's functions take no numbers.
        roots: whether its own root is taken of what is never negative, where the sign costs a pass over the array.
    """

    words: Any
    library: Any
    name: str
    tensor: str = ""
    roots: bool = False

    def own(self, step: PlannedStatement) -> bool:
        """Tell whether our function computes a statement, rather than the library's."""
        plain_root = self.roots and step.function == "sqrt" and step.positive
        return hasattr(self.words, step.function) and not plain_root

    def function(self, name: str) -> Callable[..., Any]:
        """Return the function for a word: ours where there is one, else the library's."""
        return getattr(self.words, name, None) or getattr(self.library, name)

    def wraps(self, step: PlannedStatement) -> tuple[bool, ...]:
        """Return which operands of a statement are plain numbers that have to become arrays first."""
        needed = self.tensor and not step.operator and (all(step.plain) or not self.own(step))
        return tuple(bool(needed and plain and not spread) for plain, spread in zip(step.plain, step.spread))


JAX = Backend(operations, jnp, "jnp")


class PlannedStatement(NamedTuple):
    """A statement, and how it is carried out."""

    target: str
    function: str
    operands: tuple[Operand, ...]
    spread: tuple[bool, ...]  # which operands are repeated to the leaf's shape first
    plain: tuple[bool, ...]  # which operands are Python's numbers
    positive: bool  # whether the first operand is known to be never negative
    operator: bool  # whether Python's operator computes the function


def plan(program: Program) -> list[PlannedStatement]:
    """Return a program's statements, with the decisions that its traced form and its exported form must share.

    Division and powers of plain Python numbers are calls of the library: Python's own operators raise on 1.0 / 0.0.
    """
    shapes = dict.fromkeys((*NUMBERS, *SIZES), Shape.SCALAR) | INPUT_SHAPES | program.shapes
    numbers = {*NUMBERS, *SIZES, *(name for name, _ in program.hyperparameters)}
    steps = []
    positive = never_negative(program, limits(program))
    for (target, function, operands), known in zip(program.statements, positive, strict=True):
        given = [shape_of(operand, shapes) for operand in operands]
        shapes[target] = FUNCTIONS[function].shape(*given)
        kind = FUNCTIONS[function].kind
        repeats = kind is not Kind.ELEMENTWISE and function not in ("mean", "rms")
        spread = tuple(repeats and shape is not Shape.FULL for shape in given)
        plain = tuple(not isinstance(o, str) or o in numbers for o in operands)
        uses_operator = function in OPERATORS and not (all(plain) and function in ("divide", "power"))
        if all(plain) and uses_operator:
            numbers.add(target)
        else:
            numbers.discard(target)
        steps.append(PlannedStatement(target, function, operands, spread, plain, known, uses_operator))
    return steps


def reads(program: Program) -> tuple[str, ...]:
    """Return which inputs of the dialect the function of one leaf takes, and `shape` if it needs that."""
    names = {o for s in program.statements for o in s.operands if isinstance(o, str)} | {*map(str, program.returns)}
    shape = bool(names & set(SIZES)) or any(any(step.spread) for step in plan(program))
    return (*(name for name in program.inputs if name in program.dialect.inputs), *(["shape"] if shape else []))


def looks_at_axes(program: Program) -> bool:
    """Tell whether it matters to a program which axes of a leaf are inputs and which are outputs."""
    kinds = {FUNCTIONS[s.function].kind for s in program.statements}
    names = {operand for s in program.statements for operand in s.operands} | {*program.returns}
    narrow = any(slot.shape in (Shape.ROW, Shape.COLUMN) for slot in program.states)
    return narrow or bool(kinds & {Kind.ROW, Kind.COLUMN, Kind.MATRIX} or names & {"rows", "cols"})


def limits(program: Program) -> dict[str, tuple[float, float]]:
    """Return (low, high) of the hyperparameters that may not take every value; high itself is excluded.

    What weighs an average (the last argument of `interp`) is from 0 to below 1; epsilons and weight decay are not
    negative. A default outside shows that the program means something else.
    """
    averaging = {s.operands[2] for s in program.statements if s.function == "interp"}
    found = {}
    for name, default in program.hyperparameters:
        high = 1.0 if name in averaging else math.inf
        bounded = name in averaging or name.endswith(("eps", "eps_root", "epsilon", "weight_decay"))
        if bounded and 0.0 <= default < high:
            found[name] = (0.0, high)
    return found


def leaf_program(program: Program) -> LeafProgram:
    """Return a program as `transform.transform` takes it."""
    slots = {slot.name: (slot.shape.label, slot.start) for slot in program.states}
    names = tuple(name for name, _ in program.hyperparameters)
    return LeafProgram(update_function(program), reads(program), slots, names, looks_at_axes(program))


def _narrowed(value: Any) -> Any:
    """Return a Python number that float32 cannot hold as infinity, without NumPy's warning; all else as it is."""
    return math.copysign(math.inf, value) if isinstance(value, float) and abs(value) >= TOO_LARGE else value


def update_function(program: Program, backend: Backend = JAX) -> Callable[..., Any]:
    """Return the function of one leaf, from keyword arguments to (update, states...); with tree functions, a generator.

    The arguments are those that `reads` returns, the states and the hyperparameters; see `transform.run_together`.
    """
    steps, words = [(step, backend.wraps(step)) for step in plan(program)], backend.words
    tensor = getattr(words, backend.tensor) if backend.tensor else None

    def start(inputs: dict[str, Any]) -> dict[str, Any]:
        shape = inputs.get("shape")
        sizes = {} if shape is None else {name: getattr(words, name)(shape) for name in SIZES}
        return {**NUMBERS, **inputs, **sizes}

    def value(operand: Operand, bound: dict[str, Any]) -> Any:
        return bound[operand] if isinstance(operand, str) else operand

    def taken(step: PlannedStatement, wraps: tuple[bool, ...], bound: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        values = [value(operand, bound) for operand in step.operands]
        if tensor:
            values = [tensor(v) if wrap else v for v, wrap in zip(values, wraps, strict=True)]
        return values, [words.spread(v, bound["shape"]) if s else v for v, s in zip(values, step.spread, strict=True)]

    def call(step: PlannedStatement, wide: list[Any]) -> Any:
        if step.operator:
            return _narrowed(OPERATORS[step.function](*wide))
        return _narrowed(getattr(words if backend.own(step) else backend.library, step.function)(*wide))

    def update(**inputs: Any) -> tuple[Any, ...]:
        bound = start(inputs)
        for step, wraps in steps:
            bound[step.target] = call(step, taken(step, wraps, bound)[1])
        return tuple(value(operand, bound) for operand in program.returns)

    def update_of_all(**inputs: Any) -> Generator[Any, Any, tuple[Any, ...]]:
        bound = start(inputs)
        for step, wraps in steps:
            values, wide = taken(step, wraps, bound)
            match step.function:
                case "global_norm":
                    found = words.norm((yield words.norm(*wide)))
                case "global_dot":
                    found = backend.library.sum((yield words.dot(*wide)))
                case "clip_by_global_norm":
                    x, limit = values
                    found = words.clip_to(x, limit, words.norm((yield words.norm(wide[0]))))
                case _:
                    found = call(step, wide)
            bound[step.target] = found
        return tuple(value(operand, bound) for operand in program.returns)

    return update_of_all if has_tree_functions(program) else update
