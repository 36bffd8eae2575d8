"""Evolution strategies, populations of lifetimes over devices, and whole runs that are killed and go on."""

import json
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import in_process
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulesmith import RulesmithError, load
from rulesmith.envs.registry import make
from rulesmith.meta.drift_learner import Hyper
from rulesmith.meta.learners import hyper_range, learner_for
from rulesmith.meta.population import Population, Trials
from rulesmith.programs.objective import Objective, Shapes
from rulesmith.results.views import run_json
from rulesmith.search.config_codec import from_plain, to_plain
from rulesmith.search.curricula.lifetimes import UniformLifetimes, draw_lifetimes
from rulesmith.search.method import discover
from rulesmith.search.methods.objective import METHOD, ObjectiveSearch
from rulesmith.search.options import parse_settings, words_of_settings
from rulesmith.search.problems.return_scale import ReturnScale
from rulesmith.search.strategies.evolution_strategies import EVOLUTION_STRATEGIES, EsSettings, EvolutionStrategy, shaped

SMALL = {"workers": 4, "steps": 8, "minibatches": 2, "epochs": 2, "widths": (8,)}
RULESMITH = str(Path(sys.executable).parent / "rulesmith")
TINY = ObjectiveSearch(
    rule="ta-lpo",
    environments=("Catch-bsuite",),
    horizon=(64, 320),
    each=2,
    episodes=4,
    agent=SMALL,
    es=EsSettings(population=6, sigma=0.1, learning_rate=0.05),
)


def test_centred_ranks():
    fitness = np.array([[3.0, 10.0], [1.0, 30.0], [np.nan, 20.0]])
    assert shaped(fitness, "centred").tolist() == [0.0, 0.25, -0.25]
    ties = shaped(np.array([[1.0], [1.0], [5.0], [0.0]]), "centred")
    np.testing.assert_allclose(ties, [0, 0, 0.5, -0.5])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_pairwise_ranks_say_which_of_a_pair_was_better(seed):
    rng = np.random.default_rng(seed)
    fitness = rng.integers(0, 4, (8, 3)).astype(float)
    fitness[rng.random((8, 3)) < 0.2] = np.nan
    found = shaped(fitness, "pairwise")
    for i in range(4):
        wanted = 0.0
        for task in range(3):
            a, b = np.nan_to_num(fitness[i, task], nan=-1), np.nan_to_num(fitness[i + 4, task], nan=-1)
            wanted += 0.5 * np.sign(a - b) / 3
        assert found[i] == pytest.approx(wanted) == -found[i + 4]


@pytest.mark.parametrize("name", EVOLUTION_STRATEGIES)
def test_every_strategy_climbs_a_hill(name):
    start = {"a": np.zeros((2, 2), np.float32), "b": np.zeros(3, np.float32)}
    peak = np.array([0.5, -0.3, 0.2, 0.4, -0.5, 0.1, 0.3])
    strategy = EvolutionStrategy(name, EsSettings(population=16, sigma=0.2, learning_rate=0.05), start)
    state = strategy.init(jax.random.key(0))

    def distance(tree):
        return np.linalg.norm(np.concatenate([np.ravel(tree["a"]), tree["b"]]) - peak)

    first = distance(strategy.mean(state))
    for step in range(60):
        candidates = strategy.ask(state, jax.random.fold_in(jax.random.key(1), step))
        assert candidates["a"].shape == (17, 2, 2)
        np.testing.assert_allclose(candidates["b"][-1], strategy.mean(state)["b"], rtol=1e-6)
        flat = np.concatenate([np.asarray(candidates["a"]).reshape(17, -1), candidates["b"]], axis=1)[:-1]
        state = strategy.tell(state, candidates, -np.linalg.norm(flat - peak, axis=1)[:, None])
    assert distance(strategy.mean(state)) < 0.5 * first


