"""Opening a run of any method."""

from __future__ import annotations

from pathlib import Path

from .array_store import ArrayStore
from .program_store import ProgramStore
from .store import Store


def open_run(directory: Path) -> ProgramStore | ArrayStore:
    """Return the store of a run, by what it says it keeps.

    Raises:
        RulesmithError: there is no run; see `Store.open`.
    """
    with Store.open(directory) as store:
        arrays = store.fact("keeps") == "arrays"
    return ArrayStore.open(directory) if arrays else ProgramStore.open(directory)
