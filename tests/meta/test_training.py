import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rulesmith import load
from rulesmith.envs.tasks import tasks
from rulesmith.meta.fitness import AdamWReference, Fitness, Measured, Protocol, reference_of
from rulesmith.meta.training import Trainer, bytes_of, programs_at_once
from rulesmith.meta.tuning import best_tried, ranges_of, settings, tried, tune
from rulesmith.programs.interpreter import encode
from rulesmith.programs.parts import Programs
from rulesmith.search.methods.symbolic import WARM_START

TASK = tasks()["iris-mlp-2k"]


@pytest.fixture(scope="module")
def trainer():
    return Trainer(TASK, runs=6)


def test_a_training_is_what_a_plain_loop_of_optax_does(trainer):
    weights, _, batches, _ = trainer.seed(3)
    cosine, grown = optax.cosine_decay_schedule(0.01, TASK.steps), round(0.05 * TASK.steps)
    tx = optax.adamw(lambda step: cosine(step) * jnp.minimum(1, (step + 1) / grown))
    state, update = tx.init(weights), jax.jit(tx.update)
    train, validation, test = TASK.data

    def mean_loss(weights, inputs, targets):
        return TASK.loss(TASK.model.apply({"params": weights}, inputs), targets).mean()

    gradient = jax.jit(jax.grad(mean_loss))
    for batch in batches:
        updates, state = update(gradient(weights, train.inputs[batch], train.targets[batch]), state, weights)
        weights = optax.apply_updates(weights, updates)
    wanted = [float(mean_loss(weights, *part)) for part in (validation, test)]
    for rule, options in [
        (load("adamw"), {"interpreted": True}),
        (load("adamw"), {"interpreted": False}),
        (optax.adamw, {}),
    ]:
        np.testing.assert_allclose(trainer.losses(rule, [0.01], [3], **options)[0, 0], wanted, rtol=2e-3)


def test_hyperparameters_are_used_in_both_executions(trainer):
    rates = [0.003, 0.03]
    both = [
        trainer.losses(load("adamw"), rates, [0], interpreted=way, hyperparameters={"weight_decay": 0.5})
        for way in (True, False)
    ]
    np.testing.assert_allclose(*both, rtol=5e-3)
    assert not np.allclose(both[0], trainer.losses(load("adamw"), rates, [0], interpreted=True), rtol=1e-3)


@pytest.fixture(scope="module")
def fitness():
    return Fitness(Protocol(("iris-mlp-2k",), pilot_steps=30, hopeless_pilot=3.0))


@pytest.fixture(scope="module")
def reference(fitness):
    measured = fitness.measure_adamw("iris-mlp-2k", {"learning_rate": 0.03, "weight_decay": 0.001})
    return reference_of({"iris-mlp-2k": measured})


def test_vmapped_programs_train_as_those_one_after_another(trainer):
    programs = [Programs.of(load(name).programs) for name in ("adamw", "lion", "adafactor", "muon")]
    heavy = Programs.parse("def update(g, m, lr):\n m = interp(g, m, 0.9)\n return lr * orthogonalize(m), m")
    programs += [heavy, Programs.parse("def update(g, lr):\n return lr * (g / 0)")]
    scales = [[0.001 * (i + 1), 0.01] for i in range(len(programs))]
    many = Trainer(TASK, runs=2, programs=2)
    found, wanted = (made.losses_of(programs, scales, [0], relative=True, steps=5) for made in (many, trainer))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert np.isfinite(found[:5]).all()
    assert np.isnan(found[5]).all()
    stacked, data = jax.tree.map(lambda x: np.stack([x, x]), (encode(programs[0]), many.seed(0)))
    lowered = many._interpreted.lower(stacked, data, np.ones((2, 2), np.float32), np.bool_(True), np.int32(5))
    taken = lowered.compile().memory_analysis().temp_size_in_bytes / 2
    assert 0.5 * taken < bytes_of(TASK, 2) < 2 * taken


def test_as_many_programs_at_once_as_the_memory_holds():
    assert programs_at_once(TASK, 6, 0.0) == 1  # on a CPU
    assert programs_at_once(TASK, 6, 1e-9) == 1
    each = bytes_of(TASK, 6) / 2**30
    assert programs_at_once(TASK, 6, 7.5 * each) == 7
    larger = tasks()["iris-mlp-20k"]
    assert programs_at_once(larger, 6, 7.5 * each) < 7


def test_programs_are_scored_together_as_alone(fitness, reference):
    texts = [WARM_START, "def update(g, lr):\n return lr * (0 - g)", "def update(g, lr):\n return lr * g"]
    programs = [Programs.parse(text) for text in texts]
    assert fitness.scores(programs, reference) == [fitness(program, reference) for program in programs]


