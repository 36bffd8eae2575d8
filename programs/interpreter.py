"""The interpreter: a rule as data, so that one compiled training runs every rule.

`encode` turns a rule's programs into `Code`, arrays of fixed size; `interpret` is an optax transform whose rule is a
`Code`, so that a function jitted over `Code` is compiled once for all rules. All leaves lie end to end in one vector of
`size` weights, and a register file of shape ``(registers, size)`` holds inputs, states, literals and intermediate
values, scalars repeated. That costs memory traffic that compiled code does not have, and saves every compile: on a CPU
it is the faster way for networks of up to about ten thousand weights. Of two programs both run on all leaves, and each
leaf takes the update of its own.
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
from .compiler import JAX
from .errors import ProgramError
from .leaves import LeafView, classified
from .parts import Programs
from .program import Operand, Program, Slot, Statement, map_names
from .vocabulary import DIALECTS, FUNCTIONS, NUMBERS, SIZES, Kind

_OPCODES = {name: i for i, name in enumerate(FUNCTIONS)}
_INPUTS = max(len(dialect.inputs) for dialect in DIALECTS.values())
_IS_MATRIX = "is_matrix"
_FIXED = {name: _INPUTS + i for i, name in enumerate((*SIZES, _IS_MATRIX))}
FIRST_STATE = _INPUTS + len(_FIXED)
"""The register of the first state; the others follow it, then literals and intermediate values."""
_MAX_OPERANDS = max(function.arity for function in FUNCTIONS.values())


class Code(NamedTuple):
    """A rule as arrays, for a capacity of `s` statements and `r` registers.

    Attributes:
        opcodes: function of each statement, by its place in the vocabulary.
        operands: registers that each statement reads, (s, 4); unused entries are 0.
        targets: register written by each statement. At the end each state's own register holds its new value.
        length: number of statements.
        initial: value that each register holds at the start: a literal, a state's first value, or 0.
        weights: 1 for each register that begins at the weights, else 0.
        update: register of the update.
    """

    opcodes: Int32[np.ndarray, " s"]
    operands: Int32[np.ndarray, "s 4"]
    targets: Int32[np.ndarray, " s"]
    length: Int32[np.ndarray, ""]
    initial: Float32[np.ndarray, " r"]
    weights: Float32[np.ndarray, " r"]
    update: Int32[np.ndarray, ""]


class Capacity(NamedTuple):
    """Room for statements and registers; one compile serves all rules that fit."""

    statements: int = 96
    registers: int = 64


class _Move(NamedTuple):
    """A statement with its places known: a function of sources, and the state's register it writes, if it must."""

    function: str
    sources: tuple[int, ...]
    state: int | None


def merged(programs: Programs) -> Program:
    """Return the one program that does, on all leaves, what two do on theirs; it is for the interpreter only.

    It reads whether a leaf is a matrix. A number over all leaves is one over all leaves of its program's class.
    """
    if len(programs.parts) == 1:
        return programs.only
    own = {*programs.dialect.inputs, *programs.dialect.constants}
    states: list[Slot] = []
    hyperparameters: dict[str, float] = {}
    statements: list[Statement] = []
    updates, kept = [], []
    for label, program in programs.parts:
        taken = own - dict(program.hyperparameters).keys()  # `eps` may be a hyperparameter
        part = map_names(program, lambda name, label=label, taken=taken: name if name in taken else f"{label}.{name}")
        for statement in part.statements:
            if FUNCTIONS[statement.function].kind in (Kind.TREE, Kind.TREE_SCALED):
                limits = statement.operands[1:] if statement.function == "clip_by_global_norm" else ()
                arrays = statement.operands[: len(statement.operands) - len(limits)]
                names = [f"{label}.{statement.target}.{i}" for i in range(len(arrays))]
                sides = (_IS_MATRIX, 0.5) if label == "matrix" else (0.5, _IS_MATRIX)
                statements += [Statement(n, "where", (*sides, x, 0.0)) for n, x in zip(names, arrays, strict=True)]
                statement = statement._replace(operands=(*names, *limits))
            statements.append(statement)
        states += part.states
        hyperparameters |= dict(part.hyperparameters)
        updates.append(part.returns[0])
        kept += part.returns[1:]
    chosen = Statement("update", "where", (_IS_MATRIX, 0.5, *updates))
    inputs = (*programs.dialect.inputs, *(slot.name for slot in states))
    return Program(
        inputs, tuple(states), tuple(hyperparameters.items()), (*statements, chosen), ("update", *kept), "update"
    )


