"""A report as data: sections of tables, plots, programs and pictures; what writes it knows nothing of rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..standing import Conclusion


@dataclass(frozen=True)
class Link:
    """A cell of a table that leads to a part of the report.

    Attributes:
        text: what is shown.
        anchor: of the part, such as a `Listing`'s.
    """

    text: str
    anchor: str


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        columns: headings.
        rows: cells, as many as there are columns: text or a `Link`.
        numbers: headings of the columns that hold numbers.
        title: what it shows; "" for none.
        note: how it is to be read; "" for none.
        folded: whether only the title is shown at first.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
    numbers: Sequence[str] = ()
    title: str = ""
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Plot:
    """An interactive figure.

    Attributes:
        title: what it shows.
        spec: Vega-Lite's specification of it, without size, colours of the page, and title; see `plots`.
        note: how it is to be read; "" for none.
    """

    title: str
    spec: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture made of pixels.

    Attributes:
        title: what it shows.
        png: the file's bytes.
        alt: what is seen on it, in words.
    """

    title: str
    png: bytes
    alt: str


@dataclass(frozen=True)
class Listing:
    """A program's text, or the lines in which two differ.

    Attributes:
        text: the lines.
        title: what it is; "" for none.
        anchor: a name by which links lead here; "" for none.
        note: a sentence under the title.
        language: "python", or "diff", whose lines begin with "+", "-" or a space.
        folded: whether only the title is shown at first.
    """

    text: str
    title: str = ""
    anchor: str = ""
    note: str = ""
    language: str = "python"
    folded: bool = False


@dataclass(frozen=True)
class Prose:
    """A paragraph; a `careful` one cannot be overlooked."""

    text: str
    careful: bool = False


@dataclass(frozen=True)
class Commands:
    """Commands to copy, each with what it does."""

    rows: Sequence[tuple[str, str]]


Part = Grid | Plot | Picture | Listing | Prose | Commands


@dataclass(frozen=True)
class Section:
    """A part of a report that is looked at by itself.

    Attributes:
        name: a word or two, for a tab.
        parts: what it shows, in order.
        text: what it answers, in a sentence or two.
    """

    name: str
    parts: Sequence[Part]
    text: str = ""


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        title: what it is of.
        kind: what that is, such as "search for an optimizer".
        verdict: what is known, in short and in a sentence.
        facts: (name, value, how to read it) of what matters most, a few.
        rule: the rule itself; None where there is no one rule.
        equations: the rule in LaTeX; "" where there are none.
        reading: the rule in plain words.
        warnings: what makes the report say less than it seems to.
        sections: the rest.
        refresh: seconds after which an open page looks for a newer one; 0 for never.
    """

    title: str
    kind: str
    verdict: Conclusion | None = None
    facts: Sequence[tuple[str, str, str]] = ()
    rule: Listing | None = None
    equations: str = ""
    reading: str = ""
    warnings: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=tuple)
    refresh: float = 0.0


def anchor_of(text: str) -> str:
    """Return text as the name of a part of a page.

    >>> anchor_of("Hall of fame")
    'hall-of-fame'
    """
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
