"""Objectives as rules: files, exports, the optax transform, drift programs in both executions."""

import ast
import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from rulesmith import Program, ProgramError, RulesmithError, load
from rulesmith.programs import rule_file
from rulesmith.programs.drift import drift_slope
from rulesmith.programs.exporting_discobench import discobench_source
from rulesmith.programs.interpreter import encode, interpret_drift
from rulesmith.programs.objective import Objective, Shapes, drift_function
from rulesmith.programs.parts import Programs
from rulesmith.programs.rule_file import published_objectives
from rulesmith.search.mutation import Limits, mutate

OBSERVATIONS = jnp.linspace(-1, 1, 24).reshape(8, 3)


def nets():
    return [
        Objective("net-lpo", "drift", arrays=Shapes.drift(timed=False).draw(0, 1.0)),
        Objective("net-ta-lpo", "drift", arrays=Shapes.drift(timed=True).draw(1, 1.0)),
        Objective("net-lpg", "lpg", arrays=Shapes.lpg(timed=False, hidden=8).draw(2, 1.0)),
        Objective("net-ta-lpg", "lpg", arrays=Shapes.lpg(timed=True, hidden=8).draw(3, 1.0)),
        Objective("bound-lpo", "drift", arrays=Shapes.drift(timed=False).draw(0, 1.0), agent={"input_bound": 2.0}),
        Objective(
            "masked-lpg", "lpg", arrays=Shapes.lpg(timed=False, hidden=8).draw(2, 1.0), agent={"mask_ends": True}
        ),
    ]


def everything():
    return [load(name) for name in published_objectives()] + nets()


def apply(params, observations):
    return observations @ params["policy"]


def apply_lpg(params, observations):
    return observations @ params["policy"], observations @ params["y"]


def parts(objective):
    """An apply function, parameters, a batch."""
    rng = np.random.default_rng(0)
    params = {"policy": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)}
    if objective.kind == "drift":
        some = {"log_probability": rng.normal(size=8) - 1.5, "advantage": rng.normal(size=8)}
        batch = {name: jnp.asarray(x, jnp.float32) for name, x in some.items()}
        batch |= {"observation": OBSERVATIONS, "action": jnp.asarray(rng.integers(0, 4, 8))}
        return apply, params, batch
    params["y"] = jnp.asarray(rng.normal(size=(3, 8)), jnp.float32)
    batch = {
        "observation": OBSERVATIONS.reshape(2, 4, 3),
        "action": jnp.asarray(rng.integers(0, 4, (2, 4))),
        "reward": jnp.asarray(rng.normal(size=(2, 4)), jnp.float32),
        "done": jnp.asarray(rng.random((2, 4)) < 0.3),
        "last_observation": OBSERVATIONS[:2],
    }
    return apply_lpg, params, batch


def exported(objective, folder):
    path = folder / f"{objective.function_name}_file.py"
    path.write_text(objective.to_source())
    if objective.kind == "lpg":
        rule_file.write_arrays(objective, path.with_suffix(".safetensors"))
    namespace = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return path, namespace[objective.function_name]


@pytest.mark.parametrize("objective", everything(), ids=lambda o: o.name)
def test_an_exported_file_is_the_same_computation(objective, tmp_path):
    act, params, batch = parts(objective)
    path, make = exported(objective, tmp_path)
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        modules |= {name.split(".")[0] for name in names}
    assert modules <= {"jax", "numpy", "optax", "safetensors", *sys.stdlib_module_names}
    assert ("safetensors" in modules) == (objective.kind == "lpg")
    ours, theirs = (
        f(total_updates=10, steps_per_update=2)
        for f in (lambda **k: objective.to_optax(act, **k), lambda **k: make(act, **k))
    )
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = ours.init(params)._replace(count=jnp.int32(9))
    jaxprs = [
        str(jax.make_jaxpr(lambda b, tx=tx: tx.update(zeros, state, params, batch=b))(batch)) for tx in (ours, theirs)
    ]
    assert jaxprs[0] == jaxprs[1]
    results = [jax.jit(lambda b, tx=tx: tx.update(zeros, state, params, batch=b))(batch)[0] for tx in (ours, theirs)]
    jax.tree.map(np.testing.assert_array_equal, *results)
    assert any(np.any(x) for x in jax.tree.leaves(results[0]))


