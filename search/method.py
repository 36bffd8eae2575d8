"""A method is a value; one function runs any of them, fresh or resumed.

A `Method` says what a kind of search is: its config, its presets, what its runs keep, and how a config becomes the
engine's three parts. `discover` does the rest, the same for all: it checks, makes or opens the run's store, and runs
the engine under a clock until a bound is reached, a callback says stop, or the user does.
"""

from __future__ import annotations

import contextlib
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from ..programs import RulesmithError
from ..programs.errors import unknown
from ..programs.objective import Objective
from ..programs.rule import Rule
from ..programs.text_file import one_line
from . import engine
from .config_codec import differences, from_plain, to_plain, words_of
from .engine import Curriculum, Observer, Problem, Record, States, Strategy
from .executors import cache_compilations
from .numerics import check_platform, jax_flags, standard_numerics
from .options import Count, Text
from .stopping import handlers_kept, whole, written_at_least
from .store import ENDED, Store

Config = TypeVar("Config")

_MAY_BE_ZERO = {"seed", "rounds", "memory", "replay", "staleness", "edit", "entropy", "cost"}
_MAY_BE_ZERO |= {"policy_entropy", "prediction_entropy", "action_size", "prediction_size"}
"""Names of the numbers of configs that may be 0; others must be above."""
_PACKAGES = ("jax", "jaxlib", "numpy", "flax", "optax")


@dataclass(frozen=True)
class Preset(Generic[Config]):
    """A config that is known to work.

    Attributes:
        config: its fields.
        minutes: that a run takes if nothing else bounds it; None for a method whose runs end by themselves.
        variants: the config instead, for some kinds of rule (the field `rule` of the config).
    """

    config: Config
    minutes: float | None
    variants: Mapping[str, Config] = field(default_factory=dict)


@dataclass(frozen=True)
class Workers:
    """Where programs are trained; it changes nothing that is found.

    Attributes:
        workers: Processes of this machine; by default one for each core. On a machine with a GPU, programs are trained
            there at once.
        ray: Train on a Ray cluster instead; needs the extra `ray`.
        address: Address of the Ray cluster's head, HOST:PORT or auto; by default a cluster is started on this machine.
        cores: Cores that a worker takes on Ray.
        gpus: GPUs that a worker takes on Ray; may be a share of one.
    """

    workers: Count = None
    ray: bool = False
    address: Text = None
    cores: int = 1
    gpus: float = 0.0

    def check(self) -> None:
        """Raise RulesmithError unless the options go together."""
        if not self.ray and (self.address or self.cores != 1 or self.gpus):
            raise RulesmithError("--address, --cores and --gpus are for --ray")
        if self.ray and self.workers:
            raise RulesmithError("--workers is for processes of this machine; on Ray there are as many as fit")
        if self.workers is not None and self.workers < 1:
            raise RulesmithError(f"--workers is {self.workers}; it must be above 0")


@dataclass(frozen=True)
class Devices:
    """Where agents live; it changes nothing that is found.

    Attributes:
        devices: Cores to use; by default all. GPUs are always all used.
        hosts: This process is I of N, from 0, that share their devices; the first listens at HOST:PORT. All are given
            the same options, with --resume too.
    """

    devices: Count = None
    hosts: Text = None

    def check(self) -> None:
        """Raise RulesmithError unless the options make sense; make the cores devices, and join the other hosts."""
        import re

        from ..meta.population import join_hosts, use_cores
        from .executors import available_cores

        if self.devices is not None and self.devices < 1:
            raise RulesmithError(f"--devices is {self.devices}; it must be above 0")
        try:
            use_cores(self.devices or available_cores())
        except RuntimeError:  # JAX has begun to compute in this process: its devices stay as they are
            import jax

            if self.devices not in (None, len(jax.devices())):
                raise RulesmithError(
                    f"{self.devices} devices cannot be had any more: JAX began with {len(jax.devices())} in this "
                    "process; start a search before anything else runs in JAX"
                ) from None
        if self.hosts is not None:
            found = re.fullmatch(r"(\d+)/(\d+)@(.+:\d+)", self.hosts)
            if not found or not int(found[1]) < int(found[2]):
                raise RulesmithError(
                    f"--hosts {self.hosts}: give I/N@HOST:PORT, such as 0/2@10.0.0.1:1234, I from 0 to N - 1"
                )
            with handlers_kept():
                join_hosts(found[3], int(found[2]), int(found[1]))


