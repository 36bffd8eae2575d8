"""`rulesmith tune`: settings of rules on tasks, kept as baselines."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..programs import RulesmithError, rule_file
from ..search.numerics import check_platform, standard_numerics


def _kept_in(output: Path) -> dict[str, Any]:
    try:
        kept = json.loads(output.read_text(encoding="utf-8"))
        return {"commands": [*kept["commands"]], "baselines": [*kept["baselines"]]}
    except (OSError, ValueError, LookupError, TypeError):
        raise RulesmithError(f"{output}: not what `rulesmith tune` writes; choose another file") from None


@standard_numerics()
def tune_rules(names: Sequence[str], tasks: Sequence[str], trials: int, seeds: int, output: Path | None) -> None:
    """Tune rules on tasks, print a line for each, and keep the settings in a file."""
    from importlib import metadata

    from ..envs.tasks import find_checked
    from ..meta.training import Trainer
    from ..meta.tuning import tune
    from ..search.executors import cache_compilations

    if trials < 1 or seeds < 1:
        raise RulesmithError("--trials and --seeds must be above 0")
    rules, found = [rule_file.find_optimizer(name) for name in names], find_checked(list(tasks), axes=False)
    if output:
        rule_file.check_writable(output)
    check_platform()
    cache_compilations()
    kept: dict[str, Any] = {"commands": [], "baselines": []}
    if output and output.exists():
        kept = _kept_in(output)
    kept["commands"].append("rulesmith " + shlex.join(sys.argv[1:]))
    for task in found:
        trainer = Trainer(task, runs=seeds)
        for rule in rules:
            tuned = tune(rule, task, trials=trials, seeds=seeds, trainer=trainer)
            setting = ", ".join(f"{name} {value:g}" for name, value in tuned.setting.items())
            print(f"{task.name}: {rule.name} {setting}: validation {tuned.validation:.4f}, test {tuned.test:.4f}")
            sys.stdout.flush()
            row = {**tuned.to_dict(), "jax": metadata.version("jax"), "steps": task.steps, "batch": task.batch_size}
            others = [r for r in kept["baselines"] if (r["rule"], r["task"]) != (rule.name, task.name)]
            kept["baselines"] = [*others, row]
            if output:
                rule_file.write_text(output, json.dumps(kept, indent=1) + "\n")
