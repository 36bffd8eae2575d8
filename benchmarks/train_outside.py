"""A plain PPO-style loop over gymnax that trains an agent with an *exported* objective; no rulesmith in it.

Usage: rulesmith export RULE -o my_objective.py; python benchmarks/train_outside.py my_objective.py [ENV] [SEEDS]
RULE is a drift (ppo-clip, dpo, a run of lpo or ta-lpo). Prints the mean return of the episodes that end in the last
quarter of training.
"""

import importlib.machinery
import inspect
import sys

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import optax

WORKERS, STEPS, EPOCHS, MINIBATCHES, UPDATES = 16, 32, 4, 4, 80
GAMMA, LAMBDA, RATE = 0.99, 0.95, 1e-2


def exported(path):
    """Return the objective of an exported file: its function that takes `total_updates`."""
    module = importlib.machinery.SourceFileLoader("exported", path).load_module()
    functions = [f for _, f in inspect.getmembers(module, inspect.isfunction)]
    return next(f for f in functions if list(inspect.signature(f).parameters)[:2] == ["apply", "total_updates"])


class Net(nn.Module):
    actions: int

    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), -1)
        heads = []
        for size, scale in ((self.actions, 0.01), (1, 1.0)):
            h = nn.tanh(nn.Dense(32)(nn.tanh(nn.Dense(32)(x))))
            heads.append(nn.Dense(size, kernel_init=nn.initializers.variance_scaling(scale**2, "fan_in", "normal"))(h))
        return heads[0], heads[1][:, 0]


def train(objective, name, key):
    env, params = gymnax.make(name)
    net = Net(env.num_actions)
    reset, step = jax.vmap(env.reset, (0, None)), jax.vmap(env.step, (0, 0, 0, None))
    logits = lambda theta, observation: net.apply(theta, observation)[0]  # noqa: E731
    tx = optax.chain(
        objective(logits, total_updates=UPDATES, steps_per_update=EPOCHS * MINIBATCHES),
        optax.clip_by_global_norm(0.5),
        optax.adam(optax.linear_schedule(RATE, 0.0, UPDATES * EPOCHS * MINIBATCHES), eps=1e-5),
    )

    def act(carry, key):
        theta, state, observation, so_far = carry
        choose, advance = jax.random.split(key)
        policy, value = net.apply(theta, observation)
        action = jax.random.categorical(choose, policy)
        log_probability = jnp.take_along_axis(jax.nn.log_softmax(policy), action[:, None], 1)[:, 0]
        after, state, reward, terminated, truncated, info = step(
            jax.random.split(advance, WORKERS), state, action, params
        )
        bootstrap = jnp.where(truncated & ~terminated, net.apply(theta, info["final_observation"])[1], 0.0)
        so_far, done = so_far + reward, terminated | truncated
        seen = (observation, action, log_probability, value, reward, done, bootstrap, so_far)
        return (theta, state, after, jnp.where(done, 0.0, so_far)), seen

    def update(carry, key):
        theta, opt, *agents = carry
        (_, *agents), seen = jax.lax.scan(act, (theta, *agents), jax.random.split(key, STEPS))
        observations, action, log_probability, value, reward, done, bootstrap, returns = seen
        after = jnp.concatenate([value[1:], net.apply(theta, agents[1])[1][None]])
        delta = reward + GAMMA * jnp.where(done, bootstrap, after) - value
        accumulate = lambda a, x: (x[0] + GAMMA * LAMBDA * (1 - x[1]) * a,) * 2  # noqa: E731
        advantage = jax.lax.scan(accumulate, jnp.zeros(WORKERS), (delta, done), reverse=True)[1]
        rows = (observations, action, log_probability, advantage, advantage + value)
        rows = jax.tree.map(lambda x: x.reshape(WORKERS * STEPS, *x.shape[2:]), rows)

        def descend(carry, part):
            theta, opt = carry
            observation, action, log_probability, advantage, target = part

            def others(theta):  # value loss and entropy bonus: what the objective is added to
                policy, value = net.apply(theta, observation)
                logs = jax.nn.log_softmax(policy)
                return 0.5 * ((value - target) ** 2).mean() + 0.01 * (jnp.exp(logs) * logs).sum(-1).mean()

            batch = {
                "observation": observation,
                "action": action,
                "log_probability": log_probability,
                "advantage": (advantage - advantage.mean()) / (advantage.std() + 1e-8),
            }
            updates, opt = tx.update(jax.grad(others)(theta), opt, theta, batch=batch)
            return (optax.apply_updates(theta, updates), opt), None

        def epoch(carry, key):
            order = jax.random.permutation(key, WORKERS * STEPS)
            parts = jax.tree.map(lambda x: x[order].reshape(MINIBATCHES, -1, *x.shape[1:]), rows)
            return jax.lax.scan(descend, carry, parts)

        (theta, opt), _ = jax.lax.scan(epoch, (theta, opt), jax.random.split(key, EPOCHS))
        return (theta, opt, *agents), (jnp.where(done, returns, 0.0).sum(), done.sum())

    born, begin, grow = jax.random.split(key, 3)
    observation, state = reset(jax.random.split(begin, WORKERS), params)
    theta = net.init(born, observation)
    carry = (theta, tx.init(theta), state, observation, jnp.zeros(WORKERS))
    _, (returns, episodes) = jax.lax.scan(update, carry, jax.random.split(grow, UPDATES))
    return returns[-UPDATES // 4 :].sum() / jnp.maximum(episodes[-UPDATES // 4 :].sum(), 1)


if __name__ == "__main__":
    objective, name = exported(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "SpaceInvaders-MinAtar"
    run = jax.jit(lambda key: train(objective, name, key))
    finals = [float(run(jax.random.key(seed))) for seed in range(int(sys.argv[3]) if len(sys.argv) > 3 else 5)]
    mean = sum(finals) / len(finals)
    print(f"{name}, {WORKERS * STEPS * UPDATES:,} steps: return in the last quarter {mean:.2f}")
    print("by seed:", " ".join(f"{x:.2f}" for x in finals))
