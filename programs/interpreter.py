"""The interpreter: a program as data, so that one compiled training runs every program.

`encode` turns a program into `Code`, arrays of fixed size; `interpret` is an optax transform whose rule is a `Code`, so
that a function jitted over `Code` is compiled once for all programs. All leaves lie end to end in one vector of
`size` weights, and a register file of shape ``(registers, size)`` holds inputs, literals and intermediate values,
scalars repeated. That costs memory traffic that compiled code does not have, and saves every compile: on a CPU it is
the faster way for networks of up to about ten thousand weights.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float32, Int32

from . import operations
from .compiler import implementation
from .errors import ProgramError
from .leaves import LeafView, classified
from .program import Operand, Program
from .vocabulary import DIALECTS, FUNCTIONS, NUMBERS, SIZES, Kind

_OPCODES = {name: i for i, name in enumerate(FUNCTIONS)}
MAX_STATES = DIALECTS["update"].states
_STATE = max(len(dialect.inputs) for dialect in DIALECTS.values())  # the first state's register
_SIZES = {name: _STATE + MAX_STATES + i for i, name in enumerate(SIZES)}
_POOL = _STATE + MAX_STATES + len(SIZES)  # the first register for literals and intermediate values
_MAX_OPERANDS = max(function.arity for function in FUNCTIONS.values())


class Code(NamedTuple):
    """A program as arrays, for a capacity of `s` statements and `r` registers.

    Attributes:
        opcodes: function of each statement, by its place in the vocabulary.
        operands: registers that each statement reads, (s, 4); unused entries are 0.
        targets: register written by each statement.
        length: number of statements.
        initial: value that each register holds at the start: a literal or 0.
        returns: registers of the update and of the new states; for an unused state, its own register.
    """

    opcodes: Int32[np.ndarray, " s"]
    operands: Int32[np.ndarray, "s 4"]
    targets: Int32[np.ndarray, " s"]
    length: Int32[np.ndarray, ""]
    initial: Float32[np.ndarray, " r"]
    returns: Int32[np.ndarray, " 5"]


class Capacity(NamedTuple):
    """Room for statements and registers; one compile serves all programs that fit."""

    statements: int = 64
    registers: int = 48


def encode(program: Program, capacity: Capacity = Capacity()) -> Code:  # noqa: B008
    """Return the program as data; registers whose values are no longer needed are used again.

    Raises:
        ProgramError: the program does not fit the capacity.
    """
    statements = program.statements
    if len(statements) > capacity.statements:
        raise ProgramError(f"{len(statements)} statements; the interpreter has room for {capacity.statements}")
    slots = [slot.name for slot in program.states]
    bound = {name: i for i, name in enumerate(program.dialect.inputs)} | _SIZES
    bound |= {name: _STATE + i for i, name in enumerate(slots)}
    literals: dict[float, int] = {}
    fresh = itertools.count(_POOL)
    free: list[int] = []

    def literal(value: float) -> int:
        return literals[value] if value in literals else literals.setdefault(value, next(fresh))

    for name, default in (NUMBERS | dict(program.hyperparameters)).items():
        if any(name in s.operands for s in statements) or name in program.returns:
            bound[name] = literal(default)
    for operand in (*itertools.chain.from_iterable(s.operands for s in statements), *program.returns):
        if isinstance(operand, float):
            literal(operand)

    last_use: dict[int, int] = {}  # by value: the last statement that reads it
    current: dict[str, int] = {}
    for i, (target, _, operands) in enumerate(statements):
        for operand in operands:
            if isinstance(operand, str) and operand in current:
                last_use[current[operand]] = i
        current[target] = i
    for operand in program.returns:
        if isinstance(operand, str) and operand in current:
            last_use[current[operand]] = len(statements)
    ends: dict[int, list[int]] = {}
    for value, end in last_use.items():
        ends.setdefault(end, []).append(value)

    def register(operand: Operand) -> int:
        return bound[operand] if isinstance(operand, str) else literals[operand]

    opcodes = np.zeros(capacity.statements, np.int32)
    reads = np.zeros((capacity.statements, _MAX_OPERANDS), np.int32)
    targets = np.zeros(capacity.statements, np.int32)
    home: dict[int, int] = {}
    for i, (target, function, operands) in enumerate(statements):
        opcodes[i] = _OPCODES[function]
        reads[i, : len(operands)] = [register(operand) for operand in operands]
        free.extend(home.pop(value) for value in ends.get(i, ()))
        home[i] = targets[i] = bound[target] = free.pop() if free else next(fresh)
        if i not in last_use:
            free.append(home.pop(i))
    used = next(fresh)
    if used > capacity.registers:
        raise ProgramError(f"the program needs {used} registers; the interpreter has {capacity.registers}")
    initial = np.zeros(capacity.registers, np.float32)
    for value, place in literals.items():
        initial[place] = value
    returns = [register(operand) for operand in program.returns]
    returns += range(_STATE + len(slots), _STATE + MAX_STATES)
    return Code(opcodes, reads, targets, np.int32(len(statements)), initial, np.array(returns, np.int32))  # pyright: ignore


_WHOLE = {"global_norm": operations.norm, "global_dot": operations.dot, "clip_by_global_norm": operations.clip_to}


def _mapped(compute: Callable[..., Array], view: LeafView) -> Callable[..., Array]:
    """Return a function of matrices as one of leaves; its result is repeated to the leaf's shape."""
    full: Callable[..., Array] = lambda *values: jnp.broadcast_to(compute(*values), view.matrix)  # noqa: E731
    each = jax.vmap(full) if view.stacked else full
    return lambda *values: view.leaf(each(*map(view.matrices, values)))


