"""Plots as specifications of Vega-Lite, which draws them in the page and, for Markdown, as SVG.

A specification holds data and what it means; size, fonts and the colours of light and dark are the page's. A point with
a field `opens` leads to the part of the report of that anchor. Values that are not finite are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .document import Plot

COLOURS = ("#2f6fb7", "#d1622b", "#3a8f3a", "#8a5fb3", "#808890", "#b8860b", "#c2478a", "#2aa198")
"""Colours of what is compared, in order; both on white and on black they can be told apart."""
QUIET = "#808890"
"""Colour of what is there to compare with."""
_LEVELS = ((QUIET, [6, 4]), ("#b8860b", [2, 3]), ("#a0627e", [9, 3, 2, 3]))
"""Colours and dashes of lines of one height, in order."""
SHOWN_POINTS = 400
"""The most points of a line; of more, means of neighbours are shown."""
_Rows = list[dict[str, Any]]


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "type": "quantitative", "scale": _scale(), **more}


def _scale(log: bool = False) -> dict[str, Any]:
    return {"type": "log", "nice": True} if log else {"zero": False, "nice": True}


def _tooltip(*fields: tuple[str, str, str]) -> list[dict[str, str]]:
    """Return what is shown of a mark under the mouse: (field, what it is called, its format) each."""
    return [
        {"field": name, "title": title, **({"format": form, "type": "quantitative"} if form else {"type": "nominal"})}
        for name, title, form in fields
    ]


def _counts(rows: Iterable[Mapping[str, Any]], field: str) -> dict[str, Any]:
    """Return what an axis of whole numbers has more: no ticks between them."""
    whole = all(float(row[field]).is_integer() for row in rows)
    return {"axis": {"tickMinStep": 1}} if whole else {}


def _colour(names: Sequence[str], quiet: Sequence[str] = ()) -> dict[str, Any]:
    own = iter(COLOURS * (1 + len(names) // len(COLOURS)))
    quiets = [colour for colour, _ in _LEVELS] * (1 + len(quiet) // len(_LEVELS))
    colours = [quiets[list(quiet).index(name)] if name in quiet else next(own) for name in names]
    legend = None if len(names) < 2 else {"title": None}
    return {"field": "of", "type": "nominal", "scale": {"domain": list(names), "range": colours}, "legend": legend}


def legend_columns(spec: Mapping[str, Any], width: float) -> int:
    """Return in how many columns a plot's legend fits a width."""
    places = [spec.get("encoding", {}), *(layer.get("encoding", {}) for layer in spec.get("layer", ()))]
    names = [name for place in places for name in place.get("color", {}).get("scale", {}).get("domain", ())]
    return max(1, int(width / (30 + 7 * max(map(len, names), default=0))))


def thinned(values: Sequence[float | None], x: Sequence[float] | None = None) -> list[tuple[float, float]]:
    """Return (x, value) of at most `SHOWN_POINTS` points: means of neighbours where there are more."""
    places = range(len(values)) if x is None else x
    points = [(float(a), float(b)) for a, b in zip(places, values, strict=True) if b is not None and math.isfinite(b)]
    size = max(1, -(-len(points) // SHOWN_POINTS))
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(a for a, _ in part) / len(part), sum(b for _, b in part) / len(part)) for part in parts]


