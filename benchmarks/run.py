"""Speeds, both sides measured in one run and the ratio printed: `make bench`, or `python benchmarks/run.py NAME ...`.

Each benchmark runs in a process of its own, pinned to one core, except those that say otherwise.
"""

import os
import random
import statistics
import subprocess
import sys
import time

CORE = {"mutation", "interpreter", "large"}
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def seconds(function, repeats=9):
    """Return the median time of a call, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def mutation():
    """Mutate, validate, digest, on one core: at least 5,000 a second."""
    from rulesmith.programs.parts import Programs
    from rulesmith.search.methods.symbolic import WARM_START
    from rulesmith.search.mutation import Limits, mutate

    rng, start = random.Random(0), Programs.parse(WARM_START)
    population, checked, began = [start], 0, time.perf_counter()
    while checked < 20_000:
        mutant = mutate(population[int(rng.random() * len(population))], rng, Limits())
        checked += 1 + mutant.refused
        population = [*population[-99:], mutant.programs] if checked % 7 == 0 else population
    rate = checked / (time.perf_counter() - began)
    print(f"mutate, validate, digest: {rate:,.0f} a second ({rate / 62:.0f} times the 62 of the public code)")


def interpreter():
    """A 64-32-10 MLP, 200 steps of batch 64: the interpreter against compiling, and against plain SGD."""
    import optax
    from rulesmith import Program
    from rulesmith.envs.models import Mlp
    from rulesmith.envs.tasks.digits import classification
    from rulesmith.envs.tasks.task import Task, cross_entropy
    from rulesmith.meta.training import Trainer
    from rulesmith.search.methods.symbolic import WARM_START

    task = Task("bench", "digits", classification, Mlp((32, 10)), cross_entropy, 200, 64)
    adamw = Program.parse(WARM_START)
    for runs in (1, 6):
        trainer = Trainer(task, runs=runs)
        scales = [0.01] * runs
        ours = seconds(lambda: trainer.losses(adamw, scales, [0], interpreted=True)) / runs
        sgd = seconds(lambda: trainer.losses(optax.sgd, scales, [0])) / runs
        ratio = f"{ours / sgd:.2f} times"
        print(f"{runs} run(s) a call, each: interpreted {1e3 * ours:.1f} ms, plain SGD {1e3 * sgd:.1f} ms: {ratio}")
        if runs == 1:
            times = []
            for constant in (0.011, 0.012, 0.013):  # three programs never seen before
                program = Program.parse(WARM_START.replace("0.01 ", f"{constant} "))
                began = time.perf_counter()
                trainer.losses(program, scales, [0], interpreted=False)
                times.append(time.perf_counter() - began)
            other = statistics.median(times)
            print(f"a new program compiled: {1e3 * other:.0f} ms: {other / ours:.0f} times the interpreter's")


def large():
    """A training of 240k weights: the cheaper execution against plain SGD."""
    import optax
    from rulesmith import Program
    from rulesmith.envs.models import Mlp
    from rulesmith.envs.tasks.digits import classification
    from rulesmith.envs.tasks.task import Task, cross_entropy
    from rulesmith.meta.training import Trainer
    from rulesmith.search.methods.symbolic import WARM_START

    task = Task("bench", "digits", classification, Mlp((3200, 10)), cross_entropy, 200, 64)
    trainer, adamw = Trainer(task, runs=1), Program.parse(WARM_START)
    sgd = seconds(lambda: trainer.losses(optax.sgd, [0.01], [0]), 3)
    ours = {way: seconds(lambda w=way: trainer.losses(adamw, [0.01], [0], interpreted=w), 3) for way in (True, False)}
    best = min(ours.values())
    print(
        f"{task.parameters:,} weights, 200 steps: interpreted {1e3 * ours[True]:.0f} ms, "
        f"compiled {1e3 * ours[False]:.0f} ms, plain SGD {1e3 * sgd:.0f} ms: {best / sgd:.2f} times"
    )


def workers():
    """Programs a second with one worker and with two."""
    import functools

    from rulesmith import Program
    from rulesmith.meta.fitness import AdamWReference, Protocol
    from rulesmith.search.executors import Pool
    from rulesmith.search.methods.symbolic import WARM_START
    from rulesmith.search.problems.trainings import evaluator

    build = functools.partial(evaluator, Protocol(("digits-mlp-2k",)))
    reference = AdamWReference(1.0, *({"digits-mlp-2k": 1.0},) * 3)
    text = Program.parse(WARM_START).to_text()
    times = {}
    for count in (1, 2):
        pool = Pool(build, count)
        jobs = [("score", text.replace("0.01 ", f"{0.01 + i / 1e4} "), (reference, None)) for i in range(40)]
        times[count] = seconds(lambda p=pool, j=jobs: p.map(j), 3)
        pool.close()
    print(f"40 programs: one worker {times[1]:.2f} s, two {times[2]:.2f} s: {times[1] / times[2]:.2f} times faster")


def standard():
    """The preset `standard` for a minute: programs a second, and the engine's own share of the time. Uses all cores."""
    import tempfile
    from pathlib import Path

    from rulesmith.search.method import discover
    from rulesmith.search.methods.symbolic import METHOD

    totals = {"seconds": 0.0, "training_seconds": 0.0, "programs": 0, "invalid": 0}

    def observe(record):
        if record.step > 1:
            for name in ("seconds", "training_seconds"):
                totals[name] += record.metrics[name]
            totals["programs"] += len(record.candidates)
            totals["invalid"] += sum(candidate.refused for candidate in record.candidates)

    with tempfile.TemporaryDirectory() as directory:
        config = METHOD.preset("standard").config
        discover(METHOD, config, Path(directory) / "run", minutes=1, observers=[observe])
    rate = (totals["programs"] + totals["invalid"]) / totals["seconds"]
    share = 1 - totals["training_seconds"] / totals["seconds"]
    print(
        f"standard: {rate:.0f} candidates a second, {totals['programs'] / totals['seconds']:.0f} of them valid; ",
        end="",
    )
    print(f"the engine's own share of the time {share:.1%}")


