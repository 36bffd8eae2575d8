"""The training of a task's network by a rule, as one jitted function, several runs at once.

A run is a learning rate and a seed. It ends with the loss at the end of a cosine schedule. What sets the size of its
steps is either the learning rate itself, or the *root mean square that the rule's updates shall have*: the run first
takes `PROBE` steps with frozen weights at learning rate 1, measures the updates' root mean square, and uses the
learning rate that gives the wanted one. In the second form a rule and any multiple of it are trained alike, so that
nothing can be won by a factor that happens to suit the learning rates tried.

There is one training for both executions of a program: the interpreter, compiled once for all programs of a task, and
the compiler, once for each.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float32

from ..envs.tasks import Task
from ..programs import Program
from ..programs.interpreter import Capacity, Code, InterpreterState, encode, interpret
from ..programs.rule import Rule
from ..programs.vocabulary import FUNCTIONS

PROBE = 6
"""Steps that measure a rule's update before a run in relative step sizes."""

INTERPRET_BELOW = 2e7
"""Steps times weights below which interpreting one run beats compiling it (measured on two cores)."""

MakeTransform = Callable[[Callable[[Array], Array], Any], optax.GradientTransformation]
Factory = Callable[..., optax.GradientTransformation]
"""A function like `optax.adamw`, of a learning rate and hyperparameters."""


def _forget(state: Any, fresh: Array) -> Any:
    """Return an optimizer's state as it was at the start where `fresh`; it was all zeros then."""
    if isinstance(state, InterpreterState):
        return state._replace(count=_forget(state.count, fresh), slots=_forget(state.slots, fresh))
    return jax.tree.map(lambda x: jnp.where(fresh, jnp.zeros_like(x), x), state)


def train(
    task: Task, make: MakeTransform, weights: Any, batches: Array, scale: Array, relative: Array, steps: Array
) -> Any:
    """Train a network and return its weights.

    Args:
        task: gives the loss and the training data.
        make: function of (learning rate schedule, total steps) to the optax transform; its state starts as zeros.
        weights: initial weights.
        batches: indices of training examples, (at least steps, batch).
        scale: the learning rate at the first step; if `relative`, the updates' root mean square there.
        relative: whether to measure the updates first.
        steps: length of the training; data, so that one compile serves any.
    """
    train_inputs, train_targets = map(jnp.asarray, task.data.train)
    size = sum(leaf.size for leaf in jax.tree.leaves(weights))

    def body(i: Array, carry: Any) -> Any:
        weights, state, scale = carry
        probing = i < 0
        rate = jnp.where(probing, 1.0, scale * 0.5 * (1.0 + jnp.cos(jnp.pi * i / steps)))
        transform = make(lambda _: rate, steps)
        state = _forget(state, i == 0)
        batch = batches[i % steps]
        gradients = jax.grad(task.mean_loss)(weights, train_inputs[batch], train_targets[batch])
        updates, state = transform.update(gradients, state, weights)
        squares = sum(jnp.sum(jnp.square(u)) for u in jax.tree.leaves(updates))
        scale = jnp.where(i == -1, scale / jnp.sqrt(squares / size), scale)
        weights = jax.tree.map(lambda w, u: jnp.where(probing, w, w + u), weights, updates)
        return weights, state, scale

    state = make(lambda _: scale, steps).init(weights)
    start = jnp.where(relative, -PROBE, 0)
    weights, _, _ = jax.lax.fori_loop(start, steps, body, (weights, state, scale))
    return weights


def _losses(task: Task, weights: Any) -> Float32[Array, 2]:
    """Return the losses on validation and test data."""
    return jnp.stack([task.mean_loss(weights, *map(jnp.asarray, part)) for part in task.data[1:]])


