"""The interpreter and the compiler agree; the words compute what NumPy says they do."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulesmith import Program, load
from rulesmith.programs import ProgramError, folding
from rulesmith.programs.compiler import JAX
from rulesmith.programs.interpreter import FIRST_STATE, Capacity, encode, interpret
from rulesmith.programs.parts import Programs
from rulesmith.programs.rule import Rule
from rulesmith.programs.rule_file import published
from rulesmith.programs.vocabulary import FUNCTIONS, Kind

SHAPES = {"matrix": (3, 4), "vector": (5,), "scalar": (), "kernel": (2, 2, 3, 4)}


def tree(seed, scale=1.0):
    keys = jax.random.split(jax.random.key(seed), len(SHAPES))
    return {name: scale * jax.random.normal(k, shape) for k, (name, shape) in zip(keys, SHAPES.items())}


WEIGHTS = tree(0)
LOSS = jnp.float32(2.3)
PLAIN = {"matrix": "matrix", "vector": "other", "scalar": "other", "kernel": ((0, 1, 2), 3)}
STACKED = {"matrix": (1, 0), "vector": ((), 0), "scalar": "other", "kernel": (3, (0, 2))}  # 2 matrices of 4 x 6


@functools.partial(jax.jit, static_argnames="stacked")
def interpreted(code, gradients, weights, slots, count, stacked=False):
    """One step from `count` given states: updates and new states."""
    classes = STACKED if stacked else PLAIN
    tx = interpret(code, lambda _: jnp.float32(0.1), 7, leaf_classes=classes)
    state = tx.init(weights)
    rows = jnp.arange(8)[:, None] < count
    begun = jnp.where(rows, slots, state.registers[FIRST_STATE : FIRST_STATE + 8])
    registers = state.registers.at[FIRST_STATE : FIRST_STATE + 8].set(begun)
    state = state._replace(count=jnp.int32(2), registers=registers)
    updates, state = tx.update(gradients, state, weights, value=LOSS)
    return updates, state.registers[FIRST_STATE : FIRST_STATE + 8]


def compiled(program, gradients, weights, slots, stacked=False):
    tx = Rule.of(program).to_optax(0.1, total_steps=7, leaf_classes=STACKED if stacked else PLAIN)
    state = tx.init(weights)
    _, unravel = jax.flatten_util.ravel_pytree(weights)
    kept = {slot.name: unravel(row) for slot, row in zip(program.states, slots)}
    updates, state = tx.update(gradients, state._replace(count=jnp.int32(2), slots=kept), weights, value=LOSS)
    return updates, state.slots


def rounded(program):
    """Return the program with literals that float32 holds: the interpreter's constants are that."""
    statements = tuple(
        s._replace(operands=tuple(o if isinstance(o, str) else float(np.float32(o)) for o in s.operands))
        for s in program.statements
    )
    return dataclasses.replace(program, statements=statements)


def single_statements(program):
    """Yield programs that each carry out one statement of a program, on the leaves' own values."""
    for _, function, operands in program.statements:
        names = iter(["g", "w", "m", "v"])
        given = {}
        fresh = tuple(given.setdefault(o, next(names)) if isinstance(o, str) else o for o in operands)
        statement = program.statements[0]._replace(target="u", function=function, operands=fresh)
        yield dataclasses.replace(
            program,
            inputs=("w", "g", "m", "v", "lr"),
            states=program.states[:2],
            statements=(statement,),
            returns=("u", "m", "v"),
        )


ROUGH = {"tan", "power", "exp", "exp2", "exp10", "sinh", "cosh", "expm1", "orthogonalize"}


def agree(a, b, rtol):
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(value)]) for value in (a, b))
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def check_statements(make_program, seed):
    program = rounded(make_program(seed, most=6))
    slots = jax.random.normal(jax.random.key(seed), (8, sum(x.size for x in jax.tree.leaves(WEIGHTS))))
    gradients = tree(seed)
    for single in single_statements(program):
        rtol = 1e-4 if single.statements[0].function in ROUGH else 1e-5
        stacked = seed % 3 == 0
        first, _ = interpreted(encode(Programs.of(single)), gradients, WEIGHTS, slots, 2, stacked)
        second, _ = compiled(single, gradients, WEIGHTS, slots, stacked)
        agree(first, second, rtol)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9))
