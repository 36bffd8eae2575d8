"""Handwritten digits (1,797 images of 8 x 8, from scikit-learn): classifiers and an autoencoder."""

from __future__ import annotations

import functools

import numpy as np

from ..models import Cnn, Mlp
from .task import Examples, Splits, Task, cross_entropy, shuffled_splits, squared_error


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    return (pixels.reshape(-1, 8, 8, 1) / 16.0).astype(np.float32), labels.astype(np.int32)


def classification() -> Splits:
    """Images (8, 8, 1) in [0, 1], labels 0 to 9."""
    return shuffled_splits(*_digits())


def few() -> Splits:
    """A tenth of the images to train on, so that a network soon knows them by heart, as it does small tables."""
    splits = classification()
    return splits._replace(train=Examples(splits.train.inputs[:108], splits.train.targets[:108]))


def reconstruction() -> Splits:
    """Images as inputs and, flattened and standardized by a fixed scale, as targets."""
    images, _ = _digits()
    return shuffled_splits(images, (images.reshape(len(images), -1) - 0.3) / 0.375)


def _batch(size: str) -> int:
    return 32 if size.split("-")[-1] == "2k" else 64


def _classifier(name: str, model: object, steps: int) -> Task:
    return Task(f"digits-{name}", "digits", classification, model, cross_entropy, steps, _batch(name))


TASKS = [
    _classifier("mlp-2k", Mlp((32, 10)), 150),
    _classifier("mlp-20k", Mlp((128, 96, 10)), 300),
    _classifier("mlp-200k", Mlp((384, 384, 64, 10)), 600),
    _classifier("cnn-2k", Cnn((8, 16), 10), 150),
    _classifier("cnn-20k", Cnn((32, 48), 10), 300),
    _classifier("cnn-200k", Cnn((96, 192), 10), 600),
    Task("digits-few-mlp-2k", "digits", few, Mlp((32, 10)), cross_entropy, 150, 32),
    *(
        Task(f"digits-autoencoder-{size}", "digits", reconstruction, Mlp(widths), squared_error, steps, _batch(size))
        for size, widths, steps in [
            ("2k", (14, 6, 14, 64), 200),
            ("20k", (96, 32, 96, 64), 400),
            ("200k", (512, 160, 512, 64), 800),
        ]
    ),
]
