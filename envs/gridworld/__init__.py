"""The grid-world of the LPG paper: levels as data, their dynamics, and the named ones."""

from .dynamics import FIVE, FOUR, NINE, GridState, environment_of
from .level import Level, Thing, level_of
from .levels import DISTRIBUTIONS, GRID_NAMES, PUBLIC, RANDOM, TABULAR, make_grid

__all__ = [
    "DISTRIBUTIONS",
    "FIVE",
    "FOUR",
    "GRID_NAMES",
    "NINE",
    "PUBLIC",
    "RANDOM",
    "TABULAR",
    "GridState",
    "Level",
    "Thing",
    "environment_of",
    "level_of",
    "make_grid",
]