def test_they_agree_statement_by_statement(make_program, seed):
    check_statements(make_program, seed)


def check_end_to_end(make_program, seed):
    program = rounded(make_program(seed)).simplified()
    slots = jax.random.normal(jax.random.key(seed), (8, sum(x.size for x in jax.tree.leaves(WEIGHTS))))
    gradients = tree(seed)
    code = encode(Programs.of(program))
    first, kept = interpreted(code, gradients, WEIGHTS, slots, len(program.states))
    nudged = jax.tree.map(lambda x: jnp.nextafter(x, jnp.inf), gradients)
    moved, _ = interpreted(code, nudged, WEIGHTS, slots, len(program.states))
    second, own = compiled(program, gradients, WEIGHTS, slots)
    for leaf in SHAPES:
        steady = np.isclose(first[leaf], moved[leaf], rtol=3e-6, atol=1e-7)
        both = np.isclose(first[leaf], second[leaf], rtol=1e-3, atol=1e-5, equal_nan=True)
        assert (both | ~steady).all()
    for name, row in zip(own, kept):
        flat = np.concatenate([np.ravel(x) for x in jax.tree.leaves(own[name])])
        where = np.isclose(row, flat, rtol=1e-3, atol=1e-5, equal_nan=True)
        assert where.mean() > 0.5
    assert set(own) == {slot.name for slot in program.states}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9))
def test_they_agree_end_to_end_where_rounding_stays_small(make_program, seed):
    check_end_to_end(make_program, seed)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_statements, check_end_to_end])
def test_they_agree_on_thousands_of_programs(make_program, check):
    @settings(max_examples=2000, deadline=None)
    @given(st.integers(0, 10**9))
    def agree_on(seed):
        check(make_program, seed)

    agree_on()


@pytest.mark.parametrize("name", published())
def test_they_agree_on_the_known_rules_over_a_training(name):
    programs = Programs.of(load(name).programs)
    rule = Rule(name, dict(programs.mapped(rounded).parts))
    a = interpret(encode(programs), lambda _: jnp.float32(0.01), 20, leaf_classes=PLAIN)
    b = rule.to_optax(0.01, total_steps=20, leaf_classes=PLAIN)
    steps = [jax.jit(tx.update) for tx in (a, b)]
    states = [tx.init(WEIGHTS) for tx in (a, b)]
    for i in range(20):
        gradients = tree(100 + i)
        (first, states[0]), (second, states[1]) = (
            step(gradients, state, WEIGHTS) for step, state in zip(steps, states)
        )
        agree(first, second, 2e-4)


TWO = """
# for matrix leaves
def update(w, g, m, z: full(w), d: scalar(0.5), lr, loss):
    c = clip_by_global_norm(g, 0.7)
    m = interp(c, m, 0.9)
    d = 0.5 * d + global_norm(g)
    return lr * (m * d + global_dot(g, w) * (w - z)) * loss, m, z, d
# for other leaves
def update(g, m, d: row(2.0), lr):
    m = row_max(g) - global_norm(g)
    return lr * m * d, m, d
"""


def test_two_programs_agree_with_each_on_its_own_leaves():
    programs = Programs.parse(TWO)
    a = interpret(encode(programs), lambda _: jnp.float32(0.1), 9, leaf_classes=PLAIN)
    b = Rule("two", dict(programs.parts)).to_optax(0.1, total_steps=9, leaf_classes=PLAIN)
    states, weights = [tx.init(WEIGHTS) for tx in (a, b)], [WEIGHTS, WEIGHTS]
    for i in range(4):
        for j, tx in enumerate((a, b)):
            updates, states[j] = tx.update(tree(50 + i), states[j], weights[j], value=jnp.float32(2.0 - i / 4))
            weights[j] = jax.tree.map(jnp.add, weights[j], updates)
        agree(weights[0], weights[1], 2e-4)