def test_antithetic_pairs_are_half_a_population_apart():
    strategy = EvolutionStrategy("open-es", EsSettings(population=8, sigma=0.3), {"a": np.ones(4, np.float32)})
    drawn = np.asarray(strategy.ask(strategy.init(jax.random.key(0)), jax.random.key(1))["a"])[:-1] - 1
    np.testing.assert_allclose(drawn[:4], -drawn[4:], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "size", "says"),
    [
        ("open-se", EsSettings(), 3, "did you mean 'open-es'"),
        ("snes", EsSettings(ranks="pairwise"), 3, "pairwise ranks need antithetic pairs"),
        ("cma-es", EsSettings(), 5000, "full covariance matrix"),
        ("open-es", EsSettings(population=7), 3, "even numbers"),
    ],
)
def test_strategies_that_cannot_work_are_refused(name, settings, size, says):
    with pytest.raises(RulesmithError) as caught:
        EvolutionStrategy(name, settings, {"a": np.zeros(size, np.float32)})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lifetimes_are_shared_within_a_group_and_log_uniform():
    env = make("grid/small")
    drawn = draw_lifetimes(env, (10, 1000), (50, 20), jax.random.key(0))
    logs = np.log10(drawn.updates)
    assert (drawn.updates.min(), drawn.updates.max()) >= (10, 900)
    assert logs.mean() == pytest.approx(2, abs=0.05)
    assert len(np.unique(np.asarray(jax.random.key_data(drawn.keys)).reshape(1000, -1), axis=0)) == 1000
    assert drawn.params.walls.shape == (50, 20, 6, 6)
    curriculum = UniformLifetimes((env, make("Catch-bsuite")), ((3, 3), (5, 9)), groups=2, each=3)
    first, second = curriculum.sample((), jax.random.key(1))
    assert (first.updates == 3).all()
    assert second.updates.shape == (2, 3)


def lives(devices, objective, count=9):
    env = make("Catch-bsuite")
    run = Population(learner_for(env, objective, {**SMALL, "widths": [8]}), 4, devices)
    candidates = {name: np.stack([array, array * 0.5, -array]) for name, array in objective.arrays.items()}
    drawn = draw_lifetimes(env, (2, 30), (1, count), jax.random.key(3))
    trials = Trials(
        np.arange(count, dtype=np.int32) % 3,
        drawn.updates[0],
        drawn.keys[0],
        jax.tree.map(lambda x: x[0], drawn.params),
        Hyper(np.full(count, 0.01, np.float32), np.full(count, 0.01, np.float32)),
    )
    return run, candidates, trials


def test_a_life_does_not_depend_on_the_devices_or_its_company():
    objective = Objective("net", "drift", arrays=Shapes.drift(timed=True).draw(0, 1.0))
    finals = {}
    for count in (1, 2):
        run, candidates, trials = lives(jax.devices()[:count], objective)
        finals[count] = run(candidates, trials)
    assert len(jax.devices()) >= 2
    jax.tree.map(np.testing.assert_array_equal, finals[1], finals[2])
    few = jax.tree.map(lambda x: x[4:7], trials)
    np.testing.assert_array_equal(run(candidates, few).final, finals[2].final[4:7])


