"""Rollouts against loops that step the libraries' own environments; what every environment must do."""

import math

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rulesmith import RulesmithError
from rulesmith.envs.environment import Box, Discrete
from rulesmith.envs.registry import make, names
from rulesmith.envs.rollout import evaluate, rollout, start

WORKERS, STEPS = 3, 40
FEW = ("CartPole-v1", "Pendulum-v1", "Breakout-MinAtar", "Catch-bsuite", "DeepSea-bsuite", "FrozenLake-misc")
GYMNAX = [name for name in names() if "/" not in name]


def random_actions(env, count):
    def act(key, observation):
        if isinstance(env.actions, Discrete):
            return jax.random.randint(key, (count,), 0, env.actions.count), ()
        shape = (count, *env.actions.shape)
        return jax.random.uniform(key, shape, minval=env.actions.low, maxval=env.actions.high), ()

    return act


def random_rollout(env, steps=STEPS, workers=WORKERS):
    @jax.jit
    def run(key):
        begin, play = jax.random.split(key)
        return rollout(
            env, env.params, random_actions(env, workers), start(env, env.params, begin, workers), play, steps
        )

    return run(jax.random.key(5))


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FEW else pytest.mark.slow) for n in GYMNAX])
def test_a_rollout_is_what_a_loop_over_gymnax_sees(name):
    env = make(name)
    _, seen, episodes = random_rollout(env)
    library, params = gymnax.make(name)
    step = jax.jit(library.step_env)
    begin, play = jax.random.split(jax.random.key(5))
    firsts, keys = jax.random.split(begin, WORKERS), jax.random.split(play, STEPS)
    returns = []
    for worker in range(WORKERS):
        observation, state = library.reset_env(firsts[worker], params)
        so_far = 0.0
        for t in range(STEPS):
            np.testing.assert_allclose(seen.observation[t, worker], observation, rtol=1e-5, atol=1e-5)
            _, advance, anew = jax.random.split(keys[t], 3)
            observation, state, reward, over, _ = step(
                jax.random.split(advance, WORKERS)[worker], state, seen.action[t, worker], params
            )
            late = bool(library.is_truncated(state, params)) and not over
            so_far += float(reward)
            assert float(seen.reward[t, worker]) == pytest.approx(float(reward), rel=1e-5, abs=1e-5)
            assert (bool(seen.terminated[t, worker]), bool(seen.truncated[t, worker])) == (bool(over), late)
            if over or late:
                returns.append(so_far)
                observation, state = library.reset_env(jax.random.split(anew, WORKERS)[worker], params)
                so_far = 0.0
    assert int(episodes.count) == len(returns)
    assert float(episodes.returns) == pytest.approx(sum(returns), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if "grid" in n else pytest.mark.slow) for n in names()])
def test_every_environment_can_be_acted_in(name):
    env = make(name)
    workers, seen, _ = random_rollout(env, steps=12)
    shape = () if isinstance(env.observations, Discrete) else env.observations.shape
    assert seen.observation.shape == (12, WORKERS, *shape)
    assert seen.observation.dtype == (jnp.int32 if isinstance(env.observations, Discrete) else jnp.float32)
    assert all(np.isfinite(np.asarray(x, float)).all() for x in (seen.observation, seen.reward))
    assert workers.observation.shape == seen.observation.shape[1:]
    if isinstance(env.observations, Discrete):
        assert (seen.observation >= 0).all()
        assert (seen.observation < env.observations.count).all()


def test_brax_is_what_a_loop_over_brax_sees():
    from brax import envs

    env, library = (
        make("brax/inverted_pendulum", backend="spring"),
        envs.get_environment("inverted_pendulum", backend="spring"),
    )
    _, seen, episodes = random_rollout(env, steps=60)
    begin, _ = jax.random.split(jax.random.key(5))
    step = jax.jit(library.step)
    first = state = library.reset(jax.random.split(begin, WORKERS)[0])
    ends = 0
    for t in range(60):
        np.testing.assert_allclose(seen.observation[t, 0], state.obs, rtol=1e-3, atol=1e-3)
        state = step(state, seen.action[t, 0])
        assert bool(seen.terminated[t, 0]) == bool(state.done)
        if state.done:
            state, ends = first, ends + 1  # brax goes back to its first state
    assert ends > 0
    assert float(episodes.count) >= ends
    assert not seen.truncated.any()


def test_a_time_limit_is_no_termination_and_bootstraps():
    env = make("MountainCar-v0")  # a random policy never gets there: every episode is truncated after 200 steps
    count = 2
    value = lambda observation: 7.0 + observation[:, 0]  # noqa: E731
    workers = start(env, env.params, jax.random.key(0), count)
    _, seen, episodes = jax.jit(
        lambda: rollout(env, env.params, random_actions(env, count), workers, jax.random.key(1), 401, value)
    )()
    assert not seen.terminated.any()
    assert np.flatnonzero(seen.truncated[:, 0]).tolist() == [199, 399]
    assert float(episodes.count) == 4
    assert float(episodes.mean) == -200
    assert not seen.bootstrap[~seen.truncated].any()
    # The bootstrapped state is the episode's last, not the first of the next: they differ by at most one step of speed.
    gap = np.abs(seen.bootstrap[199] - 7.0 - seen.observation[199, :, 0])
    assert (gap <= 0.07).all()


def test_evaluation_is_the_return_of_whole_episodes():
    env = make("Catch-bsuite")  # 1 if the ball is caught, else -1
    found = jax.jit(lambda key: evaluate(env, env.params, random_actions(env, 400), key, 400))(jax.random.key(0))
    assert -0.9 < float(found) < -0.3
    cart = make("CartPole-v1")
    left = lambda key, observation: (jnp.zeros(8, jnp.int32), ())  # noqa: E731
    assert 8 <= float(evaluate(cart, cart.params, left, jax.random.key(0), 8)) <= 11  # as gymnasium's: 9 or 10 steps


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("CartPol-v1", {}, "did you mean 'CartPole-v1'"),
        ("brax/amt", {}, "did you mean 'brax/ant'"),
        ("brax/ant", {"backend": "sprin"}, "did you mean 'spring'"),
        ("brax/swimmer", {}, "no environment"),
        ("grid/smal", {}, "did you mean 'grid/small'"),
        ("grid/small", {"backend": "spring"}, "no option 'backend'"),
        ("MNISTBandit-bsuite", {}, "no environment"),
        (
            "nowhere:env",
            {},
            "No module named 'nowhere'; it must be a rulesmith.Environment, as in examples/environment.py",
        ),
        ("math:pi", {}, "float, not a rulesmith.Environment"),
    ],
)
def test_bad_names_get_one_line(name, options, says):
    with pytest.raises(RulesmithError) as caught:
        make(name, **options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_users_own_environment_enters_by_import_path(tmp_path, monkeypatch):
    (tmp_path / "mine_env.py").write_text(
        "from dataclasses import replace\nfrom rulesmith.envs.registry import make\n"
        "def short():\n    return replace(make('CartPole-v1'), name='short', max_steps=50)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    env = make("mine_env:short")
    assert env.max_steps == 50
    assert isinstance(env.observations, Box)
    assert math.prod(env.observations.shape) == 4
