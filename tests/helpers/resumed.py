"""A search run in one go, and again with stops."""

import json
from pathlib import Path
from typing import Any

from rulesmith.results.views import run_json
from rulesmith.search.method import Method, Workers, discover


def run_whole_and_stopped(method: Method[Any], config: Any, folder: Path, *stops: int, workers: int = 1) -> Any:
    """Return what was found by a run in `folder / "a"`, and by one in `folder / "b"` that stopped at each of `stops`.

    Args:
        method: what is run.
        config: its config.
        folder: of both runs.
        stops: programs at which the second stops; at the last both end.
        workers: processes of the first run; the second has one.
    """
    discover(method, config, folder / "a", bound=stops[-1], resources=Workers(workers))
    for programs in stops:
        again = (folder / "b").exists()
        discover(method, config, folder / "b", bound=programs, resources=Workers(1), resume=again)
    return tuple(json.dumps(run_json(folder / name, stats=False)) for name in "ab")
