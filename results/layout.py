"""How things look on a terminal: tables, code, facts."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

_ONE_LINE = ("rule", "what it is", "origin", "task", "run", "environment", "pull at ratio")


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table; the columns in `right` are numbers."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        wide = 11 if column not in right else len(column)
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column in _ONE_LINE,
            overflow="ellipsis" if column in _ONE_LINE else "fold",
            min_width=wide,
        )
    return made


def careful(text: str) -> Text:
    """Return a warning that cannot be overlooked."""
    return Text(f"careful: {text}", style="bold red")


def section(title: str, text: str = "") -> str:
    """Return the heading of a report's section, and a paragraph, as HTML."""
    return f"<h2>{html.escape(title)}</h2>" + (f"<p>{html.escape(text)}</p>" if text else "")


def text_part(renderable: Any) -> str:
    """Return what is made for the terminal as HTML."""
    console = Console(width=110, record=True, file=io.StringIO(), highlight=False)
    show(console, renderable)
    return f"<pre>{html.escape(console.export_text())}</pre>"


def code(text: str) -> Text:
    """Return a program's text; its lines stay whole on the narrowest terminal where it is printed by `show`."""
    made = Syntax("", "python", theme="ansi_light", background_color="default").highlight(text.rstrip())
    made.rstrip()
    made.no_wrap, made.overflow = True, "ignore"
    return made


def show(console: Console, renderable: Any) -> None:
    """Print something: prose is wrapped, and nothing is cut."""
    console.print(Group(renderable), crop=False)  # a text by itself would lose how its lines are to be broken


def facts_table(title: str, facts: Mapping[str, Any]) -> Table:
    """Return names and values, a line each."""
    rows = table(title, "")
    for key, value in facts.items():
        rows.add_row(f"  {key}", _words(value))
    return rows


def _words(value: Any) -> str:
    match value:
        case float():
            return f"{value:.4f}"
        case Mapping():
            return "\n".join(f"{key}: {_words(each)}" for key, each in value.items())
        case [str(), *_]:
            return "\n".join(map(str, value))
        case _:
            return str(value)
