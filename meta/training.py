"""The training of a task's network by a rule, as one jitted function, several runs at once.

A run is a learning rate and a seed. It ends with the loss at the end of its schedule: a warm-up, then a cosine (see
`schedule`). What sets the size of its
steps is either the learning rate itself, or the *root mean square that the rule's updates should have*: the run first
takes `PROBE` steps with frozen weights at learning rate 1, measures the updates' root mean square, and uses the
learning rate that gives the wanted one. In the second form a rule and any multiple of it are trained alike, so that
nothing can be won by a factor that happens to suit the learning rates tried.

There is one training for both executions of a program: the interpreter, compiled once for all programs of a task, and
the compiler, once for each. On a CPU programs are interpreted one after another; on an accelerator as many at once as
fit into its memory, vmapped (see `programs_at_once`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float32

from ..envs.tasks import Task
from ..programs import Program
from ..programs.interpreter import Capacity, Code, InterpreterState, encode, interpret
from ..programs.parts import Programs
from ..programs.rule import Rule

PROBE = 6
"""Steps that measure a rule's update before a run in relative step sizes."""

WARM_UP = 0.05
"""Part of a training in which the learning rate grows."""

MANY = 20
"""A call for many programs takes as long if few places in it are filled: where they are fewer than one in so many,
programs are interpreted one after another, which is quicker."""

VMAPPED_BELOW = 10_000
"""Weights below which a CPU trains several runs vmapped, not one after another."""

INTERPRET_BELOW = 2e7
"""Steps times weights below which interpreting one run beats compiling it (measured on two cores)."""

MakeTransform = Callable[[Callable[[Array], Array], Any], optax.GradientTransformation]
Factory = Callable[..., optax.GradientTransformation]
"""A function like `optax.adamw`, of a learning rate and hyperparameters."""


def maker(rule: Rule | Factory, options: Mapping[str, Any], task: Task) -> MakeTransform:
    """Return the function of (learning rate schedule, total steps) to a rule's optax transform for a task.

    Args:
        rule: a rule, or a function like `optax.adamw` of (learning rate, hyperparameters).
        options: hyperparameters.
        task: says which leaves are matrices.
    """
    if isinstance(rule, Rule):
        own, classes = rule, task.functions.leaf_classes
        return lambda rate, total: own.to_optax(rate, total_steps=total, leaf_classes=classes, **options)
    factory = rule
    return lambda rate, _: factory(rate, **options)


def _begun_again(state: Any, make: MakeTransform, weights: Any, fresh: Array) -> Any:
    """Return an optimizer's state as it was at the start, with those weights, where `fresh`."""
    if isinstance(state, InterpreterState):
        return state.begun_again(fresh)
    first = make(lambda _: jnp.float32(0), 1).init(weights)
    return jax.tree.map(lambda x, start: jnp.where(fresh, start, x), state, first)


class Start(NamedTuple):
    """What a seed gives a training.

    Attributes:
        weights: initial weights.
        extra: initial state of the model beside its weights; see `Task`.
        rows: what each step's batch is made of; see `Task.rows`.
        key: data of the key of dropout and other noise.
    """

    weights: Any
    extra: Any
    rows: Array
    key: Array


