"""What to_optax and exported files are given: impossible values are refused by name, at once; usual ones are right."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rulesmith import Program, RulesmithError, load

WEIGHTS = {"one": {"k": jnp.ones((4, 3))}, "two": {"k": jnp.ones((4, 3)), "b": jnp.ones(3)}}
GRADIENTS = jax.tree.map(lambda w: w / 8, WEIGHTS)
CLOCK = Program.parse("def update(g, lr, progress):\n return lr * (1 - progress) * g")


def exported(rule):
    namespace = {"__name__": "exported"}
    exec(compile(rule.to_source(), "exported.py", "exec"), namespace)
    return namespace[rule.function_name]


def makers(name):
    rule = load(name)
    return [rule.to_optax, exported(rule)]


def once(tx, weights=WEIGHTS, gradients=GRADIENTS):
    return tx.update(gradients, tx.init(weights), weights)[0]


WRONG = [
    *(({"learning_rate": x}, "learning_rate") for x in (None, "1e-3", float("nan"), -1.0, True, jnp.ones(2), 1j)),
    *(({"weight_decay": x}, "weight_decay") for x in (None, "0.1", {"layer": 0.1}, -0.1, float("inf"))),
    *(({"b1": x}, "b1") for x in (1.0, -0.1, jnp.ones(2), jnp.bfloat16(0.9))),
    ({"eps": -1e-8}, "eps"),
    ({"weight_decay": optax.linear_schedule(0.1, 0, 10)}, "weight_decay is a function; only learning_rate may be one"),
    *(({"state_dtype": x}, "state_dtype") for x in (jnp.int32, bool, "nope")),
]


@pytest.mark.parametrize(("options", "says"), WRONG, ids=lambda x: str(x)[:40])
def test_impossible_arguments_are_refused_by_name(options, says):
    for make in makers("adamw"):
        with pytest.raises((RulesmithError, ValueError), match=says):
            make(**{"learning_rate": 1e-2, **options})


@pytest.mark.parametrize("total", [0, -5, "10", None, float("nan")])
def test_an_impossible_length_is_refused(total):
    with pytest.raises(RulesmithError, match="total_steps"):
        CLOCK.to_optax(1e-2, total_steps=total)


@pytest.mark.parametrize("mask", [{"one": True, "two": False}, True, False, lambda p: {"one": False, "two": True}])
def test_a_mask_is_what_optax_takes(mask):
    wanted = once(optax.adamw(1e-3, weight_decay=0.1, mask=mask))
    for make in makers("adamw"):
        jax.tree.map(np.testing.assert_array_equal, once(make(1e-3, weight_decay=0.1, mask=mask)), wanted)
    for make in makers("muon"):
        found = once(make(1e-3, weight_decay=0.1, adam_weight_decay=0.1, mask=mask))
        given = mask(WEIGHTS) if callable(mask) else mask
        parts = given if isinstance(given, dict) else dict.fromkeys(WEIGHTS, given)
        for part, decayed in parts.items():
            alone = once(make(1e-3, weight_decay=0.1 * decayed, adam_weight_decay=0.1 * decayed))
            jax.tree.map(np.testing.assert_array_equal, found[part], alone[part])


def test_a_mask_that_cannot_reach_the_decay_or_the_parameters_is_refused():
    program = Program.parse("def update(w, g, lr):\n return lr * (g + 0.1 * w)")
    with pytest.raises(RulesmithError, match="no hyperparameter weight_decay, so no mask"):
        program.to_optax(1e-3, mask=True)
    for make in makers("sgd"):
        with pytest.raises((RulesmithError, ValueError), match="no mask"):
            make(1e-3, mask=True)
    for make in makers("adamw"):
        with pytest.raises(ValueError, match="mask does not fit the parameters"):
            once(make(1e-3, mask={"three": True}))


@pytest.mark.parametrize("dtype", [jnp.complex64, jnp.int32, bool])
def test_weights_that_a_rule_cannot_train_are_refused(dtype):
    for make in makers("lion"):
        with pytest.raises(ValueError, match="real floating-point weights"):
            make(1e-3).init({"w": jnp.zeros(3, dtype)})


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_hyperparameters_that_are_injected_stay_in_float32(dtype):
    weights, gradients = (jax.tree.map(lambda x: x.astype(dtype), tree) for tree in (WEIGHTS, GRADIENTS))
    rule = load("adamw")
    tx = optax.inject_hyperparams(rule.optimizer, hyperparam_dtype=jnp.float32)(learning_rate=1e-3, b2=0.9999)
    state = tx.init(weights)
    found, wanted = tx.update(gradients, state, weights)[0], once(rule.to_optax(1e-3, b2=0.9999), weights, gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(*(np.float32(x) for x in (a, b)), rtol=1e-2), found, wanted)
    if dtype != jnp.float32:
        narrow = optax.inject_hyperparams(rule.optimizer)(learning_rate=1e-3)
        with pytest.raises(RulesmithError, match=r"hyperparam_dtype=jnp\.float32"):
            narrow.update(gradients, narrow.init(weights), weights)


@pytest.mark.parametrize("name", ["adamw", "muon", "normuon", "adafactor"])
def test_strict_promotion_and_x64_give_the_same(name):
    make = load(name).to_optax
    wanted = once(make(1e-3))
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        jax.tree.map(np.testing.assert_array_equal, once(make(1e-3)), wanted)
    with jax.enable_x64(True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), once(make(1e-3)), wanted)


# --- objectives ------------------------------------------------------------------------------------------------------

OBSERVATIONS = jax.random.normal(jax.random.key(0), (32, 4))
PARAMS = {"w": 0.1 * jax.random.normal(jax.random.key(1), (4, 3))}
ZERO = {"w": jnp.zeros((4, 3))}
BATCH = {
    "observation": OBSERVATIONS,
    "action": jax.random.randint(jax.random.key(2), (32,), 0, 3),
    "log_probability": jnp.full(32, -1.1),
    "advantage": jax.random.normal(jax.random.key(3), (32,)),
}


def objectives():
    objective = load("ppo-clip")
    return [make(lambda p, o: o @ p["w"], total_updates=10) for make in (objective.to_optax, exported(objective))]


def test_gradients_are_accumulated_behind_an_objective_and_refused_around_it():
    for objective in objectives():
        whole = optax.chain(objective, optax.sgd(1.0))
        wanted = whole.update(ZERO, whole.init(PARAMS), PARAMS, batch=BATCH)[0]
        parts = optax.chain(objective, optax.MultiSteps(optax.sgd(1.0), 2))
        state = parts.init(PARAMS)
        for half in (slice(0, 16), slice(16, 32)):
            found, state = parts.update(ZERO, state, PARAMS, batch=jax.tree.map(lambda x, s=half: x[s], BATCH))
        np.testing.assert_allclose(found["w"], wanted["w"], rtol=1e-5, atol=1e-7)
        for around in (optax.MultiSteps(whole, 2), optax.apply_if_finite(whole, 5)):
            with pytest.raises(ValueError, match=r"put it behind, as in optax.chain\(objective, optax"):
                around.update(ZERO, around.init(PARAMS), PARAMS, batch=BATCH)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("advantage", jnp.ones((32, 1)), "log_probability has shape"),
        ("log_probability", jnp.ones((32, 1)), "log_probability has shape"),
        ("log_probability", jnp.ones(31), "log_probability has shape"),
        ("observation", OBSERVATIONS[:31], "observation has shape"),
        ("action", jnp.zeros((32, 1), int), "action has shape"),
        ("action", jnp.zeros(32), "not of an integer type"),
        ("advantage", None, "advantage missing"),
    ],
)
def test_fields_of_a_batch_that_do_not_fit_are_refused(field, value, says):
    batch = {name: x for name, x in {**BATCH, field: value}.items() if x is not None}
    for objective in objectives():
        with pytest.raises(ValueError, match=says):
            objective.update(ZERO, objective.init(PARAMS), PARAMS, batch=batch)


@pytest.mark.parametrize(
    "options", [{"total_updates": 0}, {"total_updates": "x"}, {"steps_per_update": 0}, {"eps": "a"}]
)
def test_impossible_arguments_of_an_objective_are_refused(options):
    objective = load("ppo-clip")
    for make in (objective.to_optax, exported(objective)):
        with pytest.raises((RulesmithError, ValueError, TypeError), match=next(iter(options))):
            make(lambda p, o: o @ p["w"], **{"total_updates": 10, **options})
