"""LPG's net taught to be an actor-critic: `python benchmarks/lpg_actor_critic.py --out lpg-actor-critic.toml`.

LPG's prediction y means nothing at first, and a search by meta-gradients takes thousands of steps until it means
something that lasts longer than a rollout; on mazes, where rewards are far, short searches fail. So the net is taught a
meaning first, by supervised learning on synthetic rollouts. No agent is trained for that.

The teacher: y is a softmax over eight classes k with logits C z u_k, u_k evenly spaced from -1 to 1, where z =
symlog(M v) stands for the value v of a state (symlog(x) = sign(x) log(1 + |x|), Hafner et al. 2023). Such a family is
closed under geometric means, and LPG's loss, the mean of KL(y, target), is least where y is the geometric mean of its
targets: so y comes to stand for the mean of z. With G the lambda-returns of the rollout, bootstrapped by the values
that y stands for, the teacher wants actions more by symlog(M G) - symlog(M v), and logits of y that are `AHEAD` times
as far from y's own as those of G.

`rulesmith discover curriculum --init lpg-actor-critic.toml` then searches from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from rulesmith.meta import lpg_learner
from rulesmith.meta.learners import learner_for
from rulesmith.meta.lpg_learner import PUBLISHED_FORM
from rulesmith.meta.population import Population
from rulesmith.programs import rule_file
from rulesmith.programs.lpg import lpg_targets
from rulesmith.programs.objective import Objective, Shapes
from rulesmith.search.methods.curriculum import environment_of_levels
from rulesmith.search.numerics import standard_numerics
from rulesmith.search.problems.held_out import HeldOut

CLASSES, STEPS, ROLLOUTS = 8, 20, 128
"""Classes of y, steps of a rollout, and rollouts of a training step."""
C, M, AHEAD, LAMBDA, GAMMA = 2.0, 10.0, 4.0, 0.95, 0.99
PLACES = jnp.linspace(-1.0, 1.0, CLASSES)
CHUNK, EPISODES = 500, 16
"""Training steps between two lines, and episodes by which an agent is judged where the net is tried."""


def symlog(x: Any) -> Any:
    """Return sign(x) log(1 + |x|)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Any) -> Any:
    """Return the inverse of `symlog`."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def slope_of(y: Any) -> Any:
    """Return C z of predictions (..., classes): the slope of their logits over `PLACES`, by least squares."""
    logs = jnp.log(y + 1e-9)
    logs -= logs.mean(axis=-1, keepdims=True)
    return (logs * PLACES).sum(axis=-1) / jnp.square(PLACES).sum()


def teacher(reward: Any, ended: Any, y: Any, y_last: Any) -> tuple[Any, Any]:
    """Return how much more of each action the teacher wants, and the slopes of the logits of y, (time, workers).

    Args:
        reward: (time, workers).
        ended: 1 where the episode ended with the step, else 0.
        y: predictions of the observations, (time, workers, classes).
        y_last: of the observations after the rollout, (workers, classes).
    """
    slopes = slope_of(jnp.concatenate([y, y_last[None]]))
    value = symexp(slopes / C) / M

    def step(after: Any, row: Any) -> Any:
        reward, ended, following = row
        found = reward + GAMMA * (1.0 - ended) * ((1.0 - LAMBDA) * following + LAMBDA * after)
        return found, found

    _, returns = jax.lax.scan(step, value[-1], (reward, ended, value[1:]), reverse=True)
    z, own = symlog(M * returns), slopes[:-1]
    return z - own / C, own + AHEAD * (C * z - own)


def rollouts(key: Any) -> tuple[Any, Any, Any, Any]:
    """Return synthetic rollouts: rewards, ends and probabilities of the actions, (time, workers), and predictions.

    Rewards are sparse or dense, small or large; episodes end often, rarely or never; the predictions, (time + 1,
    workers, classes), are those of values that walk at random from small or large ones, with noise.
    """
    keys = jax.random.split(key, 13)
    shape, one = (STEPS, ROLLOUTS), (1, ROLLOUTS)

    def spread(key: Any, low: float, high: float) -> Any:
        return jnp.exp(jax.random.uniform(key, one, minval=jnp.log(low), maxval=jnp.log(high)))

    given = jax.random.uniform(keys[0], shape) < spread(keys[1], 0.004, 1.0)
    reward = jax.random.uniform(keys[2], shape, minval=-1.0, maxval=1.0) * spread(keys[3], 0.1, 1.0) * given
    ended = jax.random.uniform(keys[4], shape) < spread(keys[5], 0.003, 0.5) * jax.random.bernoulli(keys[6], 0.7, one)
    probability = jax.random.uniform(keys[7], shape) ** spread(keys[8], 0.1, 3.0)
    walks = jnp.cumsum(jax.random.normal(keys[9], (STEPS + 1, ROLLOUTS)), axis=0)
    sign = jnp.where(jax.random.bernoulli(keys[10], 1 / 3, one), -1.0, 1.0)
    ways = jax.random.split(keys[11], 3)
    z = jnp.clip(sign * spread(ways[0], 0.02, 5.0) + walks * spread(ways[1], 0.01, 0.5), -5.5, 5.5)
    noise = jax.random.normal(keys[12], (STEPS + 1, ROLLOUTS, CLASSES)) * spread(ways[2], 0.01, 0.3)[..., None]
    return reward, ended.astype(jnp.float32), probability, jax.nn.softmax(C * z[..., None] * PLACES + noise)


def loss(rule: Any, key: Any) -> tuple[Any, dict[str, Any]]:
    """Return what the net is trained to lower on new rollouts, and its parts: relative squared errors, and a KL."""
    first, second = jax.random.split(key)
    reward, ended, probability, y = rollouts(first)
    more, slopes = teacher(reward, ended, y[:-1], y[-1])
    progress, total = jax.random.uniform(second, (2,), minval=0.0, maxval=1.0)
    clock = (progress, 10.0 ** (1.0 + 2.0 * total))  # read by a net that knows the time, which it learns to ignore
    pull, target = lpg_targets(rule, reward, ended > 0, GAMMA, probability, y[:-1], y[-1], *clock, True)
    own = slope_of(y[:-1])
    actions = jnp.square(pull - more) / (0.02 + jnp.square(more))
    found = jnp.square(jnp.clip(slope_of(target), -40.0, 40.0) - slopes) / (0.2 + jnp.square(slopes - own))
    logs = jax.nn.log_softmax(jnp.clip(slopes, -30.0, 30.0)[..., None] * PLACES)
    divergence = (jnp.exp(logs) * (logs - jnp.log(target + 1e-9))).sum(axis=-1)
    parts = {"actions": jnp.minimum(actions, 10.0), "y": jnp.minimum(found, 10.0), "KL of y": divergence}
    means = {name: part.mean() for name, part in parts.items()}
    return sum(means.values()), means


@standard_numerics()
def taught(hidden: int, steps: int, timed: bool, seed: int) -> dict[str, np.ndarray]:
    """Return the parameters of a net that has been taught."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(3e-3, steps)))

    @jax.jit
    def run(rule: Any, state: Any, begin: Any) -> Any:
        def step(i: Any, carry: Any) -> Any:
            rule, state = carry
            gradients, _ = jax.grad(loss, has_aux=True)(rule, jax.random.fold_in(jax.random.key(seed), i))
            updates, state = optimizer.update(gradients, state)
            return optax.apply_updates(rule, updates), state

        rule, state = jax.lax.fori_loop(begin, jnp.minimum(begin + CHUNK, steps), step, (rule, state))
        return rule, state, loss(rule, jax.random.key(seed + 1))[1]

    rule: Any = Shapes.lpg(timed=timed, hidden=hidden, classes=CLASSES).draw(seed, 1.0)
    state = optimizer.init(rule)
    for begin in range(0, steps, CHUNK):
        rule, state, errors = run(rule, state, jnp.int32(begin))
        words = ", ".join(f"{name} {float(error):.3f}" for name, error in errors.items())
        print(f"step {min(begin + CHUNK, steps):,} of {steps:,}; errors: {words}", flush=True)
    return jax.tree.map(np.asarray, rule)