@pytest.mark.parametrize("returned", ["b", "lr", "t", "pi", "rows", "g", "m", "2.5"])
def test_a_state_may_be_returned_as_any_value(returned):
    program = Program.parse(f"def update(g, m, v: scalar, lr, t, b=0.5):\n return lr * (g + m + v), {returned}, b\n")
    assert Program.parse(program.to_text()) == Program.parse(program.to_flat_text()) == program
    a = interpret(encode(Programs.of(program)), lambda _: jnp.float32(0.1), 9, leaf_classes=PLAIN)
    b = program.to_optax(0.1, total_steps=9, leaf_classes=PLAIN)
    transforms = (a, b)
    states = [tx.init(WEIGHTS) for tx in transforms]
    for i in range(3):
        updates, states = zip(*(tx.update(tree(i), state, WEIGHTS) for tx, state in zip(transforms, states)))
        agree(updates[0], updates[1], 1e-5)


def test_a_rule_that_reads_the_loss_asks_for_it():
    tx = Program.parse("def update(g, lr, loss):\n return lr * loss * g").to_optax(0.5)
    with pytest.raises(ValueError, match="value=loss"):
        tx.update(WEIGHTS, tx.init(WEIGHTS), WEIGHTS)
    chained = optax.chain(tx, optax.scale(2.0))
    updates, _ = chained.update(WEIGHTS, chained.init(WEIGHTS), WEIGHTS, value=3.0)
    agree(updates, jax.tree.map(lambda x: -3.0 * x, WEIGHTS), 1e-6)


def test_a_program_too_long_for_the_interpreter_is_refused():
    program = Program.parse("def update(g, lr):\n" + " g = g + w1\n".replace("w1", "g") * 30 + " return lr * g")
    with pytest.raises(ProgramError, match="room for 10"):
        encode(Programs.of(program), Capacity(10, 30))


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if f.kind is Kind.ELEMENTWISE])
def test_words_compute_what_numpy_says(name):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=200).astype(np.float32) for _ in range(FUNCTIONS[name].arity)]
    if name == "arccosh":
        values = [1 + np.abs(values[0])]
    ours = np.asarray(JAX.function(name)(*map(jnp.asarray, values)))
    with np.errstate(all="ignore"):
        wanted = folding.ELEMENTWISE[name](*(v.astype(np.float64) for v in values))
    np.testing.assert_allclose(ours, wanted, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in folding.SHAPED if not n.startswith(("global", "clip"))])
def test_shaped_words_compute_what_numpy_says(name):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(3, 4)).astype(np.float32) for _ in range(FUNCTIONS[name].arity)]
    ours = np.asarray(JAX.function(name)(*map(jnp.asarray, values)))
    wanted = folding.SHAPED[name](*(v.astype(np.float64) for v in values))
    np.testing.assert_allclose(np.broadcast_to(ours, (3, 4)), np.broadcast_to(wanted, (3, 4)), rtol=1e-4, atol=1e-5)


def test_numbers_over_the_whole_tree():
    program = Program.parse("def update(g, lr):\n c = clip_by_global_norm(g, 0.5)\n return lr * c / global_norm(g)")
    tx = program.to_optax(1.0)
    gradients = tree(3)
    updates, _ = jax.jit(tx.update)(gradients, tx.init(WEIGHTS), WEIGHTS)
    clipped, _ = optax.clip_by_global_norm(0.5).update(gradients, optax.EmptyState())
    wanted = jax.tree.map(lambda x: -x / optax.global_norm(gradients), clipped)
    agree(updates, wanted, 1e-6)
    flat = sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(gradients), jax.tree.leaves(WEIGHTS)))
    program = Program.parse("def update(w, g, lr):\n return lr * g * global_dot(g, w)")
    tx = program.to_optax(1.0)
    updates, _ = tx.update(gradients, tx.init(WEIGHTS), WEIGHTS)
    agree(updates, jax.tree.map(lambda x: -x * flat, gradients), 1e-5)


def test_orthogonalize_moves_singular_values_to_one():
    x = np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32)
    values = np.linalg.svd(np.asarray(JAX.function("orthogonalize")(jnp.asarray(x))), compute_uv=False)
    assert (values > 0.6).all()
    assert (values < 1.3).all()
    assert not np.asarray(JAX.function("orthogonalize")(jnp.zeros((2, 3)))).any()
