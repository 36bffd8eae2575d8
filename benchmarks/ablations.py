"""What each part of the symbolic search buys at equal time: `python benchmarks/ablations.py [MINUTES] [SEEDS]`.

Each variant searches for as long, from several seeds, on the tasks of `standard`. Its best program's loss relative to
tuned AdamW's is shown on the search's tasks, and on selection tasks that it never looked at, with the means' standard
errors, and the 95% interval of its ratio to the full search's (paired by seed, bootstrap over seeds).
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rulesmith.results.layout import table
from rulesmith.search.executors import Pool, available_cores
from rulesmith.search.methods.refinement import judge_on, refinement_evaluator
from rulesmith.search.methods.symbolic import PRESETS, discover
from rulesmith.search.program_store import ProgramStore

STANDARD = PRESETS["standard"][0]
VARIANTS = {
    "evolution": {},
    "random search": {"strategy": "random"},
    "constants only": {"strategy": "constants"},
    "one task": {"tasks": ("digits-mlp-2k",)},
    "restarts every 5,000": {"restart": 5_000},
    "population of 100": {"population": 100, "tournament": 8},
    "regret curriculum": {"curriculum": "regret"},
}


def searched(changes, seed, minutes, folder):
    """Return the best program of a search, its fitness, and how many were tried."""
    directory = Path(folder) / "run"
    discover(replace(STANDARD, seed=seed, **changes), directory, minutes=minutes)
    with ProgramStore.open(directory) as store:
        best = store.archive()[0]
        return best.candidate.program.simplified(), best.fitness, store.counts()["programs"]


def interval(ratios):
    """Return the 95% bootstrap interval of the geometric mean."""
    logs = np.log(ratios)
    drawn = np.random.default_rng(0).choice(logs, (2000, len(logs)))
    return np.exp(np.quantile(drawn.mean(axis=1), (0.025, 0.975)))


def main():
    """Run all variants, and print the table and all figures as JSON."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    found = {name: [] for name in VARIANTS}
    for seed in range(seeds):
        for name, changes in VARIANTS.items():
            with tempfile.TemporaryDirectory() as folder:
                program, fitness, tried = searched(changes, seed, minutes, folder)
            pool = Pool(refinement_evaluator, available_cores())
            # On other seeds than the search's too, or its luck would count.
            chosen, own = (judge_on(pool, (tasks,), 2) for tasks in ("selection", "search"))
            row = {"search": fitness, "programs": tried}
            row["selection"] = chosen([program], (100, 101))[0]
            row["search, other seeds"] = own([program], (100, 101))[0]
            pool.close()
            found[name].append(row)
            print(f"seed {seed}, {name}: {row}", file=sys.stderr, flush=True)
    heads = ("programs", "search tasks", "other seeds", "selection tasks", "ratio to evolution there")
    rows = table(f"{minutes:g} minutes, {seeds} seeds", *heads, right=heads)
    full = np.array([row["selection"] for row in found["evolution"]])
    for name, results in found.items():
        columns = [np.array([row[key] for row in results]) for key in ("search", "search, other seeds", "selection")]
        cells = [f"{x.mean():.3f} ±{x.std(ddof=1) / np.sqrt(len(x)):.3f}" for x in columns]
        low, high = interval(columns[2] / full)
        programs = f"{np.mean([row['programs'] for row in results]):,.0f}"
        rows.add_row(name, programs, *cells, "" if name == "evolution" else f"[{low:.2f}, {high:.2f}]")
    Console(width=140).print(rows)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
