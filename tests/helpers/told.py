"""What a report says and draws of a comparison."""

from collections.abc import Mapping
from typing import Any

from rulesmith.results.report.comparisons import comparison_sections
from rulesmith.results.report.document import Grid, Plot, Prose


def parts_of(found: Mapping[str, Any]) -> list[Any]:
    return [part for section in comparison_sections(found) for part in section.parts]


def words_of(found: Mapping[str, Any]) -> str:
    """Return all sentences, notes and cells of the report."""
    words = []
    for part in parts_of(found):
        if isinstance(part, Prose):
            words.append(("Careful: " if part.careful else "") + part.text)
        elif isinstance(part, Grid):
            words += [part.title, part.note, *(" ".join(map(str, row)) for row in part.rows)]
        elif isinstance(part, Plot):
            words += [part.title, part.note]
    return "\n".join(words)


def plots_of(found: Mapping[str, Any]) -> list[str]:
    """Return the titles of the report's plots."""
    return [part.title for part in parts_of(found) if isinstance(part, Plot)]
