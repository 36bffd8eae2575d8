"""Constants and scalars that leave a function's domain, or float32's range: no traceback, and never by accident."""

import itertools
import json
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rulesmith import Program, ProgramError
from rulesmith.programs.analysis import summarize
from rulesmith.programs.compiler import update_function
from rulesmith.programs.fingerprint import examine
from rulesmith.programs.interpreter import encode, interpret, interpret_drift
from rulesmith.programs.parts import Programs
from rulesmith.programs.rule import Rule
from rulesmith.programs.rule_file import dumps, loads, read_program
from rulesmith.programs.vocabulary import DIALECTS, FUNCTIONS
from rulesmith.search.mutation import Limits, checked, mutate

CONSTANTS = ["0", "-0.0", "1", "-1", "1e30", "3.4028234e38", "1e-30", "1e-45", "progress", "c", "s"]
SIGNATURES = {"update": "g, lr, progress, c=0.0, s=-1.5", "drift": "r, a, progress, c=0.0, s=-1.5"}


def call(function, arguments):
    if function.name == "where":
        arguments = [f"{arguments[0]} > {arguments[1]}", *arguments[2:]]
    return f"{function.name}({', '.join(arguments)})"


def calls(kind, most=60):
    """Yield the text of each function of constants and scalars, on all of them or some, alone and inside another."""
    rng = random.Random(kind)
    functions = [function for function in FUNCTIONS.values() if function.kind in DIALECTS[kind].kinds]
    for function in functions:
        rows = list(itertools.product(CONSTANTS, repeat=function.arity))
        for arguments in rows if len(rows) <= most else rng.sample(rows, most):
            inner = call(function, arguments)
            yield inner
            outer = rng.choice(functions)
            others = [rng.choice(CONSTANTS) for _ in range(outer.arity - 1)]
            yield call(outer, [inner, *others])


def with_factor(kind, text):
    input_ = {"update": "lr * g", "drift": "a * r"}[kind]
    return f"def {kind}({SIGNATURES[kind]}):\n    return {input_} * {text}\n"


def exactly(program):
    """Return a program as text that tells 0.0 and -0.0 apart."""
    return repr((program.hyperparameters, program.statements, program.returns))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", DIALECTS)
def test_constants_that_leave_a_domain_never_raise_or_warn(kind):
    for text in calls(kind):
        program = Program.parse(with_factor(kind, text))
        short = program.simplified()
        for form in (program, short):
            assert exactly(Program.parse(form.to_text())) == exactly(form), text
            assert exactly(Program.parse(form.to_flat_text())) == exactly(form), text
            assert form.digest == program.digest, text
        assert short.simplified() == short, text
        assert program.lifted().digest == program.digest, text
        assert examine(program) == examine(short), text
        summarize(program)


LOSS = jnp.float32(2.3)
GRADIENT = {"w": jnp.array([[0.5, -2.0, 1e-3], [3.0, 0.25, -1e-2]])}


@jax.jit
def interpreted_update(code):
    tx = interpret(code, lambda _: jnp.float32(0.5), 7)
    return tx.update(GRADIENT, tx.init(GRADIENT), GRADIENT, value=LOSS)[0]["w"]


@jax.jit
def interpreted_drift(code):
    ratio = jnp.exp(GRADIENT["w"])
    return interpret_drift(code, ratio, GRADIENT["w"], ratio, jnp.float32(0.0))


def interpreted(program):
    code = encode(Programs.of(program))
    return np.asarray(interpreted_drift(code) if program.kind == "drift" else interpreted_update(code))


def compiled(program):
    if program.kind == "update":
        tx = Rule.of(program).to_optax(0.5, total_steps=7)
        return np.asarray(tx.update(GRADIENT, tx.init(GRADIENT), GRADIENT, value=LOSS)[0]["w"])
    ratio = jnp.exp(GRADIENT["w"])
    given = {"r": ratio, "a": ratio, "progress": jnp.float32(0.0), **dict(program.hyperparameters)}
    return np.asarray(jnp.broadcast_to(update_function(program)(**given)[0], ratio.shape))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", DIALECTS)
