"""Handwritten digits (1,797 images of 8 x 8, from scikit-learn): classifiers and an autoencoder."""

from __future__ import annotations

import functools

import numpy as np

from ..models import Cnn, Mlp
from .family import family
from .task import Examples, Splits, cross_entropy, shuffled_splits, squared_error


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


def _classifier(width: int) -> Mlp:
    return Mlp((width, width, 10))


_WIDTHS = 22, 108, 412, 1376

TASKS = [
    *family(
        "digits-mlp",
        "digits",
        classification,
        _classifier,
        cross_entropy,
        widths=_WIDTHS,
        steps=150,
        batch_size=32,
    ),
    *family(
        "digits-few-mlp",
        "digits",
        few,
        _classifier,
        cross_entropy,
        widths=_WIDTHS,
        steps=150,
        batch_size=32,
    ),
    *family(
        "digits-cnn",
        "digits",
        classification,
        lambda w: Cnn((w, 2 * w), 10),
        cross_entropy,
        widths=(8, 30, 102, 330),
        steps=150,
        batch_size=32,
    ),
    *family(
        "digits-autoencoder",
        "digits",
        reconstruction,
        lambda w: Mlp((2 * w, w, 2 * w, 64)),
        squared_error,
        widths=(7, 48, 194, 684),
        steps=200,
        batch_size=64,
    ),
]
