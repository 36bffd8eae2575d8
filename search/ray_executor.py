"""Evaluations on a Ray cluster: the processes of one machine or of many, with several cores or a GPU each.

An evaluation is a Ray task: Ray gives it to any node that has room, also to one that joined later, and tries it again
elsewhere if its worker is lost. A worker keeps its evaluator, and with it all that was compiled, from one task to the
next. As in `executors.Pool`, results come in the order of the items, and do not depend on which worker made them.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from ..programs.errors import RulesmithError, installing
from .executors import ATTEMPTS, ONE_THREAD, cache_compilations
from .stopping import handlers_kept

_evaluators: dict[str, Callable[[Any], Any]] = {}


class RayPool:
    """Evaluates on a Ray cluster.

    Args:
        build: function that makes the evaluator; called once in each worker.
        address: address of the cluster's head, HOST:PORT, or "auto" for the one that runs here; by default one is
            started on this machine.
        cores: cores that a worker takes.
        gpus: GPUs that a worker takes; may be a share of one.

    Raises:
        RulesmithError: Ray is not installed, there is no cluster at the address, or no node has room for a worker.
    """

    def __init__(
        self, build: Callable[[], Callable[[Any], Any]], address: str | None = None, cores: int = 1, gpus: float = 0.0
    ) -> None:
        try:
            import ray
        except ImportError:
            raise RulesmithError(f"--ray needs Ray: {installing('ray')}") from None
        self._ray, self._own = ray, not ray.is_initialized()
        if self._own:
            where = f"at {address}" if address else "on this machine"
            try:
                _reach(address)
                with handlers_kept():
                    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except (OSError, ValueError, RuntimeError) as error:
                raise RulesmithError(f"no Ray cluster {where}: {str(error).splitlines()[0]}") from None
        self._build = ray.put(build)  # by value, where its module is not there to import
        settings: dict[str, Any] = {"num_cpus": cores, "num_gpus": gpus, "max_retries": ATTEMPTS - 1}
        if cores == 1:  # as in `Pool`, so that both give the same results
            settings["runtime_env"] = {"env_vars": {"XLA_FLAGS": ONE_THREAD}}
        self._evaluate = ray.remote(_evaluate).options(**settings)
        self._mark = self._build.hex()
        self._needs = {"CPU": cores, **({"GPU": gpus} if gpus else {})}
        self._check()

    @property
    def workers(self) -> int:
        """How many evaluations the cluster has room for, now."""
        found = self._ray.cluster_resources()
        return int(min(found.get(name, 0.0) // need for name, need in self._needs.items()))

    def _check(self) -> None:
        if not self.workers:
            found = {name: value for name, value in self._ray.cluster_resources().items() if name in ("CPU", "GPU")}
            self.close()
            raise RulesmithError(f"the Ray cluster has {found}, and no room for a worker of {self._needs}")

    def map(self, items: Sequence[Any]) -> list[Any]:
        """Return the evaluator's results, in the order of the items.

        Raises:
            RulesmithError: an item was lost with its worker again and again, or the workers cannot run rulesmith.
        """
        waiting = [self._evaluate.remote(self._mark, self._build, item) for item in items]
        try:
            return self._ray.get(waiting)
        except self._ray.exceptions.WorkerCrashedError:
            raise RulesmithError(
                f"workers died {ATTEMPTS} times on one item (out of memory?); give them more"
            ) from None
        except self._ray.exceptions.RayTaskError as error:
            last = str(error).strip().splitlines()[-1]
            raise RulesmithError(f"a Ray worker failed (is this version of rulesmith there?): {last}") from None

    def close(self) -> None:
        """Leave the cluster; what is in flight is lost."""
        if self._own:
            self._ray.shutdown()


def _reach(address: str | None) -> None:
    """Raise OSError or ValueError unless something listens at HOST:PORT; Ray itself would wait for minutes."""
    if address and address != "auto":
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host, int(port)), timeout=5).close()


def _evaluate(mark: str, build: Callable[[], Callable[[Any], Any]], item: Any) -> Any:
    if mark not in _evaluators:
        cache_compilations()
        _evaluators[mark] = build()
    return _evaluators[mark](item)


__all__ = ["RayPool"]
