"""Does a learned rule use how much time is left? `python benchmarks/temporal.py RULE... --updates 30 --updates 100`.

Agents are trained by TA-LPO or TA-LPG, and by the same rule with its clock n/N frozen at the start, in the middle and
near the end, with the same keys and levels; what counts is the return of their last policies. Where a frozen clock
costs return, the rule uses the time. Evolution strategies are to find such rules; meta-gradients, cut off after a few
updates, are not (Jackson et al. 2024, section 5). On the grid-world's distributions each seed has a level of its own.
"""

import dataclasses
import sys
from typing import Annotated

import jax
import numpy as np
import tyro
from rulesmith import load
from rulesmith.envs.registry import make
from rulesmith.meta.learners import hyper_for, learner_for
from rulesmith.meta.population import Population, Trials, repeated, use_cores
from rulesmith.programs.objective import Objective
from rulesmith.search.curricula.lifetimes import draw_lifetimes
from rulesmith.search.executors import available_cores
from rulesmith.search.problems.held_out import HELD_OUT_KEY

MOMENTS = (0.0, 0.5, 0.95)
LPG_CLOCK = 4
"""The row of LPG's input matrix that reads n/N; those before read reward, end, discount and probability."""


def frozen(rule: Objective, moment: float) -> Objective:
    """Return the rule with its clock standing still at a moment from 0 to 1."""
    arrays = {name: np.array(array) for name, array in rule.arrays.items()}
    if rule.kind == "lpg":
        arrays["input_bias"] += moment * arrays["input"][LPG_CLOCK]
        arrays["input"][LPG_CLOCK] = 0.0
    else:
        plain, timed = np.split(arrays["hidden"], 2)
        arrays["hidden"] = np.concatenate([plain + moment * timed, np.zeros_like(timed)])
    return dataclasses.replace(rule, arrays=arrays)


def returns(
    rules: list[Objective], population: Population, updates: int, seeds: int, rate: float | None, entropy: float
) -> np.ndarray:
    """Return the final returns of agents that the rules train, (rules, seeds)."""
    env = population.learner.env
    lives = draw_lifetimes(env, (updates, updates), (1, seeds), jax.random.key(HELD_OUT_KEY))
    seed = np.tile(np.arange(seeds), len(rules))
    trials = Trials(
        np.repeat(np.arange(len(rules), dtype=np.int32), seeds),
        lives.updates[0][seed],
        lives.keys[0][seed],
        jax.tree.map(lambda x: x[0][seed], lives.params),
        repeated(hyper_for(env, rules[0].kind, rate, entropy), len(seed)),
    )
    stacked = {name: np.stack([rule.arrays[name] for rule in rules]) for name in rules[0].arrays}
    return np.asarray(population(stacked, trials).final).reshape(len(rules), seeds)


def main(
    rules: tyro.conf.Positional[list[str]],
    env: str = "grid/small",
    updates: Annotated[tuple[int, ...], tyro.conf.UseAppendAction] = (),
    seeds: int = 96,
    learning_rate: float | None = None,
    entropy: float = 0.0,
) -> None:
    """Print what each frozen clock costs.

    Args:
        rules: published rules, rule files or runs; those that read the time.
        env: where the agents live.
        updates: length of their lives, 10, 30, 100 and 250 by default; may be given several times.
        seeds: agents of each rule.
        learning_rate: of the agents; by default the usual one.
        entropy: weight of their entropy bonus.
    """
    if not rules:
        sys.exit("name rules that read the time, such as ta-lpg-es")
    use_cores(available_cores())
    place = make(env)
    for name in rules:
        rule = load(name)
        if not isinstance(rule, Objective) or not rule.arrays or not rule.timed:
            sys.exit(f"{name} does not read the time; TA-LPO and TA-LPG do")
        population = Population(learner_for(place, rule, {}), 16)
        for length in updates or (10, 30, 100, 250):
            every = [rule, *(frozen(rule, moment) for moment in MOMENTS)]
            own, *others = np.nan_to_num(returns(every, population, length, seeds, learning_rate, entropy))
            words = [f"{name}, {length} updates: {own.mean():.3f} with its clock"]
            for moment, other in zip(MOMENTS, others, strict=True):
                lost = own - other
                error = lost.std(ddof=1) / seeds**0.5
                words.append(f"frozen at {moment:g} it loses {lost.mean():+.3f} ±{error:.3f}")
            print("; ".join(words), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