def lines(
    title: str,
    curves: Mapping[str, Iterable[tuple[float, float]]],
    x: str,
    y: str,
    *,
    levels: Mapping[str, float] | None = None,
    note: str = "",
    log: bool = False,
    steps: bool = False,
    height: int = 260,
) -> Plot:
    """Return curves over a common axis.

    Args:
        title: what is shown.
        curves: (x, y) points of each, by name.
        x: what the first axis is.
        y: what the second is.
        levels: dashed lines of one height each, by name.
        note: how it is to be read.
        log: whether the second axis is logarithmic.
        steps: whether a value holds until the next.
        height: of the plot, in pixels.
    """
    levels = {name: level for name, level in (levels or {}).items() if math.isfinite(level)}
    rows: _Rows = [
        {"of": name, "x": round(a, 6), "y": float(f"{b:.6g}")}
        for name, points in curves.items()
        for a, b in points
        if math.isfinite(b)
    ]
    single = {name for name in curves if sum(row["of"] == name for row in rows) == 1}  # has no line
    rows = [{**row, "alone": True} if row["of"] in single else row for row in rows]
    scale = _scale(log)
    colour = _colour([*curves, *levels], [*levels])
    shown = _tooltip(("of", "what", ""), ("x", x, ",.4~g"), ("y", y, ".4f"))
    seen = [{"param": "near", "empty": False, "value": 1}, {"test": "datum.alone", "value": 1}]
    height_of = {"field": "y", **_axis(y, scale=scale)}
    layers: _Rows = [
        {
            "data": {"values": [{"of": name, "y": level}]},
            "mark": {"type": "rule", "strokeDash": _LEVELS[i % len(_LEVELS)][1], "strokeWidth": 1.5},
            "encoding": {"x": None, "y": height_of},
        }
        for i, (name, level) in enumerate(levels.items())
    ]
    layers += [
        {"mark": {"type": "line", "strokeWidth": 2, "interpolate": "step-after" if steps else "linear"}},
        {
            "mark": {"type": "point", "size": 60, "filled": True},
            "params": [{"name": "near", "select": _NEAREST}],
            "encoding": {"opacity": {"condition": seen, "value": 0}, "tooltip": shown},
        },
    ]
    spec = {
        "data": {"values": rows},
        "height": height,
        "encoding": {"x": {"field": "x", **_axis(x), **_counts(rows, "x")}, "y": height_of, "color": colour},
        "layer": layers,
    }
    return Plot(title, spec, note)


_NEAREST = {"type": "point", "on": "pointerover", "nearest": True, "clear": "pointerout"}


def bars(
    title: str,
    groups: Sequence[tuple[str, str, float, float, float]],
    value: str,
    *,
    level: float | None = 1.0,
    most: float = math.inf,
    note: str = "",
) -> Plot:
    """Return values with their intervals, one row for each place, one colour for each name.

    Args:
        title: what is shown.
        groups: (place, name, value, low, high) each; low and high are equal to the value where there is no interval.
        value: what the values are.
        level: where a dashed line stands, such as the yardstick's value.
        most: where the axis ends: a larger value stands there as an arrow, with its number.
        note: how it is to be read.
    """
    names = list(dict.fromkeys(name for _, name, *_ in groups))
    places = list(dict.fromkeys(place for place, *_ in groups))
    rows: _Rows = [
        {
            **{"place": place, "of": name, "told": _told(value_, low, high)},
            **{"value": min(value_, most), "low": min(low, most), "high": min(high, most)},
            **({"beyond": f"{value_:.4g}"} if value_ > most else {}),
        }
        for place, name, value_, low, high in groups
        if math.isfinite(value_)
    ]
    offset = {"yOffset": {"field": "of", "type": "nominal", "sort": names}} if len(names) > 1 else {}
    shown = _tooltip(("place", "where", ""), ("of", "what", ""), ("told", value, ""))
    place = {"field": "place", "type": "nominal", "sort": places, "title": None}
    layers: _Rows = [
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"x": {"field": "low", **_axis(value)}, "x2": {"field": "high"}, "tooltip": shown},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70},
            "encoding": {"x": {"field": "value", **_axis(value)}, "tooltip": shown},
        },
    ]
    if any("beyond" in row for row in rows):
        layers[1]["transform"] = [{"filter": "!datum.beyond"}]
        beyond, x = {"transform": [{"filter": "datum.beyond"}]}, {"field": "value", **_axis(value)}
        arrow = {"type": "point", "filled": True, "size": 90, "shape": "triangle-right"}
        text = {"type": "text", "align": "right", "dx": -9, "fontSize": 12}
        layers.append({**beyond, "mark": arrow, "encoding": {"x": x, "tooltip": shown}})
        layers.append({**beyond, "mark": text, "encoding": {"x": x, "text": {"field": "beyond"}}})
    spec: dict[str, Any] = {
        "data": {"values": rows},
        "height": len(places) * (14 * len(names) + 12),
        "encoding": {"y": place, "color": _colour(names), **offset},
        "layer": layers,
    }
    if level is not None:
        rule = {"mark": {"type": "rule", "strokeDash": [6, 4], "color": QUIET}, "encoding": {}}
        # It has data of its own, and must not share the rows' places.
        rule["encoding"] = {"x": {"datum": level}, "y": None, "color": {"value": QUIET}, "yOffset": None}
        spec["layer"] = [rule, *layers]
    return Plot(title, spec, note)