@dataclass(frozen=True)
class Setup:
    """What a method needs to make its parts, beside its config.

    Attributes:
        store: of the run; of several hosts only the first has one.
        resources: where to compute.
        status: is told what is going on, a line at a time.
    """

    store: Store | None
    resources: Any
    status: Callable[[str], None]

    def fact(self, name: str) -> Any:
        """Return what the run's store keeps under a name, or None."""
        return self.store.fact(name) if self.store else None

    def keep(self, name: str, value: Any) -> None:
        """Keep something that was measured before the first step, so that a resumed run need not measure it again."""
        if self.store:
            self.store.add_fact(name, value)


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Attributes:
        strategy: proposes the candidates.
        curriculum: chooses what they are tried on.
        problem: tells what they are worth.
        arrays_of: function of the strategy's state to the arrays of the rule it stands for; for runs over networks.
        finished: whether nothing is left to do; by default a run ends by its bounds alone.
        after: called with the store and a status function when a session has reached its end; what takes a moment and
            is of use when a run is looked at.
        close: called at the end, whatever happened.
    """

    strategy: Strategy[Any, Any, Any]
    curriculum: Curriculum[Any, Any, Any]
    problem: Problem[Any, Any, Any, Any, Any]
    arrays_of: Callable[[Any], dict[str, np.ndarray]] | None = None
    finished: Callable[[States[Any, Any, Any]], bool] = lambda states: False
    after: Callable[[Any, Callable[[str], None]], None] = lambda store, status: None
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Method(Generic[Config]):
    """A kind of search.

    Attributes:
        name: of the method; its runs are known by it.
        config: the class of its configs, a frozen dataclass.
        presets: configs by name; "demo" is one.
        store: what its runs keep.
        unit: what bounds a run by number: "programs", "generations" or "steps".
        check: function of a config that raises RulesmithError where that cannot work, and returns what the store keeps
            beside it.
        parts: function of a config and a `Setup` to the parts of a run.
        rule: function of a run's store to the best rule that the run has found.
        view: name of the module of `results.views` that shows its runs.
        resources: class of the options that say where to compute.
        packages: whose versions decide what is found, beside JAX's and NumPy's.
        conclude: called once with the store and a status function when a run has finished by itself.
    """

    name: str
    config: type[Config]
    presets: Mapping[str, Preset[Config]]
    store: type[Store]
    unit: str
    check: Callable[[Config], dict[str, Any]]
    parts: Callable[[Config, Setup], Parts]
    rule: Callable[[Any], Rule | Objective]
    view: str
    resources: type[Workers] | type[Devices]
    packages: tuple[str, ...] = ()
    conclude: Callable[[Any, Callable[[str], None]], None] = lambda store, status: None

    def preset(self, name: str, rule: str | None = None) -> Preset[Config]:
        """Return a preset, for a kind of rule.

        Raises:
            RulesmithError: there is no such preset.
        """
        if name not in self.presets:
            raise unknown("preset", name, self.presets)
        found = self.presets[name]
        if rule is None:
            return found
        return replace(found, config=replace(found.variants.get(rule, found.config), rule=rule))  # pyright: ignore[reportArgumentType, reportCallIssue]


def kept_config(method: Method[Config], store: Store, config: Config | None) -> Config:
    """Return the config that a run began with.

    Args:
        method: of the run.
        store: of the run.
        config: that was given now; None takes the run's own.

    Raises:
        RulesmithError: the run is of another method, the config given now differs, or JAX's flags do; with both values.
    """
    where, name = store.directory, store.fact("method")
    if name != method.name:
        raise RulesmithError(f"{where} is not a run of {method.name!r} but of {name!r}")
    for flag, ours, now in differences(store.fact("flags"), jax_flags()):
        raise RulesmithError(f"JAX's flag {flag} was {ours} when {where} began and is {now} now: set it as it was")
    kept = store.fact("config")
    for what, ours, now in differences(kept, kept if config is None else to_plain(config)):
        raise RulesmithError(
            f"{what} is {words_of(ours)} in {where} and {words_of(now)} here: a run keeps the config it began with"
        )
    return from_plain(method.config, kept) if config is None else config


@standard_numerics()
def discover(
    method: Method[Config],
    config: Config | None,
    directory: Path,
    *,
    bound: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    resources: Workers | Devices | None = None,
    observers: Sequence[Observer] = (),
    callbacks: Sequence[Observer] = (),
    status: Callable[[str], None] = lambda _: None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Run a search, or go on with one.

    Args:
        method: what kind.
        config: what to search; None takes a resumed run's own, and one that differs from that is refused.
        directory: of the run.
        bound: stop after so much in the method's unit, counted from the start of the run, at the end of a step.
        minutes: stop after so long, counted from now, at the end of a step.
        resume: go on with the run in `directory`.
        resources: where to compute; by default on all of this machine.
        observers: see each step's record, after the store.
        callbacks: the same; one that returns True stops the run, which then is as after Ctrl-C.
        status: is told what is going on before the first step.
        facts: more that a new run's store keeps.

    Raises:
        RulesmithError: the directory, the config or a bound is not right; in one line.
    """
    import jax

    for name, value in (("minutes", minutes), (method.unit, bound)):
        if value is not None and not value > 0:
            raise RulesmithError(f"{name} is {value:g}; it must be above 0")
    if config is not None:
        check_numbers(config)
    resources = resources or method.resources()
    resources.check()
    check_platform()
    cache_compilations()
    if jax.process_count() > 1 and minutes is not None:
        raise RulesmithError(f"several hosts stop together: bound the run by --{method.unit}, not by --minutes")
    how: Any = {"bound": bound, "minutes": minutes, "observers": observers, "callbacks": callbacks}
    if jax.process_index() > 0:
        if config is None:
            raise RulesmithError("other hosts than the first read no store: give them all options, with --resume too")
        method.check(config)
        _run(method, config, Setup(None, resources, lambda _: None), **{**how, "observers": (), "callbacks": ()})
        return
    if resume:
        with method.store.open(directory, write=True) as store:
            config = kept_config(method, store, config)
            store.add_fact(ENDED, None)
            _run(method, config, Setup(store, resources, status), **how)
        return
    if config is None:
        raise RulesmithError("a new run needs a config")
    found = {**method.check(config), **(facts or {})}
    with method.store.create(directory, _facts(method, to_plain(config), found)) as store:
        try:
            _run(method, config, Setup(store, resources, status), **how)
        except BaseException:
            if not store.begun():
                store.remove()  # what has no step leaves its name free
            raise