def test_the_reference_has_the_step_sizes_that_adamw_wants_and_weights():
    rows = {"a": (Measured(0.5, 0.01), Measured(0.2, 0.02, 0.06, 0.4)), "b": (None, Measured(0.3, 0.001, 0.02, 0.5))}
    found = reference_of(rows, 0.7)
    assert found == AdamWReference(
        *(0.7, {"a": 0.2, "b": 0.3}, {"a": 2.0, "b": 0.1}, pytest.approx({"a": 0.25, "b": 0.75})),
        *({"a": 0.4, "b": 0.5}, {"a": 0.06, "b": 0.02}),
    )
    assert reference_of(rows, math.inf).pilot == 0.5
    assert found.fitness({"a": 16.0, "b": 1.0}) == pytest.approx(2.0)
    assert math.isinf(found.fitness({"a": math.nan, "b": 1.0}))


def test_a_task_weighs_by_its_precision():
    made = Fitness(Protocol(("iris-mlp-2k",), seeds=(0,)))
    setting = {"learning_rate": 0.03, "weight_decay": 0.001}
    _, found = made.measure_adamw("iris-mlp-2k", setting)
    rule, trainer = load("adamw"), Trainer(TASK, runs=6)
    losses = trainer.losses(rule, [found.size], range(12), relative=True, hyperparameters={"weight_decay": 0.001})
    assert found.noise == pytest.approx(np.log(losses[0, :, 0]).std(ddof=1), rel=1e-3)


def test_a_factor_changes_nothing(fitness, reference):
    plain = fitness(Programs.parse(WARM_START), reference)
    assert plain.complete
    for factor in ("1000", "0.001"):
        scaled = Programs.parse(WARM_START.replace("return lr", f"return {factor} * lr"))
        assert fitness(scaled, reference).fitness == pytest.approx(plain.fitness, rel=1e-3)


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ("lr * (g / 0)", "diverges"),
        ("lr * g * 0", "diverges"),
        ("lr * (0 - g)", ""),
        ("lr * exp(exp(exp(g * 1000)))", "diverges"),
    ],
)
def test_a_program_that_fails_costs_only_itself(fitness, reference, update, reason):
    score = fitness(Programs.parse(f"def update(g, lr):\n return {update}"), reference)
    assert not score.complete
    assert reason in score.reason
    assert score.fitness > 3 or math.isinf(score.fitness)


def test_tuning_tries_a_quasi_random_sequence_on_logarithmic_ranges():
    ranges = ranges_of(load("adamw"))
    assert set(ranges) == {"learning_rate", "weight_decay", "1 - b1", "1 - b2", "eps"}
    tried = settings(ranges, 64)
    assert len(tried) == 64
    for name, (low, high) in ranges.items():
        values = [1 - s[name[4:]] if name.startswith("1 - ") else s[name] for s in tried]
        logs = np.log(values)
        assert np.log(low) - 1e-3 <= logs.min() < logs.max() <= np.log(high) + 1e-3
        assert (logs < (np.log(low) + np.log(high)) / 2).mean() == pytest.approx(0.5, abs=0.05)
    fewer = settings({"learning_rate": ranges["learning_rate"]}, 16)
    assert [s["learning_rate"] for s in fewer] == [s["learning_rate"] for s in tried[:16]]


def test_trainings_at_several_settings_are_those_at_each():
    points = settings(ranges_of(load("adamw")), 3)
    together = Trainer(TASK, runs=4).losses_at(load("adamw"), points, [0, 1])
    alone = Trainer(TASK, runs=2)
    for point, found in zip(points, together, strict=True):
        options = {name: value for name, value in point.items() if name != "learning_rate"}
        wanted = alone.losses(
            load("adamw"), [point["learning_rate"]], [0, 1], interpreted=False, hyperparameters=options
        )
        np.testing.assert_allclose(found, wanted[0], rtol=1e-2)  # rounding grows in a training


def test_halving_judges_all_settings_and_finds_what_trying_all_in_full_finds():
    rule, ranges = load("momentum"), ranges_of(load("momentum"))
    trainer = Trainer(TASK, runs=8)
    found = tried(rule, ranges, TASK, trials=32, seeds=3, trainer=trainer)
    assert [trial.setting for trial in found] == settings(ranges, 32)
    assert sorted({trial.seeds for trial in found}) == [0, 1, 3]
    assert sum(trial.seeds > 0 for trial in found) == 16
    full = trainer.losses_at(rule, settings(ranges, 32), range(1000, 1003)).mean(axis=1)[:, 0]
    best = best_tried(found)
    assert best.seeds == 3
    assert best.validation <= 1.1 * np.nanmin(full)
    for trial, loss in zip(found, full, strict=True):
        if trial.seeds == 3:
            assert trial.validation == pytest.approx(loss, rel=1e-3)


def test_tuning_finds_what_a_sweep_finds():
    tuned = tune(load("adam"), ranges_of(load("adam")), TASK, trials=12, seeds=2)
    sweep = Trainer(TASK, runs=2).losses(load("adam"), np.geomspace(1e-4, 0.3, 12), [1000, 1001])[..., 0].mean(axis=1)
    assert tuned.validation <= 1.1 * np.nanmin(sweep)
    assert jnp.isfinite(tuned.test)