@pytest.mark.parametrize("objective", [nets()[1], nets()[3]], ids=lambda o: o.name)
def test_an_exported_file_runs_without_rulesmith_and_is_formatted(objective, tmp_path):
    path, _ = exported(objective, tmp_path)
    code = (
        f"import sys; sys.modules['rulesmith'] = None; import {path.stem} as m; "
        f"print(m.{objective.function_name}(None, total_updates=3).init(()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "100", "--check", str(path)]
    subprocess.run(ruff, check=True, capture_output=True)


def test_the_form_of_a_rule_is_part_of_what_it_computes(tmp_path):
    every = {objective.name: objective for objective in nets()}
    for plain, formed in (("net-lpo", "bound-lpo"), ("net-lpg", "masked-lpg")):
        found = []
        for objective in (every[plain], every[formed]):
            act, params, batch = parts(objective)
            if objective.kind == "drift":
                batch["log_probability"] -= 3.0  # ratios beyond the bound
            rule_file.write(objective, tmp_path / "rule.toml")
            again = load(tmp_path / "rule.toml")
            zeros = jax.tree.map(jnp.zeros_like, params)
            rows = [o.to_optax(act, total_updates=10) for o in (objective, again)]
            own, kept = (tx.update(zeros, tx.init(params), params, batch=batch)[0] for tx in rows)
            jax.tree.map(np.testing.assert_array_equal, own, kept)
            found.append(own)
        assert not np.allclose(found[0]["policy"], found[1]["policy"], atol=1e-6)
    # Rules that were found before a form existed keep computing what they were found as.
    masked = {name for name in published_objectives() if load(name).masked}
    assert masked == {"lpg-actor-critic", "lpg-clipped"}
    assert not any(load(name).input_bound for name in published_objectives())


class Categorical:
    def __init__(self, logits):
        self.logs = jax.nn.log_softmax(logits)

    def log_prob(self, action):
        return self.logs[jnp.arange(len(action)), action]

    def entropy(self):
        return -(jnp.exp(self.logs) * self.logs).sum(-1)


class Network:
    def apply(self, params, observations):
        return Categorical(observations @ params["policy"]), (observations @ params["value"])[:, 0]


def discobench_loss(objective):
    namespace = {}
    exec(compile(discobench_source(objective), "loss.py", "exec"), namespace)
    return namespace["loss_actor_and_critic"]


def test_ppo_as_discobenchs_loss_has_the_gradient_of_ppos_own():
    _, params, batch = parts(load("ppo-clip"))
    params["value"] = jnp.full((3, 1), 0.7)
    config = {"CLIP_EPS": 0.2, "VF_COEF": 0.5, "ENT_COEF": 0.01}
    seen = SimpleNamespace(
        obs=OBSERVATIONS, action=batch["action"], log_prob=batch["log_probability"], value=jnp.linspace(-1, 1, 8)
    )
    gae, targets = batch["advantage"], jnp.linspace(2, -1, 8)

    def reference(params):
        policy, value = Network().apply(params, OBSERVATIONS)
        ratio = jnp.exp(policy.log_prob(batch["action"]) - batch["log_probability"])
        a = (gae - gae.mean()) / (gae.std() + 1e-8)
        actor = -jnp.minimum(ratio * a, jnp.clip(ratio, 0.8, 1.2) * a).mean()
        near = seen.value + jnp.clip(value - seen.value, -0.2, 0.2)
        critic = jnp.maximum(jnp.square(value - targets), jnp.square(near - targets)).mean() / 2
        return actor + 0.5 * critic - 0.01 * policy.entropy().mean()

    def exported(params):
        return discobench_loss(load("ppo-clip"))(params, seen, gae, targets, Network(), config)[0]

    found, wanted = jax.grad(exported)(params), jax.grad(reference)(params)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), found, wanted)
    for objective in (load("shaped-ppo"), load("ta-lpo-invaders"), nets()[-2]):
        total, (critic, actor, bonus) = discobench_loss(objective)(params, seen, gae, targets, Network(), config)
        assert float(total) == pytest.approx(float(actor + 0.5 * critic - 0.01 * bonus))
    with pytest.raises(RulesmithError, match="takes a drift"):
        discobench_source(nets()[2])


