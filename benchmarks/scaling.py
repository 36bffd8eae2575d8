"""How the cost of a symbolic search grows, and what the published scale would take.

`python benchmarks/scaling.py [RUN]`: RUN, a run of `standard`, says which share of programs reaches which task; without
one, a search of 1,000 programs does.

All times are of one core's clock, so that what else runs on the machine counts little.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import numpy as np
from rulesmith.envs.tasks import find
from rulesmith.meta.fitness import RUNS
from rulesmith.meta.training import Trainer
from rulesmith.programs.fingerprint import examine_all
from rulesmith.programs.parts import Programs
from rulesmith.search.archive import Entry
from rulesmith.search.method import discover
from rulesmith.search.methods.symbolic import METHOD, WARM_START
from rulesmith.search.problems.trainings import checked_tasks
from rulesmith.search.program_store import ProgramStore
from rulesmith.search.strategies.evolution import EvolutionState
from rulesmith.search.strategies.program_strategies import program_strategy

START = Programs.parse(WARM_START)


def clocked(function):
    """Return the core's seconds that a call takes, the second of two."""
    function()
    began = time.process_time()
    function()
    return time.process_time() - began


def training_seconds(name, steps=None):
    """Return the seconds of one program's `RUNS` runs on a task."""
    trainer = Trainer(find([name])[0], runs=RUNS)
    return clocked(lambda: trainer.losses_of([START], [[1e-3] * 3], (0, 1), relative=True, steps=steps))


def parameters_and_steps():
    """Interpreted training by number of weights and of steps."""
    for name in ("digits-mlp-2k", "digits-mlp-20k", "digits-mlp-200k"):
        task = find([name])[0]
        whole, half = (training_seconds(name, steps) for steps in (task.steps, task.steps // 2))
        each = whole / RUNS / task.steps
        print(
            f"{name}: {task.parameters:,} weights, batch {task.batch_size}: {1e6 * each:.0f} us a step "
            f"({1e9 * each / task.parameters:.0f} ns a weight); half as many steps {half / whole:.2f} of the time"
        )


def population():
    """The engine's own work for a program, by size of population."""
    seconds = {}
    for members in (100, 1_000, 10_000):
        config = METHOD.preset("paper").config
        strategy = program_strategy(config, START)
        (first,) = strategy.ask(EvolutionState(), jax.random.key(0))
        state = EvolutionState((Entry(first, 1.0),) * members, (), members)

        def breed(strategy=strategy, state=state):
            return [examine_all(child.programs) for child in strategy.ask(state, jax.random.key(1))]

        seconds[members] = clocked(breed) / config.batch
        print(f"population of {members:,}: {1e3 * seconds[members]:.2f} ms to breed, check and fingerprint a program")
    return seconds[1_000]


def shares():
    """Return which share of a search's programs was tried in the pilot, and on so many tasks."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "run"
        if not run.exists():
            discover(METHOD, METHOD.preset("standard").config, run, bound=1_000)
        with ProgramStore.open(run) as store:
            count = store.counts()["programs"]
            unlike = {c.digest: (c.programs, len(score.losses)) for c, score in store.candidates()}
    # Of programs with one fingerprint the first was trained.
    tried = Counter({examine_all(program)[0]: number for program, number in unlike.values()}.values())
    pilot = sum(tried.values()) / count
    most = max(tried)
    by_task = [sum(n for number, n in tried.items() if number > i) / count for i in range(most)]
    print(f"of {count:,} programs {pilot:.0%} in the pilot, on task after task {[f'{x:.0%}' for x in by_task]}")
    return pilot, by_task


def paper(own):
    """What the preset `paper` would take."""
    config = METHOD.preset("paper").config
    pilot, by_task = shares()
    names = checked_tasks(config.tasks)
    # With fewer tasks than `standard` has, the last of them is what few reach.
    reached = np.interp(np.linspace(0, 1, len(names)), np.linspace(0, 1, len(by_task)), by_task)
    first = find([names[0]])[0]
    each = (
        own
        + pilot * training_seconds(names[0], 60)
        + sum(share * training_seconds(name) for share, name in zip(reached, names, strict=True))
    )
    hours = each * config.restart / 3600
    print(
        f"preset paper ({first.parameters:,} weights): {each:.2f} core-seconds a program; {config.restart:,} programs "
        f"(a stretch between restarts) {hours:,.0f} core-hours, or {hours / 64:,.1f} hours on 64 cores"
    )


if __name__ == "__main__":
    parameters_and_steps()
    paper(population())
