"""Pictures of runs and objectives, as interactive figures (plotly)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..programs.objective import Objective
from ..search.numerics import computing
from .objective_reporting import MOMENTS, slopes

LAYOUT = {"template": "plotly_white", "margin": {"l": 60, "r": 20, "t": 50, "b": 50}, "height": 420}
COLOURS = ("#1f5fa8", "#d1622b", "#3a8f3a", "#7a4fa3", "#888888", "#b8860b", "#c2478a", "#2aa198")


def curve(
    title: str, lines: Mapping[str, Sequence[float]], x: str, y: str, step: float = 1.0, first: float = 0.0
) -> Any:
    """Return a figure of named lines over first, first + step, first + 2 step, ..."""
    import plotly.graph_objects as go

    figure = go.Figure(layout={**LAYOUT, "title": title, "xaxis_title": x, "yaxis_title": y})
    for (name, values), colour in zip(lines.items(), COLOURS * 9, strict=False):
        places = [first + i * step for i in range(len(values))]
        figure.add_scatter(x=places, y=list(values), name=name, line={"color": colour}, mode="lines")
    return figure


def selection(finalists: Sequence[Sequence[Any]]) -> Any:
    """Return a figure of finalists' fitness in the search and on selection tasks, by place in the search."""
    import plotly.graph_objects as go

    title = "finalists' fitness on the search's tasks and on selection tasks"
    figure = go.Figure(layout={**LAYOUT, "title": title, "xaxis_title": "candidate", "yaxis_title": "loss / AdamW's"})
    for place, name in ((1, "in the search"), (2, "on selection tasks")):
        figure.add_scatter(
            x=[row[0] for row in finalists],
            y=[row[place] for row in finalists],
            name=name,
            mode="lines+markers",
            line={"color": COLOURS[place - 1]},
        )
    return figure


def smoothed(values: Sequence[float], width: int = 15) -> list[float]:
    """Return running means over up to `width` values before each."""
    sums = np.cumsum([0.0, *values])
    return [(sums[i] - sums[max(0, i - width)]) / (i - max(0, i - width)) for i in range(1, len(sums))]


@computing()
def drift_map(objective: Objective) -> Any:
    """Return the drift over (ratio, advantage), one panel for each moment of the lifetime."""
    import jax.numpy as jnp
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    moments = MOMENTS if objective.timed else (0.0,)
    titles = [f"{moment:.0%} of the lifetime" if objective.timed else "at all times" for moment in moments]
    figure = make_subplots(cols=len(moments), rows=1, subplot_titles=titles, shared_yaxes=True)
    ratios, advantages = np.linspace(0.4, 2.0, 81), np.linspace(-2.5, 2.5, 61)
    r, a = (jnp.asarray(x, jnp.float32) for x in np.meshgrid(ratios, advantages))
    drift = objective.drift()
    panels = [np.asarray(drift(objective.arrays, r, jnp.log(r), a, jnp.float32(moment))) for moment in moments]
    top = max(float(np.quantile(panel, 0.99)) for panel in panels) or 1.0
    for i, panel in enumerate(panels, 1):
        figure.add_trace(
            go.Heatmap(
                x=ratios, y=advantages, z=panel, zmin=0, zmax=top, colorscale="Blues", showscale=i == len(panels)
            ),
            row=1,
            col=i,
        )
        figure.update_xaxes(title_text="ratio r", row=1, col=i)
    figure.update_yaxes(title_text="advantage A", row=1, col=1)
    return figure.update_layout(**LAYOUT, title="the drift: how much is taken from r A")


def pull_curves(objective: Objective, reference: Objective, advantage: float) -> Any:
    """Return the pull on the ratio, A - d drift / d r, at several moments, against a reference's."""
    import plotly.graph_objects as go

    ratios = np.linspace(0.4, 2.0, 161)
    title = f"pull on the ratio, A - d drift / d r, for A = {advantage:+g}"
    figure = go.Figure(layout={**LAYOUT, "title": title, "xaxis_title": "ratio r", "yaxis_title": "pull"})
    moments = MOMENTS if objective.timed else (0.0,)
    for moment, colour in zip(moments, COLOURS, strict=False):
        name = f"{objective.name}, {moment:.0%} of the lifetime" if objective.timed else objective.name
        line = {"color": colour}
        figure.add_scatter(x=ratios, y=slopes(objective, ratios, advantage, moment), name=name, line=line)
    dashed = {"color": "#888888", "dash": "dash"}
    figure.add_scatter(x=ratios, y=slopes(reference, ratios, advantage, 0.0), name=reference.name, line=dashed)
    return figure
