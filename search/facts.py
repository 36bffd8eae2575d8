"""What a run's store says of the run, whatever its method."""

from __future__ import annotations

import platform
import time
from importlib import metadata
from typing import Any


def facts_of(method: str, config: dict[str, Any], packages: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """Return the facts that a run's store keeps from the start.

    Args:
        method: name of the method.
        config: of the run, as plain data.
        packages: those whose versions decide what is found.
        **more: facts of the method.
    """
    versions = {name: metadata.version(name) for name in ("jax", "jaxlib", "numpy", "flax", "optax", *packages)}
    started = time.strftime("%Y-%m-%d %H:%M")
    python = platform.python_version()
    return {"method": method, "config": config, **more, "versions": versions, "python": python, "started": started}
