"""The verdicts that are kept in the user's cache, each under a hash of all that it depends on.

So a comparison that was stopped goes on where it was, and a new contestant leaves the others' verdicts valid. What a
user's own function computes is part of the hash, as the text that JAX compiles from it, constants included: a function
that was edited, or that uses another array, counts as new.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
from collections.abc import Iterator
from importlib import metadata
from typing import Any, TypeVar

from ..envs.marks import hash_of
from ..meta.judging import Kept
from ..programs import RulesmithError, rule_file
from ..search.executors import cache_folder, cache_path
from ..search.numerics import jax_flags

_Kind = TypeVar("_Kind", bound=Kept)
_NAME = "verdicts"
"""The part of the user's cache that holds them."""


def verdict_mark(kind: type[Kept], packages: tuple[str, ...], *parts: Any) -> str:
    """Return the hash under which a verdict is kept.

    Args:
        kind: class of the verdict; its fields are part of the hash.
        packages: packages whose versions matter, besides JAX and rulesmith.
        *parts: all else that the verdict depends on: plain data, of which the `repr` counts.
    """
    import jax

    names = [field.name for field in dataclasses.fields(kind)]
    versions = [metadata.version(name) for name in ("jax", "flax", "optax", "rulesmith", *packages)]
    where = (jax.default_backend(), jax.devices()[0].device_kind, platform.processor(), platform.machine())
    return hash_of(kind.__name__, names, versions, where, jax_flags(), *parts)


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn whatever a user's own function raises into one line.

    Args:
        what: what cannot be done with the function, in words.

    Raises:
        RulesmithError: `what`, and the first line of the error.
    """
    try:
        yield
    except RulesmithError:
        raise
    except Exception as error:
        raise RulesmithError(f"{what}: {(str(error).strip() or type(error).__name__).splitlines()[0]}") from None


def known_verdict(mark: str, kind: type[_Kind]) -> _Kind | None:
    """Return the verdict that is kept under a mark; None if there is none, or its file is damaged."""
    try:
        found = kind(**json.loads((cache_path(_NAME) / f"{mark}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if isinstance(found.tuning, list) and isinstance(found.setting, dict) else None


def keep_verdict(mark: str, verdict: Kept) -> None:
    """Keep a verdict under a mark; where the cache cannot be written, it is not kept."""
    place = cache_folder(_NAME)
    if place is None:
        return
    with contextlib.suppress(RulesmithError):  # a disk that has become full
        rule_file.write_text(place / f"{mark}.json", json.dumps(verdict.to_dict()))


def not_kept_words() -> str:
    """Return the end of a sentence that says that no verdict can be kept, and where; empty where they can be."""
    return "" if cache_folder(_NAME) else f"; none can be kept, since {cache_path(_NAME)} cannot be written"
