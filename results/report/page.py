"""A report as one HTML file that needs no network: style, script and the library that draws its plots are inside.

The plots are Vega-Lite's. Its JavaScript comes with vl-convert-python, of which a bundle is made once and kept in the
user's cache.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...programs import rule_file
from ...programs.mathematics.mathml import mathml
from ...search.executors import cache_folder
from .document import (
    Commands,
    Grid,
    Link,
    Listing,
    Part,
    Picture,
    Plot,
    Prose,
    Report,
    Section,
    anchor_of,
)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>
{style}</style></head>
<body data-refresh="{refresh:g}">
{body}
<script id="specs" type="application/json">{specs}</script>
<script>{library}</script>
<script>
{script}</script>
</body></html>
"""
_HERE = Path(__file__).parent


def to_html(report: Report) -> str:
    """Return a report as the text of an HTML file."""
    specs: list[Any] = []
    body = "\n".join(_body(report, specs))
    return _PAGE.format(
        title=html.escape(report.title),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        refresh=report.refresh,
        body=body,
        specs=json.dumps(specs, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        library=_library() if specs else "",
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
    )


def _library() -> str:
    """Return the JavaScript that draws plots, as one function `vegaEmbed`."""
    import vl_convert

    name = f"vega-{vl_convert.__version__}.js"  # pyright: ignore[reportAttributeAccessIssue]
    folder = cache_folder("report")
    if folder and (folder / name).is_file():
        return (folder / name).read_text(encoding="utf-8")
    made = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
    if folder:
        rule_file.write_text(folder / name, made)
    return made


def _body(report: Report, specs: list[Any]) -> list[str]:
    lines = [
        f"<header><h1>{html.escape(report.title)}</h1>",
        f'<p class="kind">{html.escape(report.kind)}</p></header>',
    ]
    lines += ["<main>"]
    lines += [f'<p class="careful">Careful: {html.escape(warning)}</p>' for warning in report.warnings]
    if report.verdict:
        kind = html.escape(report.verdict.kind)
        lines.append(
            f'<div class="verdict {anchor_of(kind)}"><span class="badge">{kind}</span>'
            f"<p>{html.escape(report.verdict.sentence)}</p></div>"
        )
    if report.facts:
        lines.append('<dl class="facts">')
        for name, value, how in report.facts:
            told = f'<div class="how">{html.escape(how)}</div>' if how else ""
            value = f'<div class="value">{html.escape(value)}</div>'
            lines.append(f"<div><dt>{html.escape(name)}</dt><dd>{value}{told}</dd></div>")
        lines.append("</dl>")
    if report.reading:
        lines.append(f"<p>{html.escape(report.reading)}</p>")
    if report.rule:
        lines.append(_part(report.rule, specs))
    if report.equations:
        drawn = (
            f'<div class="equations" tabindex="0" role="region" aria-label="equations">{mathml(report.equations)}</div>'
        )
        lines.append(f"<details><summary>the rule in equations</summary>{drawn}</details>")
    if report.sections:
        lines += _tabs(report.sections)
    for section in report.sections:
        lines += _panel(section, specs)
    lines += ["</main>", "<footer>Made by rulesmith. Nothing here is loaded from elsewhere.</footer>"]
    return lines


def _tabs(sections: tuple[Section, ...] | Any) -> list[str]:
    lines = ['<div role="tablist" aria-label="parts of the report">']
    for i, section in enumerate(sections):
        anchor = anchor_of(section.name)
        lines.append(
            f'<button type="button" role="tab" id="tab-{anchor}" aria-controls="{anchor}" '
            f'aria-selected="{"true" if i == 0 else "false"}">{html.escape(section.name)}</button>'
        )
    return [*lines, "</div>"]


def _panel(section: Section, specs: list[Any]) -> list[str]:
    anchor = anchor_of(section.name)
    lines = [f'<section role="tabpanel" id="{anchor}" aria-labelledby="tab-{anchor}">']
    lines.append(f"<h2>{html.escape(section.name)}</h2>")
    lines += [f"<p>{html.escape(section.text)}</p>"] if section.text else []
    side_by_side = False
    for part in section.parts:
        if isinstance(part, Plot) != side_by_side:
            side_by_side = not side_by_side
            lines.append('<div class="plots">' if side_by_side else "</div>")
        lines.append(_part(part, specs))
    return [*lines, *(["</div>"] if side_by_side else []), "</section>"]


def _part(part: Part, specs: list[Any]) -> str:
    write: dict[type, Callable[[Any], str]] = {
        Grid: _grid,
        Picture: _picture,
        Listing: _listing,
        Prose: _prose,
        Commands: _commands,
        Plot: lambda plot: _plot(plot, specs),
    }
    return write[type(part)](part)


def _plot(plot: Plot, specs: list[Any]) -> str:
    specs.append({**plot.spec, "description": plot.title})
    note = f'<p class="note">{html.escape(plot.note)}</p>' if plot.note else ""
    caption = f"<figcaption>{html.escape(plot.title)}</figcaption>"
    return f'<figure>{caption}<div class="plot" id="plot-{len(specs) - 1}"></div>{note}</figure>'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    image = f'<img alt="{html.escape(picture.alt)}" src="data:image/png;base64,{data}">'
    return f"<figure><figcaption>{html.escape(picture.title)}</figcaption>{image}</figure>"


def _prose(prose: Prose) -> str:
    return f"<p{' class=careful' if prose.careful else ''}>{html.escape(prose.text)}</p>"


def _commands(commands: Commands) -> str:
    lines = [f"<p>{html.escape(what)}</p><pre><code>{html.escape(words)}</code></pre>" for words, what in commands.rows]
    return f'<div class="commands">{"".join(lines)}</div>'


def _grid(grid: Grid) -> str:
    def cell(kind: str, heading: str, value: str | Link) -> str:
        inner = html.escape(value) if isinstance(value, str) else _link(value)
        number = ' class="number"' if heading in grid.numbers else ""
        return f"<{kind}{number}>{inner}</{kind}>"

    head = "".join(cell("th", heading, heading) for heading in grid.columns)
    rows = [
        "<tr>" + "".join(cell("td", name, value) for name, value in zip(grid.columns, row, strict=True)) + "</tr>"
        for row in grid.rows
    ]
    title = html.escape(grid.title)
    caption = f'<p class="caption">{title}</p>' if title and not grid.folded else ""
    label = title or html.escape(grid.columns[0])
    note = f'<p class="note">{html.escape(grid.note)}</p>' if grid.note else ""
    table = (
        f'<div class="grid">{caption}<div class="table" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{note}</div>"
    )
    return f"<details><summary>{title}</summary>{table}</details>" if grid.folded else table


def _link(link: Link) -> str:
    return f'<a href="#{html.escape(link.anchor)}">{html.escape(link.text)}</a>'


def _listing(listing: Listing) -> str:
    code = _differences(listing.text) if listing.language == "diff" else _coloured(listing.text)
    note = f'<p class="note">{html.escape(listing.note)}</p>' if listing.note else ""
    label = html.escape(listing.title or "program")
    inner = f'{note}<pre tabindex="0" role="region" aria-label="{label}"><code>{code}</code></pre>'
    anchor = f' id="{html.escape(listing.anchor)}"' if listing.anchor else ""
    if listing.folded:
        return f"<details{anchor}><summary>{html.escape(listing.title)}</summary>{inner}</details>"
    title = f"<h3>{html.escape(listing.title)}</h3>" if listing.title else ""
    return f'<div class="listing"{anchor}>{title}{inner}</div>'


def _coloured(text: str) -> str:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return highlight(text.rstrip() + "\n", PythonLexer(), HtmlFormatter(nowrap=True)).rstrip()


def _differences(text: str) -> str:
    """Return lines of a diff, coloured by what became of them."""
    kinds = {"+": "add", "-": "cut"}
    lines = []
    for line in text.rstrip("\n").split("\n"):
        code = line[:1] + _coloured(line[1:]) if line[1:].strip() else html.escape(line)
        lines.append(f'<span class="{kinds[line[0]]}">{code}</span>' if line[:1] in kinds else code)
    return "\n".join(lines)
