"""How things look on a terminal: tables, code, facts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

_COMFORT = 20
"""Width below which no column of text is narrowed: what is shorter, as a number with its interval, stays on a line."""
_GAP = 2
"""Spaces between columns."""


class FittedTable(Table):
    """A table that breaks no number, no name and no other word, however narrow the terminal is.

    Where its lines are too long, text is wrapped between words, and so are the heads of columns. Where that does not
    suffice, each row is a block: its first cell, and below it the others with their columns' names. Where the output
    goes to no terminal, it stays a table.
    """

    def __init__(self, columns: Sequence[str], right: Sequence[str]) -> None:
        super().__init__(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
        for column in columns:
            self.add_column(column, justify="right" if column in right else "left", overflow="fold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide as there is room."""
        least, most = zip(*map(self._bounds, range(len(self.columns))), strict=True)
        room = options.max_width - _GAP * (len(least) - 1)
        if sum(least) > room and console.is_terminal:
            yield from self._blocks(options.max_width)
            return
        widths = _fitted(least, most, room)
        try:
            for column, width in zip(self.columns, widths, strict=True):
                column.width = width
            whole = options.update(width=max(options.max_width, sum(widths) + _GAP * (len(widths) - 1)))
            yield from list(super().__rich_console__(console, whole))
        finally:
            for column in self.columns:
                column.width = None

    def _texts(self, index: int) -> list[str]:
        """Return the texts of a column's cells."""
        cells = self.columns[index].cells
        return [cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain for cell in cells]

    def _bounds(self, index: int) -> tuple[int, int]:
        """Return the least and the greatest width that a column makes use of."""
        head, cells = str(self.columns[index].header), self._texts(index)
        widest = max((cell_len(line) for cell in cells for line in cell.splitlines()), default=0)
        words = [cell_len(word) for cell in cells for word in cell.split()]
        least = _width_of_head(head)
        if self.columns[index].justify == "right":
            least = max(least, widest)
        else:
            least = max([least, min(widest, _COMFORT), *words])
        return least, max(widest, cell_len(head))

    def _blocks(self, width: int) -> Iterator[Text]:
        first, *heads = (str(column.header) for column in self.columns)
        yield _text(textwrap.wrap(first, width, **_BETWEEN_WORDS), "bold")
        columns = [self._texts(index) for index in range(len(self.columns))]
        for name, *cells in zip(*columns, strict=True):
            yield _text(textwrap.wrap(name, width, **_BETWEEN_WORDS) or [""])
            yield from map(_text, _pairs(heads, cells, width))


def _width_of_head(head: str) -> int:
    """Return the least width at which a head has few lines."""
    least = max(map(cell_len, head.split()), default=0)
    return next(width for width in range(least, len(head) + 1) if len(between_words(head, width or 1).split("\n")) <= 3)


_BETWEEN_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def _text(lines: Sequence[str], style: str = "") -> Text:
    return Text("\n".join(lines), style=style, no_wrap=True, overflow="ignore")


