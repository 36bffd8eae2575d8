"""Exported files change only when someone means them to; ruff's version, which formats them, counts too."""

from dataclasses import replace

import pytest
import rulesmith
from golden import assert_golden


@pytest.mark.parametrize("name", ["lion", "muon", "ppo-clip"])
def test_exports_are_golden(name):
    rule = replace(rulesmith.load(name), evidence={})  # its card is written anew with each judging
    assert_golden(f"{name}.py", rule.to_source())


def test_an_export_with_evidence_is_golden():
    assert_golden("ta-lpo-invaders.py", rulesmith.load("ta-lpo-invaders").to_source())


@pytest.mark.parametrize("name", ["lion", "dpo"])
def test_exports_to_pytorch_are_golden(name):
    rule = replace(rulesmith.load(name), evidence={})
    assert_golden(f"{name}-torch.py", rule.to_source("torch"))
