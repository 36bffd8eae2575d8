"""Supervised tasks on real data that come with packages, in sets to search, select and claim."""

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
        "flower-mlp-2k",
    ),
    "selection": (
        "breast-cancer-mlp-20k",
        "iris-mlp-20k",
        "source-mlp-20k",
        "source-gru-20k",
        "docstrings-transformer-20k",
        "names-gru-20k",
        "hills-mlp-20k",
    ),
    "held-out": tuple(
        f"{name}-{size}"
        for size in ("2k", "20k", "200k")
        for name in (
            "languages-gru",
            "towns-mlp",
            "temple-cnn",
            "tunes-gru",
            "chorales-transformer",
        )
    ),
}
"""Tasks to search on, to select on, and to make claims on. No data set is in two of them."""
ALL = "all"
"""The name of all tasks that rulesmith ships."""


@functools.cache
def tasks() -> dict[str, Task]:
    """Return the tasks that rulesmith ships, by name."""
    from . import digits, music, photographs, places, tables, text, words

    modules = (digits, tables, text, photographs, places, words, music)
    return {task.name: task for module in modules for task in module.TASKS}


def task_name(task: str | Task) -> str:
    """Return what a task is called: its own name, or the name or import path that it was given by."""
    return task.name if isinstance(task, Task) else task


def find_checked(names: Sequence[str | Task], *, axes: bool, sizes: Sequence[str] = ()) -> list[Task]:
    """Return tasks as `find` does, a user's own ones after `check_task`."""
    from .checks import check_task

    found = find(names, sizes)
    shipped = tasks().values()
    for task in found:
        if all(task is not one for one in shipped):
            check_task(task, axes=axes)
    return found


def find(names: Sequence[str | Task], sizes: Sequence[str] = ()) -> list[Task]:
    """Return tasks by name, by the name of a set or `ALL`, or by import path, ``module:attribute``; a `Task` is kept.

    Args:
        names: the tasks.
        sizes: of `family.TASK_SIZES`; instead of the tasks themselves, all of their families that are of these sizes.

    Raises:
        RulesmithError: there is no such task, or no such size; with the nearest name.
    """
    found = _found(names)
    if not sizes:
        return found
    from .family import TASK_SIZES, family_of

    for size in sizes:
        if size not in TASK_SIZES:
            raise RulesmithError(f"no size {size!r}; there are {', '.join(TASK_SIZES)}")
    wanted = [f"{family}-{size}" for size in sizes for family in dict.fromkeys(map(family_of, found))]
    for name in wanted:
        if name not in tasks():
            raise RulesmithError(f"sizes are for families that rulesmith ships; there is no {name}")
    return [tasks()[name] for name in wanted]


def _found(names: Sequence[str | Task]) -> list[Task]:
    found: list[Task] = []
    for name in names:
        if isinstance(name, Task):
            found.append(name)
        elif name in SETS:
            found.extend(tasks()[member] for member in SETS[name])
        elif name == ALL:
            found.extend(tasks().values())
        elif ":" in name:
            found.append(imported(name, Task, "task"))
        elif name in tasks():
            found.append(tasks()[name])
        else:
            known = [*SETS, ALL, *tasks()]
            raise RulesmithError(f"no task {name!r}{nearest(name, known)}; `rulesmith tasks` lists them")
    return found


__all__ = ["SETS", "Examples", "Splits", "Task", "find", "find_checked", "task_name", "tasks"]
