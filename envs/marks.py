"""Hashes by which a user's own tasks and environments are recognized."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any


def hash_of(*parts: Any) -> str:
    """Return a hash of the `repr` of plain data, 32 hexadecimal digits."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def computation_hash(function: Callable[..., Any], *arguments: Any) -> str:
    """Return a hash of the code that JAX lowers a function to, for arguments of these shapes and types."""
    import jax

    return hash_of(jax.jit(lambda *given: function(*given)).lower(*arguments).as_text())


def content_hash(tree: Any) -> str:
    """Return a hash of a pytree of arrays: its structure, and every array's type, shape and bytes."""
    import jax
    import numpy as np

    leaves, structure = jax.tree.flatten(tree)
    whole = hashlib.blake2b(str(structure).encode(), digest_size=16)
    for leaf in leaves:
        array = np.ascontiguousarray(leaf)
        whole.update(repr((array.dtype.name, array.shape)).encode() + array.tobytes())
    return whole.hexdigest()
