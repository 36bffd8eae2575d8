"""`rulesmith report RUN`: a run as one HTML file that needs no network."""

from __future__ import annotations

import html
import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from ..programs import RulesmithError, rule_file
from ..search.array_store import ArrayStore
from ..search.level_store import LevelStore
from ..search.program_store import ProgramStore
from ..search.runs import open_run
from . import comparison_pictures, pictures
from .curriculum_reporting import run_text as curriculum_run_text
from .objective_reporting import run_text as objective_run_text
from .reporting import run_text

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
        directory: of the run.
        output: the HTML file.
        comparison: what `rulesmith compare --json` wrote, to be shown with it.

    Raises:
        RulesmithError: there is no run, it has found nothing yet, or a file cannot be read or written.
    """
    with open_run(directory) as store:
        if isinstance(store, LevelStore):
            parts = _curriculum(store)
        elif isinstance(store, ArrayStore):
            parts = _generations(store)
        else:
            parts = _programs(store, directory)
        method = store.fact("method")
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
    title = html.escape(f"{directory}: {method}")
    rule_file.write_text(output, _PAGE.format(title=title, body="\n".join(body)))


def _text(renderable: Any) -> str:
    console = Console(width=110, record=True, file=io.StringIO(), highlight=False)
    console.print(renderable)
    return f"<pre>{html.escape(console.export_text())}</pre>"


def _section(title: str, text: str = "") -> str:
    return f"<h2>{html.escape(title)}</h2>" + (f"<p>{html.escape(text)}</p>" if text else "")


def _generations(store: ArrayStore) -> list[Any]:
    rows = [metrics for _, metrics in store.steps()]
    rule = store.best_rule()
    lines = {
        "the strategy's mean": [row["center"] for row in rows],
        "the mean, over 15 generations": pictures.smoothed([row["center"] for row in rows]),
        "candidates' median": pictures.smoothed([row["median"] for row in rows]),
    }
    parts: list[Any] = [
        _section("What was searched and found"),
        _text(objective_run_text(store)),
        _section("How it came about", "Returns at the end of lifetimes in the search's own environments."),
        pictures.curve("return by generation (0 random, 1 tuned PPO)", lines, "generation", "normalized return"),
    ]
    if rule.kind == "drift":
        ppo = rule_file.find_objective("ppo-clip")
        parts += [
            _section("What it does", "Where the pull is 0, a further change of the policy gains nothing."),
            pictures.drift_map(rule),
            pictures.pull_curves(rule, ppo, 1.0),
            pictures.pull_curves(rule, ppo, -1.0),
        ]
    return parts


def _curriculum(store: LevelStore) -> list[Any]:
    from . import curriculum_pictures as figures

    lives = list(store.lives())
    score = store.fact("config")["score"]
    parts: list[Any] = [_section("What was searched and found"), _text(curriculum_run_text(store))]
    if store.held_out():
        parts += [_section("How it came about"), figures.held_out_curve(store)]
    if any(row.score is not None for row in lives):
        parts += [
            _section("Which levels it chose", "Rewards green above 0, red below, deeper the larger they are."),
            figures.score_bands(lives, score),
            *figures.gallery(store, lives),
            figures.replay_shares(lives),
        ]
        scatter = figures.regret_scatter(store, lives)
        parts += [scatter] if scatter else []
    return parts


def _programs(store: ProgramStore, directory: Path) -> list[Any]:
    best: list[float] = []
    for _, score, _ in store.candidates(set()):
        if score.complete:
            best.append(min(score.fitness, best[-1]) if best else score.fitness)
    if not best:
        raise RulesmithError(f"{directory}: the run has no evaluated program yet")
    step = max(1, len(best) // 2000)
    parts: list[Any] = [
        _section("What was searched and found"),
        _text(run_text(directory)),
        _section("How it came about"),
        pictures.curve(
            "best fitness by programs tried on all tasks", {"best so far": best[::step]}, "programs", "fitness", step
        ),
    ]
    if selection := store.fact("selection"):
        tasks = f"The funnel tried programs of the whole search on {', '.join(selection['tasks'])} too."
        parts += [_section("Does it hold elsewhere?", tasks), pictures.selection(selection["finalists"])]
    rule = store.best_rule()
    if getattr(rule, "kind", "") == "drift":
        ppo = rule_file.find_objective("ppo-clip")
        parts += [pictures.drift_map(rule), pictures.pull_curves(rule, ppo, 1.0), pictures.pull_curves(rule, ppo, -1.0)]  # pyright: ignore[reportArgumentType]
    return parts


def _comparison(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_text())
        return [
            _section("How it compares", comparison_pictures.conclusion(found)),
            *comparison_pictures.figures(found),
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        raise RulesmithError(f"{path}: not what `rulesmith compare --json` writes") from None