def step_gradients(task: Task, start: Start, weights: Any, extra: Any, i: Array, steps: Any) -> tuple[Any, Any, Any]:
    """Return a step's training loss, its gradients, and the model's new state.

    Args:
        task: gives the loss and the data.
        start: gives batches and noise.
        weights: the weights now.
        extra: the model's state now.
        i: the step; from `-PROBE`.
        steps: length of the training.
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(start.key), i + PROBE)
    batch = task.batch(start.rows[i % steps])
    (loss, new), gradients = jax.value_and_grad(task.training_loss, has_aux=True)(weights, extra, batch, key)
    return loss, gradients, new


def schedule(step: Array, steps: Array) -> Array:
    """Return a step's learning rate as a part of the highest: a linear warm-up, times half a cosine that ends at 0.

    Without the warm-up a search would find one, and look better than optimizers that were tuned without.

    Args:
        step: the step, from 0.
        steps: length of the training.
    """
    return jnp.minimum(1.0, (step + 1) / (WARM_UP * steps)) * 0.5 * (1.0 + jnp.cos(jnp.pi * step / steps))


def train(task: Task, make: MakeTransform, start: Start, scale: Array, relative: Array, steps: Array) -> Any:
    """Train a network and return its weights, and its state beside them.

    Args:
        task: gives the loss and the training data.
        make: function of (learning rate schedule, total steps) to the optax transform.
        start: initial weights, and what each step needs.
        scale: the highest learning rate of the schedule; if `relative`, the updates' root mean square there.
        relative: whether to measure the updates first.
        steps: length of the training; data, so that one compile serves any.
    """
    size = sum(leaf.size for leaf in jax.tree.leaves(start.weights))

    def body(i: Array, carry: Any) -> Any:
        weights, extra, state, scale = carry
        probing = i < 0
        rate = jnp.where(probing, 1.0, scale * schedule(i, steps))
        transform = optax.with_extra_args_support(make(lambda _: rate, steps))
        state = _begun_again(state, make, start.weights, i == 0)
        loss, gradients, new = step_gradients(task, start, weights, extra, i, steps)
        updates, state = transform.update(gradients, state, weights, value=loss)
        squares = sum(jnp.sum(jnp.square(u)) for u in jax.tree.leaves(updates))
        scale = jnp.where(i == -1, scale / jnp.sqrt(squares / size), scale)
        weights = jax.tree.map(lambda w, u: jnp.where(probing, w, w + u), weights, updates)
        extra = jax.tree.map(lambda old, now: jnp.where(probing, old, now), extra, new)
        return weights, extra, state, scale

    state = make(lambda _: scale, steps).init(start.weights)
    begin = jnp.where(relative, -PROBE, 0)
    weights, extra, _, _ = jax.lax.fori_loop(begin, steps, body, (start.weights, start.extra, state, scale))
    return weights, extra


def _losses(task: Task, weights: Any, extra: Any) -> Float32[Array, 2]:
    """Return the losses on validation and test data."""
    return jnp.stack([task.loss_on(part, weights, extra) for part in ("validation", "test")])


def vmapped(task: Task) -> bool:
    """Tell whether runs of a task are vmapped.

    Those of small networks share the interpreter's overhead then; large ones would only fill a CPU's caches.
    """
    return task.parameters < VMAPPED_BELOW or jax.default_backend() != "cpu"


class Trainer:
    """Trains the network of one task by rules of any kind; holds the compiled functions and the seeds' data.

    Args:
        task: what to train.
        runs: how many runs one call holds; fewer are padded to that number, so that nothing is compiled again.
        programs: how many interpreted programs one call holds, vmapped; fewer are padded to that number.
        capacity: the interpreter's capacity.
    """

    def __init__(
        self,
        task: Task,
        *,
        runs: int = 6,
        programs: int = 1,
        capacity: Capacity = Capacity(),  # noqa: B008
    ) -> None:
        self.task = task
        self.runs = runs
        self.programs = programs
        self.capacity = capacity
        self._map = jax.vmap if programs > 1 or vmapped(task) else _one_by_one
        self._interpreted_alone = jax.jit(functools.partial(self._run_code, True))
        self._interpreted = jax.jit(jax.vmap(functools.partial(self._run_code, False), (0, None, 0, None, None)))

    @functools.cached_property
    def _prepare(self) -> Callable[[Any], Start]:
        task = self.task

        @jax.jit
        def prepare(key: Any) -> Start:
            init, order = jax.random.split(key)
            return Start(*task.start(init), task.rows(order), jax.random.key_data(order))

        return prepare

    @functools.cache  # noqa: B019
    def seed(self, seed: int) -> Start:
        """Return what a seed gives a training."""
        return jax.device_get(self._prepare(jax.random.key(seed)))

    def _run(self, make: MakeTransform, seeds: Any, scales: Array, relative: Array, steps: Array) -> Array:
        def run(start: Start, scale: Array) -> Array:
            return _losses(self.task, *train(self.task, make, start, scale, relative, steps))

        return self._map(run)(seeds, scales)

    def _run_code(self, heavy: bool, code: Code, seeds: Any, scales: Array, relative: Array, steps: Array) -> Array:
        classes = self.task.functions.leaf_classes

        def make(rate: Callable[[Array], Array], total: Any) -> optax.GradientTransformation:
            return interpret(code, rate, total, heavy=heavy, leaf_classes=classes)

        return self._run(make, seeds, scales, relative, steps)

    @functools.cache  # noqa: B019
    def _compiled(self, rule: Rule | Factory, names: tuple[str, ...]) -> Callable[..., Array]:
        """Return the training by one rule; the hyperparameters named are data."""

        def trained(values: Any, *rest: Any) -> Array:
            return self._run(maker(rule, dict(zip(names, values, strict=True)), self.task), *rest)

        return jax.jit(trained)

    def interprets(self, rule: Rule) -> bool:
        """Tell whether a rule is cheaper interpreted than compiled here."""
        return self.task.steps * self.task.parameters <= INTERPRET_BELOW and light(Programs.of(rule.programs))

    def losses(
        self,
        rule: Rule | Program | Factory,
        scales: Sequence[float],
        seeds: Sequence[int],
        *,
        relative: bool = False,
        steps: int | None = None,
        interpreted: bool | None = None,
        hyperparameters: Mapping[str, float] = MappingProxyType({}),
    ) -> Float32[np.ndarray, "scales seeds 2"]:
        """Return the losses on validation and test data at the end of trainings, NaN or infinite where they diverge.

        Args:
            rule: a rule, a program, or a function like `optax.adamw` of (learning rate, hyperparameters).
            scales: learning rates, or with `relative` root mean squares of the update.
            seeds: seeds of initial weights and batches.
            relative: whether `scales` are root mean squares of the update; see the module.
            steps: length of the training; the task's own by default, and at most that.
            interpreted: which execution; by default the cheaper one.
            hyperparameters: values instead of the rule's defaults.

        Raises:
            ProgramError: the program is too long for the interpreter.
        """
        rule = Rule.of(rule) if isinstance(rule, Program) else rule
        if isinstance(rule, Rule) and (self.interprets(rule) if interpreted is None else interpreted):
            programs = Programs.of(rule.programs).with_hyperparameters(hyperparameters)
            return self.losses_of([programs], [scales], seeds, relative=relative, steps=steps)[0]
        names = tuple(sorted(hyperparameters))
        train = functools.partial(self._compiled(rule, names), [hyperparameters[name] for name in names])
        return self._in_parts(_alone(train), np.array(scales, np.float32)[None], seeds, relative, steps)[0]

    @functools.cache  # noqa: B019
    def _compiled_each(self, rule: Rule | Factory, names: tuple[str, ...]) -> Callable[..., Array]:
        """Return trainings by one rule, each with its own hyperparameters: (values, starts, rates, steps) to losses."""

        def trained(values: Array, starts: Start, rates: Array, steps: Array) -> Array:
            def run(value: Array, start: Start, rate: Array) -> Array:
                make = maker(rule, dict(zip(names, value, strict=True)), self.task)
                return _losses(self.task, *train(self.task, make, start, rate, jnp.bool_(False), steps))

            return self._map(run)(values, starts, rates)

        return jax.jit(trained)

    def losses_at(
        self,
        rule: Rule | Factory,
        settings: Sequence[Mapping[str, float]],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        told: Callable[[float], None] = lambda _: None,
    ) -> Float32[np.ndarray, "settings seeds 2"]:
        """Return the losses on validation and test data at the end of trainings at several settings; see `losses`.

        Args:
            rule: a rule, or a function like `optax.adamw` of (learning rate, hyperparameters).
            settings: `learning_rate` and hyperparameters, the same names in each.
            seeds: seeds of initial weights and batches.
            steps: length of the training; the task's own by default, and at most that.
            told: called now and then with the number of steps made since, of all trainings together.
        """
        names = tuple(sorted(name for name in settings[0] if name != "learning_rate"))
        call, length = self._compiled_each(rule, names), np.int32(steps or self.task.steps)
        pairs = [(setting, seed) for setting in settings for seed in seeds]
        results = []
        for begin in range(0, len(pairs), self.runs):
            part = pairs[begin : begin + self.runs]
            padded = part + part[-1:] * (self.runs - len(part))
            starts = jax.tree.map(lambda *leaves: np.stack(leaves), *(self.seed(seed) for _, seed in padded))
            values = np.array([[setting[name] for name in names] for setting, _ in padded], np.float32)
            rates = np.array([setting["learning_rate"] for setting, _ in padded], np.float32)
            results.append(np.asarray(call(values.reshape(self.runs, len(names)), starts, rates, length))[: len(part)])
            told(len(part) * float(length))
        return np.concatenate(results).reshape(len(settings), len(seeds), 2)

    def losses_of(
        self,
        rules: Sequence[Programs],
        scales: Sequence[Sequence[float]],
        seeds: Sequence[int],
        *,
        relative: bool = False,
        steps: int | None = None,
    ) -> Float32[np.ndarray, "rules scales seeds 2"]:
        """Return the losses of interpreted rules, each at its own scales, the same number for each; see `losses`.

        Raises:
            ProgramError: a program is too long for the interpreter.
        """
        wanted = np.array(scales, np.float32)
        found = np.empty((*wanted.shape, len(seeds), 2), np.float32)
        codes = [encode(each.simplified(), self.capacity) for each in rules]
        vmapped = [i for i, each in enumerate(rules) if light(each)] if self.programs > 1 else []
        # A call takes as long for few programs as for many, so a few of them are interpreted one after another.
        few = len(vmapped) % self.programs
        if few * MANY < self.programs:
            vmapped = vmapped[: len(vmapped) - few]
        for i in sorted(set(range(len(rules))) - set(vmapped)):
            call = _alone(functools.partial(self._interpreted_alone, codes[i]))
            found[i] = self._in_parts(call, wanted[i : i + 1], seeds, relative, steps)[0]
        for begin in range(0, len(vmapped), self.programs):
            part = vmapped[begin : begin + self.programs]
            padded = part + part[-1:] * (self.programs - len(part))
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *(codes[i] for i in padded))
            call = functools.partial(self._interpreted, stacked)
            found[part] = self._in_parts(call, wanted[padded], seeds, relative, steps)[: len(part)]
        return found

    def _in_parts(
        self,
        call: Callable[..., Array],
        scales: Float32[np.ndarray, "programs scales"],
        seeds: Sequence[int],
        relative: bool,
        steps: int | None,
    ) -> Float32[np.ndarray, "programs scales seeds 2"]:
        """Return the losses of all scales and seeds, `runs` of them in a call, the last ones padded."""
        pairs = [(i, seed) for i in range(scales.shape[1]) for seed in seeds]
        results = []
        for begin in range(0, len(pairs), self.runs):
            part = pairs[begin : begin + self.runs]
            padded = part + part[-1:] * (self.runs - len(part))
            data = jax.tree.map(lambda *leaves: np.stack(leaves), *(self.seed(seed) for _, seed in padded))
            wanted = scales[:, [i for i, _ in padded]]
            losses = call(data, wanted, np.bool_(relative), np.int32(steps or self.task.steps))
            results.append(np.asarray(losses)[:, : len(part)])
        return np.concatenate(results, axis=1).reshape(*scales.shape, len(seeds), 2)


def _alone(call: Callable[..., Array]) -> Callable[..., Array]:
    """Return the training of one rule in the form of a training of several: with an axis of programs first."""
    return lambda data, scales, *rest: call(data, scales[0], *rest)[None]


def light(programs: Programs) -> bool:
    """Tell whether a rule's programs have no heavy function."""
    return not programs.calls(lambda function: function.heavy)


