"""How things look on a terminal: tables, code, facts."""

from __future__ import annotations

import re
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


def counted(number: int, one: str, many: str = "") -> str:
    """Return how many there are of something.

    >>> counted(1, "program"), counted(2000, "life", "lives")
    ('1 program', '2,000 lives')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def duration(seconds: float) -> str:
    """Return a time in words, in the unit that suits it.

    >>> duration(95), duration(7300)
    ('1.6 minutes', '2.0 hours')
    """
    for unit, size in (("days", 2 * 86400), ("hours", 5400), ("minutes", 90)):
        if seconds >= size:
            return f"{seconds / {'days': 86400, 'hours': 3600, 'minutes': 60}[unit]:.1f} {unit}"
    return f"{seconds:.0f} seconds"


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
    lines = [Text("Next:", style="bold")]
    for words, what in steps:
        lines.append(Text(f"  {words}", no_wrap=True, overflow="ignore"))
        lines.append(Text(f"      {what}", style="dim"))
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


def facts_table(title: str, facts: Mapping[str, Any]) -> Table:
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
    >>> fact_words("up to 5k weights 0.0772995, 5k to 50k 0.00956427", "best learning rates by size")
    'up to 5k weights 0.077, 5k to 50k 0.0096'
    """
    rate = "learning rate" in name.replace("_", " ")
    match value:
        case str() if rate:  # such as "up to 5k weights 0.0772995, 5k to 50k 0.00956427"
            return re.sub(r"\b\d+\.\d+(e-?\d+)?\b", lambda number: rate_words(float(number[0])), value)
        case float():
            return rate_words(value) if rate else f"{value:.4f}"
        case Mapping():
            return "\n".join(f"{key}: {fact_words(each, name if rate else str(key))}" for key, each in value.items())
        case [str(), *_]:
            return "\n".join(map(str, value))
        case [float(), *_]:
            return ", ".join(fact_words(each, name) for each in value)
        case _:
            return str(value)