def test_both_executions_agree_on_them_before_and_after_simplification(kind):
    for text in itertools.islice(calls(kind, most=4), 0, None, 3):
        if "1e-45" in text:  # below float32's normal range XLA's own functions differ, compiled or not
            continue
        text = text.replace("3.4028234e38", "3.4e38")  # rounding must not decide whether it overflows
        program = Program.parse(with_factor(kind, text))
        results = [interpreted(program), compiled(program)]
        if np.isfinite(results[0]).all():  # an identity may forget a NaN: interp(x, y, 1) is y
            results += [run(program.simplified()) for run in (interpreted, compiled)]
        for result in results[1:]:
            np.testing.assert_allclose(results[0], result, rtol=1e-4, atol=1e-30, err_msg=text)


@pytest.mark.parametrize("says", ["reciprocal(progress)", "1 / progress", "reciprocal(0.0)", "log(progress - 0)"])
def test_a_scalar_that_is_zero_may_be_divided_by(says):
    assert examine(Program.parse(f"def drift(r, a, progress):\n    return a * r * {says}"))


def test_there_is_one_zero():
    plus, minus = (Program.parse(f"def update(g, lr):\n    return lr * g * reciprocal({x})\n") for x in ("0", "-0.0"))
    assert plus == minus
    kept = Program.parse("def update(g, lr):\n    return lr * g * reciprocal(negative(0))\n").simplified()
    assert kept.digest != plus.digest  # what is computed from it may have the other sign


TOO_LARGE = ["9 ** 9 ** 9 ** 9", "exp(1000)", "1e30 * 1e30", "sinh(-1000)", "cube(-1e30)", "reciprocal(1e-45)", "k * k"]


@pytest.mark.parametrize("text", TOO_LARGE)
@pytest.mark.parametrize("kind", DIALECTS)
def test_a_constant_beyond_float32_is_refused_where_people_write_and_in_searches(kind, text, tmp_path):
    arguments = {"update": "g, lr", "drift": "r, a"}[kind]
    returns = {"update": "lr * g", "drift": "a * r"}[kind]
    body = f"def {kind}({arguments}, k=1e30):\n    u = 1\n    u = {text}\n    return {returns} * minimum(u, 1)\n"
    (tmp_path / "program.py").write_text(body)
    with pytest.raises(ProgramError, match=r"program.py: line 3: .* is too large: float32 ends at 3.4e38$"):
        read_program(tmp_path / "program.py")
    rule = f"name = 'x'\nkind = '{kind if kind == 'drift' else 'optimizer'}'\nprogram = {json.dumps(body)}\n"
    with pytest.raises(ProgramError, match=r"program, line 3: .* is too large"):
        loads(rule)
    program = Program.parse(body)  # as a search sends it to its workers
    with pytest.raises(ProgramError, match="too large"):
        checked(Programs.of(program), Limits())
    fits = Program.parse(body.replace(text, "exp(80)"))
    assert not summarize(fits).overflows
    assert read_program_text(tmp_path, fits) == fits


def read_program_text(folder, program):
    (folder / "again.py").write_text(program.to_text())
    return read_program(folder / "again.py")


@pytest.mark.parametrize("text", ["1 / 0", "log(0)", "arctanh(1)", "arccosh(0)", "(-1) ** 0.5", "exp(k)", "norm(1e30)"])
def test_what_leaves_a_domain_does_not_overflow(text, tmp_path):
    (tmp_path / "program.py").write_text(f"def update(g, lr, k=88.0):\n    return lr * g * {text}\n")
    assert not summarize(read_program(tmp_path / "program.py")).overflows


def test_no_mutant_overflows():
    rng = random.Random(0)
    program = Programs.parse("def update(g, m, lr):\n m = interp(g, m, 0.9)\n return lr * m * exp(80), m")
    for _ in range(300):
        mutant = mutate(program, rng, Limits(), {"constant": 1}).programs.only
        assert loads(dumps(Rule.of(mutant.simplified()))).program.digest == mutant.digest
