"""Speeds of reinforcement learning, both sides in one run and the ratio printed: `python benchmarks/rl.py [NAME ...]`.

rejax makes a virtual environment of its own under .venv-rejax.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

STEPS = 524_288
GAMES = ("CartPole-v1", "Breakout-MinAtar")


def best(function, repeats=3):
    """Return the least time of a call."""
    times = []
    for i in range(repeats):
        began = time.perf_counter()
        function(i)
        times.append(time.perf_counter() - began)
    return min(times)


def lifetime_parts(name):
    import jax
    from rulesmith import load
    from rulesmith.envs.registry import make
    from rulesmith.meta.drift_learner import DriftLearner, DriftSettings, Hyper
    from rulesmith.meta.lifetime import live

    env = make(name)
    learner = DriftLearner(env, load("ppo-clip").drift(), DriftSettings())
    return jax.jit(lambda key: live(learner, (), Hyper(1e-3, 0.01), env.params, STEPS // 8192, key, 64)), learner


def rejax():
    """One PPO lifetime, 64 environments x 128 steps, 4 epochs, 8 minibatches, 524,288 steps, against rejax's."""
    import jax

    place = Path(".venv-rejax")
    if not (place / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        wanted = ["rejax==0.1.3", "gymnax<1", "setuptools<81"]
        subprocess.run([str(place / "bin/pip"), "install", "-qq", *wanted], check=True)
        (place / "done").touch()
    for name in GAMES:
        command = [str(place / "bin/python"), "benchmarks/rejax_ppo.py", name]
        theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        lifetime, _ = lifetime_parts(name)
        began = time.perf_counter()
        run = lifetime.lower(jax.random.key(0)).compile()
        compiled = time.perf_counter() - began
        seconds = best(lambda seed, run=run: jax.block_until_ready(run(jax.random.key(seed))))
        both = (theirs["compile"] + theirs["run"]) / (compiled + seconds)
        print(
            f"{name}: ours {STEPS / seconds:,.0f} steps/s after {compiled:.1f} s of compile, rejax "
            f"{STEPS / theirs['run']:,.0f} after {theirs['compile']:.1f}: {theirs['run'] / seconds:.2f} times faster, "
            f"{both:.2f} with compiling",
            flush=True,
        )


def population():
    """A population of 64 lifetimes shared by two devices against one lifetime; and the share of all else."""
    from rulesmith.meta.population import use_cores

    use_cores(2)
    import jax
    import numpy as np
    from rulesmith.meta.drift_learner import Hyper
    from rulesmith.meta.population import Population, Trials
    from rulesmith.search.curricula.lifetimes import draw_lifetimes

    for name in GAMES:
        one, learner = lifetime_parts(name)
        jax.block_until_ready(one(jax.random.key(0)))
        alone = STEPS / best(lambda seed, one=one: jax.block_until_ready(one(jax.random.key(seed))))
        run, updates = Population(learner, 64), 8
        drawn = draw_lifetimes(learner.env, (updates, updates), (1, 64), jax.random.key(0))
        hyper = Hyper(np.full(64, 1e-3, np.float32), np.full(64, 0.01, np.float32))
        params = jax.tree.map(lambda x: x[0], drawn.params)
        trials = Trials(np.zeros(64, np.int32), drawn.updates[0], drawn.keys[0], params, hyper)
        nothing = {"none": np.zeros((1, 1), np.float32)}
        run(nothing, trials)
        rate = 64 * updates * 8192 / best(lambda _, run=run, trials=trials: run(nothing, trials), 2)
        print(
            f"{name}: 64 lifetimes on two devices {rate:,.0f} steps/s, one alone {alone:,.0f}: "
            f"{rate / alone:.2f} times",
            flush=True,
        )


def rollouts():
    """Rollouts alone against the bare environment's vmap and scan, 256 environments, all that is seen kept."""
    import gymnax
    import jax
    from rulesmith.envs.registry import make
    from rulesmith.envs.rollout import rollout, start

    count, steps = 256, 400
    for name in GAMES:
        library, params = gymnax.make(name)
        env = make(name)

        def bare(key, library=library, params=params):
            _, state = jax.vmap(library.reset, (0, None))(jax.random.split(key, count), params)

            def step(state, key):
                act, advance = jax.random.split(key)
                action = jax.random.randint(act, (count,), 0, library.num_actions)
                keys = jax.random.split(advance, count)
                after = jax.vmap(library.step, (0, 0, 0, None))(keys, state, action, params)
                return after[1], (after[0], action, after[2], after[3], after[4])

            return jax.lax.scan(step, state, jax.random.split(key, steps))[1]

        def ours(key, env=env):
            act = lambda key, _: (jax.random.randint(key, (count,), 0, env.actions.count), ())  # noqa: E731
            workers = start(env, env.params, key, count)
            seen = rollout(env, env.params, act, workers, key, steps)[1]
            return seen.observation, seen.action, seen.reward, seen.terminated, seen.truncated

        rates = []
        for function in (ours, bare):
            run = jax.jit(function)
            jax.block_until_ready(run(jax.random.key(0)))
            seconds = best(lambda seed, run=run: jax.block_until_ready(run(jax.random.key(seed))), 5)
            rates.append(count * steps / seconds)
        print(
            f"{name}: rollouts {rates[0]:,.0f} steps/s, bare {rates[1]:,.0f}: {rates[0] / rates[1]:.2f} times",
            flush=True,
        )


def overhead():
    """Ask, tell, rank and store of a generation against the whole of it, the standard preset of ta-lpo."""
    import cProfile
    import pstats
    import tempfile

    from rulesmith.search.method import Devices, discover
    from rulesmith.search.methods.objective import METHOD

    config = METHOD.preset("standard", "ta-lpo").config
    profile = cProfile.Profile()

    def observe(record):  # what compiles, and the first checkpoint, is over by then
        if record.step == 2:
            profile.enable()

    with tempfile.TemporaryDirectory() as folder:
        discover(METHOD, config, Path(folder) / "run", bound=8, resources=Devices(2), observers=[observe])
        profile.disable()
    stats = pstats.Stats(profile).stats
    total = dict.fromkeys(("ask", "tell", "__call__", "evaluate", "sample"), 0.0)
    for (file, _, name), row in stats.items():
        if name in total and (
            "strategies" in file or "array_store" in file or "problems" in file or "curricula" in file
        ):
            total[name] += row[3]
    own = sum(total[name] for name in ("ask", "tell", "__call__", "sample"))
    print(
        f"lifetimes {total['evaluate']:.1f} s; ask, tell, rank, draw and store {own:.2f} s: "
        f"{own / (own + total['evaluate']):.1%}"
    )


PUBLIC = {"lpg": 10_600, "ta-lpg": 21_600}
"""Environment steps a second of the public code of LPG and TA-LPG, measured on such a machine (two cores)."""


def meta_config(**changes):
    from dataclasses import replace

    from rulesmith.search.methods.curriculum import METHOD

    return replace(METHOD.preset("paper").config, probe=10**6, **changes)


def meta_steps(config, count, skip):
    """Return seconds before the first step's end, mean seconds of a step after `skip`, and a step's env-steps."""
    import jax
    from rulesmith.search import engine
    from rulesmith.search.methods.curriculum import parts_of

    parts, key, times = parts_of(config), jax.random.key(0), []
    states = engine.initial(parts.strategy, parts.curriculum, parts.problem.inner, key)

    def observe(record):
        times.append((time.perf_counter(), record.metrics["env_steps"]))

    began = time.perf_counter()
    until = lambda step, _: step >= count  # noqa: E731
    three = (parts.strategy, parts.curriculum, parts.problem.inner)
    engine.run(*three, key=key, states=states, step=0, until=until, observers=[observe])
    seconds = (times[-1][0] - times[skip - 1][0]) / (count - skip)
    return times[0][0] - began, seconds, sum(steps for _, steps in times[skip:]) / (count - skip)


def lpg():
    """LPG by meta-gradients at the public settings: 32 agents, 64 workers, 20 steps, K = 5, GRU 256, levels `all`."""
    from rulesmith.meta.population import use_cores

    use_cores(2)
    compiled, seconds, steps = meta_steps(meta_config(agents=32, score="random", updates=(100, 100)), 6, 2)
    rate = steps / seconds
    print(
        f"LPG {rate:,.0f} env-steps/s, a step in {seconds:.2f} s (the first, with compiling, {compiled:.1f} s); the "
        f"public code {PUBLIC['lpg']:,}: {rate / PUBLIC['lpg']:.1f} times"
    )


def recurrence():
    """The gradient of LPG's recurrent net as it is written out, against the automatic one; core-seconds, by turns."""
    import jax
    import jax.numpy as jnp
    from rulesmith.meta.gru_gradient import differentiable_gru_states
    from rulesmith.programs.lpg import gru_states
    from rulesmith.programs.objective import Shapes

    def runs(states, arrays, x, ended, repeats):
        def worth(arrays, x):
            return jnp.square(jax.vmap(states, (None, 0, 0))(arrays, x, ended)).sum()

        for function in (worth, jax.grad(worth, argnums=(0, 1))):
            yield jax.jit(lambda f=function: jax.lax.map(lambda i: f(arrays, x + 1e-3 * i), jnp.arange(float(repeats))))

    for workers, hidden, repeats in ((16, 64, 40), (64, 256, 5)):
        arrays = Shapes.lpg(timed=False, hidden=hidden).draw(0, 1.0)
        x = jax.random.normal(jax.random.key(0), (4, 20, workers, len(arrays["input"])))
        ended = (jax.random.uniform(jax.random.key(1), x.shape[:-1]) < 0.05) * 1.0
        every = [run for way in (differentiable_gru_states, gru_states) for run in runs(way, arrays, x, ended, repeats)]
        turns = []
        for _ in range(6):
            for run in every:
                began = time.process_time()
                jax.block_until_ready(run())
                turns.append(time.process_time() - began)
        rows = np.reshape(turns, (6, 2, 2))[1:].min(axis=0)  # the first turn compiles
        print(
            f"{workers} workers, GRU {hidden}: states {rows[0, 0]:.3f} s; with the gradient written out "
            f"{rows[0, 1]:.3f} s, automatic {rows[1, 1]:.3f} s: {rows[1, 1] / rows[0, 1]:.2f} times",
            flush=True,
        )


def ta_lpg():
    """TA-LPG by evolution strategies: 8 candidates, 16 workers, GRU 256, levels `all`, lives of 25 to 50 updates."""
    from dataclasses import replace

    from rulesmith.meta.population import use_cores

    use_cores(2)
    config = meta_config(rule="ta-lpg", strategy="open-es", score="random", updates=(25, 50), agent={"workers": 16})
    compiled, seconds, steps = meta_steps(replace(config, es=replace(config.es, population=8)), 8, 2)
    rate = steps / seconds
    print(
        f"TA-LPG {rate:,.0f} env-steps/s (the first generation, with compiling, {compiled:.1f} s); the public code "
        f"{PUBLIC['ta-lpg']:,}: {rate / PUBLIC['ta-lpg']:.1f} times"
    )


def groove():
    """A meta-step with algorithmic regret against one with random levels, over lifetimes: public sizes, and small."""
    from rulesmith.meta.population import use_cores
    from rulesmith.search.curricula.level_buffer import ReplaySettings

    use_cores(2)
    public = {"agents": 32, "updates": (10, 100), "replay": ReplaySettings(capacity=200)}
    small = {**public, "hidden": 64, "agent": {"workers": 16}}
    for name, sizes, count in (("64 workers, GRU 256", public, 40), ("16 workers, GRU 64", small, 120)):
        seconds = {
            score: meta_steps(meta_config(score=score, **sizes), count, 12)[1]
            for score in ("algorithmic-regret", "random")
        }
        groove, plain = seconds["algorithmic-regret"], seconds["random"]
        print(f"{name}: {groove / plain:.2f} times ({groove:.2f} s, {plain:.2f} s)", flush=True)


def memory():
    """The most memory that a meta-step of 512 agents of 64 workers takes, GRU 256."""
    import resource

    from rulesmith.meta.population import use_cores

    use_cores(2)
    _, seconds, steps = meta_steps(meta_config(agents=512, score="random", updates=(100, 100)), 2, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"512 agents of 64 workers: {peak:.1f} GiB at most, a step in {seconds:.0f} s "
        f"({steps / seconds:,.0f} env-steps/s)"
    )


BENCHMARKS = {f.__name__: f for f in (rejax, population, rollouts, overhead, lpg, recurrence, ta_lpg, groove, memory)}


def main():
    names = sys.argv[1:] or list(BENCHMARKS)
    if len(names) == 1:
        BENCHMARKS[names[0]]()
        return
    for name in names:
        print(f"== {name}: {BENCHMARKS[name].__doc__}", flush=True)
        subprocess.run([sys.executable, __file__, name], check=True, env={**os.environ})


if __name__ == "__main__":
    main()
