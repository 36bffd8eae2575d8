"""What each part of the symbolic search buys at equal time: `python benchmarks/ablations.py --minutes 4 --seeds 3`.

Each variant searches for as long, on one core, or as many programs, from several seeds, on the four cheapest tasks of
`standard`. Its best program's loss relative to tuned AdamW's is shown on the search's tasks, and on selection tasks
that it never looked at (breast cancer and source code, on seeds of training that nothing else used), with the means'
standard errors and the 95% interval of its ratio to the full search's (paired by seed, bootstrap over seeds). The
funnel chooses among 16 programs of the full search by other selection tasks (iris and source code, by another
network). The ideas in `variations.py` are variants too.
"""

import contextlib
import functools
import sys
import tempfile
from dataclasses import replace
from json import dumps
from pathlib import Path
from unittest.mock import patch

import numpy as np
import tyro
import variations
from rich.console import Console
from rulesmith.meta import fitness
from rulesmith.results.layout import table
from rulesmith.search.curricula.task_order import TaskOrder
from rulesmith.search.executors import Pool
from rulesmith.search.method import Setup, Workers, discover
from rulesmith.search.methods import symbolic
from rulesmith.search.methods.refinement import finalists_of
from rulesmith.search.problems.full_trials import full_evaluator, references_of
from rulesmith.search.problems.programs import ProgramProblem
from rulesmith.search.program_store import ProgramStore
from rulesmith.search.strategies.program_strategies import PROGRAM_STRATEGIES

TASKS = ("digits-mlp-2k", "digits-few-mlp-2k", "digits-autoencoder-2k", "topics-mlp-2k")
STANDARD = replace(symbolic.METHOD.preset("standard").config, tasks=TASKS)
CHOOSING, JUDGING = ("iris-mlp-20k", "source-mlp-20k"), ("breast-cancer-mlp-20k", "source-gru-20k")
JUDGED = (TASKS, CHOOSING, JUDGING)
FULL, FUNNEL = "full search", "full search, then the funnel"

PROGRAM_STRATEGIES.update(variations.ALL)


class Forgetful(ProgramProblem):
    """The problem without its cache."""

    def evaluate(self, state, candidates, tasks, key):
        return super().evaluate(self.init(key), candidates, tasks, key)._replace(state=state)


def no_leader(config):
    """Return the curriculum in which every program is tried on all tasks."""
    return TaskOrder(config.tasks, slack=float("inf"))


VARIANTS = {
    FULL: ({}, []),
    "random search": ({"strategy": "random"}, []),
    "constants only": ({"strategy": "constants"}, []),
    "no cache": ({}, [patch.object(symbolic, "ProgramProblem", Forgetful)]),
    "one task after another": ({"curriculum": "fixed"}, []),
    "all programs on all tasks": ({"curriculum": "fixed"}, [patch.object(symbolic, "make_task_order", no_leader)]),
    "tasks weighed alike": ({}, [patch.object(fitness, "LEAST_NOISE", 1e9)]),
    "one task": ({"tasks": ("digits-mlp-2k",)}, []),
    "population of 50": ({"population": 50, "tournament": 5}, []),
    **{name: ({"strategy": name}, []) for name in variations.ALL},
}
measured = {}
measure = symbolic.measure_adamw


def measured_once(executor, tasks, start):
    """Return AdamW's losses, measured once for all variants that weigh tasks alike."""
    known = (tasks, fitness.LEAST_NOISE)
    if known not in measured:
        measured[known] = measure(executor, tasks, start)
    return measured[known]


def searched(config, patches, budget, folder):
    """Return the best programs of a search, and how many were tried."""
    directory = Path(folder) / "run"
    with contextlib.ExitStack() as stack:
        for part in [*patches, patch.object(symbolic, "measure_adamw", measured_once)]:
            stack.enter_context(part)
        discover(symbolic.METHOD, config, directory, **budget, resources=Workers(1))
    with ProgramStore.open(directory) as store:
        rows = finalists_of(store, 16)
        return sorted(rows, key=lambda row: row.search), store.counts()["programs"]


def judge(pool, number, reference, programs, seeds=(0, 1)):
    """Return programs' fitnesses, tried in full on the tasks of a row of `JUDGED`, trained from the seeds."""
    jobs = [("full", program.to_flat_text(), (number, seeds, reference)) for program in programs]
    return [score.fitness for score in pool.map(jobs)]


def interval(ratios):
    """Return the 95% bootstrap interval of the geometric mean."""
    logs = np.log(ratios)
    drawn = np.random.default_rng(0).choice(logs, (2000, len(logs)))
    return np.exp(np.quantile(drawn.mean(axis=1), (0.025, 0.975)))


def main(
    minutes: float = 2.0,
    programs: int | None = None,
    seeds: int = 3,
    variants: list[str] = [],  # noqa: B006
    json: Path | None = None,
) -> None:
    """Run variants, and print the table.

    Args:
        minutes: of each search.
        programs: of each search, instead of minutes; for variants whose programs cost the same.
        seeds: searches of each variant.
        variants: names; all by default. The full search is always run.
        json: keep all figures in this file.
    """
    budget = {"bound": programs} if programs else {"minutes": minutes}
    words = f"{programs:,} programs" if programs else f"{minutes:g} minutes of a core"
    if unknown := set(variants) - set(VARIANTS):
        sys.exit(f"no variants {', '.join(sorted(unknown))}; they are {', '.join(VARIANTS)}")
    chosen = {name: VARIANTS[name] for name in VARIANTS if name == FULL or not variants or name in variants}
    pool = Pool(functools.partial(full_evaluator, JUDGED), 1)
    setup = Setup(None, Workers(1), functools.partial(print, file=sys.stderr, flush=True))
    references = references_of(pool, JUDGED, 2, setup)
    own, choosing, judging = (functools.partial(judge, pool, *row) for row in enumerate(references))
    found = {name: [] for name in (*chosen, FUNNEL)}
    for seed in range(seeds):
        for name, (changes, patches) in chosen.items():
            with tempfile.TemporaryDirectory() as folder:
                rows, tried = searched(replace(STANDARD, seed=seed, **changes), patches, budget, folder)
            best = {name: rows[0].programs}
            if name == FULL:
                best[FUNNEL] = rows[int(np.argmin(choosing([row.programs for row in rows])))].program
            for label, program in best.items():
                row = {"programs": tried, "search": own([program], (100, 101))[0]}
                row["selection"] = judging([program], (100, 101))[0]
                found[label].append(row)
                print(f"seed {seed}, {label}: {row} {program.to_flat_text()!r}", file=sys.stderr, flush=True)
    pool.close()
    heads = ("programs", "search tasks", "selection tasks", "ratio to the full search there")
    rows = table(f"{words}, {seeds} seeds", *heads, right=heads)
    full = np.array([row["selection"] for row in found[FULL]])
    for name, results in found.items():
        columns = [np.array([row[key] for row in results]) for key in ("search", "selection")]
        cells = [f"{x.mean():.3f} ±{x.std(ddof=1) / np.sqrt(len(x)):.3f}" for x in columns]
        low, high = interval(columns[1] / full)
        tried = f"{np.mean([row['programs'] for row in results]):,.0f}"
        rows.add_row(name, tried, *cells, "" if name == FULL else f"[{low:.3f}, {high:.3f}]")
    Console(width=140).print(rows)
    if json:
        json.write_text(dumps(found))


if __name__ == "__main__":
    tyro.cli(main)
