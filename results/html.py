"""`rulesmith report RUN`: a run as one HTML file that needs no network."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from ..programs import RulesmithError, rule_file
from ..search.runs import open_store
from . import comparison_pictures
from .layout import section
from .views import view_of

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }}
pre {{ font: 13px/1.45 ui-monospace, monospace; background: #f6f7f9; padding: 1rem; overflow-x: auto; }}
h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.2rem; margin-top: 2.2rem; }} p {{ max-width: 46rem; }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""


def write_report(directory: Path, output: Path, comparison: Path | None = None) -> None:
    """Write a run's report.

    Args:
        directory: the run's directory.
        output: the HTML file.
        comparison: what `rulesmith compare --json` wrote, to be shown with it.

    Raises:
        RulesmithError: there is no run, it has found nothing yet, or a file cannot be read or written.
    """
    method, store = open_store(directory)
    with store:
        parts = view_of(method).parts(store)
    if comparison:
        parts += _comparison(comparison)
    figures = 0
    body = []
    for part in parts:
        if isinstance(part, str):
            body.append(part)
        else:
            body.append(part.to_html(full_html=False, include_plotlyjs=figures == 0))
            figures += 1
    title = html.escape(f"{directory}: {method.name}")
    rule_file.write_text(output, _PAGE.format(title=title, body="\n".join(body)))


def _comparison(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [
            section("How it compares", comparison_pictures.conclusion(found)),
            *comparison_pictures.figures(found),
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        raise RulesmithError(f"{path}: not what `rulesmith compare --json` writes") from None