def encode(programs: Programs, capacity: Capacity = Capacity()) -> Code:  # noqa: B008
    """Return a rule as data; registers whose values are no longer needed are used again.

    Raises:
        ProgramError: the rule does not fit the capacity.
    """
    program = merged(programs)
    pool = FIRST_STATE + len(program.states)
    literals: dict[float, int] = {}
    fresh = itertools.count(pool)
    moves, update = _moves(program, lambda value: literals.setdefault(value, next(fresh)))
    if len(moves) > capacity.statements:
        raise ProgramError(f"{len(moves)} statements; the interpreter has room for {capacity.statements}")
    first = -len(moves)  # sources below 0 are moves' results, from the first one's
    last_use = {source: i for i, move in enumerate(moves) for source in move.sources}
    last_use[update] = len(moves)
    ends: dict[int, list[int]] = {}
    for source, end in last_use.items():
        if source < 0:
            ends.setdefault(end, []).append(source)

    opcodes = np.zeros(capacity.statements, np.int32)
    reads = np.zeros((capacity.statements, _MAX_OPERANDS), np.int32)
    targets = np.zeros(capacity.statements, np.int32)
    free: list[int] = []
    home: dict[int, int] = {}
    for i, (function, sources, state) in enumerate(moves):
        opcodes[i] = _OPCODES[function]
        reads[i, : len(sources)] = [home.get(source, source) for source in sources]
        free.extend(home[source] for source in ends.get(i, ()) if home[source] >= pool)
        if state is None:
            place = free.pop() if free else next(fresh)
            if first + i not in last_use:
                free.append(place)
        else:
            place = state
        home[first + i] = targets[i] = place
    used = next(fresh)
    if used > capacity.registers:
        raise ProgramError(f"the rule needs {used} registers; the interpreter has {capacity.registers}")
    initial = np.zeros(capacity.registers, np.float32)
    for value, place in literals.items():
        initial[place] = value
    weights = np.zeros(capacity.registers, np.float32)
    for place, slot in enumerate(program.states, FIRST_STATE):
        if isinstance(slot.start, str):
            weights[place] = 1.0
        else:
            initial[place] = slot.start
    result = np.int32(home.get(update, update))
    return Code(opcodes, reads, targets, np.int32(len(moves)), initial, weights, result)  # pyright: ignore


def _moves(program: Program, literal: Callable[[float], int]) -> tuple[list[_Move], int]:
    """Return a program's statements, then those that copy what is left to the states' registers, and the update.

    A source is a register, or below 0 the result of a move: of n moves the first has -n. A statement whose result is a
    state's new value writes it to the state's register itself, where nothing needs the old value any more.
    """
    bound: dict[str, int] = {name: i for i, name in enumerate(program.dialect.inputs)} | _FIXED
    states = range(FIRST_STATE, FIRST_STATE + len(program.states))
    bound |= dict(zip((slot.name for slot in program.states), states, strict=True))
    for name, default in (NUMBERS | dict(program.hyperparameters)).items():
        if any(name in s.operands for s in program.statements) or name in program.returns:
            bound[name] = literal(default)

    def source(operand: Operand) -> Any:
        return bound[operand] if isinstance(operand, str) else literal(operand)

    # Results are counted from -1 downwards here, since the number of moves is not known yet.
    count = len(program.statements)
    rows: list[tuple[str, tuple[int, ...], int | None]] = []
    for i, (target, function, operands) in enumerate(program.statements):
        rows.append((function, tuple(map(source, operands)), None))
        bound[target] = -1 - i
    update, *new = map(source, program.returns)
    left: list[tuple[int, int]] = []  # copies to make: (source, state's register)
    taken: set[int] = set()
    for state, value in zip(states, new, strict=True):
        if value == state:
            continue
        needed = update == state or any(other == state for other in new)
        last = max((i for i in range(count) if state in rows[i][1]), default=-1)
        if value < 0 and value not in taken and not needed and last <= -1 - value:
            taken.add(value)
            function, sources, _ = rows[-1 - value]
            rows[-1 - value] = (function, sources, state)
        else:
            left.append((value, state))
    written = {state for _, state in left}

    def kept(value: int) -> int:
        """Return a source that holds the value after the copies too."""
        if value not in written:
            return value
        rows.append(("maximum", (value, value), None))
        return -len(rows)

    update = kept(update)
    left = [(kept(value), state) for value, state in left]
    rows += [("maximum", (value, value), state) for value, state in left]
    total = len(rows)

    def place(value: int) -> int:
        return value if value >= 0 else -1 - value - total

    return [_Move(f, tuple(map(place, s)), state) for f, s, state in rows], place(update)