def _fitted(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Return widths of columns that fill the room at most, unless they need more: the widest are narrowed first."""
    bound = max(most)
    while bound and sum(max(low, min(high, bound)) for low, high in zip(least, most, strict=True)) > room:
        bound -= 1
    return [max(low, min(high, bound)) for low, high in zip(least, most, strict=True)]


def _pairs(heads: Sequence[str], cells: Sequence[str], width: int) -> Iterator[list[str]]:
    """Return the lines of a block: names and values, several a line where they are short."""
    line = ""
    for head, cell in zip(heads, cells, strict=True):
        for part in cell.splitlines():
            pair = f"{head}: {part}" if head else part
            if line and len(line) + 2 + len(pair) <= width:
                line = f"{line}; {pair}"
                continue
            if line:
                yield [line]
            *before, line = textwrap.wrap(
                pair, width, initial_indent="  ", subsequent_indent="    ", **_BETWEEN_WORDS
            ) or [""]
            if before:
                yield [*before, line]
                line = ""
    if line:
        yield [line]


def table(*columns: str, right: Sequence[str] = ()) -> FittedTable:
    """Return an empty table; the columns in `right` are numbers."""
    return FittedTable(columns, right)


def is_live(console: Console) -> bool:
    """Return whether a display can be drawn again in its place: on a terminal, unless it is a dumb one."""
    return console.is_terminal and not console.is_dumb_terminal and not console.is_jupyter


def between_words(text: str, width: int) -> str:
    """Return a text in lines of a width, broken between words only.

    >>> between_words("no task 'breast-cancer-2k'", 12).splitlines()
    ['no task', "'breast-cancer-2k'"]
    """
    return "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, width, **_BETWEEN_WORDS) or [""])


def say(console: Console, line: str) -> None:
    """Print a line: on a terminal wrapped between words, elsewhere whole."""
    if console.is_terminal:
        line = between_words(line, console.width)
    console.print(Text(line), soft_wrap=True)


def careful(text: str) -> Text:
    """Return a warning that cannot be overlooked."""
    return Text(f"careful: {text}", style="bold red")


def export_step(run: str, module: str, function: str = "", rate: Any = None) -> tuple[str, str]:
    """Return the command that exports a run's rule to a module, and how it is used, with the rate that worked."""
    use = ""
    if isinstance(rate, float):
        use = f": from {module} import {function}; tx = {function}({rate_words(rate)}), the learning rate that worked"
    return f"rulesmith export {run} -o {module}.py", f"writes it as one readable file of JAX and optax{use}"


def next_steps_text(steps: Sequence[tuple[str, str]]) -> Group:
    """Return commands with what they do, for the terminal."""
    if not steps:
        return Group()
    lines: list[Text | Padding] = [Text("Next:", style="bold")]
    for words, what in steps:
        lines.append(Text(f"  {words}", no_wrap=True, overflow="ignore"))
        lines.append(Padding(Text(what, style="dim"), (0, 0, 0, 6), expand=False))
    return Group(*lines)


def code(text: str) -> Text:
    """Return a program's text; its lines stay whole on the narrowest terminal where it is printed by `show`."""
    made = Syntax("", "python", theme="ansi_light", background_color="default").highlight(text.rstrip())
    made.rstrip()
    made.no_wrap, made.overflow = True, "ignore"
    return made


def show(console: Console, renderable: Any) -> None:
    """Print something: prose is wrapped, and nothing is cut."""
    console.print(Group(renderable), crop=False)  # a text by itself would lose how its lines are to be broken


def facts_table(title: str, facts: Mapping[str, Any]) -> FittedTable:
    """Return names and values, a line each."""
    rows = table(title, "")
    for key, value in facts.items():
        rows.add_row(f"  {key}", fact_words(value, key))
    return rows


def rate_words(rate: float) -> str:
    """Return a learning rate, or what else is tuned, in words: more digits would say nothing.

    >>> rate_words(0.0772995), rate_words(0.0000123), rate_words(10.0)
    ('0.077', '1.2e-05', '10')
    """
    return f"{rate:.2g}"


def fact_words(value: Any, name: str = "") -> str:
    """Return the value of a fact in words; those of a name that speaks of learning rates as `rate_words`.

    >>> fact_words({"up to 5k weights": 0.0772995}, "best_learning_rates")
    'up to 5k weights: 0.077'
    >>> fact_words([4.2, 0.33333])
    '4.2, 0.3333'
    """
    rate = "learning rate" in name.replace("_", " ")
    match value:
        case float():
            return rate_words(value) if rate else f"{value:.4f}".rstrip("0").rstrip(".")
        case Mapping():
            return "\n".join(f"{key}: {fact_words(each, name if rate else str(key))}" for key, each in value.items())
        case [str(), *_]:
            return "\n".join(map(str, value))
        case [float(), *_]:
            return ", ".join(fact_words(each, name) for each in value)
        case _:
            return str(value)
