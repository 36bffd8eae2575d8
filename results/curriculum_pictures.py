"""Pictures of a search on a curriculum: which levels it chose, and with what success."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..envs.gridworld import Level, pictures
from ..search.level_store import LevelStore, LifeRow
from .level_regrets import exact_regrets, replays
from .pictures import COLOURS, LAYOUT

PERIODS, SHOWN = 5, 8
"""Parts of a run in which its levels are shown, and how many of the highest and of the lowest score."""


def held_out_curve(store: LevelStore) -> Any:
    """Return a figure of the share of the optimal return on levels kept out of the search, by step."""
    import plotly.graph_objects as go

    probes, fixed = store.held_out(), store.fact("held_out")
    figure = go.Figure(layout={**LAYOUT, "title": "levels kept out of the search", "xaxis_title": "step"})
    figure.update_yaxes(title_text=fixed["unit"])
    steps, shares = zip(*probes, strict=True)
    figure.add_scatter(x=steps, y=shares, name="agents of the rule", line={"color": COLOURS[0]}, mode="lines+markers")
    for name, key, colour in (
        (store.fact("config")["antagonist"], "antagonist", COLOURS[1]),
        ("agents that learn nothing", "random", COLOURS[4]),
    ):
        line = {"color": colour, "dash": "dash"}
        figure.add_scatter(x=[steps[0], steps[-1]], y=[fixed[key]] * 2, name=name, line=line, mode="lines")
    return figure


def score_bands(lives: Sequence[LifeRow], what: str) -> Any:
    """Return a figure of the distribution of levels' scores by the step in which they were given."""
    import plotly.graph_objects as go

    scored = [(row.step, row.score) for row in lives if row.score is not None]
    steps, scores = (np.array(column, float) for column in zip(*scored, strict=True))
    parts = np.array_split(np.arange(len(steps)), max(1, min(40, len(steps) // 20)))
    middle = [float(steps[part].mean()) for part in parts]
    quantiles = np.array([np.quantile(scores[part], (0.05, 0.25, 0.5, 0.75, 0.95)) for part in parts])
    figure = go.Figure(layout={**LAYOUT, "title": f"scores of levels lived on: {what}", "xaxis_title": "step"})
    figure.update_yaxes(title_text="score")
    for low, high, name, opacity in ((0, 4, "5% to 95%", 0.15), (1, 3, "25% to 75%", 0.3)):
        figure.add_scatter(x=middle, y=quantiles[:, low], line={"width": 0}, showlegend=False, hoverinfo="skip")
        fill = f"rgba(31, 95, 168, {opacity})"
        figure.add_scatter(x=middle, y=quantiles[:, high], line={"width": 0}, fill="tonexty", fillcolor=fill, name=name)
    figure.add_scatter(x=middle, y=quantiles[:, 2], line={"color": COLOURS[0]}, name="median")
    return figure


def gallery(store: LevelStore, lives: Sequence[LifeRow]) -> list[Any]:
    """Return two figures: the levels with the highest and with the lowest score, a row for each part of the run."""
    scored = [row for row in lives if row.score is not None]
    parts = [part for part in np.array_split(np.arange(len(scored)), PERIODS) if len(part)]
    figures = []
    for title, sign in (("levels with the highest scores", -1.0), ("levels with the lowest scores", 1.0)):
        rows: list[tuple[str, list[tuple[float, Level]]]] = []
        for part in parts:
            members = sorted((scored[i] for i in part), key=lambda row: sign * (row.score or 0.0))
            different = {row.mark: row for row in members[::-1]}.values()
            chosen = sorted(different, key=lambda row: sign * (row.score or 0.0))[:SHOWN]
            first, last = scored[part[0]].step, scored[part[-1]].step
            rows.append((f"steps {first:,} to {last:,}", [(row.score or 0.0, store.level(row.mark)) for row in chosen]))
        figures.append(_sheet(title, rows))
    return figures


def _sheet(title: str, rows: Sequence[tuple[str, list[tuple[float, Level]]]]) -> Any:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    names = [f"{score:.2f}" for _, levels in rows for score, _ in levels + [(np.nan, None)] * (SHOWN - len(levels))]
    names = ["" if name == "nan" else name for name in names]
    figure = make_subplots(
        rows=len(rows), cols=SHOWN, subplot_titles=names, row_titles=[name for name, _ in rows], vertical_spacing=0.06
    )
    for i, (_, levels) in enumerate(rows, 1):
        for j, (_, level) in enumerate(levels, 1):
            figure.add_trace(go.Image(z=pictures.image(level, 20), hoverinfo="skip"), row=i, col=j)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.for_each_annotation(lambda row: row.update(x=1.01), selector={"textangle": 90})
    return figure.update_layout(**{**LAYOUT, "height": 150 * len(rows) + 60}, title=title)


def replay_shares(lives: Sequence[LifeRow]) -> Any:
    """Return a figure of the share of all replays that the levels replayed most often got."""
    import plotly.graph_objects as go

    counts = np.array(sorted(replays(lives).values(), reverse=True), float)
    known = len({row.mark for row in lives})
    figure = go.Figure(
        layout={**LAYOUT, "title": "who was replayed", "xaxis_title": "share of all levels, most replayed first"}
    )
    figure.update_yaxes(title_text="share of all replays")
    if len(counts):
        x = np.concatenate([[0.0], np.arange(1, len(counts) + 1) / known, [1.0]])
        y = np.concatenate([[0.0], np.cumsum(counts) / counts.sum(), [1.0]])
        figure.add_scatter(x=x, y=y, name="replays", line={"color": COLOURS[0]})
    figure.add_scatter(
        x=[0, 1], y=[0, 1], name="if all were replayed alike", line={"color": COLOURS[4], "dash": "dash"}
    )
    return figure


def regret_scatter(store: LevelStore, lives: Sequence[LifeRow]) -> Any | None:
    """Return a figure of the levels' scores against their exact regrets; None if none is known."""
    import plotly.graph_objects as go

    rows, exact = exact_regrets(store, lives)
    kept = [(row.score, regret) for row, regret in zip(rows, exact, strict=True) if row.score is not None]
    if not kept:
        return None
    score, regret = zip(*kept, strict=True)
    title = "score against exact regret (optimal return beyond what was reached), the latest lives"
    figure = go.Figure(layout={**LAYOUT, "title": title, "xaxis_title": "exact regret", "yaxis_title": "score"})
    figure.add_scatter(x=regret, y=score, mode="markers", marker={"color": COLOURS[0], "size": 6, "opacity": 0.5})
    return figure
