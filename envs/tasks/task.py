"""A task for optimizers: data, a network, a loss, and how long to train.

A task is written in one of two forms: with a flax linen `model`, or with functions of parameters, which serve any JAX
library. Inside there is one form, `Functions`, into which both are brought.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from ...programs import RulesmithError
from ..imports import EXAMPLE_FILES
from ..marks import computation_hash, content_hash, hash_of

DRAWS = 16
"""Batches that validation and test take of a function that draws them; always the same ones."""


class Examples(NamedTuple):
    """Inputs and targets, the first axis counting examples."""

    inputs: np.ndarray
    targets: np.ndarray


class Splits(NamedTuple):
    """The three parts of a data set: rules are tuned and selected on validation, claims are made on test.

    Each is a pytree of arrays whose first axis counts examples, such as an `Examples`.
    """

    train: Any
    validation: Any
    test: Any


class Functions(NamedTuple):
    """What a task computes. What a model carries beside parameters, such as batch statistics, is its *state*.

    Attributes:
        init: function of a key to (parameters, state).
        loss: function of (parameters, state, batch, key) to (loss, new state), as in training.
        evaluation: function of (parameters, state, batch) to the loss, as on validation and test data.
        leaf_classes: which leaves are matrices; see `Rule.to_optax`.
    """

    init: Callable[[Any], tuple[Any, Any]]
    loss: Callable[[Any, Any, Any, Any], tuple[Any, Any]]
    evaluation: Callable[[Any, Any, Any], Any]
    leaf_classes: Any


@dataclass(frozen=True, eq=False)
class Task:
    """A network to train; tasks are compared by identity.

    With a flax linen module as `model`, `loss` is a function of (outputs, targets) to one loss for each example or
    prediction, and data are `Examples`. Batch statistics and dropout work, and an argument `train` (or `training`,
    `deterministic`, `use_running_average`) of the module is given as the training or the evaluation needs it.

    Without a model, `init` is a function of a key to the parameters, any pytree of arrays, and `loss` one of
    (parameters, batch, key) to a number. That serves any JAX library: the repository's folder `examples` has a task
    for flax nnx, for equinox and for plain dictionaries.

    Attributes:
        name: unique.
        data_set: name of the data; search, selection and held-out tasks never share one. By default the name.
        splits: the data, `Splits`, or a function of no arguments that returns them (called once in a process).
        model: a flax linen module from a batch of inputs to a batch of outputs; None for a task from functions.
        loss: with a model of (outputs, targets), else of (parameters, batch, key). Its mean is minimized. It must stay
            above 0, since rules are judged by the ratio of their loss to AdamW's.
        steps: length of the training, in updates.
        batch_size: examples in a batch.
        init: function of a key to the parameters. If `stateful`, to (parameters, state).
        evaluation: function of (parameters, batch) to the loss on validation and test data, by default `loss` with a
            fixed key. If `stateful`, of (parameters, state, batch).
        draw: function of a key to a batch, instead of `splits`. Validation and test are some batches that it draws
            from keys that training does not use.
        stateful: whether the functions carry a state beside the parameters, as batch statistics are: `init` returns
            (parameters, state), and `loss` is a function of (parameters, state, batch, key) to (loss, new state).
        leaf_classes: which leaves of the parameters are matrices and where their axes divide; see `Rule.to_optax`. By
            default those of flax's modules are known, and of functions leaves of two axes are matrices.

    Raises:
        RulesmithError: the fields do not make a task.
    """

    name: str
    data_set: str = ""
    splits: Any = None
    model: Any = None
    loss: Any = None
    steps: int = 0
    batch_size: int = 64
    init: Callable[[Any], Any] | None = field(default=None, kw_only=True)
    evaluation: Callable[..., Any] | None = field(default=None, kw_only=True)
    draw: Callable[[Any], Any] | None = field(default=None, kw_only=True)
    stateful: bool = field(default=False, kw_only=True)
    leaf_classes: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name):
            raise RulesmithError(f"a task's name is {self.name!r}; it must be text")
        if not self.data_set:
            object.__setattr__(self, "data_set", self.name)
        for what in ("steps", "batch_size"):
            value = getattr(self, what)
            if type(value) is not int or value < 1:
                raise self.fault(f"{what} is {value!r}; it must be a whole number above 0")
        for what in ("loss", "init", "evaluation", "draw"):
            value = getattr(self, what)
            if value is not None and not callable(value):
                raise self.fault(f"{what} is {value!r:.60}; it must be a function")
        if (self.model is None) == (self.init is None):
            raise self.fault(f"give a flax linen model, or init and loss, functions as in {EXAMPLE_FILES['Task']}")
        if self.model is not None and not (hasattr(self.model, "init") and hasattr(self.model, "apply")):
            kind = type(self.model).__name__
            raise self.fault(
                f"model is a {kind}, not a flax linen module; others go by init and loss: {EXAMPLE_FILES['Task']}"
            )
        if self.model is not None and (self.evaluation or self.draw or self.stateful):
            raise self.fault(
                f"evaluation, draw and stateful belong to a task from init and loss; see {EXAMPLE_FILES['Task']}"
            )
        if self.loss is None:
            raise self.fault(f"loss is missing; see {EXAMPLE_FILES['Task']}")
        if (self.splits is None) == (self.draw is None):
            raise self.fault(
                f"give splits, the data, or draw, a function of a key to a batch; see {EXAMPLE_FILES['Task']}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return what other processes need of the task: not the data that this one has read."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def fault(self, why: str) -> RulesmithError:
        """Return the error that says what is wrong with this task."""
        return RulesmithError(f"task {self.name}: {why}")

    @functools.cached_property
    def data(self) -> Splits:
        """The three parts of the data; raises AttributeError if batches are drawn."""
        if self.splits is None:
            raise AttributeError("batches are drawn")
        found = self.splits() if callable(self.splits) else self.splits
        if not (isinstance(found, tuple) and len(found) == 3):
            raise self.fault(
                f"splits are {type(found).__name__}; they must be rulesmith.Splits(train, validation, test)"
            )
        return Splits(*found)

    @functools.cached_property
    def functions(self) -> Functions:
        """What the task computes."""
        if self.model is not None:
            from .flax_networks import flax_functions

            found = flax_functions(self.model, self.loss, self.data.train.inputs[:1])
            return found if self.leaf_classes is None else found._replace(leaf_classes=self.leaf_classes)
        assert self.init is not None
        own = self.init, self.loss, self.evaluation
        init, loss, evaluation = own if self.stateful else _stateless(*own)
        return Functions(init, loss, evaluation or _with_fixed_key(loss), self.leaf_classes)

    @functools.cached_property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(math.prod(leaf.shape) for leaf in _leaves(self.shapes[0]))

    @functools.cached_property
    def shapes(self) -> Any:
        """Shapes and types of (parameters, state)."""
        import jax

        return jax.eval_shape(self.start, jax.random.key(0))

    @functools.cached_property
    def batch_shapes(self) -> Any:
        """Shapes and types of a batch."""
        import jax

        return jax.eval_shape(lambda key: self.batch(self.rows(key)[0]), jax.random.key(0))

    def mark(self) -> str:
        """Return a hash of all that the task is: its data, and what it computes as JAX compiles it."""
        import jax

        key = jax.random.key(0)
        training = jax.value_and_grad(self.training_loss, has_aux=True)
        computed = [
            computation_hash(self.start, key),
            computation_hash(training, *self.shapes, self.batch_shapes, key),
            computation_hash(self.functions.evaluation, *self.shapes, self.batch_shapes),
        ]
        return hash_of(self.name, self.steps, self.batch_size, self.data_mark(), *computed)

    def data_mark(self) -> str:
        """Return a hash of the data; of a task that draws its examples, of how it does, as JAX compiles that."""
        import jax

        if self.draw:
            return computation_hash(self.draw, jax.random.key(0))
        return content_hash(tuple(map(tuple, map(_leaves, self.data))))

    def start(self, key: Any) -> tuple[Any, Any]:
        """Return new parameters, a pytree, and the state."""
        return self.functions.init(key)

    def rows(self, key: Any) -> Any:
        """Return what each step's batch is made of, integers (steps, ...): indices of examples, or a key's data."""
        import jax

        if self.draw:
            return jax.random.key_data(jax.random.split(key, self.steps))
        return jax.random.randint(key, (self.steps, self.batch_size), 0, len(_leaves(self.data.train)[0]))

    def batch(self, row: Any) -> Any:
        """Return a training batch, given one of the `rows`."""
        import jax
        import jax.numpy as jnp

        if self.draw:
            return self.draw(jax.random.wrap_key_data(row))
        return jax.tree.map(lambda x: jnp.asarray(x)[row], self.data.train)

    def training_loss(self, parameters: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        """Return the loss of a training batch, a scalar, and the new state."""
        return self.functions.loss(parameters, state, batch, key)

    def loss_on(self, part: str, parameters: Any, state: Any) -> Any:
        """Return the loss on a part of the data, a scalar: "validation" or "test" (or "train")."""
        import jax
        import jax.numpy as jnp

        evaluation = self.functions.evaluation
        if not self.draw:
            return evaluation(parameters, state, jax.tree.map(jnp.asarray, getattr(self.data, part)))
        key = jax.random.fold_in(jax.random.key(2**31 - 1), Splits._fields.index(part))
        draw = self.draw
        losses = jax.lax.map(lambda k: evaluation(parameters, state, draw(k)), jax.random.split(key, DRAWS))
        return losses.mean()


def _leaves(tree: Any) -> list[Any]:
    import jax

    return jax.tree.leaves(tree)


def _stateless(init: Any, loss: Any, evaluation: Any) -> tuple[Any, Any, Any]:
    """Return functions with a state, given functions of parameters without one."""

    def with_state(parameters: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        return loss(parameters, batch, key), ()

    return lambda key: (init(key), ()), with_state, evaluation and (lambda p, state, batch: evaluation(p, batch))


def _with_fixed_key(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Return the evaluation that is a loss with a key that is always the same."""

    def evaluation(parameters: Any, state: Any, batch: Any) -> Any:
        import jax

        return loss(parameters, state, batch, jax.random.key(0))[0]

    return evaluation


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
