"""What a search over networks keeps: figures of each step, and checkpoints of the states every so often.

A checkpoint is written first, the row that names it last; a killed run goes on from the last checkpoint that has a row,
and repeats what came after it, with the same result.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
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
_RULE, _STATES = "rule.safetensors", "states.safetensors"
"""Files of a checkpoint: the arrays of the rule that its states stand for, and those of the states, by number, as bytes
(their types and shapes stand in the states' row; NumPy's part of safetensors does not read all of JAX's types)."""


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
            # Whole or not at all: what a killed process left of this step is thrown away.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            save_file(self.arrays_of(record.states.strategy), folder / _RULE)
            parts = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays]
            save_file({str(i): part for i, part in enumerate(parts)}, folder / _STATES)
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
        from safetensors.numpy import load_file

        last = self.last_state()
        if last is None:
            return None
        step, row = last
        with self._errors():
            arrays = load_file(self._checked(step, row, _STATES, _RULE) / _STATES)

            def get(put: list[Any]) -> np.ndarray:
                number, name, shape = put
                return arrays[str(number)].view(np.dtype(name)).reshape(shape)

            decoder = Decoder(examples, get, ledger=self._ledger)
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
        return step, rule_file.read_arrays(self._checked(step, row, _RULE) / _RULE)

    def _checked(self, step: int, row: dict[str, Any], *names: str) -> Path:
        """Return the folder of a checkpoint.

        Raises:
            RulesmithError: one of these files is not what was written.
        """
        folder = self._folder(step)
        for name in names:
            try:
                found = seals.of_file(folder / name)
            except OSError as error:
                raise RulesmithError(f"{folder}: the checkpoint cannot be read: {one_line(error)}") from None
            if found != row["files"][name]:
                raise RulesmithError(f"{folder}: the checkpoint is damaged: {name} is not what was written")
        return folder

    def _folder(self, step: int) -> Path:
        return self.directory / "checkpoints" / f"{step:08d}"
