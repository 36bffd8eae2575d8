"""The arithmetic in which everything is computed: single precision, JAX's standard rules, a platform that is there.

JAX has flags for a whole process. Some change what is found, and are kept with a run (`jax_flags`). Others are a user's
habits (`JAX_ENABLE_X64=1`, strict promotion of types, errors on NaN) under which rules would not train at all: in
`standard_numerics` they are as JAX ships them, whatever the process says, and outside they stay as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..programs import RulesmithError

_FLAGS = (
    *("jax_enable_x64", "jax_default_prng_impl", "jax_threefry_partitionable", "jax_default_matmul_precision"),
    *("jax_default_dtype_bits", "jax_numpy_dtype_promotion", "jax_random_seed_offset"),
)
"""JAX's process-wide flags that change what a run finds."""


def jax_flags() -> dict[str, Any]:
    """Return JAX's process-wide flags that change results, as they are in this process."""
    import jax

    found = {name: getattr(jax.config, name) for name in _FLAGS if hasattr(jax.config, name)}
    return {name: getattr(value, "value", value) for name, value in found.items()}  # some are enumerations


@contextlib.contextmanager
def standard_numerics() -> Iterator[None]:
    """Compute in float32, with JAX's own rules of types and without its debugging aids, in this thread and block.

    Programs of a search may diverge, so a NaN is no error. A function can be decorated with it too.
    """
    import jax

    with contextlib.ExitStack() as stack:
        for setting in (
            jax.enable_x64(False),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
            jax.legacy_prng_key("allow"),
            jax.debug_nans(False),
            jax.debug_infs(False),
            jax.debug_key_reuse(False),
            jax.disable_jit(False),
            jax.transfer_guard("allow"),
        ):
            stack.enter_context(setting)
        yield


@contextlib.contextmanager
def computing() -> Iterator[None]:
    """Compute in passing, for what is shown: in `standard_numerics`, on a platform that is there.

    Raises:
        RulesmithError: the platform is not there.
    """
    check_platform()
    with standard_numerics():
        yield


def under_flags(flags: dict[str, Any], build: Callable[[], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Return the evaluator that `build` makes, in a process where JAX computes as in the one that sent it.

    Args:
        flags: `jax_flags` of that process.
        build: makes the evaluator; it may import a user's module that sets flags of its own.
    """
    import jax

    for name, value in flags.items():
        jax.config.update(name, value)
    with standard_numerics():
        evaluate = build()
    return standard_numerics()(evaluate)


def platform_fault() -> str:
    """Return what is wrong with the platform on which JAX is to compute, in one line; empty if nothing is."""
    import jax

    try:
        jax.default_backend()
    except Exception as error:  # an AssertionError without words where a plugin is not installed
        named = jax.config.jax_platforms or ""  # pyright: ignore[reportAttributeAccessIssue]
        reason = (
            (str(error).strip() or "its plugin is not installed")
            .splitlines()[0]
            .split(" (set JAX_PLATFORMS")[0]
            .rstrip(".")
        )
        return f"JAX cannot compute on {named or 'this machine'}: {reason}; set JAX_PLATFORMS=cpu, or leave it unset"
    return ""


def check_platform() -> None:
    """Raise RulesmithError, in one line, unless the platform is there on which JAX is to compute."""
    if fault := platform_fault():
        raise RulesmithError(fault)