def by_teacher(rule: Any, reward: Any, done: Any, gamma: Any, probability: Any, y: Any, y_last: Any, *_: Any) -> Any:
    """Return what the teacher itself wants, in the place of `lpg_targets`; the net is not used."""
    more, slopes = teacher(reward, done.astype(jnp.float32), y, y_last)
    return more, jax.nn.softmax(slopes[..., None] * PLACES)


def shares(rule: Objective, levels: str, rates: tuple[float, ...]) -> dict[float, float]:
    """Return the share of the optimal return that agents reach in 250 updates on 24 levels, by their learning rate."""
    env = environment_of_levels(levels)
    population = Population(learner_for(env, rule, rule.agent), EPISODES)
    candidate = {name: array[None] for name, array in rule.arrays.items()}
    return {rate: HeldOut(env, population, np.float32(rate), 250, 24)(candidate) for rate in rates}


@dataclass(frozen=True)
class Options:
    """What is taught, and where it is tried.

    Attributes:
        out: The rule file to write.
        hidden: Units of the net.
        steps: Training steps.
        timed: Whether the net has the inputs that say how much time is left, as TA-LPG's.
        seed: Seed of the weights and the rollouts.
        levels: Levels on which agents are then trained, by the net and by the teacher itself; may be given several
            times.
        rates: Learning rates of these agents.
    """

    out: Path
    hidden: int = 64
    steps: int = 16_000
    timed: bool = False
    seed: int = 0
    levels: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    rates: tuple[float, ...] = (20.0, 40.0, 80.0, 160.0)


def main(options: Options) -> None:
    """Teach a net, write it, and try it."""
    arrays = taught(options.hidden, options.steps, options.timed, options.seed)
    rule = Objective(
        options.out.stem,
        "lpg",
        arrays=arrays,
        description="LPG's net, taught to be an actor-critic whose values are what y stands for",
        agent={**PUBLISHED_FORM, "workers": 16},
        provenance={
            "origin": "rulesmith",
            "method": "supervised on synthetic rollouts",
            "seed": options.seed,
            "command": f"python benchmarks/lpg_actor_critic.py --out {options.out.name}",
        },
    )
    rule_file.write(rule, options.out)
    for levels in options.levels:
        for who in ("the net", "the teacher"):
            lpg_learner.lpg_targets = by_teacher if who == "the teacher" else lpg_targets
            found = shares(rule, levels, options.rates)
            words = ", ".join(f"{share:.3f} at rate {rate:g}" for rate, share in found.items())
            print(f"{levels}, {who}: share of the optimal return {words}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
