"""Does a learned rule use how much time is left? `python benchmarks/temporal.py [MINUTES] [SEEDS]`.

TA-LPG is searched by evolution strategies and by meta-gradients, as long each, on small tabular levels with lives of
10 to 100 updates. Then its input n/N is frozen, at the start, in the middle, near the end, and the last policies of its
agents on 96 held-out levels are compared with those that it trains with its clock running (paired by level). Evolution
strategies are to use the clock, meta-gradients, cut off after a few updates, not (Jackson et al. 2024, section 5).
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from rulesmith import load
from rulesmith.meta.learners import hyper_for, learner_for
from rulesmith.meta.population import Population, use_cores
from rulesmith.search.executors import available_cores
from rulesmith.search.methods.curriculum import discover, environment_of_levels, preset
from rulesmith.search.problems.held_out import HeldOut
from rulesmith.search.strategies.evolution_strategies import EsSettings

LEVELS = 96
CLOCK = 4
"""The row of the input matrix that reads n/N; those before read reward, end, discount and probability."""


def searched(optimizer, seed, minutes, folder):
    """Return a TA-LPG."""
    config = preset("demo")[0]
    config = replace(
        config,
        rule="ta-lpg",
        optimizer=optimizer,
        score="random",
        seed=seed,
        updates=(10, 100),
        replay=replace(config.replay, capacity=64),
        es=EsSettings(population=64, sigma=0.1, learning_rate=0.02, ranks="pairwise"),
    )
    discover(config, Path(folder) / "run", minutes=minutes)
    return load(Path(folder) / "run")


def frozen(arrays, moment):
    """Return the rule's parameters with its clock standing still."""
    weights = np.array(arrays["input"])
    bias = arrays["input_bias"] + moment * weights[CLOCK]
    weights[CLOCK] = 0.0
    return {**arrays, "input": weights, "input_bias": bias}


def main():
    """Search, compare, print."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    use_cores(available_cores())
    env = environment_of_levels("small")
    for optimizer in ("open-es", "meta-gradient"):
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                rule = searched(optimizer, seed, minutes, folder)
            population = Population(learner_for(env, rule, {}), 16)
            for updates in (10, 30, 100, 250):
                held = HeldOut(env, population, hyper_for(env, "lpg", None, 0.0), updates, LEVELS)
                own = held.returns({name: array[None] for name, array in rule.arrays.items()})
                words = [f"{optimizer} seed {seed}, {updates} updates: {held.share(own):.3f} with its clock"]
                for moment in (0.0, 0.5, 0.95):
                    arrays = frozen(dict(rule.arrays), moment)
                    other = held.returns({name: array[None] for name, array in arrays.items()})
                    scale = held.share(np.ones(LEVELS))
                    lost = (own - other) * scale
                    error = lost.std(ddof=1) / LEVELS**0.5
                    words.append(f"frozen at {moment:g} it loses {lost.mean():+.3f} ±{error:.3f}")
                print("; ".join(words), flush=True)


if __name__ == "__main__":
    main()
