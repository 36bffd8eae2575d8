"""What RULE means on the command line and in `rulesmith.load`; see `search.runs.load`."""

from __future__ import annotations

from ..search.runs import load

__all__ = ["load"]