class Trainer:
    """Trains the network of one task by rules of any kind; holds the compiled functions and the seeds' data.

    Args:
        task: what to train.
        runs: how many runs one call holds; others are padded to it, so that nothing is compiled again.
        capacity: of the interpreter.
    """

    def __init__(self, task: Task, *, runs: int = 6, capacity: Capacity = Capacity()) -> None:  # noqa: B008
        self.task = task
        self.runs = runs
        self.capacity = capacity
        # Together, runs of small networks share the interpreter's overhead; large ones only crowd the caches.
        self._map = jax.vmap if task.parameters < 10_000 else _one_by_one
        self._interpreted = jax.jit(self._run_code)

    @functools.cached_property
    def _prepare(self) -> Callable[[Any], tuple[Any, Array]]:
        task = self.task
        shape = (task.steps, task.batch_size)

        @jax.jit
        def prepare(key: Any) -> tuple[Any, Array]:
            init, order = jax.random.split(key)
            return task.init(init), jax.random.randint(order, shape, 0, len(task.data.train.inputs))

        return prepare

    @functools.cache  # noqa: B019
    def seed(self, seed: int) -> tuple[Any, Array]:
        """Return a seed's initial weights, and its batches' indices, (steps, batch)."""
        return jax.device_get(self._prepare(jax.random.key(seed)))

    def _run(self, make: MakeTransform, seeds: Any, scales: Array, relative: Array, steps: Array) -> Array:
        def run(seed: Any, scale: Array) -> Array:
            weights, batches = seed
            return _losses(self.task, train(self.task, make, weights, batches, scale, relative, steps))

        return self._map(run)(seeds, scales)

    def _run_code(self, code: Code, seeds: Any, scales: Array, relative: Array, steps: Array) -> Array:
        return self._run(lambda rate, total: interpret(code, rate, total), seeds, scales, relative, steps)

    @functools.cache  # noqa: B019
    def _compiled(self, rule: Rule | Factory, names: tuple[str, ...]) -> Callable[..., Array]:
        """Return the training by one rule; the hyperparameters named are data."""

        def make(values: Any) -> MakeTransform:
            options = dict(zip(names, values, strict=True))
            if isinstance(rule, Rule):
                own = rule
                return lambda rate, total: own.to_optax(rate, total_steps=total, **options)
            factory = rule
            return lambda rate, _: factory(rate, **options)

        return jax.jit(lambda values, *run: self._run(make(values), *run))

    def interprets(self, rule: Rule) -> bool:
        """Tell whether a rule is cheaper interpreted than compiled here."""
        if "all" not in rule.programs or self.task.steps * self.task.parameters > INTERPRET_BELOW:
            return False
        return all(FUNCTIONS[s.function].cost < 100 for s in rule.program.statements)

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
            seeds: of initial weights and batches.
            relative: see the module.
            steps: length of the training; the task's own by default, and at most that.
            interpreted: which execution; by default the cheaper one.
            hyperparameters: instead of the rule's own.

        Raises:
            ProgramError: the program is too long for the interpreter.
        """
        rule = Rule.of(rule) if isinstance(rule, Program) else rule
        if isinstance(rule, Rule) and (self.interprets(rule) if interpreted is None else interpreted):
            values = tuple((name, hyperparameters.get(name, value)) for name, value in rule.hyperparameters.items())
            program = dataclasses.replace(rule.program, hyperparameters=values)
            call = functools.partial(self._interpreted, encode(program.simplified(), self.capacity))
        else:
            names = tuple(sorted(hyperparameters))
            call = functools.partial(self._compiled(rule, names), [hyperparameters[name] for name in names])
        pairs = [(scale, seed) for scale in scales for seed in seeds]
        results = []
        for begin in range(0, len(pairs), self.runs):
            part = pairs[begin : begin + self.runs]
            padded = part + part[-1:] * (self.runs - len(part))
            data = jax.tree.map(lambda *leaves: np.stack(leaves), *(self.seed(seed) for _, seed in padded))
            wanted = np.array([scale for scale, _ in padded], np.float32)
            losses = call(data, wanted, np.bool_(relative), np.int32(steps or self.task.steps))
            results.append(np.asarray(losses)[: len(part)])
        return np.concatenate(results).reshape(len(scales), len(seeds), 2)


def _one_by_one(run: Callable[..., Array]) -> Callable[..., Array]:
    return lambda *arguments: jax.lax.map(lambda each: run(*each), arguments)
