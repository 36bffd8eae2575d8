"""Where tasks take their data from: packages that carry some, each checked to be the version that was measured."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from ...programs.errors import RulesmithError, installing


def folder_of(package: str) -> Path:
    """Return the folder of an installed package, without importing it.

    Raises:
        RulesmithError: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise RulesmithError(
            f"this task's data come with the package {package}, which is not here: {installing('tasks')}"
        )
    return Path(spec.origin).parent


def check_digest(what: str, digest: str, *arrays: np.ndarray) -> None:
    """Raise RulesmithError unless arrays are those with which rulesmith's figures were measured.

    Args:
        what: the data, and where they come from.
        digest: of the arrays' bytes, by BLAKE2b in 8 bytes.
        arrays: to check.
    """
    found = hashlib.blake2b(digest_size=8)
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    if found.hexdigest() != digest:
        raise RulesmithError(
            f"{what} are not those that rulesmith was measured with ({found.hexdigest()}, not {digest}); "
            f"install the versions that it asks for: {installing('tasks')}"
        )


def shuffled(items: list[str]) -> list[str]:
    """Return texts in an order that is always the same, so that parts of them are alike."""
    return [items[int(i)] for i in np.random.default_rng(0).permutation(len(items))]
