"""Levels as files: a map one can read and edit, and a table for each object.

```toml
steps = 50
map = '''
#####
#@.a#
#.#b#
#####
'''
[objects.a]
reward = 1.0
ends = 1.0
respawns = 0.0

[objects.b]
reward = -1.0
```
Walls are `#`, free cells `.`, the start `@` (without one, episodes begin on any free cell), objects letters. An object
that has a table but no place on the map appears on random free cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from ...programs import RulesmithError, text_file
from ...programs.errors import nearest
from ...programs.folding import fits
from .level import Level, Thing, level_of
from .pictures import FREE, LETTERS, START, WALL, map_of

LARGEST, MOST = 32, 8
"""The most rows and columns, and the most objects, of a level: a tabular observation numbers all of its states."""


def loads(text: str) -> Level:
    """Return the level that a text describes.

    Raises:
        RulesmithError: it is not the text of a possible level; what is wrong, and where.
    """
    found = text_file.toml(text)
    _known(found, ("steps", "map", "objects"), "a level")
    steps, rows, objects = found.get("steps"), found.get("map"), found.get("objects", {})
    if type(steps) is not int or not 1 <= steps <= 100_000:
        raise RulesmithError(f"'steps' is {steps!r}; give an episode's length, from 1 to 100000")
    if not isinstance(rows, str) or not rows.strip():
        raise RulesmithError("'map' is missing: rows of '#', '.', '@' and objects' letters")
    if not isinstance(objects, dict):
        raise RulesmithError("'objects' is not a table: give [objects.a] and so on")
    return _level(["".join(row.split()) for row in rows.strip().splitlines()], objects, steps)


def _level(rows: list[str], objects: dict[str, Any], steps: int) -> Level:
    size = max(len(rows), *map(len, rows))
    if size > LARGEST:
        raise RulesmithError(f"the map has {len(rows)} rows of up to {max(map(len, rows))} cells; {LARGEST} at most")
    if len(objects) > MOST:
        raise RulesmithError(f"{len(objects)} objects; {MOST} at most")
    walls = {(i, j) for i in range(size) for j in range(size)}
    places: dict[str, tuple[int, int]] = {}
    for i, row in enumerate(rows):
        for j, mark in enumerate(row):
            where = f"the map's row {i + 1}, column {j + 1}"
            if mark != WALL:
                walls.discard((i, j))
            if mark in (WALL, FREE):
                continue
            if mark != START and mark not in objects:
                raise RulesmithError(f"{where}: {mark!r} is no wall '#', no free cell '.', and has no [objects.{mark}]")
            if mark in places:
                raise RulesmithError(f"{where}: {mark!r} is on the map already")
            places[mark] = (i, j)
    things = []
    for name, fields in objects.items():
        if len(name) != 1 or name not in LETTERS or not isinstance(fields, dict):
            raise RulesmithError(f"[objects.{name}]: an object is a small letter and has a table")
        _known(fields, ("reward", "ends", "respawns"), f"[objects.{name}]")
        values: dict[str, float] = {}
        for key, usual in (("reward", None), ("ends", 0.0), ("respawns", 0.0)):
            value = fields.get(key, usual)
            if type(value) not in (int, float) or not fits(value):
                raise RulesmithError(f"[objects.{name}]: {key!r} is {value!r}; give a number")
            if key != "reward" and not 0 <= value <= 1:
                raise RulesmithError(f"[objects.{name}]: {key!r} is {value:g}; a probability, from 0 to 1")
            values[key] = float(value)
        things.append(Thing(values["reward"], values["ends"], values["respawns"], places.get(name)))
    return level_of(size, things, steps, sorted(walls), places.get(START))


def _known(table: dict[str, Any], names: tuple[str, ...], what: str) -> None:
    for name in table:
        if name not in names:
            raise RulesmithError(f"{what} has no {name!r}{nearest(name, names)}; it has {', '.join(names)}")


def dumps(level: Level) -> str:
    """Return a level as the text of a file. Where two things share a place, only the last one's letter is kept."""
    objects = {
        LETTERS[i]: {
            "reward": _shortest(level.rewards[i]),
            "ends": _shortest(level.ends[i]),
            "respawns": _shortest(level.respawns[i]),
        }
        for i in np.flatnonzero(np.asarray(level.exists))
    }
    rows = "\n".join(map_of(level))
    return f"steps = {int(level.steps)}\nmap = '''\n{rows}\n'''\n\n" + tomli_w.dumps({"objects": objects})


def _shortest(number: Any) -> float:
    """Return a float32 as the float of fewest digits that rounds to it."""
    return float(str(np.float32(number)))


def read(path: Path) -> Level:
    """Return the level in a file.

    Raises:
        RulesmithError: it cannot be read, or describes no possible level; what is wrong, and where.
    """
    return text_file.read(path, text_file.MAX_FILE_BYTES, loads)
