"""A task with a flax nnx module that has batch statistics and dropout: what it carries beside parameters is the state.

rulesmith discover symbolic --tasks flax_nnx:task --minutes 1
"""

import numpy as np
import optax
import rulesmith
from flax import nnx
from sklearn.datasets import load_digits


class Net(nnx.Module):
    """Two dense layers with batch normalization and dropout between them."""

    def __init__(self, rngs):
        self.first = nnx.Linear(64, 24, rngs=rngs)
        self.norm = nnx.BatchNorm(24, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.2)
        self.second = nnx.Linear(24, 10, rngs=rngs)

    def __call__(self, images, rngs=None):
        hidden = nnx.relu(self.norm(self.first(images)))
        return self.second(self.dropout(hidden, rngs=rngs))


def parts(module):
    """Return what the module is (for merging), its parameters, and its state."""
    return nnx.split(module, nnx.Param, ...)


GRAPH = parts(nnx.eval_shape(lambda: Net(nnx.Rngs(0))))[0]


def init(key):
    """Return (parameters, state)."""
    return parts(Net(nnx.Rngs(key)))[1:]


def loss(parameters, state, batch, key):
    """Return (loss, new state) of a training batch."""
    net = nnx.merge(GRAPH, parameters, state, copy=True)
    net.train()
    outputs = net(batch.inputs, nnx.Rngs(dropout=key))
    return cross_entropy(outputs, batch.targets), parts(net)[2]


def evaluation(parameters, state, batch):
    """Return the loss on validation or test data: with the statistics kept, without dropout."""
    net = nnx.merge(GRAPH, parameters, state, copy=True)
    net.eval()
    return cross_entropy(net(batch.inputs), batch.targets)


def cross_entropy(outputs, labels):
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()


def splits():
    images, labels = load_digits(return_X_y=True)
    order = np.split(np.random.default_rng(0).permutation(len(images)), [1000, 1400])
    return rulesmith.Splits(*(rulesmith.Examples(np.float32(images[i] / 16), np.int32(labels[i])) for i in order))


task = rulesmith.Task(
    name="flax-nnx",
    splits=splits,
    init=init,
    loss=loss,
    evaluation=evaluation,
    stateful=True,
    leaf_classes=rulesmith.flax_leaf_classes,
    steps=60,
    batch_size=32,
)
