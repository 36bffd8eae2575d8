"""A report as Markdown; its plots and pictures are files in a folder beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .document import Commands, Grid, Link, Listing, Part, Picture, Plot, Prose, Report
from .plots import legend_columns

_WIDTH = 640
_STYLE = {"background": "white", "view": {"stroke": None}, "axisY": {"labelLimit": 300}}


def to_markdown(report: Report, folder: str, *, pictures: bool = True) -> tuple[str, dict[str, bytes]]:
    """Return a report as Markdown, and the files that it shows, by their names.

    Args:
        report: the report.
        folder: where the text looks for the files.
        pictures: whether to show plots and pictures; without, there are no files.
    """
    files: dict[str, bytes] = {}
    lines = [f"# {report.title}", report.kind]
    lines += [f"**Careful: {warning}**" for warning in report.warnings]
    if report.verdict:
        lines.append(f"**{report.verdict.kind.capitalize()}.** {report.verdict.sentence}")
    if report.facts:
        rows = [(name, value, how) for name, value, how in report.facts]
        lines.append(_grid(Grid(("", "figure", "how to read it"), rows)))
    lines += [report.reading] if report.reading else []
    lines += [_listing(report.rule)] if report.rule else []
    lines += [f"$$\n{report.equations}\n$$"] if report.equations else []
    for section in report.sections:
        lines.append(f"## {section.name}")
        lines += [section.text] if section.text else []
        shown = [part for part in section.parts if pictures or not isinstance(part, Plot | Picture)]
        lines += [_part(part, folder, files) for part in shown]
    return "\n\n".join(lines) + "\n", files


def _part(part: Part, folder: str, files: dict[str, bytes]) -> str:
    def shown(title: str, kind: str, data: bytes, note: str = "") -> str:
        name = f"figure-{len(files) + 1}.{kind}"
        files[name] = data
        text = f"![{_plain(title)}]({folder}/{name})"
        return f"**{title}**\n\n{text}" + (f"\n\n{note}" if note else "")

    write: dict[type, Callable[[Any], str]] = {
        Grid: _grid,
        Listing: _listing,
        Prose: lambda prose: f"**Careful: {prose.text}**" if prose.careful else prose.text,
        Commands: lambda commands: "\n\n".join(f"{what}\n```\n{words}\n```" for words, what in commands.rows),
        Picture: lambda picture: shown(picture.title, "png", picture.png),
        Plot: lambda plot: shown(plot.title, "svg", to_svg(plot).encode(), plot.note),
    }
    return write[type(part)](part)


def to_svg(plot: Plot) -> str:
    """Return a plot as the text of an SVG file, on white."""
    import vl_convert

    legend = {"orient": "bottom", "labelLimit": _WIDTH - 80, "columns": legend_columns(plot.spec, _WIDTH)}
    spec = {
        "width": _WIDTH,
        "config": {**_STYLE, "legend": legend},
        **plot.spec,
        "title": {"text": plot.title, "anchor": "start"},
    }
    return vl_convert.vegalite_to_svg(json.dumps(spec))


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("[", "(").replace("]", ")")


def _grid(grid: Grid) -> str:
    def cell(value: str | Link) -> str:
        text = value if isinstance(value, str) else value.text
        return text.replace("|", "\\|").replace("\n", " ")

    marks = ["---:" if name in grid.numbers else "---" for name in grid.columns]
    rows = [grid.columns, marks, *([cell(value) for value in row] for row in grid.rows)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    title = f"**{grid.title}**\n\n" if grid.title else ""
    return f"{title}{table}" + (f"\n\n{grid.note}" if grid.note else "")


def _listing(listing: Listing) -> str:
    title = f"**{listing.title}**\n\n" if listing.title else ""
    note = f"{listing.note}\n\n" if listing.note else ""
    return f"{title}{note}```{listing.language}\n{listing.text.rstrip()}\n```"
