"""What a search over networks keeps: figures of each generation, and checkpoints of the states.

A checkpoint is written first, the row that names it last; a killed run goes on from the last checkpoint that has a row,
and does what came after it again, to the same end.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..programs import RulesmithError
from ..programs.objective import Objective
from .engine import Record, States
from .store import Store

CHECKPOINT_EVERY = 20.0
"""Seconds between checkpoints."""


class ArrayStore(Store):
    """The store of a run over networks; an observer of the engine once `rule_of` is set.

    Attributes:
        rule_of: function of a strategy's state to the arrays of the rule it stands for.
    """

    rule_of: Callable[[Any], dict[str, np.ndarray]]
    _written: float = 0.0

    def __call__(self, record: Record) -> None:
        """Write a generation's figures; a checkpoint if the last is old."""
        self.write(record.step, record.metrics)
        if time.monotonic() - self._written > CHECKPOINT_EVERY:
            self.checkpoint(record.step, record.states)

    def checkpoint(self, step: int, states: States) -> None:
        """Write the states, then the row that names them; of older checkpoints the last stays."""
        import jax
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        folder = self._folder(step)
        try:
            with _checkpointer() as checkpointer:
                checkpointer.save(folder.absolute(), jax.tree.map(np.asarray, states._asdict()), force=True)
            save_file(self.rule_of(states.strategy), folder / "rule.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise RulesmithError(f"{folder}: cannot be written: {error}; add --resume to go on") from None
        steps = dict(self.steps())
        self.write(step, steps[step], {"checkpoint": folder.name})
        for other in sorted(folder.parent.iterdir())[:-2]:  # the one before stays for those who read just now
            shutil.rmtree(other, ignore_errors=True)
        self._written = time.monotonic()

    def resume(self, like: States) -> tuple[int, States] | None:
        """Return the last checkpoint's step and states, shaped as `like`; None before the first.

        Figures of later generations, which will be done again, are forgotten.
        """
        import jax

        last = self.last_state()
        if last is None:
            return None
        step, _ = last
        template = jax.tree.map(np.asarray, like._asdict())
        with _checkpointer() as checkpointer:
            states = checkpointer.restore(self._folder(step).absolute(), template)
        with self._errors(), self._connection:
            self._connection.execute("DELETE FROM steps WHERE step > ?", (step,))
        return step, States(**jax.tree.map(lambda old, new: np.asarray(new, np.asarray(old).dtype), template, states))

    def arrays(self) -> tuple[int, dict[str, np.ndarray]]:
        """Return the last checkpoint's step and the arrays of its rule.

        Raises:
            RulesmithError: there is none yet.
        """
        from safetensors.numpy import load_file

        last = self.last_state()
        if last is None:
            raise RulesmithError(f"{self.directory}: the run has no checkpoint yet")
        with self._errors():
            return last[0], load_file(self._folder(last[0]) / "rule.safetensors")

    def best_rule(self) -> Objective:
        """Return the rule that the strategy's state stands for at the last checkpoint."""
        config = self.fact("config")
        step, arrays = self.arrays()
        provenance = {"origin": "rulesmith", "method": f"{config['rule']} by {config['strategy']}"}
        provenance |= {"seed": config["seed"], "generations": step, **self._where()}
        kind = "lpg" if config["rule"].endswith("lpg") else "drift"
        return Objective(
            f"found-{config['rule']}",
            kind,
            arrays=arrays,
            description=f"{config['rule'].upper()} found by {config['strategy']}",
            agent=config["agent"],
            provenance=provenance,
            evidence=self._evidence(step),
        )

    def _where(self) -> dict[str, Any]:
        """Return what the rule was found on, for its provenance."""
        config = self.fact("config")
        return {"environments": list(config["environments"]), "horizon": list(config["horizon"])}

    def _evidence(self, step: int) -> dict[str, Any]:
        return {"fitness in the search (0 random, 1 PPO)": dict(self.steps())[step]["center"]}

    def digest(self) -> str:
        """Return a hash of the rule's arrays, 32 hexadecimal digits."""
        return self.best_rule().digest()

    def _folder(self, step: int) -> Path:
        return self.directory / "checkpoints" / f"{step:08d}"


def _checkpointer() -> Any:
    """Return orbax's checkpointer; of several hosts the first alone has one, and waits for no other."""
    import jax
    import orbax.checkpoint as ocp

    if jax.process_count() == 1:
        return ocp.StandardCheckpointer()
    options = ocp.options.MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="first_host"
    )
    return ocp.StandardCheckpointer(multiprocessing_options=options)
