"""Levels as text and as images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ...programs import RulesmithError
from .level import Level

LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""Objects by number; on a map, each is one letter."""
WALL, FREE, START = "#", ".", "@"
_EDGE, _FLOOR, _GRID, _AGENT = (60, 63, 70), (246, 246, 243), (222, 222, 218), (31, 95, 168)
_GOOD, _BAD, _NONE = np.array([42, 140, 66]), np.array([205, 60, 45]), np.array([214, 210, 160])


def extent(level: Level) -> int:
    """Return how many of the board's rows and columns hold a free cell or come before one."""
    free = np.argwhere(~np.asarray(level.walls))
    return int(free.max()) + 1


def map_of(level: Level) -> list[str]:
    """Return a level's rows as text: walls `#`, the start `@`, objects with a fixed place by letter, the rest `.`."""
    board, own = len(level.walls), extent(level)
    cells = np.where(np.asarray(level.walls), WALL, FREE)
    if level.start >= 0:
        cells[divmod(int(level.start), board)] = START
    for i, place in enumerate(np.asarray(level.places)):
        if level.exists[i] and place >= 0:
            cells[divmod(int(place), board)] = LETTERS[i]
    return ["".join(row) for row in cells[:own, :own]]


def text(level: Level) -> str:
    """Return a level for the terminal: its map, and a line for each object."""
    lines = [" ".join(row) for row in map_of(level)]
    lines += ["", f"episodes of {int(level.steps)} steps, from {'@' if level.start >= 0 else 'any free cell'}"]
    for i in np.flatnonzero(np.asarray(level.exists)):
        place = "" if level.places[i] >= 0 else ", on a random cell"
        lines.append(
            f"{LETTERS[i]}: reward {float(level.rewards[i]):+.3g}, ends an episode with probability "
            f"{float(level.ends[i]):.3g}, comes back with {float(level.respawns[i]):.3g} a step{place}"
        )
    return "\n".join(lines)


def image(level: Level, pixels: int = 24) -> UInt8[np.ndarray, "height width 3"]:
    """Return a level as an image: objects with rewards above 0 green, below 0 red, deeper the larger they are.

    An object that is likely to end the episode has a dark rim; the start is a blue disc.

    Args:
        level: the level to draw.
        pixels: pixels along a cell's side.
    """
    board, own = len(level.walls), extent(level)
    y, x = np.mgrid[:pixels, :pixels]
    away = np.hypot(y - (pixels - 1) / 2, x - (pixels - 1) / 2) / pixels
    picture = np.empty((own * pixels, own * pixels, 3), np.uint8)
    for row in range(own):
        for column in range(own):
            tile = np.empty((pixels, pixels, 3), np.uint8)
            tile[:] = _EDGE if level.walls[row, column] else _FLOOR
            if not level.walls[row, column]:
                tile[0], tile[:, 0] = _GRID, _GRID
                if int(level.start) == row * board + column:
                    tile[away < 0.2] = _AGENT
            here = np.asarray(level.exists) & (np.asarray(level.places) == row * board + column)
            for i in np.flatnonzero(here):
                reward = float(level.rewards[i])
                depth = 0.35 + 0.65 * min(abs(reward), 1.0)
                colour = _NONE + depth * ((_GOOD if reward > 0 else _BAD) - _NONE)
                tile[away < 0.38] = colour * (1.0 - 0.6 * float(level.ends[i]))
                tile[away < 0.29] = colour
            picture[row * pixels : (row + 1) * pixels, column * pixels : (column + 1) * pixels] = tile
    return picture


def write_png(level: Level, path: Path) -> None:
    """Write a level as a PNG file.

    Raises:
        RulesmithError: the file cannot be written.
    """
    _write(image(level, 40), path)


def write_gallery(levels: Sequence[Level], path: Path, columns: int = 8, pixels: int = 20) -> None:
    """Write levels side by side as one PNG file.

    Raises:
        RulesmithError: the file cannot be written.
    """
    images = [image(level, pixels) for level in levels]
    side = max(len(picture) for picture in images) + pixels
    sheet = np.full((-(-len(images) // columns) * side, columns * side, 3), 255, np.uint8)
    for i, picture in enumerate(images):
        row, column = divmod(i, columns)
        sheet[row * side : row * side + len(picture), column * side : column * side + len(picture)] = picture
    _write(sheet, path)


def _write(picture: UInt8[np.ndarray, "height width 3"], path: Path) -> None:
    from PIL import Image

    try:
        Image.fromarray(picture).save(path, "PNG")
    except OSError as error:
        raise RulesmithError(f"{path}: cannot be written: {error.strerror or error}") from None