def lion():
    """An exported Lion's step against optax.lion's at 10M parameters, jitted."""
    import jax
    import jax.numpy as jnp
    import optax
    from rulesmith import load

    namespace = {"__name__": "exported"}
    exec(load("lion").to_source(), namespace)
    weights = {f"w{i}": jnp.ones((1000, 1000)) for i in range(10)}

    def make(tx):
        step = jax.jit(lambda g, s, w: tx.update(g, s, w))
        state = tx.init(weights)
        return lambda: jax.block_until_ready(step(weights, state, weights))

    pair = make(namespace["lion"](1e-3)), make(optax.lion(1e-3))
    ratios, times = [], []
    for call in pair:
        call()
    for _ in range(25):
        row = []
        for call in pair:
            began = time.perf_counter()
            call()
            row.append(time.perf_counter() - began)
        ratios.append(row[0] / row[1])
        times.append(row)
    ours, theirs = (1e3 * statistics.median(column) for column in zip(*times))
    ratio = statistics.median(ratios)
    print(f"Lion, 10M weights: exported {ours:.1f} ms, optax.lion {theirs:.1f} ms: {ratio:.3f} times")


BENCHMARKS = {f.__name__: f for f in (mutation, interpreter, large, workers, standard, lion)}


def main():
    names = sys.argv[1:] or list(BENCHMARKS)
    if len(names) == 1:
        name = names[0]
        if name in CORE:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            os.environ["XLA_FLAGS"] = ONE_THREAD
        BENCHMARKS[name]()
        return
    for name in names:
        print(f"== {name}: {BENCHMARKS[name].__doc__}", flush=True)
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main()
