"""rejax's PPO, timed; run by `benchmarks/rl.py` in a virtual environment of its own (rejax needs gymnax below 1)."""

import json
import sys
import time

import jax
from rejax import PPO

name = sys.argv[1]
algorithm = PPO.create(
    env=name,
    num_envs=64,
    num_steps=128,
    num_epochs=4,
    num_minibatches=8,
    total_timesteps=524_288,
    eval_freq=524_288,
    skip_initial_evaluation=True,
    learning_rate=1e-3,
    gamma=0.99,
    gae_lambda=0.95,
    ent_coef=0.01,
)
began = time.perf_counter()
train = jax.jit(algorithm.train).lower(jax.random.PRNGKey(0)).compile()
compiled = time.perf_counter() - began
times = []
for seed in range(3):
    began = time.perf_counter()
    jax.block_until_ready(train(jax.random.PRNGKey(seed)))
    times.append(time.perf_counter() - began)
print(json.dumps({"compile": compiled, "run": min(times)}))
