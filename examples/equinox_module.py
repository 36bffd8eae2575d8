"""A task with an equinox module: its arrays are the parameters, the rest of it is kept beside.

rulesmith discover symbolic --tasks equinox_module:task --minutes 1
"""

import equinox as eqx
import jax
import numpy as np
import optax
import rulesmith
from sklearn.datasets import load_digits


def make(key):
    return eqx.nn.MLP(64, 10, width_size=24, depth=1, key=key)


def init(key):
    """Return the module's arrays of numbers that are trained; None stands in the other places."""
    return eqx.filter(make(key), eqx.is_inexact_array)


REST = eqx.filter(eqx.filter_eval_shape(make, jax.random.key(0)), eqx.is_inexact_array, inverse=True)


def loss(parameters, batch, key):
    net = eqx.combine(parameters, REST)
    return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(net)(batch.inputs), batch.targets).mean()


def splits():
    images, labels = load_digits(return_X_y=True)
    parts = np.split(np.random.default_rng(0).permutation(len(images)), [1000, 1400])
    return rulesmith.Splits(*(rulesmith.Examples(np.float32(images[i] / 16), np.int32(labels[i])) for i in parts))


def leaf_classes(parameters):
    """Return which leaves are matrices: equinox keeps them as (outputs, inputs)."""
    return jax.tree.map(lambda leaf: (1, 0) if leaf.ndim == 2 else "other", parameters)


task = rulesmith.Task(
    name="equinox",
    splits=splits,
    init=init,
    loss=loss,
    leaf_classes=leaf_classes,
    steps=60,
    batch_size=32,
)
