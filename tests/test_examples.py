"""Tasks and environments of one's own: the examples, and what is refused before anything is trained."""

import ast
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rulesmith import Box, Examples, RulesmithError, Splits, Step, Task, load, open_run
from rulesmith.envs.registry import make
from rulesmith.envs.tasks import find, find_checked
from rulesmith.meta.fitness import Fitness, Protocol
from rulesmith.meta.training import Trainer

FOLDER = Path(__file__).parents[1] / "examples"
TORCH = ("torch_ppo", "torch_training")
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("environment", *TORCH))


@pytest.fixture(autouse=True)
def beside_the_examples(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_a_task_on_which_rules_differ(name):
    (task,) = find_checked([f"{name}:task"], axes=True)
    best, still = Trainer(task, runs=2).losses(load("adamw"), [0.01, 1e-12], [0])[:, 0]
    assert (best < 0.9 * still).all()


@pytest.mark.parametrize("name", ["flax_linen", "equinox_module"])
def test_a_rule_for_matrices_trains_it(name):
    (task,) = find([f"{name}:task"])
    best, still = Trainer(task, runs=2).losses(load("muon"), [0.05, 1e-12], [0])[:, 0]
    assert (best < 0.9 * still).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_command_in_its_docstring_is_a_search(name, tmp_path):
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
    command = next(line.split("#")[0].split() for line in text.splitlines() if line.strip().startswith("rulesmith "))
    words = [Path(sys.executable).with_name("rulesmith"), *command[1:], "--out", tmp_path / "run"]
    subprocess.run(words, cwd=FOLDER, check=True)
    assert open_run(tmp_path / "run").best


def test_the_training_in_pytorch_learns(capsys):
    runpy.run_path(str(FOLDER / "torch_training.py"))  # it asserts so itself
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_ppo_in_pytorch_learns():
    pytest.importorskip("gymnasium", reason="gymnasium has the environment, and is optional")
    first, last = runpy.run_path(str(FOLDER / "torch_ppo.py"))["train"]("dpo", updates=14)
    assert last > 1.5 * first


def test_batches_that_are_drawn_do_not_meet_those_of_the_claim():
    (task,) = find(["drawn_batches:task"])
    rows = np.asarray(task.rows(jax.random.key(0)))
    first, second = (np.asarray(task.batch(row)[0]) for row in rows[:2])
    assert not np.array_equal(first, second)
    start = task.start(jax.random.key(1))
    validation, test, again = (float(task.loss_on(part, *start)) for part in ("validation", "test", "test"))
    assert validation != test == again


# --- what is refused -------------------------------------------------------------------------------------------------

DATA = Splits(*(Examples(np.ones((8, 2), np.float32), np.zeros(8, np.int32)) for _ in range(3)))


def good(parameters, batch, key):
    return jnp.square(batch.inputs @ parameters["w"] - 2.0).mean()


def mine(**changed):
    fields = {"splits": DATA, "init": lambda key: {"w": jnp.zeros((2, 3))}, "loss": good, "steps": 5, "batch_size": 4}
    return Task("mine", **{**fields, **changed})


REFUSED = [
    ({"steps": 0}, "steps is 0"),
    ({"loss": 3}, "loss is 3; it must be a function"),
    ({"init": None}, "give a flax linen model, or init and loss, functions as in examples/plain_dict.py"),
    ({"init": None, "model": good}, "model is a function, not a flax linen module"),
    ({"splits": None}, "give splits, the data, or draw"),
    ({"splits": lambda: 3}, "splits are int; they must be rulesmith.Splits"),
    ({"splits": lambda: 1 / 0}, r"splits raised ZeroDivisionError \(test_examples.py, line \d+\)"),
    ({"splits": DATA._replace(test=())}, "different structures"),
    ({"splits": DATA._replace(test=Examples(np.ones((8, 2)), np.ones(7)))}, "must count examples"),
    ({"splits": DATA._replace(train=Examples(np.full((8, 2), np.nan), np.ones(8)))}, "train data are not finite"),
    ({"init": lambda key: {"w": jnp.zeros((2, 3), int)}}, r"parameter \['w'\] is of type int32"),
    ({"init": lambda key: {"w": jnp.zeros((2, 3, 4))}, "loss": lambda p, b, k: 1.0 + p["w"].sum()}, "has 3 axes"),
    ({"init": lambda key: {}}, "no parameters to train"),
    ({"loss": lambda p, b, k: jnp.zeros(3)}, r"loss returns an array of shape \(3,\)"),
    ({"loss": lambda p, b, k: p["v"]}, r"loss raised KeyError \(test_examples.py, line \d+\): 'v'"),
    ({"loss": lambda p, b, k: good(p, b, k) - 5}, "its loss is -1 at the start.* it must stay above 0"),
    ({"loss": lambda p, b, k: good(p, b, k) * jnp.nan}, "its loss is nan at the start"),
    ({"evaluation": lambda p, b: b.inputs}, "evaluation returns an array of shape"),
    ({"stateful": True}, "init raised ValueError"),
]


@pytest.mark.parametrize(("changed", "says"), REFUSED)
def test_a_task_that_cannot_be_used_is_refused_before_anything_is_trained(changed, says):
    with pytest.raises(RulesmithError, match=f"^task mine: .*{says}"):
        find_checked([mine(**changed)], axes=True)


def test_a_task_on_which_adamw_diverges_or_falls_below_zero_is_refused():
    falls = mine(loss=lambda p, b, k: jnp.mean(b.inputs @ p["w"]) + 1e-3, steps=30)
    diverges = mine(loss=lambda p, b, k: jnp.where(jnp.any(p["w"] != 0), jnp.nan, 1.0) * good(p, b, k))
    for task, says in (
        (falls, "AdamW brings its loss to -.*; it must stay above 0"),
        (diverges, "AdamW diverges on it"),
    ):
        find_checked([task], axes=True)
        with pytest.raises(RulesmithError, match=f"^task mine: {says}"):
            Fitness(Protocol((task,), seeds=(0,), pilot_steps=4)).measure_adamw("mine", {"learning_rate": 0.1})


def test_a_state_beside_the_parameters_is_carried():
    def loss(parameters, state, batch, key):
        return good(parameters, batch, key) + 0.1, {"seen": state["seen"] + 1}

    task = mine(
        init=lambda key: ({"w": jnp.zeros((2, 3))}, {"seen": jnp.int32(0)}),
        loss=loss,
        evaluation=lambda parameters, state, batch: state["seen"].astype(jnp.float32) + 1.0,
        stateful=True,
    )
    find_checked([task], axes=True)
    found = Trainer(task, runs=1).losses(load("sgd"), [0.1], [0], relative=True)
    np.testing.assert_array_equal(found, np.full((1, 1, 2), task.steps + 1))  # measuring the updates does not count
    bad = replace(task, loss=lambda *given: (loss(*given)[0], {"seen": jnp.float32(0)}))
    with pytest.raises(RulesmithError, match="state of another structure"):
        find_checked([bad], axes=True)


# --- environments ----------------------------------------------------------------------------------------------------

WRONG = [
    ({"actions": Box(-2.0, 2.0, (2,))}, "actions are Box.* gymnax's order is another one"),
    ({"observations": 3}, "give a rulesmith.Discrete or a rulesmith.Box"),
    ({"step": lambda k, s, a, p: (s[0], s, 0.0, False, {})}, "step returns a tuple; it must return a rulesmith.Step"),
    ({"step": lambda k, s, a, p: Step(s[0], s, 0.0, False)}, "step raised TypeError .*'truncated'"),
    ({"step": lambda k, s, a, p: Step(s[0], s[0], 0.0, False, True)}, "changes the shape or type of the state"),
    ({"observations": Box((3,))}, r"its space has \(3,\)"),
    ({"max_steps": 0}, "max_steps is 0"),
]


@pytest.mark.parametrize(("changed", "says"), WRONG)
def test_an_environment_that_is_none_is_refused(changed, says):
    with pytest.raises(RulesmithError, match=f"^environment point: .*{says}"):
        make(replace(make("environment:point"), **changed))


def test_an_environment_of_ones_own():
    env = make("environment:point")
    observation, state = env.reset(jax.random.key(0), env.params)
    step = env.step(jax.random.key(0), state, np.zeros(2, np.float32), env.params)
    assert float(step.reward) < 0
    np.testing.assert_array_equal(step.observation, observation)
