"""Searches by halving, by the fixed order of tasks and by regret, at equal time, judged on networks of 200,000 weights.

`search` makes one search for each curriculum and seed, one core each; `judge` trains 200,000 weights by each search's
best rule, the step size tuned, and prints every curriculum's loss relative to AdamW's and paired with the fixed order.

python benchmarks/fidelity.py search --minutes 4 --out runs/fidelity
python benchmarks/fidelity.py judge runs/fidelity --json-file runs/fidelity.json
"""

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rulesmith import load, open_run
from rulesmith.envs.tasks import tasks
from rulesmith.meta.training import Trainer
from rulesmith.results.layout import table
from rulesmith.search.program_store import ProgramStore
from tyro.conf import Positional

CURRICULA = ("halving", "fixed", "regret")
TASKS = ("digits-mlp-2k", "topics-mlp-2k", "digits-mlp-20k", "topics-mlp-20k")
JUDGED = ("digits-mlp-200k", "topics-mlp-200k", "flower-mlp-200k", "source-mlp-200k")
SCALES = tuple(1e-3 * 2.0**i for i in range(7))
"""Root mean squares of the updates that the judge tries."""
TUNING, CLAIM = (1000, 1001), (2000, 2001, 2002)
"""Seeds that choose the step size, and those whose test losses count."""


def search(out: Path, minutes: float = 4.0, seeds: int = 3, init: str = "warm-start") -> None:
    """Search with each curriculum and seed, one core each, as many at once as there are cores.

    Args:
        out: folder of the runs; it must not exist.
        minutes: of each search.
        seeds: searches of each curriculum.
        init: the rule to start from.
    """
    out.mkdir(parents=True)
    cores = sorted(os.sched_getaffinity(0))

    def one(job: tuple[int, str, int]) -> None:
        number, curriculum, seed = job
        command = [sys.executable, "-m", "rulesmith", "discover", "symbolic", "--curriculum", curriculum]
        command += ["--seed", str(seed), "--init", init, "--tasks", *TASKS, "--population", "100", "--tournament", "8"]
        command += ["--minutes", str(minutes), "--workers", "1", "--out", str(out / f"{curriculum}-{seed}")]
        core = {cores[number % len(cores)]}
        with open(out / f"{curriculum}-{seed}.txt", "w") as log:
            subprocess.run(
                command, stdout=log, stderr=log, check=True, preexec_fn=lambda: os.sched_setaffinity(0, core)
            )

    jobs = [(curriculum, seed) for seed in range(seeds) for curriculum in CURRICULA]
    with ThreadPoolExecutor(len(cores)) as pool:
        list(pool.map(one, [(i, *job) for i, job in enumerate(jobs)]))


def loss(trainer: Trainer, rule) -> float:
    """Return the test loss at the step size that is best on validation data."""
    tuned = trainer.losses(rule, SCALES, TUNING, relative=True, interpreted=False)[..., 0].mean(axis=1)
    best = SCALES[int(np.nanargmin(np.where(np.isfinite(tuned), tuned, np.inf)))]
    return float(trainer.losses(rule, [best], CLAIM, relative=True, interpreted=False)[0, :, 1].mean())


def tried(run: Path) -> int:
    """Return how many programs a search tried."""
    with ProgramStore.open(run) as store:
        return store.counts()["programs"]


def judge(runs: Positional[Path], json_file: Path, judged: tuple[str, ...] = JUDGED) -> None:
    """Judge each search's best rule, and print the table.

    Args:
        runs: folder that `search` made.
        json_file: keeps the figures; what it holds is not trained again.
        judged: tasks that the rules train.
    """
    found = {path.name: open_run(path) for path in sorted(runs.iterdir()) if path.is_dir()}
    kept = json.loads(json_file.read_text()) if json_file.exists() else {}
    for name in judged:
        trainer = Trainer(tasks()[name], runs=len(SCALES) * len(TUNING))
        for label in ("adamw", *found):
            if name in (losses := kept.setdefault(label, {})):
                continue
            losses[name] = loss(trainer, load("adamw") if label == "adamw" else found[label].best)
            print(f"{name} {label}: {losses[name]:.4f}", file=sys.stderr, flush=True)
            json_file.write_text(json.dumps(kept, indent=1) + "\n")
    means = {run: math.exp(np.mean([math.log(kept[run][t] / kept["adamw"][t]) for t in judged])) for run in found}
    heads = ("programs", "best fitness", "loss at 200k / AdamW's", "/ the fixed order's, by seed")
    rows = table("one search a core", *heads, right=heads)
    for curriculum in CURRICULA:
        own = [name for name in found if name.startswith(curriculum)]
        programs = [tried(runs / name) for name in own]
        fitness = [float(found[name].hall_of_fame["fitness"].iloc[0]) for name in own]
        ratios = [means[name] / means[name.replace(curriculum, "fixed")] for name in own]
        words = [f"{np.mean(x):.3f} ({', '.join(f'{y:.3f}' for y in x)})" for x in (fitness, [means[n] for n in own])]
        rows.add_row(curriculum, f"{np.mean(programs):,.0f}", *words, ", ".join(f"{ratio:.3f}" for ratio in ratios))
    Console(width=150).print(rows)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"search": search, "judge": judge})
