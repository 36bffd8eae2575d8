"""The curriculum that never changes: the same tasks at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fixed:
    """Always the same tasks; it has no state."""

    tasks: Any

    def init(self, key: Any) -> None:
        """Return None."""

    def sample(self, state: None, key: Any) -> Any:
        """Return the tasks."""
        return self.tasks

    def update(self, state: None, tasks: Any, scores: Any) -> None:
        """Return None."""