@pytest.mark.slow
def test_eight_devices_too(tmp_path):
    code = (
        "import os, sys; os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=8'\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import jax, numpy as np, test_objective_search as t\n"
        "from rulesmith.search.executors import cache_compilations\n"
        "cache_compilations()\n"
        "o = t.Objective('net', 'drift', arrays=t.Shapes.drift(timed=True).draw(0, 1.0))\n"
        "assert len(jax.devices()) == 8\n"
        "run, candidates, trials = t.lives(None, o)\n"
        "print(run(candidates, trials).final.tolist())\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    objective = Objective("net", "drift", arrays=Shapes.drift(timed=True).draw(0, 1.0))
    run, candidates, trials = lives(jax.devices()[:1], objective)
    assert json.loads(out.stdout.splitlines()[-1]) == run(candidates, trials).final.tolist()


def test_agents_hyperparameters_are_drawn_for_each_life_and_shared_within_a_group():
    ranges = hyper_range(make("Catch-bsuite"), "drift", 0.01, (0.5, 2.0), (0.0, 0.0))
    drawn = ranges.draw(jax.random.split(jax.random.key(0), 200))
    assert drawn.learning_rate.min() >= 0.005
    assert drawn.learning_rate.max() <= 0.02
    assert np.log(drawn.learning_rate).mean() == pytest.approx(np.log(0.01), abs=0.1)
    assert not drawn.entropy.any()
    assert ranges.middle() == pytest.approx(Hyper(0.01, 0.0))
    alone = replace(TINY.es, ranks="alone")
    assert [replace(TINY.es, ranks=ranks).groups for ranks in ("centred", "pairwise", "alone")] == [1, 3, 6]
    fitness = np.array([[1.0, 5.0], [3.0, 4.0], [2.0, 6.0]])
    np.testing.assert_array_equal(shaped(fitness, alone.ranks), shaped(fitness, "centred"))


def test_the_numbers_of_a_program_are_found_by_cma_es(tmp_path):
    config = replace(
        TINY, rule="numbers", strategy="cma-es", entropy=(1e-3, 1e-1), es=EsSettings(population=4, sigma=0.3)
    )
    discover(METHOD, config, tmp_path / "a", bound=3)
    discover(METHOD, config, tmp_path / "b", bound=1)
    discover(METHOD, config, tmp_path / "b", bound=3, resume=True)
    assert whole(tmp_path / "a") == whole(tmp_path / "b")
    found, start = load(tmp_path / "a"), load("shaped-ppo")
    assert [name for name, _ in found.program.hyperparameters] == [name for name, _ in start.program.hyperparameters]
    assert found.program.hyperparameters != start.program.hyperparameters
    assert found.program.with_hyperparameters(dict(start.program.hyperparameters)).digest == start.program.digest
    rows = json.loads(whole(tmp_path / "a"))["curve"]
    assert {"policy_entropy", "explained_variance", "clipped"} <= set(rows[-1])


def whole(directory):
    return json.dumps(run_json(directory, stats=False))


def test_a_run_is_a_function_of_its_config_whatever_stops_it(tmp_path):
    config = TINY
    discover(METHOD, config, tmp_path / "a", bound=5)
    for bound in (1, 3, 5):
        discover(METHOD, config, tmp_path / "b", bound=bound, resume=bound > 1)
    assert whole(tmp_path / "a") == whole(tmp_path / "b")
    rule = load(tmp_path / "a")
    assert rule.timed
    assert rule.agent["workers"] == 4
    assert len(json.loads(whole(tmp_path / "a"))["curve"]) == 5


@pytest.mark.slow
def test_pairwise_runs_and_lpg_and_several_environments(tmp_path):
    config = replace(
        TINY,
        rule="ta-lpg",
        environments=("grid/small", "Catch-bsuite"),
        hidden=8,
        agent={"workers": 4, "steps": 8},
        es=EsSettings(population=4, ranks="pairwise"),
    )
    discover(METHOD, config, tmp_path / "run", bound=2)
    assert load(tmp_path / "run").kind == "lpg"
    assert run_json(tmp_path / "run", stats=True)["stats"]["env_steps_per_second"] > 0


def test_normalized_returns():
    assert ReturnScale(-1.0, 3.0, 0.1).normalized(np.array([-1.0, 3.0, 1.0])).tolist() == [0.0, 1.0, 0.5]
    assert np.isfinite(ReturnScale(1.0, 1.0, 0.1).normalized(2.0))


def test_a_candidate_that_diverges_is_the_worst_and_stops_nothing(tmp_path):
    discover(METHOD, replace(TINY, es=replace(TINY.es, sigma=1e30)), tmp_path / "run", bound=2)
    curve = run_json(tmp_path / "run", stats=False)["curve"]
    assert len(curve) == 2
    assert curve[0]["diverged"] > 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"environments": ("CartPole-v9",)}, "did you mean 'CartPole-v1'"),
        ({"environments": ()}, "at least one environment"),
        ({"horizon": (10, 100)}, "shorter than one update"),
        ({"horizon": (100, 50)}, "LOW:HIGH"),
        ({"agent": {**SMALL, "worker": 3}}, "did you mean 'workers'"),
        ({"agent": {**SMALL, "workers": "many"}}, "'workers' is 'many'"),
        ({"agent": {**SMALL, "minibatches": 5}}, "do not divide into 5 minibatches"),
    ],
)
def test_runs_that_cannot_work_are_refused_before_anything_is_written(changes, says, tmp_path):
    with pytest.raises(RulesmithError) as caught:
        discover(METHOD, replace(TINY, **changes), tmp_path / "run", bound=1)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_presets():
    for name in ("demo", "standard", "paper"):
        for rule in ("lpo", "ta-lpo", "lpg", "ta-lpg"):
            preset = METHOD.preset(name, rule)
            assert preset.config.rule == rule
            assert preset.minutes > 0
            kept = json.loads(json.dumps(to_plain(preset.config)))
            assert from_plain(ObjectiveSearch, kept) == preset.config
            assert preset.config.horizon[0] == (1.28e4 if rule.endswith("lpg") else preset.config.horizon[0])
    with pytest.raises(RulesmithError, match="did you mean 'ta-lpo'"):
        METHOD.check(METHOD.preset("demo", "ta-lp").config)