def _told(value: float, low: float, high: float) -> str:
    return f"{value:.3f}" if low == high else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def points(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    x: tuple[str, str],
    y: tuple[str, str],
    *,
    shade: tuple[str, str] | None = None,
    line: str = "",
    log: Sequence[str] = (),
    more: Sequence[tuple[str, str, str]] = (),
    note: str = "",
    height: int = 260,
) -> Plot:
    """Return points, of which those with a field `opens` lead to that part of the report.

    Args:
        title: what is shown.
        rows: the points' fields. Points with different `of` have different colours.
        x: the field of the first axis, and what it is.
        y: the same of the second.
        shade: the field by which points are shaded instead, and what it is.
        line: a field of which the points where it is true are joined by a line.
        log: which of "x" and "y" are logarithmic.
        more: what else is shown of the point under the mouse; see `_tooltip`.
        note: how it is to be read.
        height: of the plot, in pixels.
    """
    names = list(dict.fromkeys(str(row.get("of", "")) for row in rows))
    kinds = {place: _scale(place in log) for place in ("x", "y")}
    legend = {"orient": "bottom", "gradientLength": 160}
    colour = (
        {"field": shade[0], "type": "quantitative", "title": shade[1], "legend": legend, "scale": {"scheme": "viridis"}}
        if shade
        else _colour(names, ["all others"])
    )
    shown = _tooltip((x[0], x[1], ",.4~g"), (y[0], y[1], ".4~g"), *more)
    point = {"type": "point", "filled": True, "size": 55, "opacity": 0.85}
    if any("opens" in row for row in rows):
        point["cursor"] = "pointer"
    layers: _Rows = [{"mark": point, "encoding": {"color": colour, "tooltip": shown}}]
    if line:
        joined = {"transform": [{"filter": f"datum.{line}"}]}
        step = {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5, "color": COLOURS[1]}
        layers.insert(0, {**joined, "mark": step})
    spec = {
        "data": {"values": [dict(row) for row in rows]},
        "height": height,
        "encoding": {
            "x": {"field": x[0], **_axis(x[1], scale=kinds["x"]), **_counts(rows, x[0])},
            "y": {"field": y[0], **_axis(y[1], scale=kinds["y"])},
        },
        "layer": layers,
    }
    return Plot(title, spec, note)


def shares(title: str, rows: Sequence[Mapping[str, Any]], x: str, names: Sequence[str], note: str = "") -> Plot:
    """Return how a whole is divided, along an axis: rows of `x`, `of` and `share`."""
    shown = _tooltip(("of", "what", ""), ("x", x, ",.4~g"), ("share", "share", ".0%"))
    spec = {
        "data": {"values": [dict(row) for row in rows]},
        "height": 180,
        "mark": {"type": "area", "opacity": 0.8},
        "encoding": {
            "x": {"field": "x", **_axis(x)},
            "y": {"field": "share", "type": "quantitative", "stack": "zero", "title": "share", "axis": {"format": "%"}},
            "color": _colour(names),
            "order": {"field": "order"},
            "tooltip": shown,
        },
    }
    return Plot(title, spec, note)