class Segments(NamedTuple):
    """Weights of one vector that are reduced together: those of a matrix, or of each of its rows or columns.

    A word that reduces runs once for all leaves, by gathering, which compiles much faster than once for each leaf.

    Attributes:
        members: places of each segment's weights, (segments, longest), filled up with 0.
        present: which of these are there, not filled up.
        segment: segment of each weight.
    """

    members: Int32[np.ndarray, "segments longest"]
    present: Float32[np.ndarray, "segments longest"]
    segment: Int32[np.ndarray, " size"]

    def sum(self, x: Array) -> Array:
        """Return for each weight the sum over its segment."""
        return jnp.sum(x[self.members] * self.present, axis=1)[self.segment]

    def mean(self, x: Array) -> Array:
        """Return for each weight the mean over its segment."""
        return (jnp.sum(x[self.members] * self.present, axis=1) / self.present.sum(1))[self.segment]

    def max(self, x: Array) -> Array:
        """Return for each weight the largest of its segment."""
        return jnp.max(jnp.where(self.present > 0, x[self.members], -jnp.inf), axis=1)[self.segment]

    def unit(self, x: Array) -> Array:
        """Return for each weight what `operations.unit` is of its segment."""
        return jnp.clip(self.max(jnp.abs(x)), 2.0**-64, 2.0**96)

    def norm(self, x: Array) -> Array:
        """Return for each weight the root of the sum of squares over its segment."""
        scale = self.unit(x)
        return scale * jnp.sqrt(self.sum(jnp.square(x / scale)))

    def rms(self, x: Array) -> Array:
        """Return for each weight the root of the mean square over its segment."""
        scale = self.unit(x)
        return scale * jnp.sqrt(self.mean(jnp.square(x / scale)))

    def dot(self, x: Array, y: Array) -> Array:
        """Return for each weight the sum of x y over its segment."""
        return self.sum(x * y)

    def cosine_similarity(self, x: Array, y: Array) -> Array:
        """Return for each weight the sum of x y over its segment, divided by the norms; 0 where one is 0."""
        x, y = x / self.unit(x), y / self.unit(y)
        scale = self.norm(x) * self.norm(y)
        return self.sum(x * y) / jnp.where(scale > 0.0, scale, 1.0)


