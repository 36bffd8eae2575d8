"""Exported files change only when someone means them to; ruff's version, which formats them, counts too."""

import pytest
import rulesmith
from golden import assert_golden


@pytest.mark.parametrize("name", ["lion", "muon", "ppo-clip", "ta-lpo-invaders"])
def test_exports_are_golden(name):
    assert_golden(f"{name}.py", rulesmith.load(name).to_source())
