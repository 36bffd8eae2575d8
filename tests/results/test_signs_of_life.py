"""Which figures tell that a part is dead, and how."""

import math

import numpy as np
import pytest
from rulesmith.envs.registry import make
from rulesmith.results.signs_of_life import LONG, dead_parts, signs_in, signs_words
from rulesmith.search.problems.signs import signs_of

ALIVE = {
    "policy_entropy": 0.7,
    "y_entropy": 0.8,
    "y_spread": 0.1,
    "explained_variance": 0.6,
    "clipped": 0.3,
    "regularizers": 0.2,
    "rule_gradient": 0.1,
}


def steps(count=LONG, **changes):
    return signs_in([{**ALIVE, **changes, "center": 0.0}] * count)


def test_a_search_in_which_all_lives_says_nothing():
    assert dead_parts(steps()) == {}
    assert "entropy of y 0.8000" in signs_words(steps())
    assert signs_words(signs_in([{"center": 1.0}])) == ""


@pytest.mark.parametrize(
    ("changes", "part", "says"),
    [
        ({"y_entropy": 0.9995, "y_spread": 0.003}, "y", "predicts nothing"),
        ({"y_entropy": 0.5, "y_spread": 0.003}, "y", "the same in all states"),
        ({"explained_variance": -0.2}, "critics", "critics explain -20%"),
        ({"policy_entropy": 0.98}, "policies", "stay uniform"),
        ({"policy_entropy": 0.001}, "policies", "deterministic"),
        ({"clipped": 1.0}, "clipped", "100% of agents' gradients are clipped"),
        ({"regularizers": 3.0}, "regularizers", "3.0 times as large as the objective"),
        ({"rule_gradient": 0.0}, "rule", "not improved"),
    ],
)
def test_a_part_is_told_to_be_dead_only_after_long(changes, part, says):
    assert list(dead_parts(steps(**changes))) == [part]
    assert says in dead_parts(steps(**changes))[part]
    assert dead_parts(steps(LONG - 1, **changes)) == {}


def test_figures_of_agents_become_shares():
    env = make("grid/small")  # nine actions
    found = {
        "entropy": [math.log(9), 0.0, np.nan],
        "y entropy": [math.log(8) / 2] * 3,
        "clipped": [1.0, 0.0, 0.5],
        "target variance": [4.0, 0.0, np.nan],
        "unexplained variance": [1.0, 0.0, np.nan],
        "objective": [2.0],
        "regularizers": [1.0],
    }
    signs = signs_of(found, env, 8)
    wanted = {"policy_entropy": 0.5, "y_entropy": 0.5, "clipped": 0.5, "explained_variance": 0.75, "regularizers": 0.5}
    assert signs == pytest.approx(wanted)
