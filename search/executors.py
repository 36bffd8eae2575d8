"""Where evaluations run: in this process, or in a pool of processes, one pinned to each core.

Results come in the order of the items, whichever ends first, and do not depend on the number of workers: each worker
is a process with one thread, pinned to one core. A worker that dies is replaced, and what it had not returned is tried
again.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from ..programs import RulesmithError
from .stopping import whole

ATTEMPTS = 3
"""How often an item may lose its worker before the run gives up."""

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Executor(Protocol):
    """Maps an evaluator over items."""

    @property
    def workers(self) -> int:
        """How many evaluations run at once."""
        ...

    def map(self, items: Sequence[Any]) -> list[Any]:
        """Return the evaluator's results, in the order of the items."""
        ...

    def close(self) -> None:
        """Stop at once; what is in flight is lost."""
        ...


class Here:
    """Evaluates in this process."""

    workers = 1

    def __init__(self, build: Callable[[], Callable[[Any], Any]]) -> None:
        self._evaluate = build()

    def map(self, items: Sequence[Any]) -> list[Any]:
        """Return the evaluator's results, in the order of the items."""
        return [self._evaluate(item) for item in items]

    def close(self) -> None:
        """Do nothing."""


class Groups:
    """Gives each worker of another executor one group of items, which are trained at once on an accelerator.

    Args:
        executor: runs an evaluator of groups.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    @property
    def workers(self) -> int:
        """How many groups are evaluated at once."""
        return self._executor.workers

    def map(self, items: Sequence[Any]) -> list[Any]:
        """Return the evaluator's results, in the order of the items."""
        size = max(1, -(-len(items) // self.workers))
        parts = self._executor.map([items[begin : begin + size] for begin in range(0, len(items), size)])
        return [result for part in parts for result in part]

    def close(self) -> None:
        """Stop at once; what is in flight is lost."""
        self._executor.close()


class Pool:
    """Evaluates in worker processes.

    Args:
        build: picklable function that makes the evaluator; called once in each worker.
        workers: how many; by default one for each core.
    """

    def __init__(self, build: Callable[[], Callable[[Any], Any]], workers: int | None = None) -> None:
        self.workers = workers or available_cores()
        self._build = pickle.dumps(build)
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        context = get_context("spawn")
        places = context.SimpleQueue()
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        for i in range(self.workers):
            places.put((i, cores[i % len(cores)] if cores else None))
        self._done = context.RawArray("d", [_NOTHING] * self.workers)
        arguments = (places, self._build, os.getpid(), self._done)
        return ProcessPoolExecutor(self.workers, context, initializer=_initialize, initargs=arguments)

    def map(self, items: Sequence[Any]) -> list[Any]:
        """Return the evaluator's results, in the order of the items.

        Raises:
            RulesmithError: an item was lost with its worker again and again.
        """
        results = dict(self._numbered(items))
        return [results[i] for i in range(len(items))]

    def each(self, items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield items with their results, as these come.

        Raises:
            RulesmithError: as `map`.
        """
        for i, result in self._numbered(items):
            yield items[i], result

    def _numbered(self, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        left = set(range(len(items)))
        for _ in range(ATTEMPTS):
            waiting: dict[Future[Any], int] = {}
            try:
                # A worker whose start is cut short would print a traceback.
                with whole(), _main_hidden(), _without_ctrl_c():
                    for i in sorted(left):
                        waiting[self._pool.submit(_evaluate, i, items[i])] = i
                for future in as_completed(waiting):
                    result = future.result()
                    left.discard(waiting[future])
                    yield waiting[future], result
                return
            except BrokenProcessPool:
                for future, i in waiting.items():
                    if i in left and future.done() and not future.cancelled() and future.exception() is None:
                        left.discard(i)
                        yield i, future.result()
                self.close()
                self._pool = self._start()
        raise RulesmithError(f"workers died {ATTEMPTS} times on one batch (out of memory?); try fewer --workers")

    def shares(self) -> dict[int, float]:
        """Return by the places of the items that workers have begun last how much of each is done, from 0 to 1."""
        return {int(done): done % 1.0 for done in self._done if done >= 0.0}

    def close(self) -> None:
        """Stop the workers at once."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Hide which script is run while worker processes start.

    Each worker would import that script, and a search that it starts at its top level would begin again there. What
    workers need is sent to them by value, or is in modules.
    """
    main: Any = sys.modules["__main__"]
    kept = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(kept)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Start processes that do not hear of Ctrl-C, not even before they can say so: it is the parent's to handle."""
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)


class Portable:
    """A function that is sent to other processes by value if they cannot import it, or something that it refers to."""

    def __init__(self, function: Callable[..., Any]) -> None:
        import cloudpickle

        self._data = cloudpickle.dumps(function)

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return pickle.loads(self._data)(*arguments)


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_path(name: str) -> Path:
    """Return where a part of the user's cache is, or would be."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home, as in some containers
        base = Path("/nonexistent")
    return base / "rulesmith" / name


def cache_folder(name: str) -> Path | None:
    """Return the folder of a part of the user's cache, after making it; None if it cannot be written."""
    folder = cache_path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def cache_compilations() -> None:
    """Keep XLA's compiled functions in the user's cache, if it can be written, so that only a first run compiles."""
    import jax

    folder = cache_folder("xla")
    if folder:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


_evaluator: Callable[[Any], Any] | None = None
_NOTHING = -1.0
_done: Any = None
"""For each worker the place of its item plus the share of it that is done: one number, so that it is written whole."""
_worker = 0


def sharing(total: float) -> Callable[[float], None]:
    """Return the function by which an evaluator says that it has done so much more of its item.

    Args:
        total: the whole item, in the same unit.
    """
    so_far = 0.0

    def told(more: float) -> None:
        nonlocal so_far
        so_far += more
        if _done is not None:
            _done[_worker] = int(_done[_worker]) + min(so_far / total, 0.999)

    return told


def _initialize(places: Any, build: bytes, parent: int, done: Any) -> None:
    global _evaluator, _done, _worker
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    _done, (_worker, core) = done, places.get()
    if core is not None:
        os.sched_setaffinity(0, {core})
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}"  # before jax is imported
    cache_compilations()
    _evaluator = pickle.loads(build)()


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _evaluate(place: int, item: Any) -> Any:
    assert _evaluator is not None
    _done[_worker] = place
    return _evaluator(item)