def test_the_transform_adds_its_gradient_and_chains():
    objective = load("ppo-clip")
    act, params, batch = parts(objective)

    def clipped(params):
        logs = jax.nn.log_softmax(act(params, batch["observation"]))
        ratio = jnp.exp(logs[jnp.arange(8), batch["action"]] - batch["log_probability"])
        a = batch["advantage"]
        return -jnp.minimum(ratio * a, jnp.clip(ratio, 0.8, 1.2) * a).mean()

    others = jax.tree.map(jnp.ones_like, params)
    tx = optax.chain(objective.to_optax(act, total_updates=5), optax.sgd(0.1))
    updates, state = jax.jit(tx.update)(others, tx.init(params), params, batch=batch)
    wanted = jax.tree.map(lambda o, g: -0.1 * (o + g), others, jax.grad(clipped)(params))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), updates, wanted)
    assert int(state[0].count) == 1
    wide = objective.to_optax(act, total_updates=5, epsilon=1e6)
    unclipped, _ = wide.update(others, wide.init(params), params, batch=batch)
    assert not np.allclose(unclipped["policy"], wanted["policy"] / -0.1)
    with pytest.raises(RulesmithError, match="did you mean 'epsilon'"):
        objective.to_optax(act, total_updates=5, epsilom=0.1)
    with pytest.raises(ValueError, match="reads the parameters"):
        objective.to_optax(act, total_updates=5).update(others, tx.init(params)[0], None, batch=batch)


def test_progress_counts_rollouts_not_gradient_steps():
    program = Program.parse("def drift(r, a, progress):\n return progress * square(r - 1)")
    objective = Objective("timed", "drift", program=program)
    act, params, batch = parts(objective)
    tx = objective.to_optax(act, total_updates=4, steps_per_update=3)
    zeros, state = jax.tree.map(jnp.zeros_like, params), tx.init(params)
    seen = []
    for _ in range(12):
        update, state = tx.update(zeros, state, params, batch=batch)
        seen.append(float(update["policy"][0, 0]))
    steps = np.diff(seen)
    assert [i + 1 for i in np.flatnonzero(np.abs(steps) > 1e-6)] == [3, 6, 9]
    np.testing.assert_allclose(steps[[2, 5, 8]], steps[2], rtol=1e-3)  # linear in progress: 0, 1/4, 1/2, 3/4


def test_continuous_policies_too():
    objective = load("ppo-clip")
    _, params, batch = parts(objective)
    act = lambda p, o: (o @ p["policy"], jnp.zeros((8, 4)))  # noqa: E731
    batch = {**batch, "action": jnp.ones((8, 4)), "log_probability": jnp.full(8, -5.0)}
    tx = objective.to_optax(act, total_updates=2)
    update, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params, batch=batch)
    assert np.isfinite(update["policy"]).all()


@pytest.mark.parametrize("objective", everything(), ids=lambda o: o.name)
def test_rule_files_round_trip(objective, tmp_path):
    path = tmp_path / "rule.toml"
    rule_file.write(objective, path)
    found = load(path)
    assert (found.name, found.kind, found.program, found.timed) == (
        *(objective.name, objective.kind, objective.program, objective.timed),
    )
    assert dict(found.agent) == dict(objective.agent)
    assert set(found.arrays) == set(objective.arrays)
    for name, array in objective.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def damaged(tmp_path, change):
    path = tmp_path / "rule.toml"
    rule_file.write(nets()[1], path)
    change(path)
    return path