def bands(title: str, rows: Sequence[Mapping[str, float]], x: str, y: str, note: str = "") -> Plot:
    """Return how a distribution changes along an axis: rows of `x`, `p5`, `p25`, `p50`, `p75` and `p95`."""
    shown = _tooltip(("x", x, ",.4~g"), *((f"p{p}", f"{p}%", ".3f") for p in (95, 75, 50, 25, 5)))
    area = {"type": "area", "color": COLOURS[0]}
    spec = {
        "data": {"values": [dict(row) for row in rows]},
        "height": 260,
        "encoding": {"x": {"field": "x", **_axis(x)}, "tooltip": shown},
        "layer": [
            {"mark": {**area, "opacity": 0.18}, "encoding": {"y": {"field": "p5", **_axis(y)}, "y2": {"field": "p95"}}},
            {"mark": {**area, "opacity": 0.3}, "encoding": {"y": {"field": "p25", **_axis(y)}, "y2": {"field": "p75"}}},
            {"mark": {"type": "line", "color": COLOURS[0]}, "encoding": {"y": {"field": "p50", **_axis(y)}}},
        ],
    }
    return Plot(title, spec, note)


def heatmap(
    title: str, x: tuple[str, Sequence[float]], y: tuple[str, Sequence[float]], z: tuple[str, Any], note: str = ""
) -> Plot:
    """Return a number over two axes.

    Args:
        title: what is shown.
        x: what the first axis is, and its values, equally spaced.
        y: the same of the second.
        z: what the number is, and its values, (y, x).
        note: how it is to be read.
    """
    half = [(values[1] - values[0]) / 2 for _, values in (x, y)]
    rows = [
        {
            **{"x": round(a - half[0], 4), "x2": round(a + half[0], 4), "a": round(a, 4)},
            **{
                "y": round(b - half[1], 4),
                "y2": round(b + half[1], 4),
                "b": round(b, 4),
                "z": float(f"{z[1][i][j]:.3g}"),
            },
        }
        for i, b in enumerate(y[1])
        for j, a in enumerate(x[1])
    ]
    legend = {"title": z[0], "orient": "bottom", "gradientLength": 160}
    spec = {
        "data": {"values": rows},
        "height": 260,
        "mark": {"type": "rect"},
        "encoding": {
            "x": {"field": "x", **_axis(x[0], scale={"zero": False, "nice": False})},
            "x2": {"field": "x2"},
            "y": {"field": "y", **_axis(y[0], scale={"zero": False, "nice": False})},
            "y2": {"field": "y2"},
            "color": {"field": "z", "type": "quantitative", "legend": legend, "scale": {"scheme": "viridis"}},
            "tooltip": _tooltip(("a", x[0], ".2f"), ("b", y[0], ".2f"), ("z", z[0], ".3g")),
        },
    }
    return Plot(title, spec, note)


def course(
    title: str, rows: Sequence[Mapping[str, Any]], best: Sequence[tuple[float, float]], x: str, y: str, note: str = ""
) -> Plot:
    """Return single trials as points, rows of `x`, `y` and `of`, and the best so far, (x, y), as steps."""
    steps = [{"x": a, "y": round(b, 5)} for a, b in best]
    shown = _tooltip(("x", x, ",.0f"), ("y", y, ".4f"))
    spec = {
        "height": 260,
        "encoding": {"x": {"field": "x", **_axis(x), **_counts(steps, "x")}, "y": {"field": "y", **_axis(y)}},
        "layer": [
            {
                "data": {"values": [{**row, "y": round(row["y"], 5)} for row in rows]},
                "mark": {"type": "point", "filled": True, "size": 14, "opacity": 0.35, "color": QUIET},
                "encoding": {"tooltip": shown},
            },
            {
                "data": {"values": steps},
                "mark": {"type": "line", "interpolate": "step-after", "color": COLOURS[0], "strokeWidth": 2},
            },
            {
                "data": {"values": steps},
                "mark": {"type": "point", "filled": True, "size": 30, "color": COLOURS[0]},
                "encoding": {"tooltip": shown},
            },
        ],
    }
    return Plot(title, spec, note or "Points are programs tried on all tasks; the line is the best so far.")