class InterpreterState(NamedTuple):
    """What an interpreted program keeps between steps.

    Attributes:
        count: steps done.
        slots: the program's states; zeros at first, as is `count`.
        scratch: the register file; literals and sizes stand in it from the start, all else is written in each step.
    """

    count: Int32[Array, ""]
    slots: Float32[Array, "4 size"]
    scratch: Float32[Array, "r size"]


def interpret(
    code: Code,
    learning_rate: Callable[[Array], Array],
    total_steps: Any,
    *,
    heavy: bool = True,
    leaf_classes: Any = "other",
) -> optax.GradientTransformation:
    """Return the optax transform of an encoded program.

    Args:
        code: the program; may be traced.
        learning_rate: function of the step, from 0.
        total_steps: length of the training, for `progress`; may be traced.
        heavy: whether the heavy functions (see the vocabulary) can be run. Under `vmap` over programs every function
            runs for every statement, so they would slow down all programs. Without them, the result of a program that
            has one is wrong.
        leaf_classes: which axes of leaves are inputs and outputs; see `leaves`. By default the last axis is outputs.
    """

    def views(params: Any) -> list[LeafView]:
        return [view for _, view in classified(params, leaf_classes, needed=True)]

    def init(params: Any) -> InterpreterState:
        flat, _ = ravel_pytree(params)
        scratch = jnp.broadcast_to(jnp.asarray(code.initial)[:, None], (len(code.initial), flat.size))
        for name in SIZES:
            values = [
                np.full(math.prod(v.shape), getattr(operations, name)(v.matrix), np.float32) for v in views(params)
            ]
            scratch = scratch.at[_SIZES[name]].set(np.concatenate(values))
        return InterpreterState(jnp.zeros([], jnp.int32), jnp.zeros((MAX_STATES, flat.size)), scratch)

    def step(updates: Any, state: Any, params: Any = None) -> tuple[Any, InterpreterState]:
        count, slots, registers = state
        branches = _branches(views(updates), heavy)
        gradient, unravel = ravel_pytree(updates)
        weights, _ = ravel_pytree(params)
        now = count.astype(jnp.float32)
        scalars = jnp.stack([learning_rate(count), now + 1.0, now / total_steps])
        inputs = [weights[None], gradient[None], jnp.broadcast_to(scalars[:, None], (3, gradient.size)), slots]
        registers = jax.lax.dynamic_update_slice_in_dim(registers, jnp.concatenate(inputs), 0, 0)

        registers = _run(code, registers, branches)
        returned = registers[jnp.asarray(code.returns)]
        return unravel(-returned[0]), InterpreterState(count + 1, returned[1:], registers)

    return optax.GradientTransformation(init, step)


def interpret_drift(code: Code, ratio: Array, log_ratio: Array, advantage: Array, progress: Array) -> Array:
    """Return an encoded drift program's values, elementwise; forward-mode differentiation works."""
    inputs = jnp.stack(jnp.broadcast_arrays(ratio, log_ratio, advantage, progress))
    registers = jnp.broadcast_to(jnp.asarray(code.initial)[:, None], (len(code.initial), inputs[0].size))
    registers = registers.at[: len(inputs)].set(inputs.reshape(len(inputs), -1))
    return _run(code, registers, _branches(None))[code.returns[0]].reshape(ratio.shape)


def _run(code: Code, registers: Array, branches: list[Callable[[Array, Array], Array]]) -> Array:
    """Return the registers after the statements."""
    opcodes, operands, targets, length = map(jnp.asarray, (code.opcodes, code.operands, code.targets, code.length))

    def statement(i: Array, registers: Array) -> Array:
        result = jax.lax.switch(opcodes[i], branches, registers, operands[i])
        return jax.lax.dynamic_update_index_in_dim(registers, result, targets[i], 0)

    return jax.lax.fori_loop(0, length, statement, registers)


def _branches(views: list[LeafView] | None, heavy: bool = True) -> list[Callable[[Array, Array], Array]]:
    """Return for each function of the vocabulary what it does to (registers, operands), as a vector of all weights.

    Without views of leaves only the elementwise functions do anything.
    """
    elementwise_only = views is None
    views = views or []
    ends = list(itertools.accumulate(math.prod(view.shape) for view in views))
    starts = [0, *ends[:-1]]

    def branch(name: str) -> Callable[[Array, Array], Array]:
        function = FUNCTIONS[name]
        compute = _WHOLE.get(name) or implementation(name)

        def run(registers: Array, operands: Array) -> Array:
            if (elementwise_only and function.kind is not Kind.ELEMENTWISE) or (function.heavy and not heavy):
                return registers[0]
            values = [
                jax.lax.dynamic_index_in_dim(registers, operands[i], 0, keepdims=False) for i in range(function.arity)
            ]
            match function.kind:
                case Kind.ELEMENTWISE:
                    return compute(*values)
                case Kind.TREE:
                    return jnp.broadcast_to(compute(*values), values[0].shape)
                case Kind.TREE_SCALED:
                    return compute(*values, operations.norm(values[0]))
                case _:
                    parts = []
                    for start, end, view in zip(starts, ends, views, strict=True):
                        part = _mapped(compute, view)(*(value[start:end].reshape(view.shape) for value in values))
                        parts.append(part.reshape(-1))
                    return jnp.concatenate(parts)

        return run

    return [branch(name) for name in FUNCTIONS]
