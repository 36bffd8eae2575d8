"""Two photographs of scikit-learn: a flower as a function of place, and a Chinese temple that is freed from noise.

The flower (by dany13) and the temple (by 李勇) are under CC BY 2.0, as scikit-learn says.
"""

from __future__ import annotations

import functools

import numpy as np

from ..models import Denoiser, Mlp
from .family import family
from .places import raster
from .task import Splits, shuffled_splits, squared_error

PATCH = 8
NOISE = 0.75
"""Standard deviation of the noise, in standard deviations of the pixels."""


@functools.cache
def _photograph(name: str) -> np.ndarray:
    """Return the pixels (427, 640, 3), of mean 0 and variance 1."""
    from sklearn.datasets import load_sample_image

    pixels = np.asarray(load_sample_image(f"{name}.jpg"), np.float32)
    return (pixels - pixels.mean()) / pixels.std()


def flower() -> Splits:
    """Places in a quarter of the resolution as waves, and their colours (3,)."""
    pixels = _photograph("flower")[:424].reshape(106, 4, 160, 4, 3).mean((1, 3))
    return shuffled_splits(raster(106, 160, octaves=5), pixels.reshape(-1, 3))


def temple() -> Splits:
    """Patches (8, 8, 3) with noise, and their pixels (64, 3) without it."""
    pixels = _photograph("china")[:424]
    patches = pixels.reshape(53, PATCH, 80, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(-1, PATCH, PATCH, 3)
    noise = np.random.default_rng(0).standard_normal(patches.shape, np.float32)
    return shuffled_splits(patches + NOISE * noise, patches.reshape(len(patches), -1, 3))


TASKS = [
    *family(
        "flower-mlp",
        "flower",
        flower,
        lambda w: Mlp((w, w, 3)),
        squared_error,
        widths=(32, 128, 434, 1398),
        steps=150,
        batch_size=128,
    ),
    *family(
        "temple-cnn",
        "temple",
        temple,
        lambda w: Denoiser(w, 3),
        squared_error,
        widths=(9, 32, 102, 329),
        steps=150,
        batch_size=32,
    ),
]
