"""Does a learned rule use how much time is left? `python benchmarks/temporal.py RULE... --updates 30 --updates 100`.

Agents are trained by TA-LPO or TA-LPG, and by the same rule with its clock n/N frozen at the start, in the middle and
near the end, with the same keys and levels; what counts is the return of their last policies. Where a frozen clock
costs return, the rule uses the time. Evolution strategies are to find such rules; meta-gradients, cut off after a few
updates, are not (Jackson et al. 2024, section 5). On the grid-world's distributions each seed has a level of its own.
"""

import sys
from typing import Annotated

import numpy as np
import tyro
from rulesmith import load
from rulesmith.envs.registry import make
from rulesmith.meta.frozen_clock import MOMENTS_FROZEN, frozen, frozen_returns
from rulesmith.meta.learners import learner_for
from rulesmith.meta.population import Population, use_cores
from rulesmith.programs.objective import Objective
from rulesmith.search.executors import available_cores


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
            every = [rule, *(frozen(rule, moment) for moment in MOMENTS_FROZEN)]
            own, *others = np.nan_to_num(frozen_returns(every, population, length, seeds, learning_rate, entropy))
            words = [f"{name}, {length} updates: {own.mean():.3f} with its clock"]
            for moment, other in zip(MOMENTS_FROZEN, others, strict=True):
                lost = own - other
                error = lost.std(ddof=1) / seeds**0.5
                words.append(f"frozen at {moment:g} it loses {lost.mean():+.3f} ±{error:.3f}")
            print("; ".join(words), flush=True)


if __name__ == "__main__":
    tyro.cli(main)
