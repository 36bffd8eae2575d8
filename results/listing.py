"""What ships with rulesmith, as a list that is read at once; to make its parts takes JAX and many seconds.

`listing.json` is written by `python -m rulesmith.results.listing`, and a test compares it with what is there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..envs.tasks import SETS
from ..programs import RulesmithError, rule_file
from ..programs.errors import nearest

LISTING = Path(__file__).with_name("listing.json")


@functools.cache
def listed() -> dict[str, dict[str, Any]]:
    """Return the list: by name, tasks and environments with their rows of a table, and what is not offered and why."""
    return json.loads(LISTING.read_text(encoding="utf-8"))


def listing() -> dict[str, dict[str, Any]]:
    """Return what the list must say."""
    from ..envs.brax_environments import BRAX_BACKENDS, BRAX_BROKEN, BRAX_NAMES
    from ..envs.gymnax_environments import GYMNAX_BROKEN
    from ..envs.registry import make, names
    from ..envs.tasks import tasks

    facts = {
        name: [task.data_set, f"{task.parameters:,}", str(task.steps), str(task.batch_size)]
        for name, task in tasks().items()
    }
    environments = {}
    for name in names():
        if name.split("/")[0] != "brax":  # each of brax's takes seconds to make
            env = make(name)
            environments[name] = [str(env.observations), str(env.actions), f"{env.max_steps:,}"]
    brax = ["reals; backends " + ", ".join(BRAX_BACKENDS), "reals", "1,000"]
    environments |= {f"brax/{name}": brax for name in BRAX_NAMES}
    return {"tasks": facts, "environments": environments, "not offered": GYMNAX_BROKEN | BRAX_BROKEN}


def check_rules(names: Sequence[str]) -> None:
    """Raise RulesmithError for a name that is no rule, no file of one, no run and no import path."""
    for name in names:
        if ":" not in name and not Path(name).is_dir():
            rule_file.find(name)


def check_tasks(names: Sequence[str]) -> None:
    """Raise RulesmithError for a name that is no task, no set of them and no import path; with the nearest name."""
    known = [*SETS, *listed()["tasks"]]
    for name in names:
        if ":" not in name and name not in known:
            raise RulesmithError(f"no task {name!r}{nearest(name, known)}; `rulesmith tasks` lists them")


def check_environments(names: Sequence[str]) -> None:
    """Raise RulesmithError for a name that is no environment, no level's file and no import path."""
    known = listed()["environments"]
    for name in names:
        listed_as = name.replace("grid/public-", "grid/", 1)
        if ":" not in name and not name.endswith(".toml") and listed_as not in known:
            raise RulesmithError(f"no environment {name!r}{nearest(name, known)}; `rulesmith environments` lists them")


if __name__ == "__main__":
    LISTING.write_text(json.dumps(listing(), indent=1) + "\n", encoding="utf-8")
