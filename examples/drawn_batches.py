"""A task whose batches are drawn by a function, since there is no end of them: adding numbers, digit by digit.

rulesmith discover symbolic --tasks drawn_batches:task --minutes 1
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import rulesmith

DIGITS, BATCH = 3, 64


class Adder(nn.Module):
    """A recurrent net that reads two digits in each step and writes one, lowest first."""

    @nn.compact
    def __call__(self, pairs):
        hidden = nn.RNN(nn.SimpleCell(16))(jax.nn.one_hot(pairs, 10).reshape(*pairs.shape[:2], 20))
        return nn.Dense(10)(nn.relu(nn.Dense(32)(hidden)))


def draw(key):
    """Return a batch: digits of two numbers, (batch, digits, 2), and of their sum, (batch, digits)."""
    pairs = jax.random.randint(key, (BATCH, DIGITS, 2), 0, 10)
    powers = 10 ** jnp.arange(DIGITS)
    total = (pairs * powers[:, None]).sum((1, 2))
    return pairs, total[:, None] // powers % 10


def init(key):
    return Adder().init(key, jnp.zeros((1, DIGITS, 2), int))


def loss(parameters, batch, key):
    pairs, digits = batch
    return optax.softmax_cross_entropy_with_integer_labels(Adder().apply(parameters, pairs), digits).mean()


task = rulesmith.Task(
    name="drawn-sums",
    draw=draw,  # validation and test are batches drawn with keys that training does not use
    init=init,
    loss=loss,
    leaf_classes=rulesmith.flax_leaf_classes,  # a flax model's matrices are known by their names
    steps=100,
)
