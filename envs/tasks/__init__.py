"""Supervised tasks on real data that ships with the dependencies, in sets to search, select and claim."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ...programs import RulesmithError
from ...programs.errors import nearest
from ..imports import imported
from .task import Examples, Splits, Task

SETS: dict[str, tuple[str, ...]] = {
    "search": (
        "digits-mlp-2k",
        "digits-few-mlp-2k",
        "digits-autoencoder-2k",
        "topics-mlp-2k",
        "topics-transformer-2k",
        "topics-gru-2k",
    ),
    "selection": ("breast-cancer-mlp-20k", "iris-mlp-20k", "source-mlp-20k", "source-gru-20k"),
    "held-out": tuple(
        f"{name}-{size}"
        for size in ("2k", "20k", "200k")
        for name in ("docstrings-gru", "docstrings-transformer", "diabetes-mlp", "wine-mlp")
    ),
}
"""Tasks to search on, to select on, and to make claims on. No data set is in two of them."""


@functools.cache
def tasks() -> dict[str, Task]:
    """Return the tasks that rulesmith ships, by name."""
    from . import digits, tables, text

    return {task.name: task for module in (digits, tables, text) for task in module.TASKS}


def task_name(task: str | Task) -> str:
    """Return what a task is called: its own name, or the name or import path that it was given by."""
    return task.name if isinstance(task, Task) else task


def find_checked(names: Sequence[str | Task], *, axes: bool) -> list[Task]:
    """Return tasks as `find` does, a user's own ones after `check_task`."""
    from .checks import check_task

    found = find(names)
    shipped = tasks().values()
    for task in found:
        if all(task is not one for one in shipped):
            check_task(task, axes=axes)
    return found


def find(names: Sequence[str | Task]) -> list[Task]:
    """Return tasks by name, by the name of a set, or by import path, ``module:attribute``; a `Task` is kept.

    Raises:
        RulesmithError: there is no such task; with the nearest name.
    """
    found: list[Task] = []
    for name in names:
        if isinstance(name, Task):
            found.append(name)
        elif name in SETS:
            found.extend(tasks()[member] for member in SETS[name])
        elif ":" in name:
            found.append(imported(name, Task, "task"))
        elif name in tasks():
            found.append(tasks()[name])
        else:
            known = [*SETS, *tasks()]
            raise RulesmithError(f"no task {name!r}{nearest(name, known)}; `rulesmith tasks` lists them")
    return found


__all__ = ["SETS", "Examples", "Splits", "Task", "find", "find_checked", "task_name", "tasks"]
