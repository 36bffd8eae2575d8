"""A small and quick run of each method, in a process of its own that may be killed, and all that a run has kept.

Processes are forked from one that has imported what they need, so that one costs no start of Python.
"""

import json
import multiprocessing
import os
import sqlite3
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rulesmith import RulesmithError, load
from rulesmith.programs import rule_file
from rulesmith.programs.objective import Objective, Shapes
from rulesmith.results.views import run_json
from rulesmith.search import array_store
from rulesmith.search.array_store import ArrayStore
from rulesmith.search.curricula.level_buffer import ReplaySettings
from rulesmith.search.method import Devices, Method, Workers, discover
from rulesmith.search.methods import curriculum, distillation, drift, objective, refinement, symbolic
from rulesmith.search.runs import open_store
from rulesmith.search.store import FILE, holds_run
from rulesmith.search.strategies.evolution_strategies import EsSettings

AGENT = {"workers": 4, "steps": 8, "minibatches": 2, "epochs": 2, "widths": (8,)}
LIVES = {"environments": ("Catch-bsuite",), "horizon": (64, 320), "episodes": 4}
SEARCH = symbolic.Symbolic(tasks=("iris-mlp-2k",), seeds=1, population=20, tournament=5, batch=16)
BREEDING = {"population": 12, "tournament": 4, "batch": 8}


@dataclass(frozen=True)
class SmallRun:
    """A run of a method that ends soon.

    Attributes:
        method: what is run.
        config: its config.
        bound: where it ends; None for a run that ends by itself.
    """

    method: Method[Any]
    config: Any
    bound: int | None

    @property
    def resources(self) -> Workers | Devices:
        """Where it computes: one process or device more than this one."""
        return Workers(1) if self.method.resources is Workers else Devices(1)


SMALL_RUNS = {
    "symbolic": SmallRun(symbolic.METHOD, SEARCH, 400),
    "objective": SmallRun(
        objective.METHOD,
        objective.ObjectiveSearch(rule="ta-lpo", each=2, agent=AGENT, es=EsSettings(population=6), **LIVES),
        60,
    ),
    "curriculum": SmallRun(
        curriculum.METHOD,
        curriculum.CurriculumSearch(
            levels="small",
            updates=(2, 6),
            agents=8,
            episodes=2,
            hidden=8,
            agent={"workers": 4, "steps": 8},
            replay=ReplaySettings(capacity=12),
            held_out=2,
            probe=10,
        ),
        60,
    ),
    "refinement": SmallRun(
        refinement.METHOD,
        refinement.Refinement(
            (), ("iris-mlp-2k",), ("breast-cancer-mlp-2k",), finalists=4, rounds=1, trials=3, seeds=1, batch=2
        ),
        None,
    ),
    "drift": SmallRun(drift.METHOD, drift.DriftSearch(each=2, agent=AGENT, **BREEDING, **LIVES), 200),
    "distillation": SmallRun(
        distillation.METHOD,
        distillation.Distillation(
            Objective("target", "drift", arrays=Shapes.drift(timed=False).draw(0, 2.0), agent=AGENT),
            init="ppo-kl",
            **BREEDING,
            **LIVES,
        ),
        800,
    ),
}
"""By method. A refinement is of a run that `start` is given."""


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["small_runs", "rulesmith.results.views.levels", "evosax"])


def start(name: str, directory: Path, source: Path | None = None, checkpoints: float | None = None) -> Any:
    """Start a run, or go on with the one in a directory, and return its process; its output goes to a file beside.

    Args:
        name: of the small run.
        directory: of the run.
        source: what a refinement refines.
        checkpoints: seconds between checkpoints of a run over networks, instead of the usual ones.
    """
    process = _context.Process(target=_run, args=(name, directory, source, checkpoints))
    process.start()
    return process


def said(directory: Path) -> str:
    """Return what the process of a run has written so far."""
    return _log(directory).read_text()


def finish(name: str, directory: Path, source: Path | None = None) -> None:
    """Run to the end, in a process of its own."""
    process = start(name, directory, source)
    process.join()
    assert process.exitcode == 0, said(directory)


def _log(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.log")


def _run(name: str, directory: Path, source: Path | None, checkpoints: float | None) -> None:
    small = SMALL_RUNS[name]
    config = replace(small.config, runs=(source,)) if source else small.config
    log = os.open(_log(directory), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if checkpoints is not None:
        array_store.CHECKPOINT_EVERY = checkpoints
    how = {"bound": small.bound, "resume": has_begun(directory), "resources": small.resources}
    try:
        discover(small.method, config, directory, **how)
    except RulesmithError as error:
        sys.exit(f"rulesmith: {error}")


def has_begun(directory: Path) -> bool:
    """Tell whether a run has made a step, so that it is resumed; else it is begun again."""
    if not holds_run(directory):
        return False
    _, store = open_store(directory)
    with store:
        return store.begun()


def everything(directory: Path) -> str:
    """Return all that a run has kept, but for what depends on the clock: as text, a row a line."""
    method, store = open_store(directory)
    with store:
        step, _ = store.last_state()
        arrays = [data.hex() for data in _arrays(store, step)]
    rows = [f"{method.name} {step}", *arrays]
    for table, kept in tables(directory).items():
        rows += [f"{table} {row}" for row in kept]
    return "\n".join([*rows, json.dumps(run_json(directory, stats=False)), rule_file.dumps(load(directory))])


def _arrays(store: Any, step: int) -> list[bytes]:
    """Return the files of the last checkpoint."""
    if not isinstance(store, ArrayStore):
        return []
    return [path.read_bytes() for path in sorted(store._folder(step).iterdir())]


def tables(directory: Path) -> dict[str, list[Any]]:
    """Return the rows of a run's tables by the tables' names, without times."""
    connection = sqlite3.connect(f"file:{directory / FILE}?mode=ro", uri=True)
    # Seals are of rows with times, too.
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'seals'"
    names = [name for (name,) in connection.execute(query)]
    found = {name: connection.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall() for name in sorted(names)}
    connection.close()
    # When it began, and what a refinement of it has added.
    found["facts"] = sorted(row for row in found["facts"] if row[0] not in ("started", "selection"))
    found["steps"] = [(step, _timeless(json.loads(metrics))) for step, metrics in found["steps"]]
    # The step of a ledger's entry is that of the checkpoint with which it was written.
    found["ledgers"] = sorted((place, key, value) for place, key, _, value in found["ledgers"])
    return found


def _timeless(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if not name.endswith("seconds")}
