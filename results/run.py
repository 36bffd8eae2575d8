"""A run as a Python value: what was found, as tables."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..programs.objective import Objective
from ..programs.rule import Rule
from ..search.runs import open_store
from ..search.store import state_of
from .standing import Standing
from .views import history, run_json, run_text, standing_of, view_of

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run in a directory, still going on or ended. Every access reads it again, up to the last step that was kept.

    Args:
        directory: the run's directory.

    Raises:
        RulesmithError: there is no run, or it is damaged; in one line.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.method = self._read(lambda method, store: method.name)
        """Name of the method: "symbolic", "objective", ..."""

    @property
    def config(self) -> dict[str, Any]:
        """The config that the run began with, as plain data."""
        return self._read(lambda method, store: store.fact("config"))

    @property
    def best(self) -> Rule | Objective:
        """The best rule that the run has found.

        Raises:
            RulesmithError: it has found none yet.
        """
        return self._read(lambda method, store: method.rule(store))

    @property
    def hall_of_fame(self) -> pd.DataFrame:
        """The best candidates, a row each, best first. A run over networks has one: its current rule."""
        return _frame(self._read(lambda method, store: view_of(method).hall_of_fame(store)))

    @property
    def history(self) -> pd.DataFrame:
        """The figures of each step, a row each; `seconds` is its time."""
        return _frame(self._read(lambda method, store: history(store)))

    def lineage(self) -> pd.DataFrame:
        """Return the best candidate's ancestors and itself, oldest first; no rows for a network, which has none."""
        return _frame(self._read(lambda method, store: view_of(method).lineage(store)))

    def to_json(self, *, stats: bool = False) -> dict[str, Any]:
        """Return the run as plain data, as ``rulesmith show RUN --json`` prints it.

        Args:
            stats: whether to add what depends on the clock and the machine.
        """
        return run_json(self.directory, stats=stats)

    @property
    def begun(self) -> bool:
        """Whether the run has made a whole step."""
        return self._read(lambda method, store: store.begun())

    @property
    def state(self) -> str:
        """How the run stands: "running", "done", "stopped", or "failed" with the reason."""
        return self._read(lambda method, store: state_of(store))

    @property
    def standing(self) -> Standing:
        """The run's figure, with its unit, yardstick and direction, and the verdict; as everywhere else."""
        return self._read(standing_of)

    def report(self, output: str | Path, comparison: str | Path | None = None, *, full: bool = False) -> Path:
        """Write the run's report as one file, and return its path.

        Args:
            output: the file to write: .html, or .md with the figures in a folder beside it.
            comparison: a file of `rulesmith compare --json` to show with it; by default the latest with the run's rule.
            full: whether to compute first what takes training, unless it is known.
        """
        from .report.writing import write_report

        write_report([self.directory], Path(output), Path(comparison) if comparison else None, full=full)
        return Path(output)

    def __repr__(self) -> str:
        done, found = self._read(lambda method, store: (view_of(method).done(store), standing_of(method, store)))
        best = f", {found.figure.name} {found.figure.value:.4f} ({found.verdict.kind})" if found.figure else ""
        return f"<Run {str(self.directory)!r}: {self.method}, {done}{best}>"

    def __rich__(self) -> Any:
        return run_text(self.directory)

    def _repr_html_(self) -> str:
        rows = self.hall_of_fame.head(10)
        program = rows.iloc[0].get("program") if len(rows) else None
        code = f"<pre>{html.escape(program)}</pre>" if program else ""
        few = rows.drop(columns=[name for name in ("program", "losses", "digest") if name in rows])
        return f"<p>{html.escape(repr(self))}</p>{code}{few.to_html(index=False, border=0)}"

    def _read(self, function: Any) -> Any:
        method, store = open_store(self.directory)
        with store:
            return function(method, store)


def open_run(directory: str | Path) -> Run:
    """Return the run in a directory.

    Raises:
        RulesmithError: there is none, or it is damaged; in one line.
    """
    return Run(directory)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows)
