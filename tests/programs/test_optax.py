"""The transform works wherever optax's own do, and an exported file is the same computation."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rulesmith
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rulesmith import ProgramError, RulesmithError, load
from rulesmith.programs import rule_file
from rulesmith.programs.rule import Rule
from rulesmith.programs.rule_file import published

WEIGHTS = {"kernel": jnp.linspace(-1, 1, 12).reshape(3, 4), "bias": jnp.arange(4.0), "scale": jnp.float32(2)}
GRADIENTS = jax.tree.map(lambda w: 0.1 * w + 0.05, WEIGHTS)


def steps(tx, weights=WEIGHTS, count=3):
    state = tx.init(weights)
    for _ in range(count):
        updates, state = tx.update(GRADIENTS, state, weights)
        weights = optax.apply_updates(weights, updates)
    return weights


def same(a, b, **kwargs):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, **kwargs), a, b)


def exported(rule, folder):
    path = folder / f"{rule.function_name}_module.py"
    path.write_text(rule.to_source())
    namespace = {"__name__": path.stem}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return path, namespace[rule.function_name]


@pytest.mark.parametrize("name", published())
def test_an_exported_file_is_the_same_computation(name, tmp_path):
    rule = load(name)
    path, optimizer = exported(rule, tmp_path)
    text = path.read_text()
    modules = {n.split(".")[0] for node in ast.walk(ast.parse(text)) for n in _imported(node)}
    assert modules <= {"jax", "numpy", "optax", *sys.stdlib_module_names}
    assert next(iter(rule.programs.values())).to_text().splitlines()[-1] in text
    ours, theirs = rule.to_optax(0.01), optimizer(0.01)
    state = ours.init(WEIGHTS)
    jaxprs = [str(jax.make_jaxpr(tx.update)(GRADIENTS, state, WEIGHTS)) for tx in (ours, theirs)]
    assert jaxprs[0] == jaxprs[1]
    results = [jax.jit(tx.update)(GRADIENTS, tx.init(WEIGHTS), WEIGHTS)[0] for tx in (ours, theirs)]
    jax.tree.map(np.testing.assert_array_equal, *results)


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) else []


def test_an_exported_file_runs_without_rulesmith_and_is_formatted(tmp_path):
    path, _ = exported(load("muon"), tmp_path)
    code = f"import sys; sys.modules['rulesmith'] = None; import {path.stem}; print({path.stem}.muon(0.1).init({{}}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "100", "--check", str(path)]
    subprocess.run(ruff, check=True, capture_output=True)


def test_random_programs_export_to_the_same_computation(make_program, tmp_path):
    for seed in range(12):
        rule = Rule.of(make_program(seed).simplified())
        _, optimizer = exported(rule, tmp_path)
        a, b = rule.to_optax(0.1, total_steps=9), optimizer(0.1, total_steps=9)
        state = a.init(WEIGHTS)
        assert str(jax.make_jaxpr(a.update)(GRADIENTS, state, WEIGHTS)) == str(
            jax.make_jaxpr(b.update)(GRADIENTS, state, WEIGHTS)
        )


def test_text_of_a_rule_file_cannot_leave_the_docstring(tmp_path):
    evil = 'x"""\nimport os; os.abort()\n"""\\'
    rule = Rule("evil", load("sgd").programs, description=evil, evidence={"a": evil, 'b"""': 1})
    _, optimizer = exported(rule, tmp_path)
    same(steps(optimizer(0.1)), steps(optax.sgd(0.1)))


def test_to_python_computes_the_program():
    program = load("lion").program
    namespace = {}
    exec(program.to_python(), namespace)
    values = dict(w=jnp.ones(3), g=jnp.array([1.0, -2, 0]), m=jnp.zeros(3), lr=0.1, b1=0.9, b2=0.99, weight_decay=0.5)
    update, m = namespace["update"](**values)
    np.testing.assert_allclose(update, [0.15, -0.05, 0.05], rtol=1e-6)
    np.testing.assert_allclose(m, 0.01 * values["g"], rtol=1e-5)


def test_under_jit_scan_and_vmap():
    tx = load("adamw").to_optax(0.01)

    def train(scale):
        def step(carry, _):
            weights, state = carry
            updates, state = tx.update(jax.tree.map(lambda g: scale * g, GRADIENTS), state, weights)
            return (optax.apply_updates(weights, updates), state), None

        return jax.lax.scan(step, (WEIGHTS, tx.init(WEIGHTS)), None, length=3)[0][0]

    many = jax.jit(jax.vmap(train))(jnp.array([1.0, 2.0]))
    same(jax.tree.map(lambda x: x[0], many), steps(tx), atol=1e-7)


def test_with_schedules_chain_and_multi_transform():
    schedule = optax.cosine_decay_schedule(0.1, 10)
    same(steps(load("lion").to_optax(schedule)), steps(optax.lion(schedule)))
    chained = [optax.chain(optax.clip(0.1), tx) for tx in (load("adam").to_optax(0.1), optax.adam(0.1))]
    same(*map(steps, chained))
    labels = {"kernel": "a", "bias": "b", "scale": "b"}
    ours = optax.multi_transform({"a": load("lion").to_optax(0.1), "b": load("adam").to_optax(0.1)}, labels)
    theirs = optax.multi_transform({"a": optax.lion(0.1), "b": optax.adam(0.1)}, labels)
    same(steps(ours), steps(theirs))