def check_numbers(config: Any, where: str = "") -> None:
    """Raise RulesmithError for a number of a config that no search can work with: 0, below 0, or not finite."""
    for each in fields(config):
        name = f"{where}{each.name}"
        value: Any = getattr(config, each.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            zero = each.name in _MAY_BE_ZERO
            if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
                right = "a number that is not below 0" if zero else "a number above 0"
                raise RulesmithError(f"{name} is {value:g}; it must be {right}")
        elif isinstance(value, str) and isinstance(each.default, tuple):
            raise RulesmithError(f"{name} is one string; give a tuple, ({value!r},)")
        elif is_dataclass(value) and not hasattr(value, "mark"):  # a part of the config, not a user's own object
            check_numbers(value, f"{name}.")


def _facts(method: Method[Any], config: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the store of a new run says of it."""
    versions = {name: metadata.version(name) for name in (*_PACKAGES, *method.packages)}
    own = {"method": method.name, "config": config, "versions": versions, "flags": jax_flags()}
    return {**own, **more, "python": platform.python_version(), "started": time.strftime("%Y-%m-%d %H:%M")}


def _run(
    method: Method[Config],
    config: Config,
    setup: Setup,
    *,
    bound: int | None,
    minutes: float | None,
    observers: Sequence[Observer],
    callbacks: Sequence[Observer],
) -> None:
    """Make the parts and run the engine from where the store stands; of several hosts all follow the first's states."""
    import jax

    from ..meta.population import from_first_host

    store = setup.store
    try:
        parts = method.parts(config, setup)
    except Exception as error:
        _note_failure(store, error)
        raise
    try:
        if store and parts.arrays_of:
            store.arrays_of = parts.arrays_of  # pyright: ignore[reportAttributeAccessIssue]
        key = jax.random.key(config.seed)  # pyright: ignore[reportAttributeAccessIssue]
        first = engine.initial(parts.strategy, parts.curriculum, parts.problem, key)
        step, states = (store.resume(first) if store else None) or (0, first)
        done = store.done() if store else 0
        if jax.process_count() > 1:
            step, done, states = from_first_host((np.int32(step), np.int32(done), states))
        session = _Session(store, parts, method, bound, minutes, int(done), [*observers], [*callbacks])
        with written_at_least(session.close):
            try:
                engine.run(
                    *(parts.strategy, parts.curriculum, parts.problem),
                    key=key,
                    states=states,
                    step=int(step),
                    until=session.until,
                    observers=[session.observe],
                )
            finally:
                session.close()
        if store:
            if session.finished:
                method.conclude(store, setup.status)
            if store.begun():
                parts.after(store, setup.status)
            store.add_fact(ENDED, None if session.stopped else "done")
    except Exception as error:
        _note_failure(store, error)
        raise
    finally:
        parts.close()


def _note_failure(store: Store | None, error: Exception) -> None:
    """Keep with a run why it failed, if its disk lets."""
    if store:
        with contextlib.suppress(RulesmithError):
            store.add_fact(ENDED, f"failed: {one_line(error)}")


class _Session:
    """The clock and the bounds of a run, from one start of the program to its end."""

    def __init__(
        self,
        store: Store | None,
        parts: Parts,
        method: Method[Any],
        bound: int | None,
        minutes: float | None,
        done: int,
        observers: list[Observer],
        callbacks: list[Observer],
    ) -> None:
        self._store, self._parts, self._amount = store, parts, method.store.amount
        self._bound, self._minutes, self._done = bound, minutes, done
        self._observers, self._callbacks = observers, callbacks
        self._began = self._last = time.perf_counter()
        self.stopped = False
        """Whether a callback has stopped it."""
        self._latest: Record[Any, Any, Any, Any] | None = None
        self.finished = False

    def until(self, step: int, states: States[Any, Any, Any]) -> bool:
        """Return whether the run ends here."""
        self.finished = self._parts.finished(states)
        late = self._minutes is not None and time.perf_counter() - self._began >= 60 * self._minutes
        reached = self._bound is not None and self._done >= self._bound
        return self.finished or late or reached or self.stopped

    def observe(self, record: Record[Any, Any, Any, Any]) -> None:
        """Give a step the metric `seconds`, write it, and show it to observers and callbacks."""
        now = time.perf_counter()
        record = replace(record, metrics={**record.metrics, "seconds": now - self._last})
        self._last = now
        self._done += self._amount(record)
        with whole():
            if self._store:
                self._store(record)
            self._latest = record
        for observer in self._observers:
            observer(record)
        for callback in self._callbacks:
            self.stopped |= bool(callback(record))

    def close(self) -> None:
        """Write what is left to write."""
        with whole():
            if self._store and self._latest:
                self._store.close_step(self._latest)


__all__ = [
    "Devices", "Method", "Parts", "Preset", "Setup", "Workers", "discover", "jax_flags", "kept_config",
]  # fmt: skip
