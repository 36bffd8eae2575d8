"""Levels of the grid-world for the terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Group
from rich.text import Text

from ..envs.gridworld import DISTRIBUTIONS, FIVE, GRID_NAMES, NINE, PUBLIC, Level, level_file, pictures
from ..envs.gridworld.levels import RANDOM, TABULAR
from ..envs.gridworld.optimal import optimal_return, solvable
from ..envs.registry import make
from ..programs import RulesmithError, rule_file
from ..programs.errors import nearest
from ..programs.quantities import counted
from ..search.numerics import computing
from ..search.runs import open_store
from ..search.store import FILE

_COLOURS = {pictures.WALL: "bright_black", pictures.START: "bold blue", pictures.FREE: "dim"}


SHOWN = 24
"""Number of levels in the picture of a run."""


def find_level(name: str, seed: int) -> Level:
    """Return a level by its file, its name, or drawn from a distribution.

    Raises:
        RulesmithError: there is none.
    """
    import jax

    if name.endswith(".toml"):
        return level_file.read(Path(name))
    if name.startswith(PUBLIC) and name.removeprefix(PUBLIC) in GRID_NAMES:
        env = make(f"grid/{name}")
        return jax.tree.map(np.asarray, env.draw(jax.random.key(seed)) if env.draw else env.params)
    if name in DISTRIBUTIONS:
        return jax.tree.map(np.asarray, DISTRIBUTIONS[name].draw(jax.random.key(seed)))
    if name not in GRID_NAMES:
        raise RulesmithError(
            f"no level {name!r}{nearest(name, GRID_NAMES)}; there are {', '.join(GRID_NAMES)}, or a file (.toml)"
        )
    return (TABULAR | RANDOM)[name]


def level_text(level: Level) -> Text:
    """Return a level's map in colours, and its objects."""
    colours = dict(_COLOURS)
    for i, reward in enumerate(np.asarray(level.rewards)):
        colours[pictures.LETTERS[i]] = "bold green" if reward > 0 else "bold red"
    lines = pictures.text(level)
    rows, _, rest = lines.partition("\n\n")
    text = Text()
    for mark in rows:
        text.append(mark, colours.get(mark, ""))
    return text.append(f"\n\n{rest}")


@computing()
def show_level(name: str, seed: int, png: Path | None, output: Path | None) -> Group:
    """Return what to print of a level, or of a run's level with the highest score, and write it as asked.

    Raises:
        RulesmithError: there is no such level, or a file cannot be written.
    """
    if output and output.suffix != ".toml":
        raise RulesmithError(f"{output}: a level file is a .toml")
    if png and png.suffix.lower() != ".png":
        raise RulesmithError(f"{png}: a picture is a .png")
    if (Path(name) / FILE).exists():
        return _levels_of_run(Path(name), png, output)
    level = find_level(name, seed)
    lines = []
    if (np.asarray(level.places)[np.asarray(level.exists)] >= 0).all():
        best = optimal_return(level, FIVE if name.startswith(PUBLIC) else NINE)
        lines.append(f"the optimal return is {best:.4f}, exactly")
    if not solvable(level):
        lines.append("no object with a positive reward can be reached")
    if png:
        pictures.write_png(level, png)
        lines.append(f"{png}: a picture of it")
    if output:
        rule_file.write_text(output, level_file.dumps(level))
        lines.append(f"{output}: the level, to edit")
    return Group(level_text(level), Text("\n".join(lines)))


def _levels_of_run(directory: Path, png: Path | None, output: Path | None) -> Group:
    method, store = open_store(directory)
    with store:
        if method.view != "levels":
            raise RulesmithError(f"{directory} is no run of `discover curriculum`, so it has no levels")
        latest = {row.mark: row for row in store.lives() if row.score is not None}
        best = sorted(latest.values(), key=lambda row: -(row.score or 0.0))[:SHOWN]
        levels = [store.level(row.mark) for row in best]
    if not best:
        raise RulesmithError(f"{directory}: no life has ended yet, so no level has a score")
    lines = [f"score {best[0].score:.3f}, the highest of the last scores of {counted(len(latest), 'level')}"]
    if png:
        pictures.write_gallery(levels, png)
        lines.append(f"{png}: the {counted(len(levels), 'level')} with the highest scores, by rows")
    if output:
        rule_file.write_text(output, level_file.dumps(levels[0]))
        lines.append(f"{output}: the level, to edit")
    return Group(level_text(levels[0]), Text("\n".join(lines)))
