"""The judge of optimizers: its measures against closed forms, its figures on data with known answers, its cache."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rulesmith import RulesmithError, load
from rulesmith.envs.tasks import find, tasks
from rulesmith.meta.contestants import contestant_at, contestant_of_rule
from rulesmith.meta.judging import Verdict, judge
from rulesmith.meta.measures import POINTS, sharpness, watch
from rulesmith.meta.training import Trainer
from rulesmith.results import training_comparison
from rulesmith.results.training_compare_text import training_comparison_text
from rulesmith.results.training_comparison import TrainingComparison, compare_optimizers

TASK = tasks()["iris-mlp-2k"]


def watched(name, rate=0.01, task=TASK, **options):
    trainer, entry = Trainer(task, runs=2), contestant_of_rule(load(name))
    make = entry.make(options)
    weights, batches = trainer.seed(3)
    run = jax.jit(lambda w, b: watch(task, make, w, b, jnp.float32(rate), jax.random.key(0)))
    return trainer, run(weights, batches)


def test_what_is_watched_is_the_training_that_is_tuned():
    for steps in (TASK.steps, 2 * POINTS + 7):
        task = replace(TASK, steps=steps)
        trainer, seen = watched("adamw", task=task)
        validation, test = trainer.losses(load("adamw"), [0.01], [3])[0, 0]
        np.testing.assert_allclose([seen.validation[-1], seen.test], [validation, test], rtol=2e-3)
        assert seen.validation.shape == (POINTS,)


def test_measures_have_the_values_that_follow_from_the_rule():
    _, sgd = watched("sgd", 0.05)
    assert float(sgd.sign_agreement) > 0.98  # each weight goes against its gradient, but where that is 0
    _, sign = watched("signsgd", 0.01)
    # Each update is lr times +-1, and the schedule's mean is half its start: about 0.005 over the weights' size.
    weights, _ = Trainer(TASK, runs=1).seed(3)
    size = float(optax.tree.norm(weights) / np.sqrt(TASK.parameters))
    assert float(sign.update_size) == pytest.approx(0.005 / size, rel=0.5)
    assert 0 <= float(sgd.sparsity) < 0.2


def test_sharpness_is_the_largest_eigenvalue():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    matrix = jnp.asarray(basis @ np.diag([9.0, 4.0, 2.0, 1.0, 0.5, 0.1]) @ basis.T, jnp.float32)
    loss = lambda w: 0.5 * jnp.concatenate([w["a"], w["b"]]) @ matrix @ jnp.concatenate([w["a"], w["b"]])  # noqa: E731
    found = sharpness(loss, {"a": jnp.ones(2), "b": jnp.zeros(4)}, jax.random.key(1), steps=60)
    assert float(found) == pytest.approx(9.0, rel=1e-3)


def verdict(task, losses, validation):
    return Verdict(task, {"learning_rate": 0.1}, [], losses, validation, 0.1, 0.1, 0.6, 1.0, 0.1, 8.0, 2e-6, 1e-6)


def known():
    made = (tasks()["iris-mlp-2k"], tasks()["digits-mlp-20k"])
    curve = [2.0, 1.0, 0.5, 0.4]
    return TrainingComparison(
        made,
        {
            "half": (
                verdict("a", [0.5, 0.5], [1.0, 0.4, 0.3, 0.2]),
                verdict("b", [1.0, 1.0], [9.0, 9.0, 9.0, 9.0]),
            ),
            "broken": (verdict("a", [None, 1.0], [None] * 4), verdict("b", [2.0, 2.0], curve)),
            "adamw": (verdict("a", [0.5, 1.5], curve), verdict("b", [2.0, 2.0], curve)),
        },
        {"half": {"learning_rate": (0.1, 1.0)}, "broken": {}, "adamw": {}},
        4,
        2,
    )


def test_losses_are_relative_to_adamws_mean():
    found = known()
    np.testing.assert_allclose(found.relative("half"), 0.5)
    np.testing.assert_allclose(found.relative("adamw"), [[0.5, 1.5], [1.0, 1.0]])
    assert found.losses("broken")[0, 0] == 1.5e3  # a thousand times the worst of AdamW's
    assert found.steps_to_baseline("half", 0) == 0.5
    assert found.steps_to_baseline("half", 1) is None
    assert found.steps_to_baseline("broken", 0) is None
    assert found.scales() == {"up to 5k weights": [0], "5k to 50k": [1]}


def test_the_figures_of_known_data():
    rules = known().to_dict()["rules"]
    half = rules["half"]["interquartile_mean"]
    assert half["value"] == 0.5
    assert half["low"] < 0.5 < half["high"]  # AdamW's own noise counts: its mean on the first task may be 0.5 or 1.5
    assert rules["half"]["improvement_over_adamw"]["value"] == pytest.approx((0.5 * (1 + 0.5) + 1) / 2)
    assert rules["half"]["by_scale"]["5k to 50k"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert rules["half"]["profile"]["share"] == [1.0] * 9
    assert rules["adamw"]["profile"]["share"][3] == 0.75  # three of four runs are at 1 or below
    assert training_comparison_text(known())


def test_a_diverged_seed_of_adamws_flatters_no_one():
    curve = [1.0] * 4
    adamw, worse = verdict("a", [0.5, 0.5, 0.5, 0.5, None], curve), verdict("a", [9.0] * 5, curve)
    made = TrainingComparison((TASK,), {"worse": (worse,), "adamw": (adamw,)}, {"worse": {}, "adamw": {}}, 1, 5)
    assert made.estimate("worse").value == pytest.approx(18.0)
    assert "1 of 5 diverge" in str(next(iter(training_comparison_text(made).renderables)).columns[3]._cells)


def test_what_a_users_task_computes_is_part_of_what_is_kept():
    entry = contestant_of_rule(load("sgd"))
    mark = training_comparison._mark(entry, TASK, 2, 2)
    assert mark == training_comparison._mark(entry, replace(TASK), 2, 2)
    changed = [replace(TASK, loss=lambda y, t: TASK.loss(y, t) ** 2), replace(TASK, steps=TASK.steps + 1)]
    other = tasks()["iris-mlp-20k"]
    changed += [replace(TASK, model=other.model), replace(TASK, splits=lambda: tasks()["wine-mlp-2k"].data)]
    assert len({mark, *(training_comparison._mark(entry, task, 2, 2) for task in changed)}) == 5


def test_a_comparison_is_kept_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    heard = []
    options = {"trials": 2, "seeds": 2, "workers": 2, "status": heard.append}
    first = compare_optimizers(["sgd"], ["iris-mlp-2k"], **options)
    assert heard[0] == "2 judgements, of which 0 are known; 2 to make"
    again = compare_optimizers(["sgd", "optax:lion"], ["iris-mlp-2k"], **options)
    assert "3 judgements, of which 2 are known; 1 to make" in heard
    assert again.verdicts["sgd"] == first.verdicts["sgd"]
    assert set(again.verdicts) == {"sgd", "lion", "adamw"}
    json.dumps(again.to_dict())
    monkeypatch.setattr(training_comparison, "_judge_build", None)  # all is known: no worker may start
    compare_optimizers(["sgd", "optax:lion"], ["iris-mlp-2k"], **options)


def test_the_claim_is_made_on_test_data_and_on_other_seeds_than_the_tuning():
    found = judge(contestant_of_rule(load("sgd")), TASK, 3, 2)
    rate = found.setting.pop("learning_rate")
    losses = Trainer(TASK, runs=2).losses(load("sgd"), [rate], [2000, 2001], hyperparameters=found.setting)[0]
    np.testing.assert_allclose(found.losses, losses[:, 1], rtol=2e-3)
    tuning = [validation for _, validation in found.tuning]
    assert found.setting == {k: v for k, v in found.tuning[int(np.argmin(tuning))][0].items() if k != "learning_rate"}
    assert found.state_bytes < 1
    assert 0 < found.basin <= 1


def test_optimizers_come_by_import_path(tmp_path, monkeypatch):
    (tmp_path / "mine_opt.py").write_text(
        "import optax\n"
        "def good(learning_rate, b1=0.9):\n    return optax.sgd(learning_rate, momentum=b1)\n"
        "good.search_space = {'learning_rate': (1e-3, 1e-1), 'b1': (0.5, 0.99)}\n"
        "def needs(learning_rate, rho):\n    return optax.sgd(learning_rate * rho)\n"
        "def bad(rate):\n    return optax.sgd(rate)\n"
        "def odd(learning_rate):\n    return optax.sgd(learning_rate)\n"
        "odd.search_space = {'learning_rate': (1e-3, 1e-1), 'b2': (0.5, 0.99)}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert contestant_at("mine_opt:good").ranges == {"learning_rate": (1e-3, 1e-1), "b1": (0.5, 0.99)}
    assert set(contestant_at("optax:adamw").ranges) == {"learning_rate", "weight_decay"}
    assert set(contestant_at("optax:sgd").ranges) == {"learning_rate"}
    assert set(contestant_at("optax:nadamw").ranges) == {"learning_rate", "weight_decay"}  # a functools.partial
    for path, says in [
        ("mine_opt:bad", "no function of `learning_rate`"),
        ("mine_opt:odd", "has b2 from 0.5 to 0.99"),
        ("mine_opt:none", "cannot be imported"),
        ("mine_opt:needs", "missing 1 required positional argument"),
        ("optax:lbfgs", "no optimizer that trains from gradients alone"),
        ("no_such_module:x", "cannot be imported"),
        ("optax:__version__", "no function of"),
    ]:
        with pytest.raises(RulesmithError, match=says):
            contestant_at(path)


@pytest.mark.parametrize(
    ("names", "where", "options", "says"),
    [
        (["lionn"], ["iris-mlp-2k"], {}, "did you mean 'lion'"),
        (["dpo"], ["iris-mlp-2k"], {}, "compare it with --env"),
        (["lion"], ["iris-mlp-2"], {}, "did you mean 'iris-mlp-2k'"),
        (["lion"], ["iris-mlp-2k"], {"seeds": 1}, "--seeds must be at least 2"),
        (["lion", "optax:lion"], ["iris-mlp-2k"], {}, "two optimizers are called 'lion'"),
        (["lion"], ["iris-mlp-2k", "selection"], {}, None),
        (["lion"], ["iris-mlp-2k", "iris-mlp-2k"], {}, "named twice"),
    ],
)
def test_bad_input_gets_one_line(names, where, options, says):
    if says is None:
        assert len(find(where)) == 5
        return
    with pytest.raises(RulesmithError) as caught:
        compare_optimizers(names, where, **{"trials": 1, "seeds": 2, **options})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
