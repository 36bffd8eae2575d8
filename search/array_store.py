"""What a search over networks keeps: figures of each step, and checkpoints of the states every so often.

A checkpoint is written first, the row that names it last; a killed run goes on from the last checkpoint that has a row,
and repeats what came after it, with the same result.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..programs import RulesmithError, rule_file
from ..programs.text_file import one_line
from . import seals
from .engine import Record, States
from .state_codec import Decoder, Encoder
from .store import Store

CHECKPOINT_EVERY = 20.0
"""Seconds between checkpoints."""
_RULE = "rule.safetensors"
"""File of a checkpoint with the arrays of the rule that its states stand for."""


class ArrayStore(Store):
    """The store of a run over networks; an observer of the engine.

    Attributes:
        arrays_of: function of a strategy's state to the arrays of the rule it stands for; set before the first step.
    """

    arrays_of: Callable[[Any], dict[str, np.ndarray]]
    _written: float = 0.0

    def __call__(self, record: Record[Any, Any, Any, Any]) -> None:
        """Write a step's figures; a checkpoint if the last is old."""
        self.write(record.step, record.metrics)
        if time.monotonic() - self._written > CHECKPOINT_EVERY:
            self.close_step(record)

    def remove_files(self) -> None:
        """See `Store.remove_files`; checkpoints too."""
        super().remove_files()
        shutil.rmtree(self.directory / "checkpoints", ignore_errors=True)

    def close_step(self, record: Record[Any, Any, Any, Any]) -> None:
        """Write the states, then the row that names them; only the latest of the older checkpoints is kept."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        step = record.step
        if self.done() >= step:
            return
        arrays: list[np.ndarray] = []

        def put(array: np.ndarray) -> list[Any]:
            arrays.append(array)
            return [len(arrays) - 1, array.dtype.name, list(array.shape)]

        encoder = Encoder(put)
        plain = encoder.plain(record.states._asdict(), "states")
        folder = self._folder(step)
        try:
            with _checkpointer() as checkpointer:
                if arrays:
                    checkpointer.save(folder.absolute(), arrays, force=True)
            folder.mkdir(parents=True, exist_ok=True)
            save_file(self.arrays_of(record.states.strategy), folder / _RULE)
            state = {"checkpoint": folder.name, "states": plain, "files": seals.of_files(folder)}
        except (OSError, ValueError, SafetensorError) as error:
            raise RulesmithError(f"{folder}: cannot be written: {one_line(error)}; add --resume to go on") from None
        self.write(step, record.metrics, state, ledgers=encoder.ledgers)
        # The one before is kept, since another process may be reading it.
        for other in sorted(folder.parent.iterdir())[:-2]:
            shutil.rmtree(other, ignore_errors=True)
        self._written = time.monotonic()

    def states(self, examples: Any = None) -> tuple[int, States[Any, Any, Any]] | None:
        """See `Store.states`; arrays are NumPy's."""
        last = self.last_state()
        if last is None:
            return None
        step, row = last
        with self._errors():
            shapes = sorted(_arrays_in(row["states"]))
            template = [np.zeros(shape, name) for _, name, shape in shapes]
            arrays = self._restored(step, template, row) if template else []
            decoder = Decoder(examples, lambda put: np.asarray(arrays[put[0]], put[1]), ledger=self._ledger)
            return step, States(**{name: decoder.value(each) for name, each in row["states"].items()})

    def arrays(self) -> tuple[int, dict[str, np.ndarray]]:
        """Return the last checkpoint's step and the arrays of its rule.

        Raises:
            RulesmithError: there is none yet.
        """
        last = self.last_state()
        if last is None:
            raise RulesmithError(f"{self.directory}: the run has no checkpoint yet")
        step, row = last
        folder = self._folder(step)
        _check_files(folder, {name: seal for name, seal in _files(row).items() if name == _RULE})
        with _damage(folder):
            return step, rule_file.read_arrays(folder / _RULE)

    def _restored(self, step: int, template: list[np.ndarray], row: dict[str, Any]) -> list[np.ndarray]:
        """Return the arrays of a checkpoint, of the shapes and types of a template."""
        folder = self._folder(step).absolute()
        # Before orbax reads them: what it meets in a damaged file its threads print, when the command has ended.
        _check_files(folder, _files(row))
        with _damage(folder), _checkpointer() as checkpointer:
            return checkpointer.restore(folder, template)

    def _folder(self, step: int) -> Path:
        return self.directory / "checkpoints" / f"{step:08d}"


def _files(row: dict[str, Any]) -> dict[str, int]:
    """Return the seals of a checkpoint's files; none of one that an older version has made."""
    return row.get("files", {})


@contextmanager
def _damage(folder: Path) -> Iterator[None]:
    """Turn what is raised while a checkpoint is read into one line."""
    try:
        yield
    except Exception as error:  # of orbax and what it is made of, which raise whatever they met
        raise RulesmithError(f"{folder}: the checkpoint cannot be read: {one_line(error)}") from None


def _check_files(folder: Path, kept: Mapping[str, int]) -> None:
    """Raise RulesmithError unless the files of a checkpoint are those that were sealed."""
    for name, seal in kept.items():
        with _damage(folder):
            found = seals.of_file(folder / name)
        if found != seal:
            raise RulesmithError(f"{folder}: the checkpoint is damaged: {name} is not what was written")


def _arrays_in(plain: Any) -> list[Any]:
    """Return what stands for arrays in plain states."""
    if isinstance(plain, list):
        return [found for each in plain for found in _arrays_in(each)]
    if not isinstance(plain, dict):
        return []
    match next(iter(plain.items()), None):
        case ("$array" | "$number", put):
            return [put]
        case ("$key", [_, put]):
            return [put]
    return [found for each in plain.values() for found in _arrays_in(each)]


def _checkpointer() -> Any:
    """Return orbax's checkpointer; with several hosts only the first writes, without waiting for the others."""
    import jax
    import orbax.checkpoint as ocp

    if jax.process_count() == 1:
        return ocp.StandardCheckpointer()
    options = ocp.options.MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="first_host"
    )
    return ocp.StandardCheckpointer(multiprocessing_options=options)
