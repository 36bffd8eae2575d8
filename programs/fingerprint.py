"""The numeric fingerprint: what a program does on fixed inputs, as a hash.

It finds equalities that value numbering cannot see, such as ``x * x`` and ``square(x)``. The program runs in NumPy and
float64 for a few steps on two leaves of weights and gradients that span many magnitudes and signs, and change from step
to step; updates are rounded to 20 bits before they are hashed. Programs with equal fingerprints compute the same, as
far as any training could tell. In rare cases rounding gives equal functions different fingerprints, which costs a
search one evaluation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .analysis import has_tree_functions
from .folding import ELEMENTWISE, SHAPED, single
from .parts import Programs, digest_of
from .program import Operand, Program
from .vocabulary import NUMBERS

_STEPS = 4
_BITS = 20
_LEAVES, _COLS, _ROWS = 2, 3, 4


def _inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20_230_213)
    shape = (_LEAVES, _COLS, _ROWS)
    weights = rng.normal(size=(_STEPS, *shape)) * 10.0 ** rng.uniform(-2, 0.5, size=shape)
    magnitudes = 10.0 ** rng.uniform(-9, 1, size=(1, *shape))
    return weights, rng.normal(size=(_STEPS, *shape)) * magnitudes


_WEIGHTS, _GRADIENTS = _inputs()
_FUNCTIONS = ELEMENTWISE | SHAPED
# Literals, numbers and hyperparameters alike are float32, so that folding one changes nothing.
_CONSTANTS = {name: single(value) for name, value in NUMBERS.items()}
_CONSTANTS |= {"rows": float(_ROWS), "cols": float(_COLS), "size": float(_ROWS * _COLS)}
_RATE = 0.37  # learning rate
_TOTAL = 11.0  # steps of the imagined training


_INPUTS: dict[str, Callable[[np.ndarray, np.ndarray, float, int], dict[str, Any]]] = {
    "update": lambda weights, gradient, lr, step: {
        "w": weights,
        "g": gradient,
        "lr": lr,
        "t": step + 1.0,
        "progress": step / _TOTAL,
        "loss": 2.3 / (step + 1),
    },
    # The weights here have the size of log ratios and advantages.
    "drift": lambda weights, gradient, lr, step: {
        "log_r": weights,
        "r": np.exp(weights),
        "a": np.sign(gradient) * np.abs(gradient) ** 0.25,
        "progress": step / _TOTAL,
    },
}
"""For each kind of program, the function that gives its inputs at a step."""


def updates(program: Program, learning_rate: float = _RATE, sign: float = 1.0) -> np.ndarray:
    """Return the program's updates (or drifts) over the fixed steps, float64, (steps, leaves, cols, rows).

    Args:
        program: the program.
        learning_rate: of the first step.
        sign: -1 takes the opposite of all weights and gradients.
    """
    first = sign * _WEIGHTS[0]
    slots: list[Any] = [
        first if slot.start == "w" else np.full_like(first, single(float(slot.start))) for slot in program.states
    ]
    results = []
    fixed = _CONSTANTS | {name: single(value) for name, value in program.hyperparameters}
    with np.errstate(all="ignore"):
        for step, (weights, gradient) in enumerate(zip(sign * _WEIGHTS, sign * _GRADIENTS, strict=True)):
            bound: dict[str, np.ndarray | float] = dict(fixed)
            bound.update(_INPUTS[program.kind](weights, gradient, learning_rate / (step + 1), step))
            bound.update(zip((slot.name for slot in program.states), slots, strict=True))

            def read(operand: Operand, bound: dict[str, np.ndarray | float] = bound) -> np.ndarray | float:
                return bound[operand] if isinstance(operand, str) else single(operand)

            for target, function, operands in program.statements:
                values = [read(operand) for operand in operands]
                if function in SHAPED:
                    values = [np.broadcast_to(value, weights.shape) for value in values]
                bound[target] = _FUNCTIONS[function](*values)
            update, *slots = (np.broadcast_to(read(operand), weights.shape) for operand in program.returns)
            results.append(update)
    return np.stack(results)


def fingerprint(program: Program) -> str:
    """Return the hash of a program's updates on the fixed inputs, 32 hexadecimal digits."""
    return examine(program)[0]


def fault(program: Program) -> str:
    """Return why no search may take a program, or ""; see `examine`."""
    return examine(program)[1]


def examine(program: Program) -> tuple[str, str]:
    """Return a program's `fingerprint` and its `fault`, which share most of their work.

    Two faults let a program win by what has nothing to do with training. One whose update is not proportional to the
    learning rate could put a constant of its own in the rate's place. One whose update does not turn around with
    weights and gradients pushes all weights the same way, which suits some networks by chance. A drift has neither.
    """
    # Simplified first, with literals as float32: value numbering then merges what is equal in float32.
    short = program.simplified()
    once = updates(short)
    found = "" if program.kind == "drift" else _fault_of(once, updates(short, 2 * _RATE), updates(short, sign=-1.0))
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(once)
        rounded = np.rint(np.nan_to_num(mantissa, nan=2.0, posinf=4.0, neginf=-4.0) * 2.0**_BITS).astype(np.int32)
    mark = hashlib.blake2b(rounded.tobytes() + exponent.astype(np.int16).tobytes(), digest_size=16).hexdigest()
    return mark, found


def _fault_of(once: np.ndarray, twice: np.ndarray, opposite: np.ndarray) -> str:
    def close(a: np.ndarray, b: np.ndarray) -> bool:
        finite = np.isfinite(a) & np.isfinite(b)
        return bool(np.allclose(a[finite], b[finite], rtol=1e-5, atol=0))

    with np.errstate(all="ignore"):
        if not close(2 * once, twice):
            return "the update is not proportional to the learning rate"
        if not close(-once, opposite):
            return "the opposite weights and gradients do not give the opposite update"
    return ""


def examine_all(programs: Programs) -> tuple[str, str]:
    """Return the fingerprint and the fault of a rule's programs; those of one program are its own."""
    marks, faults = zip(*(examine(program) for _, program in programs.parts), strict=True)
    same = len(set(marks)) == 1 and not has_tree_functions(programs.parts[0][1].simplified())
    return digest_of([*marks], same), next(filter(None, faults), "")
