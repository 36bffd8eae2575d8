"""Opening a run of any method."""

from __future__ import annotations

from pathlib import Path

from .array_store import ArrayStore
from .level_store import LevelStore
from .program_store import ProgramStore
from .store import Store


def open_run(directory: Path) -> ProgramStore | ArrayStore:
    """Return the store of a run, by what it says it keeps.

    Raises:
        RulesmithError: there is no run; see `Store.open`.
    """
    kinds: dict[str | None, type[ArrayStore | ProgramStore]] = {"arrays": ArrayStore, "levels": LevelStore}
    with Store.open(directory) as store:
        kind = kinds.get(store.fact("keeps"), ProgramStore)
    return kind.open(directory)
