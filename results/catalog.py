"""What RULE means on the command line and in `rulesmith.load`: a published rule's name, a rule file, or a run."""

from __future__ import annotations

import re
from pathlib import Path

from ..programs import rule_file
from ..programs.objective import Objective
from ..programs.rule import Rule


def called(given: str, name: str) -> str:
    """Return what a comparison calls a rule: a run's by its directory, since all that runs find have like names."""
    if not Path(given).is_dir():
        return name
    words = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(given).resolve().name)[:60]
    return words if words[:1].isalpha() else f"run-{words}"


def load(rule: str | Path) -> Rule | Objective:
    """Return a rule: published ones by name, a rule file by its path, the best rule of a run by the run's directory.

    Loading reads data and runs none of it.

    Raises:
        RulesmithError: there is no such rule, or the file is no rule file; in one line.
    """
    if str(rule) not in rule_file.published() and Path(rule).is_dir():
        from ..search.runs import open_run

        with open_run(Path(rule)) as store:
            return store.best_rule()
    return rule_file.find(str(rule))
