"""The examples in docstrings are run."""

import doctest
import importlib
import pkgutil

import pytest
import rulesmith

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(rulesmith.__path__, "rulesmith.")
    if name.split(".")[1] in ("programs", "search", "envs", "meta", "results", "launch")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_package_was_walked():
    assert "rulesmith.programs.program" in MODULES