def cut(path):
    whole = path.with_suffix(".safetensors").read_bytes()
    path.with_suffix(".safetensors").write_bytes(whole[: len(whole) // 2])


def as_type(path, name):
    arrays = {key: array.astype(np.dtype(name)) for key, array in nets()[1].arrays.items()}
    path.with_suffix(".safetensors").write_bytes(safetensors.numpy.save(arrays))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.with_suffix(".safetensors").unlink(), "arrays are missing"),
        (cut, "not a safetensors file"),
        (lambda p: p.with_suffix(".safetensors").write_bytes(b"\x80\x04pickle"), "not a safetensors file"),
        (lambda p: as_type(p, "bfloat16"), "is of BF16; give float32"),
        (lambda p: as_type(p, "int32"), "is of I32; give float32"),
        (lambda p: os.truncate(p.with_suffix(".safetensors"), 10**12), "too large to be read"),
        (lambda p: p.write_text(p.read_text().replace("16,", "17,")), "the rule file says"),
        (lambda p: rule_file.write_arrays(nets()[2], p.with_suffix(".safetensors")), "the rule file says"),
        (lambda p: p.write_text('name = "x"\nkind = "drift"\n'), "either a program or arrays"),
        (lambda p: p.write_text('name = "x"\nkind = "lpg"\nprogram = "def drift(r):\\n return r"'), "is a drift"),
        (lambda p: p.write_text('name = "x"\nkind = "drift"\nprogram = "def update(g):\\n return g"'), "def drift"),
        (lambda p: p.write_text('name = "x"\nkind = "drift"\nprogram = "def drift(r):\\n return r.T"'), "line 2"),
        (lambda p: p.write_text('name = "x"\nkind = "drfit"\n'), "one of optimizer, drift, lpg"),
        (lambda p: p.write_text('name = "x"\nkind = "optimizer"\nprogram = "def drift(r):\\n return r"'), "'update'"),
    ],
)
def test_damaged_rule_files_are_refused_in_one_line(change, says, tmp_path):
    path = damaged(tmp_path, change)
    with pytest.raises(RulesmithError) as caught:
        load(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_that_fit_no_architecture_are_refused():
    with pytest.raises(RulesmithError, match="array 'hidden' is"):
        Objective("x", "drift", arrays={"hidden": np.zeros((9, 128)), "output": np.zeros((128, 1))})
    with pytest.raises(RulesmithError, match="an LPG net has arrays"):
        Objective("x", "lpg", arrays={"hidden": np.zeros((9, 128))})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def drift(r, w):\n return r * w", "'w' is no input of a drift"),
        ("def drift(r, a):\n return r * norm(a)", "elementwise functions only"),
        ("def drift(r, a):\n return r, a", "must be the drift alone"),
        ("def drift(r):\n return r * size", "before it is assigned"),
    ],
)
def test_bad_drifts_are_refused(text, says):
    with pytest.raises(ProgramError, match=says):
        Program.parse(text)


INTERPRETED = jax.jit(
    lambda code, log_r, a, p: drift_slope(lambda r, log_r, a: interpret_drift(code, r, log_r, a, p), log_r, a)
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_both_executions_of_a_drift_agree_where_rounding_stays_small(seed):
    import random

    rng = random.Random(seed)
    program = load("ppo-clip").program
    program = Program.parse(program.to_text().replace(", epsilon=0.2", "").replace("epsilon", "0.2"))
    for _ in range(rng.randrange(8)):
        program = mutate(Programs.of(program), rng, Limits()).programs.only
    assert program.kind == "drift"
    assert Program.parse(program.to_text()) == program
    assert program.simplified().digest == program.digest
    keys = jax.random.split(jax.random.key(seed % 1000))
    log_r, a = 0.3 * jax.random.normal(keys[0], (64,)), jax.random.normal(keys[1], (64,))
    ours = INTERPRETED(encode(Programs.of(program)), log_r, a, jnp.float32(0.4))
    nudged = INTERPRETED(encode(Programs.of(program)), jnp.nextafter(log_r, jnp.inf), a, jnp.float32(0.4))
    theirs = drift_slope(lambda *x: drift_function(program, {})(None, *x, jnp.float32(0.4)), log_r, a)
    steady = np.isclose(ours, nudged, rtol=3e-6, atol=1e-7)
    assert (np.isclose(ours, theirs, rtol=1e-3, atol=1e-5, equal_nan=True) | ~steady).all()


def test_commands_say_which_kind_they_take():
    with pytest.raises(RulesmithError, match="give an optimizer"):
        rule_file.find_optimizer("ppo-clip")
    with pytest.raises(RulesmithError, match="give an objective"):
        rule_file.find_objective("lion")
