"""PPO's return in Breakout-MinAtar after 10M steps, by seed: `python benchmarks/ppo_return.py [SEEDS]`.

The public settings: 64 environments x 128 steps, 4 epochs, 8 minibatches, discount 0.99, lambda 0.95, clip 0.2, entropy
0.01, ReLU; Adam's learning rate 5e-3 falls to 0. Reported for PPO is 50.1. Four minutes a seed.
"""

import sys

import jax
import numpy as np
from rulesmith import load
from rulesmith.envs.environment import make
from rulesmith.meta.learners import hyper_for, learner_for
from rulesmith.meta.population import Population, Trials, repeated, use_cores
from rulesmith.search.executors import available_cores

STEPS, EPISODES = 10_000_000, 64


def main():
    """Train, print."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    use_cores(available_cores())
    env = make("Breakout-MinAtar")
    learner = learner_for(env, load("ppo-clip"), {"activation": "relu"})
    lives = Population(learner, EPISODES)(
        {},
        Trials(
            np.zeros(seeds, np.int32),
            np.full(seeds, STEPS // (learner.workers * learner.steps), np.int32),
            jax.vmap(jax.random.key)(np.arange(seeds)),
            jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], seeds, 0), env.params),
            repeated(hyper_for(env, "drift", 5e-3, 0.01), seeds),
        ),
    )
    error = lives.final.std(ddof=1) / seeds**0.5 if seeds > 1 else np.nan
    print(f"last policies, {EPISODES} episodes each: {lives.final.mean():.1f} ±{error:.1f}; by seed {lives.final}")
    print("episodes that ended in each twentieth of the training:", lives.returns.mean(axis=0).round(1))


if __name__ == "__main__":
    main()
