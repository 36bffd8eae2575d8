"""PPO's return in Breakout-MinAtar after 10M steps, by seed: `python benchmarks/ppo_return.py [SEEDS]`.

The public settings: 64 environments x 128 steps, 4 epochs, 8 minibatches, discount 0.99, lambda 0.95, clip 0.2, entropy
0.01, ReLU; Adam's learning rate 5e-3 falls to 0. Reported for PPO is 50.1. Four minutes a seed.
"""

import sys

import jax
import numpy as np
from rulesmith import load
from rulesmith.envs.registry import make
from rulesmith.meta.learners import hyper_for, learner_for, updates_for
from rulesmith.meta.population import Population, Trials, repeated
from rulesmith.search.curricula.lifetimes import draw_lifetimes

STEPS, EPISODES = 10_000_000, 64


def main():
    """Train, print."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    env = make("Breakout-MinAtar")
    learner = learner_for(env, load("ppo-clip"), {"activation": "relu"})
    population = Population(learner, EPISODES)
    updates = updates_for(STEPS, learner)
    hyper = repeated(hyper_for(env, "drift", 5e-3, 0.01), 1)
    final = []
    for seed in range(seeds):
        lives = draw_lifetimes(env, (updates, updates), (1, 1), jax.random.key(seed))
        one = jax.tree.map(lambda x: x[0], lives)
        life = population({}, Trials(np.zeros(1, np.int32), one.updates, one.keys, one.params, hyper))
        final.append(life.final[0])
        print(
            f"seed {seed}: last policy {final[-1]:.1f}; by twentieth of the training {life.returns[0].round(1)}",
            flush=True,
        )
    print(f"mean {np.mean(final):.1f}, reported 50.1")


if __name__ == "__main__":
    main()
