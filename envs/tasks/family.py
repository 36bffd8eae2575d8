"""Families of tasks: one kind of network on one data set, as a function of the network's width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .task import Splits, Task

TASK_SIZES = {"2k": 2_000, "20k": 20_000, "200k": 200_000, "2m": 2_000_000}
"""Sizes at which each family exists: about so many weights."""


def family(
    name: str,
    data_set: str,
    splits: Callable[[], Splits],
    network: Callable[[int], Any],
    loss: Callable[[Any, Any], Any],
    *,
    widths: Sequence[int],
    steps: int,
    batch_size: int,
) -> list[Task]:
    """Return the tasks of a family, `name-2k` to `name-2m`; a network ten times as large trains twice as long.

    Args:
        name: of the family: its data and its kind of network.
        data_set: name of the data.
        splits: returns them.
        network: a flax module, given its width.
        loss: see `Task`.
        widths: of the sizes in `TASK_SIZES`.
        steps: of the smallest.
        batch_size: of all.
    """
    return [
        Task(f"{name}-{size}", data_set, splits, network(width), loss, steps * 2**i, batch_size)
        for i, (size, width) in enumerate(zip(TASK_SIZES, widths, strict=True))
    ]


def family_of(task: Task) -> str:
    """Return the name of the family that a task is of: its own name but for the size."""
    name, _, size = task.name.rpartition("-")
    return name if size in TASK_SIZES else task.name
