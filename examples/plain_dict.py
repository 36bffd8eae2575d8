"""A task from three functions of a plain dictionary of arrays, without any library for networks.

rulesmith discover symbolic --tasks plain_dict:task --minutes 1     # in this folder, or with it on PYTHONPATH
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import rulesmith
from sklearn.datasets import load_digits


def splits():
    """Return the data: training, validation, test. Any pytree of arrays will do; the first axis counts examples."""
    images, labels = load_digits(return_X_y=True)
    parts = np.split(np.random.default_rng(0).permutation(len(images)), [1000, 1400])
    return rulesmith.Splits(*({"image": np.float32(images[i] / 16), "label": np.int32(labels[i])} for i in parts))


def init(key):
    """Return the parameters."""
    first, second = jax.random.split(key)
    return {
        "first": {"kernel": jax.random.normal(first, (64, 24)) / 8, "bias": jnp.zeros(24)},
        "second": {"kernel": jax.random.normal(second, (24, 10)) / 5, "bias": jnp.zeros(10)},
    }


def logits(parameters, images):
    hidden = jax.nn.relu(images @ parameters["first"]["kernel"] + parameters["first"]["bias"])
    return hidden @ parameters["second"]["kernel"] + parameters["second"]["bias"]


def loss(parameters, batch, key):
    """Return the training loss of a batch, with some noise on the images."""
    noisy = batch["image"] + 0.1 * jax.random.normal(key, batch["image"].shape)
    return cross_entropy(parameters, {**batch, "image": noisy})


def cross_entropy(parameters, batch):
    """Return the loss by which the result is judged, without noise."""
    found = logits(parameters, batch["image"])
    return optax.softmax_cross_entropy_with_integer_labels(found, batch["label"]).mean()


task = rulesmith.Task(
    name="plain-dict",
    splits=splits,
    init=init,
    loss=loss,
    evaluation=cross_entropy,  # without it, the loss is taken with a key that is always the same
    steps=60,
    batch_size=32,
)
