"""`rulesmith tune`: settings of rules on tasks, kept as baselines."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..programs import RulesmithError, rule_file
from ..search.numerics import standard_numerics


def _kept_in(output: Path) -> dict[str, Any]:
    try:
        kept = json.loads(output.read_text(encoding="utf-8"))
        return {"commands": [*kept["commands"]], "baselines": [*kept["baselines"]]}
    except (OSError, ValueError, LookupError, TypeError):
        raise RulesmithError(f"{output}: not what `rulesmith tune` writes; choose another file") from None


@standard_numerics()
def tune_rules(
    rules: Sequence[str],
    tasks: Sequence[str],
    *,
    sizes: Sequence[str],
    trials: int,
    seeds: int,
    workers: int | None,
    output: Path | None,
) -> None:
    """Tune rules on tasks, in worker processes; print a line for each as it comes, and keep the settings in a file.

    What was tuned before, by `compare` as well, comes from the user's cache; so one that was stopped goes on.
    """
    from ..meta.baselines import row_of
    from ..search.executors import cache_compilations
    from .comparison import judged, loss_words, setting_words
    from .optimizer_contest import TuningContest

    for name, number in (("trials", trials), ("seeds", seeds), ("workers", workers)):
        if number is not None and number < 1:
            raise RulesmithError(f"--{name} must be above 0")
    kept: dict[str, Any] = {"commands": [], "baselines": []}
    if output:
        rule_file.check_writable(output)
        if output.exists():
            kept = _kept_in(output)
    cache_compilations()
    contest = TuningContest(rules, tasks, trials=trials, seeds=seeds, sizes=sizes, workers=workers)
    found = judged(contest)
    rows = []
    contestants = {contestant.name: contestant for contestant in contest.contestants}
    for judgement in sorted(found, key=lambda each: each.task):
        tuned, task = found[judgement], contest.tasks[judgement.task]
        print(
            f"{judgement.label} {setting_words(tuned.setting)}: {contest.words(tuned)}, test {loss_words(tuned.test)}"
        )
        rows.append(row_of(contestants[judgement.contestant], task, tuned, seeds))
    if output:
        new = {(row["rule"], row["task"]) for row in rows}
        others = [row for row in kept["baselines"] if (row["rule"], row["task"]) not in new]
        commands = [*kept["commands"], "rulesmith " + shlex.join(sys.argv[1:])]
        rows = sorted([*others, *rows], key=lambda row: (row["task"], row["rule"]))
        lines = ",\n".join(map(json.dumps, rows))
        rule_file.write_text(output, f'{{"commands": {json.dumps(commands, indent=1)},\n"baselines": [\n{lines}\n]}}\n')
