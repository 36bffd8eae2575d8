"""`rulesmith report`: a report as a file, once or again and again while its run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ...programs import RulesmithError, rule_file
from ...search.store import Store, holds_run, is_running
from .building import REFRESH, report_of, report_of_several
from .document import Report
from .markdown import to_markdown, write_files
from .page import to_html

FORMATS = ("html", "md")
"""Formats of reports, each the ending of its files."""


def write_report(
    subjects: Sequence[str | Path],
    output: Path,
    comparison: Path | None = None,
    *,
    full: bool = False,
    watch: Callable[[str], None] | None = None,
) -> None:
    """Write a report of a run, a rule or a comparison, or of several runs side by side.

    Args:
        subjects: what it is of; see `building.report_of`.
        output: the file: .html, or .md with its figures in a folder beside it.
        comparison: a file of `rulesmith compare --json` to be shown too.
        full: whether to compute first what takes training, unless it is known; see `measured`.
        watch: write it again every few seconds until the run has ended, and tell this function each time.

    Raises:
        RulesmithError: a subject is not right, it has found nothing yet, or the file cannot be written.
    """
    if output.suffix[1:] not in FORMATS:
        raise RulesmithError(f"{output}: a report is a .html or a .md file")
    rule_file.check_writable(output)
    runs = [Path(subject) for subject in subjects if holds_run(Path(subject))]
    if (full or watch) and len(runs) < len(subjects):
        raise RulesmithError(f"{subjects[0]}: --full and --watch are for runs")
    if full:
        from .measured import measure

        for run in runs:
            measure(run)
    if watch is None:
        _write(_made(subjects, comparison, following=False), output)
        return
    while True:
        going = any(is_running(run) for run in runs)
        try:
            if all(_begun(run) for run in runs):
                _write(_made(subjects, comparison, following=going), output)
                watch(f"{output}: written at {time.strftime('%H:%M:%S')}")
            else:
                watch("waiting for the first step")
        except RulesmithError as error:  # nothing was found yet
            if not going:
                raise
            watch(f"waiting: {error}")
        if not going:
            return
        time.sleep(REFRESH)


def _begun(run: Path) -> bool:
    with Store.open(run) as store:
        return store.begun()


def _made(subjects: Sequence[str | Path], comparison: Path | None, *, following: bool) -> Report:
    if len(subjects) > 1:
        return report_of_several(subjects)
    return report_of(subjects[0], comparison, following=following)


def _write(report: Report, output: Path) -> None:
    if output.suffix == ".html":
        rule_file.write_text(output, to_html(report))
        return
    folder = output.with_name(f"{output.stem}-figures")
    text, files = to_markdown(report, folder.name)
    rule_file.write_text(output, text)
    try:
        write_files(folder, files)
    except OSError as error:
        raise RulesmithError(f"{folder}: cannot be written: {error.strerror}") from None
