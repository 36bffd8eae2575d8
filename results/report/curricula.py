"""Reports of searches on a curriculum: which levels it chose, with what success, and whether all parts show life."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...envs.gridworld import Level, pictures
from ...programs.quantities import counted
from ...search.level_store import LevelStore, LifeRow
from ...search.runs import method_named
from ..level_regrets import correlations, exact_regrets, replays
from ..signs_of_life import dead_parts, signs_in
from ..views import Course, Findings, history, levels, tasks_of
from . import plots
from .document import Grid, Part, Picture, Plot, Section
from .networks import DRIFT, drift_parts, signs_sections

PERIODS, SHOWN = 5, 8
"""Parts of a run in which its levels are shown, and how many of the highest and of the lowest score."""


def findings_of_curriculum(store: LevelStore) -> Findings:
    """Return what a report shows of a search on a curriculum of levels."""
    rule: Any = method_named(store.fact("method")).rule(store)  # raises where there is none yet
    config, lives = store.fact("config"), list(store.lives())
    low, high = config["updates"]
    kind = (
        f"search on a curriculum, {config['rule']} by {config['strategy']}, on levels {', '.join(tasks_of(config))} in "
        f"lives of {low} to {high} updates, scored by {config['score']}"
    )
    rows = history(store)
    known = {row.mark for row in lives}
    facts = [("lives that ended", f"{len(lives):,}", f"on {counted(len(known), 'level')}")]
    warnings = [*levels.curriculum_warnings(store), *dead_parts(signs_in(rows)).values()]
    sections = []
    if store.held_out():
        sections.append(Section("Held-out levels", [_held_out(store)], "Agents on levels kept out of the search."))
    if any(row.score is not None for row in lives):
        chosen = [_bands(lives, config["score"]), _replays(lives), *_regrets(store, lives), *_gallery(store, lives)]
        text = "Scores of levels over time, who was replayed, and what the levels looked like: green is good, red bad."
        sections.append(Section("Levels", chosen, text))
    sections += signs_sections(rows)
    if rule.kind == "drift":
        sections.append(Section("What it does", drift_parts(rule), DRIFT))
    return Findings(kind, facts, warnings, sections, Course("step", store.held_out()))


def _held_out(store: LevelStore) -> Plot:
    probes, fixed = store.held_out(), store.fact("held_out")
    curves = {"agents of the rule": [(float(step), share) for step, share in probes]}
    lines = {f"agents of {store.fact('config')['antagonist']}": fixed["antagonist"]}
    lines["agents that learn nothing"] = fixed["random"]
    return plots.lines(fixed["unit"], curves, "step", fixed["unit"], levels=lines)


def _bands(lives: Sequence[LifeRow], what: str) -> Plot:
    scored = [(row.step, row.score) for row in lives if row.score is not None]
    steps, scores = (np.array(column, float) for column in zip(*scored, strict=True))
    parts = np.array_split(np.arange(len(steps)), max(1, min(40, len(steps) // 20)))
    shares = (5, 25, 50, 75, 95)
    rows = [
        {"x": float(steps[part].mean())}
        | {f"p{share}": round(float(np.quantile(scores[part], share / 100)), 4) for share in shares}
        for part in parts
    ]
    note = "The line is the median; half of the scores lie in the dark band, nine of ten in the light one."
    return plots.bands(f"scores of levels lived on: {what}", rows, "step", "score", note)


def _replays(lives: Sequence[LifeRow]) -> Plot:
    counts = np.array(sorted(replays(lives).values(), reverse=True), float)
    known = len({row.mark for row in lives})
    x = np.concatenate([[0.0], np.arange(1, len(counts) + 1) / known, [1.0]])
    y = np.concatenate([[0.0], np.cumsum(counts) / max(counts.sum(), 1.0), [1.0 if len(counts) else 0.0]])
    curves = {"replays": plots.thinned(y.tolist(), x.tolist()), "if all were replayed alike": [(0.0, 0.0), (1.0, 1.0)]}
    return plots.lines("who was replayed", curves, "share of all levels, most replayed first", "share of all replays")


def _regrets(store: LevelStore, lives: Sequence[LifeRow]) -> list[Part]:
    rows, exact = exact_regrets(store, lives)
    points = [
        {"regret": round(float(regret), 4), "score": round(float(row.score), 4), "of": "a life"}
        for row, regret in zip(rows, exact, strict=True)
        if row.score is not None
    ]
    parts: list[Part] = []
    if points:
        note = "Exact regret is the optimal return beyond what was reached; the latest lives."
        x, y = ("regret", "exact regret"), ("score", "score")
        parts.append(plots.points("score against exact regret", points, x, y, note=note))
    found = [(name, str(estimate)) for name, estimate in correlations(store, lives).items()]
    if found:
        columns = ("score", "rank correlation with the exact regret")
        parts.append(Grid(columns, found, columns[1:], note="95% bootstrap intervals."))
    return parts


def _gallery(store: LevelStore, lives: Sequence[LifeRow]) -> list[Part]:
    """Return pictures of the levels with the highest and with the lowest score in each part of the run."""
    scored = [row for row in lives if row.score is not None]
    parts: list[Part] = []
    for kind, sign in (("highest", -1.0), ("lowest", 1.0)):
        for members in np.array_split(np.arange(len(scored)), min(PERIODS, max(1, len(scored) // SHOWN))):
            ranked = sorted((scored[i] for i in members), key=lambda row: sign * (row.score or 0.0))
            chosen = list({row.mark: row for row in reversed(ranked)}.values())[::-1][:SHOWN]
            first, last = scored[members[0]].step, scored[members[-1]].step
            scores = ", ".join(f"{row.score:.2f}" for row in chosen)
            title = f"steps {first:,} to {last:,}, {kind} scores: {scores}"
            parts.append(Picture(title, _sheet([store.level(row.mark) for row in chosen]), f"{len(chosen)} levels"))
    return parts


def _sheet(shown: Sequence[Level]) -> bytes:
    """Return levels beside each other as the bytes of a PNG file."""
    from PIL import Image

    images = [Image.fromarray(np.asarray(pictures.image(level, 12), np.uint8)) for level in shown]
    width = max(image.width for image in images)
    height = max(image.height for image in images)
    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + 8) - 8, rows * (height + 8) - 8), "white")
    for i, image in enumerate(images):
        sheet.paste(image, ((i % columns) * (width + 8), (i // columns) * (height + 8)))
    data = io.BytesIO()
    sheet.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(data, "PNG", optimize=True)
    return data.getvalue()