def test_settings_of_agents_are_read_as_they_are_written():
    given = {"workers": 16, "anneal": False, "widths": (32, 32), "discount": 0.97}
    assert parse_settings(words_of_settings(given)) == given
    assert parse_settings(["anneal=true", "activation=tanh"]) == {"anneal": True, "activation": "tanh"}


def command(*words):
    return subprocess.Popen([RULESMITH, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


ARGUMENTS = ("--rule", "lpo", "--env", "Catch-bsuite", "--horizon", "6e2:2e3", "--es.population", "4", "--devices", "1")


@pytest.mark.slow
def test_killed_and_interrupted_runs_end_as_one_never_stopped(tmp_path):
    rng, words = random.Random(0), list(ARGUMENTS)
    for stop in (signal.SIGKILL, signal.SIGTERM):
        process = command("discover", "objective", *words, "--generations", "100000", "--out", str(tmp_path / "cut"))
        for line in process.stdout:
            if "compiling whole lifetimes" in line:
                break
        time.sleep(rng.uniform(2, 5))
        process.send_signal(stop)
        process.communicate(timeout=60)
        assert process.returncode == (143 if stop == signal.SIGTERM else -stop)
        words = ["--resume"]
    generations = run_json(tmp_path / "cut", stats=False)["generations"] + 2
    for name, words in (("cut", ["--resume"]), ("whole", ARGUMENTS)):
        last = command(
            "discover", "objective", *words, "--generations", str(generations), "--out", str(tmp_path / name)
        )
        log, _ = last.communicate(timeout=300)
        assert last.returncode == 0, log
    assert whole(tmp_path / "cut") == whole(tmp_path / "whole")


@pytest.mark.slow
def test_two_hosts_find_what_one_finds(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("discover", "objective", *ARGUMENTS, "--generations", "2")
    alone = command(*options, "--out", str(tmp_path / "alone"))
    log, _ = alone.communicate(timeout=300)
    assert alone.returncode == 0, log
    pair = [command(*options, "--out", str(tmp_path / "pair"), "--hosts", f"{i}/2@127.0.0.1:{port}") for i in range(2)]
    logs = [process.communicate(timeout=300)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], logs
    assert whole(tmp_path / "pair") == whole(tmp_path / "alone")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--hosts", "2/2@x:1"], "I from 0 to N - 1"),
        (["--rule", "ta-lp"], "did you mean 'ta-lpo'"),
        (["--env", "CartPole-v9"], "did you mean 'CartPole-v1'"),
        (["--horizon", "1:2"], "shorter than one update"),
        (["--strategy", "cma-es", "--rule", "lpg"], "pairwise ranks need antithetic pairs"),
        (["--strategy", "cma-es", "--rule", "lpg", "--es.ranks", "centred"], "full covariance"),
        (["--generations", "0"], "above 0"),
        (["--rule", "symbolic"], "`discover drift`"),
        (["--resume", "--out", "nowhere"], "no run here"),
    ],
)
def test_bad_options_get_one_line(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = in_process.command("discover", "objective", *words)
    assert done.status == 2
    assert says in done.errors
    assert len(done.errors.strip().splitlines()) == 1


def test_random_numbers_do_not_depend_on_what_ran_before():
    env = make("grid/small")
    first, second = (draw_lifetimes(env, (2, 9), (3, 2), jax.random.key(5)) for _ in range(2))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), first.params, second.params)
    assert jnp.array_equal(jax.random.key_data(first.keys), jax.random.key_data(second.keys))
