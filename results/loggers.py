"""Callbacks of a search that log it with tools that people have open anyway: TensorBoard, and Weights & Biases.

Both log each step's figures, the best program whenever it gets better, and in the end the run's figure, its verdict,
its rule and its report. Both tools are extras (``rulesmith[tensorboard]``, ``rulesmith[wandb]``), imported only here.
"""

from __future__ import annotations

import importlib
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..programs import RulesmithError
from ..programs.objective import Objective
from ..programs.parts import Programs
from ..programs.rule import Rule
from ..search.candidates import Candidate
from ..search.engine import Record

if TYPE_CHECKING:
    from .run import Run


class Logged(NamedTuple):
    """What is logged of a step: figures by name, and the best program if it got better, else ""."""

    figures: dict[str, float]
    program: str


class StepReader:
    """Reads from each step's record what is logged of it."""

    def __init__(self) -> None:
        self._best = math.inf

    def read(self, record: Record[Any, Any, Any, Any]) -> Logged:
        """Return what is logged of a step."""
        figures = {
            name: float(value)
            for name, value in record.metrics.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        if not isinstance(record.candidates, list | tuple) or not isinstance(record.candidates[0], Candidate):
            return Logged(figures, "")
        pairs = [(told.score, each) for each, told in zip(record.candidates, record.feedback, strict=True)]
        whole = [(score.fitness, each.index, each) for score, each in pairs if score.complete]
        sources = [told.source for told in record.feedback]
        refused = sum(each.refused for each in record.candidates)
        every = len(sources) + refused
        kinds = {"digest": "duplicate", "fingerprint": "cached"}
        figures |= {f"share {name}": sources.count(source) / every for source, name in kinds.items()}
        figures["share invalid"] = refused / every
        program = ""
        if whole and min(whole)[0] < self._best:
            self._best, _, best = min(whole)
            program = best.programs.simplified().to_text()
        if math.isfinite(self._best):
            figures["best fitness"] = self._best
        return Logged(figures, program)


class TensorBoard:
    """A callback that writes TensorBoard's event files; needs tensorboardX.

    Args:
        directory: where; ``tensorboard --logdir`` shows it.

    Raises:
        RulesmithError: tensorboardX is not installed.

    Example:
        ``rulesmith.discover(config, callbacks=[rulesmith.TensorBoard("logs/mine")])``
    """

    def __init__(self, directory: str | Path) -> None:
        module = _imported("tensorboardX", "tensorboard")
        self._writer = module.SummaryWriter(str(directory))
        self._reader = StepReader()
        self._step = 0

    def __call__(self, record: Record[Any, Any, Any, Any]) -> None:
        """Log a step."""
        found, self._step = self._reader.read(record), record.step
        for name, value in found.figures.items():
            self._writer.add_scalar(name.replace(" ", "_"), value, record.step)
        if found.program:
            self._writer.add_text("best program", _fenced(found.program), record.step)

    def finish(self, run: Run) -> None:
        """Log how the run stands, its rule and its report, and close the files."""
        from .report.building import report_of
        from .report.markdown import to_markdown

        standing = run.standing
        if standing.figure:
            self._writer.add_scalar("figure", standing.figure.value, self._step)
            told = f"{standing.figure}\n\n**{standing.verdict.kind}**: {standing.verdict.sentence}"
            self._writer.add_text("verdict", told, self._step)
            self._writer.add_text("rule", _fenced(_text_of(run.best)), self._step)
            text, _ = to_markdown(report_of(run.directory), "figures", pictures=False)
            self._writer.add_text("report", text, self._step)
        self._writer.close()


class WandB:
    """A callback that logs to Weights & Biases; needs wandb.

    Args:
        project: name of the project there.
        **options: more arguments of ``wandb.init``, such as ``mode="offline"``, ``name`` or ``dir``.

    Raises:
        RulesmithError: wandb is not installed.

    Example:
        ``rulesmith.discover(config, callbacks=[rulesmith.WandB(project="optimizers")])``
    """

    def __init__(self, project: str, **options: Any) -> None:
        self._wandb = _imported("wandb", "wandb")
        self._run = self._wandb.init(project=project, **options)
        self._reader = StepReader()

    def __call__(self, record: Record[Any, Any, Any, Any]) -> None:
        """Log a step."""
        found = self._reader.read(record)
        more = {"best program": self._html(found.program)} if found.program else {}
        self._run.log({**found.figures, **more}, step=record.step)

    def finish(self, run: Run) -> None:
        """Log how the run stands, its config, its rule and its report, and end the run there."""
        standing = run.standing
        self._run.config.update({key: str(value) for key, value in run.config.items()})
        if standing.figure:
            figure = {"figure": standing.figure.value, "figure is": str(standing.figure)}
            self._run.summary.update({**figure, "verdict": f"{standing.verdict.kind}: {standing.verdict.sentence}"})
            with tempfile.TemporaryDirectory() as folder:
                report = run.report(Path(folder) / "report.html")
                page = self._wandb.Html(report.read_text(encoding="utf-8"), inject=False)
                self._run.log({"rule": self._html(_text_of(run.best)), "report": page})
        self._run.finish()

    def _html(self, text: str) -> Any:
        from html import escape

        return self._wandb.Html(f"<pre>{escape(text)}</pre>")


def _text_of(rule: Rule | Objective) -> str:
    if isinstance(rule, Rule):
        return Programs.of(rule.programs).to_text()
    return rule.program.to_text() if rule.program else repr(rule)


def _fenced(text: str) -> str:
    return f"```python\n{text.rstrip()}\n```"


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise RulesmithError(f"{module} is not installed: pip install {module} (the extra {extra!r})") from None
