"""Learned drifts copied into new networks."""

import dataclasses

import jax
import numpy as np
import pytest
import rulesmith
from rulesmith import RulesmithError, cli
from rulesmith.programs import rule_file
from rulesmith.programs.drift import drift_slope
from rulesmith.search import network_distillation
from rulesmith.search.network_distillation import distill_network, synthetic_inputs


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(network_distillation, "STEPS", 400)


def slopes(rule, inputs):
    log_ratio, advantage, progress = inputs
    drift = rule.drift()
    return np.asarray(drift_slope(lambda r, log_r, a: drift(rule.arrays, r, log_r, a, progress), log_ratio, advantage))


@pytest.mark.parametrize("name", ["lpo-invaders", "ta-lpo-invaders"])
def test_a_copy_has_other_weights_and_the_same_slope(name):
    target = rulesmith.load(name)
    copy = distill_network(target, seed=1)
    inputs = synthetic_inputs(jax.random.key(7), 5000)
    wanted = slopes(target, inputs)
    error = np.square(slopes(copy, inputs) - wanted).mean() / np.square(wanted).mean()
    ppo = np.square(slopes(dataclasses.replace(target, arrays=zero(target.arrays)), inputs) - wanted).mean()
    assert error < 0.1
    assert error < 0.5 * ppo / np.square(wanted).mean()  # it has learned more than PPO's part, which all networks have
    (left,) = copy.evidence.values()
    assert left == pytest.approx(error, rel=0.5)
    assert {name: array.shape for name, array in copy.arrays.items()} == {
        name: array.shape for name, array in target.arrays.items()
    }
    assert not np.allclose(copy.arrays["hidden"], target.arrays["hidden"], atol=0.1)
    assert dict(copy.agent) == dict(target.agent)


def zero(arrays):
    return {name: np.zeros_like(array) for name, array in arrays.items()}


def test_a_seed_gives_one_copy_and_another_seed_another():
    target = rulesmith.load("lpo-invaders")
    first, again, other = (distill_network(target, seed=seed) for seed in (0, 0, 1))
    assert first.digest() == again.digest() != other.digest()


def test_synthetic_inputs_are_what_they_say():
    log_ratio, advantage, progress = (np.asarray(x) for x in synthetic_inputs(jax.random.key(0), 100_000))
    assert np.mean(np.abs(log_ratio) < 0.01) > 0.1
    assert np.mean(np.abs(log_ratio) > 0.5) > 0.05
    assert abs(advantage.mean()) < 0.02
    assert abs(advantage.std() - 1) < 0.02
    assert (progress.min() >= 0, progress.max() < 1, abs(progress.mean() - 0.5) < 0.01) == (True, True, True)


def test_a_copy_is_written_as_a_rule_file(tmp_path, capsys):
    cli.run(["distill-network", "lpo-invaders", "-o", str(tmp_path / "mine.toml")])
    assert "mine, as a rule file; squared error of the slope" in capsys.readouterr().out
    found = rule_file.find_objective(str(tmp_path / "mine.toml"))
    assert (found.name, found.provenance["start"]) == ("mine", "lpo-invaders")
    wanted = distill_network(rulesmith.load("lpo-invaders"))
    for name, array in wanted.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["ppo-clip", "-o", "a.toml"], "ppo-clip is not a learned drift"),
        (["lpg-es", "-o", "a.toml"], "lpg-es is not a learned drift"),
        (["adamw", "-o", "a.toml"], "adamw is an optimizer; distill-network takes a learned drift"),
        (["lpo-invaders", "-o", "a.py"], "a.py: a rule file is a .toml"),
        (["lpo-invaders", "-o", "nowhere/a.toml"], "nowhere is not a writable folder"),
    ],
)
def test_what_cannot_be_copied_is_refused_in_a_line(words, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RulesmithError, match=complaint) as caught:
        cli.run(["distill-network", *words])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_drift_without_a_slope_is_refused():
    target = rulesmith.load("lpo-invaders")
    broken = dataclasses.replace(
        target, arrays={**target.arrays, "output": target.arrays["output"] * np.float32(np.nan)}
    )
    with pytest.raises(RulesmithError, match="no slope, or none that is finite"):
        distill_network(broken)
