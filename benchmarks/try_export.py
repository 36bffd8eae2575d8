"""Train a network on other data than a search's with an exported file, which needs no rulesmith: breast cancer.

Usage: python benchmarks/try_export.py found.py
"""

import importlib.machinery
import inspect
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

STEPS = 150


def exported(path):
    """Return the optimizer of an exported file: its function with a `learning_rate`."""
    module = importlib.machinery.SourceFileLoader("exported", path).load_module()
    functions = [f for _, f in inspect.getmembers(module, inspect.isfunction)]
    return next(f for f in functions if next(iter(inspect.signature(f).parameters)) == "learning_rate")


def main():
    optimizer = exported(sys.argv[1])
    inputs, labels = map(np.asarray, load_breast_cancer(return_X_y=True))
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    train_x, test_x, train_y, test_y = map(jnp.asarray, train_test_split(inputs, labels, random_state=0))

    def loss(weights, x, y):
        hidden = jax.nn.relu(x @ weights["in"] + weights["bias"])
        return optax.softmax_cross_entropy_with_integer_labels(hidden @ weights["out"], y).mean()

    @jax.jit
    def train(learning_rate):
        key = jax.random.key(0)
        weights = {
            "in": jax.random.normal(key, (30, 64)) / 30**0.5,
            "bias": jnp.zeros(64),
            "out": jax.random.normal(jax.random.fold_in(key, 1), (64, 2)) / 8,
        }
        options = {"total_steps": STEPS}
        known = inspect.signature(optimizer).parameters
        tx = optimizer(
            optax.cosine_decay_schedule(learning_rate, STEPS), **{k: v for k, v in options.items() if k in known}
        )

        def step(carry, i):
            weights, state = carry
            batch = jax.random.randint(jax.random.fold_in(key, i), (32,), 0, len(train_x))
            updates, state = tx.update(jax.grad(loss)(weights, train_x[batch], train_y[batch]), state, weights)
            return (optax.apply_updates(weights, updates), state), None

        (weights, _), _ = jax.lax.scan(step, (weights, tx.init(weights)), jnp.arange(STEPS))
        return loss(weights, train_x, train_y), loss(weights, test_x, test_y)

    print(f"{optimizer.__name__} on breast cancer, a network of 2,112 weights, {STEPS} steps:")
    for rate in (1e-3, 1e-2, 1e-1):
        losses = train(rate)
        print(f"  learning rate {rate:<6g} training loss {losses[0]:.4f}   test loss {losses[1]:.4f}")


if __name__ == "__main__":
    main()