def _one_by_one(run: Callable[..., Array]) -> Callable[..., Array]:
    return lambda *arguments: jax.lax.map(lambda each: run(*each), arguments)


def bytes_of(task: Task, runs: int, capacity: Capacity = Capacity()) -> int:  # noqa: B008
    """Return about how much memory an interpreted program takes while its runs train: registers and activations.

    The registers count twice, since a vmapped switch writes all of its results; the activations are all arrays that the
    gradient of a batch computes.
    """
    gradient = jax.make_jaxpr(jax.grad(task.training_loss, has_aux=True))(
        *task.shapes, task.batch_shapes, jax.random.key(0)
    )
    activations = sum(v.aval.size for equation in gradient.eqns for v in equation.outvars)  # pyright: ignore
    return 4 * runs * (2 * capacity.registers * task.parameters + activations)


def accelerator_bytes() -> float:
    """Return how much memory the accelerator has, in bytes."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 8 * 2**30)


def programs_at_once(task: Task, runs: int, memory: float) -> int:
    """Return how many programs to interpret in one call.

    Args:
        task: what they train.
        runs: runs of each program in the call.
        memory: GiB that they may take together; 0 for half of an accelerator's, and one program on a CPU.
    """
    total = memory * 2**30
    if not memory:
        if jax.default_backend() == "cpu":
            return 1
        total = 0.5 * accelerator_bytes()
    return min(1024, max(1, int(total / bytes_of(task, runs))))
