"""A supervised task: data, a network, a loss, and how long to train."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..marks import computation_hash, content_hash, hash_of


class Examples(NamedTuple):
    """Inputs and targets, the first axis counting examples."""

    inputs: np.ndarray
    targets: np.ndarray


class Splits(NamedTuple):
    """The three parts of a data set: rules are tuned and selected on validation, claims are made on test."""

    train: Examples
    validation: Examples
    test: Examples


@dataclass(frozen=True, eq=False)
class Task:
    """A network to train; tasks are compared by identity.

    Attributes:
        name: unique.
        data_set: name of the data; search, selection and held-out tasks never share one.
        splits: function that returns the data (called once in a process).
        model: a flax module from a batch of inputs to a batch of outputs.
        loss: function of (outputs, targets) to one loss for each example or prediction; its mean is minimized.
        steps: length of the training, in updates.
        batch_size: examples in a batch.
    """

    name: str
    data_set: str
    splits: Callable[[], Splits]
    model: Any
    loss: Callable[[Any, Any], Any]
    steps: int
    batch_size: int = 64

    @functools.cached_property
    def data(self) -> Splits:
        """The data."""
        return self.splits()

    @functools.cached_property
    def parameters(self) -> int:
        """Number of weights."""
        import jax

        shapes = jax.eval_shape(self.init, jax.random.key(0))
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))

    def mark(self) -> str:
        """Return a hash of all that the task is: its data, and its network and loss as JAX compiles them."""
        import jax

        key = jax.random.key(0)
        batch = [array[: self.batch_size] for array in self.data.train]
        weights, training = jax.eval_shape(self.init, key), jax.value_and_grad(self.mean_loss)
        computed = computation_hash(self.init, key), computation_hash(training, weights, *batch)
        data = content_hash(tuple(tuple(part) for part in self.data))
        return hash_of(self.name, self.steps, self.batch_size, data, *computed)

    def init(self, key: Any) -> Any:
        """Return new weights, a pytree."""
        return self.model.init(key, self.data.train.inputs[:1])["params"]

    def mean_loss(self, weights: Any, inputs: Any, targets: Any) -> Any:
        """Return the mean loss over a batch, a scalar."""
        return self.loss(self.model.apply({"params": weights}, inputs), targets).mean()


def shuffled_splits(inputs: np.ndarray, targets: np.ndarray, *, validation: float = 0.2, test: float = 0.2) -> Splits:
    """Return the three parts of a set of independent examples, drawn by a fixed permutation."""
    order = np.random.default_rng(0).permutation(len(inputs))
    first, second = int(len(order) * (1 - validation - test)), int(len(order) * (1 - test))
    parts = order[:first], order[first:second], order[second:]
    return Splits(*(Examples(inputs[part], targets[part]) for part in parts))


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Softmax cross-entropy of integer labels."""
    import optax

    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def squared_error(outputs: Any, targets: Any) -> Any:
    """Squared difference, averaged over the last axis."""
    return ((outputs - targets) ** 2).mean(-1)