def segments(views: list[LeafView], kind: Kind) -> Segments:
    """Return the segments of leaves that lie end to end.

    Args:
        views: how the leaves are seen.
        kind: of the words that reduce over them: LEAF, ROW or COLUMN.
    """
    found, count = [], 0
    with jax.ensure_compile_time_eval():
        for view in views:
            each = math.prod(view.matrix)
            rows = view.matrix[-1] if view.matrix else 1
            place = np.arange(each).reshape(view.matrix)
            own = {Kind.LEAF: 0 * place, Kind.ROW: place % rows, Kind.COLUMN: place // rows}[kind]
            of_one = int(own.max(initial=-1)) + 1
            matrices = math.prod(view.shape) // max(each, 1)
            if view.stacked:
                own = own + of_one * np.arange(matrices).reshape(-1, *[1] * len(view.matrix))
            found.append(count + np.asarray(view.leaf(jnp.asarray(own, jnp.int32))).ravel())
            count += of_one * matrices
    segment = np.concatenate(found)
    order = np.argsort(segment, kind="stable")
    lengths = np.bincount(segment, minlength=count)
    within = np.arange(len(segment)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    members = np.zeros((count, lengths.max(initial=0)), np.int32)
    present = np.zeros(members.shape, np.float32)
    members[segment[order], within] = order
    present[segment[order], within] = 1.0
    return Segments(members, present, segment.astype(np.int32))


_WHOLE = {"global_norm": operations.norm, "global_dot": operations.dot, "clip_by_global_norm": operations.clip_to}


def _mapped(compute: Callable[..., Array], view: LeafView) -> Callable[..., Array]:
    """Return a function of matrices as one of leaves; its result is repeated to the leaf's shape."""
    full: Callable[..., Array] = lambda *values: jnp.broadcast_to(compute(*values), view.matrix)  # noqa: E731
    each = jax.vmap(full) if view.stacked else full
    return lambda *values: view.leaf(each(*map(view.matrices, values)))


class InterpreterState(NamedTuple):
    """What an interpreted rule keeps between steps.

    Attributes:
        count: steps done.
        registers: the register file; literals and sizes stand in it from the start, states from step to step; all else
            is written in each step.
        initial: value of each register at the start.
        from_weights: 1 for each register that begins at the weights, else 0.
        weights: the weights at the start.
    """

    count: Int32[Array, ""]
    registers: Float32[Array, "r size"]
    initial: Float32[Array, " r"]
    from_weights: Float32[Array, " r"]
    weights: Float32[Array, " size"]

    def begun_again(self, fresh: Array) -> InterpreterState:
        """Return the state as it was at the start where `fresh`, which costs nothing where it is not."""

        def one(k: Array, registers: Array) -> Array:
            row = jnp.where(self.from_weights[k] > 0, self.weights, self.initial[k])
            return jax.lax.dynamic_update_index_in_dim(registers, row, k, 0)

        end = jnp.where(fresh, len(self.initial), FIRST_STATE)
        registers = jax.lax.fori_loop(FIRST_STATE, end, one, self.registers)
        return self._replace(count=jnp.where(fresh, 0, self.count), registers=registers)


def interpret(
    code: Code,
    learning_rate: Callable[[Array], Array],
    total_steps: Any,
    *,
    heavy: bool = True,
    leaf_classes: Any = "other",
) -> optax.GradientTransformationExtraArgs:
    """Return the optax transform of an encoded rule; its update takes the batch's loss as `value`.

    Args:
        code: the rule; may be traced.
        learning_rate: function of the step, from 0.
        total_steps: length of the training, for `progress`; may be traced.
        heavy: whether the heavy functions (see the vocabulary) can be run. Under `vmap` over programs every function
            runs for every statement, so they would slow down all programs. Without them, the result of a program that
            has one is wrong.
        leaf_classes: which leaves are matrices, and which of their axes are inputs and outputs; see `leaves`. By
            default the last axis is outputs.
    """

    def init(params: Any) -> InterpreterState:
        weights, _ = ravel_pytree(params)
        initial, flags = jnp.asarray(code.initial), jnp.asarray(code.weights)
        registers = jnp.broadcast_to(initial[:, None], (len(initial), weights.size))
        found = classified(params, leaf_classes, needed=True)
        for name, place in _FIXED.items():
            values = [
                float(kind == "matrix") if name == _IS_MATRIX else getattr(operations, name)(view.matrix)
                for kind, view in found
            ]
            row = [np.full(math.prod(view.shape), x, np.float32) for x, (_, view) in zip(values, found, strict=True)]
            registers = registers.at[place].set(np.concatenate(row))
        state = InterpreterState(jnp.zeros([], jnp.int32), registers, initial, flags, weights.astype(jnp.float32))
        return state.begun_again(jnp.bool_(True))

    def step(updates: Any, state: Any, params: Any = None, *, value: Any = jnp.nan) -> tuple[Any, InterpreterState]:
        views = [view for _, view in classified(updates, leaf_classes, needed=True)]
        gradient, unravel = ravel_pytree(updates)
        weights, _ = ravel_pytree(params)
        now = state.count.astype(jnp.float32)
        registers = state.registers
        for i, row in enumerate((weights, gradient, learning_rate(state.count), now + 1.0, now / total_steps, value)):
            registers = registers.at[i].set(row)
        registers = _run(code, registers, _branches(views, heavy))
        return unravel(-registers[code.update]), state._replace(count=state.count + 1, registers=registers)

    return optax.GradientTransformationExtraArgs(init, step)  # pyright: ignore[reportArgumentType]


def interpret_drift(code: Code, ratio: Array, log_ratio: Array, advantage: Array, progress: Array) -> Array:
    """Return an encoded drift program's values, elementwise; forward-mode differentiation works."""
    inputs = jnp.stack(jnp.broadcast_arrays(ratio, log_ratio, advantage, progress))
    registers = jnp.broadcast_to(jnp.asarray(code.initial)[:, None], (len(code.initial), inputs[0].size))
    registers = registers.at[: len(inputs)].set(inputs.reshape(len(inputs), -1))
    return _run(code, registers, _branches(None))[code.update].reshape(ratio.shape)


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
    kinds = () if elementwise_only else (Kind.LEAF, Kind.ROW, Kind.COLUMN)
    reduced = {kind: segments(views, kind) for kind in kinds}

    def branch(name: str) -> Callable[[Array, Array], Array]:
        function = FUNCTIONS[name]
        compute = _WHOLE.get(name) or JAX.function(name)

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
                case Kind.LEAF | Kind.ROW | Kind.COLUMN:
                    reduce = getattr(reduced[function.kind], name.removeprefix("row_").removeprefix("col_"))
                    return reduce(*values)
                case Kind.MATRIX:
                    parts = []
                    for start, end, view in zip(starts, ends, views, strict=True):
                        part = _mapped(compute, view)(*(value[start:end].reshape(view.shape) for value in values))
                        parts.append(part.reshape(-1))
                    return jnp.concatenate(parts)

        return run

    return [branch(name) for name in FUNCTIONS]
