"""What every task must do."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rulesmith import RulesmithError
from rulesmith.envs.models import PatchConv
from rulesmith.envs.tasks import SETS, find, tasks


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if "-2k" in n else pytest.mark.slow) for n in tasks()])
def test_a_task_can_be_trained(name):
    task = tasks()[name]
    weights, extra = task.start(jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(weights))
    train, validation, test = task.data
    assert min(map(len, (train.inputs, validation.inputs, test.inputs))) >= 30
    key = jax.random.key(1)
    training = jax.value_and_grad(task.training_loss, has_aux=True)
    (loss, _), gradients = training(weights, extra, task.batch(task.rows(key)[0]), key)
    assert math.isfinite(loss)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    for part in ("validation", "test"):
        assert math.isfinite(task.loss_on(part, weights, extra))


@pytest.mark.parametrize("name", tasks())
def test_the_size_is_what_the_name_says(name):
    size = {"2k": 2_000, "20k": 20_000, "200k": 200_000}[name.split("-")[-1]]
    assert 0.5 * size <= tasks()[name].parameters <= 1.25 * size


def test_the_parts_of_a_data_set_do_not_overlap():
    digits = tasks()["digits-mlp-2k"].data
    seen = [{x.tobytes() for x in part.inputs} for part in digits]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_no_data_set_is_in_two_sets():
    sets = [{task.data_set for task in find([name])} for name in SETS]
    assert sum(map(len, sets)) == len(set.union(*sets))


def test_the_patch_convolution_is_a_convolution():
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    model = PatchConv(5, stride=2)
    weights = model.init(jax.random.key(1), x)
    wanted = jax.lax.conv_general_dilated(
        x, weights["params"]["kernel"], (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(model.apply(weights, x), wanted, rtol=1e-4, atol=1e-5)


def test_tasks_by_import_path_and_errors(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from rulesmith.envs.tasks import tasks\ntask = tasks()['iris-mlp-2k']\nx = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find(["mine:task"])[0].name == "iris-mlp-2k"
    for name, says in [
        ("mine:x", "int, not a rulesmith.Task"),
        ("nowhere:x", "cannot be imported"),
        ("iris-mpl-2k", "did you mean 'iris-mlp-2k'"),
    ]:
        with pytest.raises(RulesmithError, match=says):
            find([name])