@pytest.mark.parametrize("mask", [{"kernel": True, "bias": False, "scale": False}, lambda p: jax.tree.map(jnp.ndim, p)])
def test_mask_is_that_of_weight_decay(mask):
    if callable(mask):
        mask = lambda p: jax.tree.map(lambda w: w.ndim > 1, p)  # noqa: E731
    ours = load("adamw").to_optax(0.1, weight_decay=0.3, mask=mask)
    same(steps(ours), steps(optax.adamw(0.1, weight_decay=0.3, mask=mask)))


def test_a_mask_reaches_both_classes_of_leaves():
    mask = {"kernel": False, "bias": True, "scale": True}
    ours = load("muon").to_optax(0.1, weight_decay=0.3, mask=mask)
    same(steps(ours), steps(load("muon").to_optax(0.1)))


def test_inject_hyperparams_changes_them_in_the_state():
    tx = optax.inject_hyperparams(load("adamw").optimizer)(learning_rate=0.1, b1=0.5)
    state = tx.init(WEIGHTS)
    assert set(state.hyperparams) >= {"learning_rate", "b1", "b2", "weight_decay"}
    state.hyperparams["learning_rate"] = jnp.float32(0.0)
    updates, _ = tx.update(GRADIENTS, state, WEIGHTS)
    assert not any(np.any(u) for u in jax.tree.leaves(updates))
    assert list(inspect.signature(load("lion").optimizer).parameters)[:4] == [
        "learning_rate",
        "b1",
        "b2",
        "weight_decay",
    ]


def test_bfloat16_weights_and_state_dtype():
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), WEIGHTS)
    tx = load("adamw").to_optax(0.1)
    updates, state = tx.update(jax.tree.map(lambda g: g.astype(jnp.bfloat16), GRADIENTS), tx.init(half), half)
    assert {x.dtype for x in jax.tree.leaves((updates, state.slots))} == {jnp.dtype(jnp.bfloat16)}
    kept = load("lion").to_optax(0.1, state_dtype=jnp.bfloat16).init(WEIGHTS)
    assert {x.dtype for x in jax.tree.leaves(kept.slots)} == {jnp.dtype(jnp.bfloat16)}


def test_sharded_arrays_stay_sharded():
    mesh = Mesh(np.array(jax.devices()), ("x",))
    sharding = NamedSharding(mesh, PartitionSpec("x"))
    weights = {"kernel": jax.device_put(jnp.ones((4, 6)), sharding)}
    tx = load("adam").to_optax(0.1)
    state = tx.init(weights)
    assert state.slots["m"]["kernel"].sharding.is_equivalent_to(sharding, 2)
    updates, state = jax.jit(tx.update)(weights, state, weights)
    assert updates["kernel"].sharding.is_equivalent_to(sharding, 2)
    assert state.slots["v"]["kernel"].sharding.is_equivalent_to(sharding, 2)


def test_orbax_saves_the_state(tmp_path):
    import orbax.checkpoint as ocp

    tx = load("muon").to_optax(0.1)
    _, state = tx.update(GRADIENTS, tx.init(WEIGHTS), WEIGHTS)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", tx.init(WEIGHTS))
    jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_a_rule_that_reads_progress_needs_the_total():
    program = rulesmith.Program.parse("def update(g, lr, progress):\n return lr * (1 - progress) * g")
    with pytest.raises(RulesmithError, match="total_steps"):
        program.to_optax(1.0)
    tx = program.to_optax(1.0, total_steps=4)
    state = tx.init(jnp.ones(1))
    seen = []
    for _ in range(4):
        update, state = tx.update(jnp.ones(1), state)
        seen.append(float(-update[0]))
    assert seen == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epss": 0.1}, "did you mean 'eps'"),
        ({"mask": {}, "_": 0}, "hyperparameter"),
        ({"total": 3}, "no hyperparameter"),
    ],
)
def test_wrong_options_are_refused(options, says):
    with pytest.raises(RulesmithError, match=says):
        load("adam").to_optax(0.1, **options)


def test_rule_files_round_trip(tmp_path):
    for name in published():
        rule = load(name)
        assert rule_file.loads(rule_file.dumps(rule)) == rule
    rule_file.write(load("muon"), tmp_path / "muon.toml")
    assert load(tmp_path / "muon.toml") == load("muon")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "not TOML"),
        ('kind = "optimizer"\nprogram = "x"', "program, line 1"),
        ('kind = "optimizer"\nname = "a"\nprograms = 3', "either"),
        ('kind = "thing"', "kind is 'thing'"),
        ('kind = "optimizer"\nprogramme = "x"', "did you mean 'program'"),
        ("a = " + "[" * 50_000, "not TOML"),
        ('kind = "optimizer"\nname = "../x"\nprogram = "def update(g):\\n return g"', "rule name"),
        (
            'kind = "optimizer"\nname = "x"\nprogram = "def update(g):\\n return g"\n[tuning]\nlearning_rate = [1, -1]',
            "range",
        ),
    ],
)
def test_broken_rule_files_are_refused_in_one_line(text, says, tmp_path):
    path = tmp_path / "rule.toml"
    path.write_text(text)
    with pytest.raises(RulesmithError) as caught:
        load(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_never_runs_code(tmp_path):
    path, flag = tmp_path / "rule.toml", tmp_path / "ran"
    body = f"def update(g, lr):\\n    open({str(flag)!r}, 'w')\\n    return lr * g"
    path.write_text(f'kind = "optimizer"\nname = "x"\nprogram = "{body}"')
    with pytest.raises(ProgramError, match="line 2"):
        load(path)
    assert not flag.exists()
    assert not Path("ran").exists()
