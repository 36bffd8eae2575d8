"""A task with a flax linen module that has batch statistics and dropout: the module and a loss are enough.

rulesmith discover symbolic --tasks flax_linen:task --minutes 1
"""

import flax.linen as nn
import numpy as np
import optax
import rulesmith
from sklearn.datasets import load_digits


class Net(nn.Module):
    """A convolution, batch normalization, dropout; rulesmith says by `train` whether it is trained."""

    @nn.compact
    def __call__(self, images, train: bool):
        x = nn.Conv(8, (3, 3), strides=2)(images)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.Dropout(0.2, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(10)(x)


def splits():
    images, labels = load_digits(return_X_y=True)
    images = np.float32(images / 16).reshape(-1, 8, 8, 1)
    parts = np.split(np.random.default_rng(0).permutation(len(images)), [1000, 1400])
    return rulesmith.Splits(*(rulesmith.Examples(images[i], np.int32(labels[i])) for i in parts))


task = rulesmith.Task(
    name="flax-linen",
    splits=splits,
    model=Net(),
    loss=optax.softmax_cross_entropy_with_integer_labels,  # of (outputs, targets), one for each example
    steps=60,
    batch_size=32,
)
