"""What every part must do, whoever wrote it: run, be killed and resumed to the same bytes, whatever the workers.

A strategy, curriculum, score, task or environment that is registered is tested here without another edit.
"""

import functools
import json
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rulesmith import RulesmithError
from rulesmith.envs.environment import Discrete
from rulesmith.envs.registry import make, names
from rulesmith.envs.tasks import SETS, tasks
from rulesmith.meta.drawn_levels import draw_levels
from rulesmith.meta.score import Score
from rulesmith.programs.objective import Shapes
from rulesmith.programs.parts import Programs
from rulesmith.results.level_regrets import correlations
from rulesmith.results.views import run_json
from rulesmith.search import starts
from rulesmith.search.array_store import ArrayStore
from rulesmith.search.candidates import Feedback
from rulesmith.search.curricula.fixed import Fixed
from rulesmith.search.curricula.level_buffer import LevelBuffer, ReplaySettings
from rulesmith.search.curricula.lifetimes import UniformLifetimes
from rulesmith.search.curricula.renewed import RenewedLifetimes
from rulesmith.search.curricula.scores import LEVEL_SCORES, LevelScore, Lives
from rulesmith.search.curricula.task_order import TaskOrder
from rulesmith.search.engine import Evaluation, initial, run
from rulesmith.search.executors import Here, Pool
from rulesmith.search.level_store import LevelStore
from rulesmith.search.method import discover, jax_flags
from rulesmith.search.methods import curriculum, symbolic
from rulesmith.search.problems.programs import ProgramProblem
from rulesmith.search.program_store import ProgramStore
from rulesmith.search.state_codec import Encoder
from rulesmith.search.strategies.evolution import RegularizedEvolution
from rulesmith.search.strategies.evolution_strategies import EVOLUTION_STRATEGIES, EsSettings, EvolutionStrategy
from rulesmith.search.strategies.meta_gradient import MetaGradientDescent
from rulesmith.search.strategies.program_strategies import PROGRAM_STRATEGIES, program_strategy

START = Programs.parse(symbolic.WARM_START)
CONFIG = symbolic.Symbolic(population=20, tournament=5, batch=16, restart=90, tasks=("iris-mlp-2k",))


def pretend(job):
    """Score a program's text by a function of its words: quick, the same everywhere."""
    words = sum(len(s.function) * (i + 3) for i, s in enumerate(Programs.parse(job).parts[0][1].statements)) % 97
    return Score(0.5 + words / 97, "", {"a": words / 97, "b": 1 + words / 50})


def build_pretend():
    return pretend


def searched(directory, strategy, curriculum_, programs, executor=None, problem=None):
    """Run or go on with a search over programs, by any parts, and return what it found as text."""
    executor = executor or Here(build_pretend)
    score = lambda candidates, tasks: executor.map([c.programs.to_text() for c in candidates])  # noqa: E731
    parts = strategy, curriculum_, problem or ProgramProblem(score)
    key, facts = jax.random.key(3), {"method": "symbolic", "config": {**CONFIG.__dict__, "tasks": ["a"]}}
    fresh = not (directory / "run.sqlite").exists()
    with ProgramStore.create(directory, facts) if fresh else ProgramStore.open(directory, write=True) as store:
        first = initial(*parts, key)
        step, states = store.resume(first) or (0, first)
        until = lambda *_: store.done() >= programs  # noqa: E731
        last = run(*parts, key=key, states=states, step=step, until=until, observers=[store])
    return json.dumps(run_json(directory, stats=False)), last


def same_states(first, second):
    """Check that two states hold the same, to the bit."""
    assert Encoder().plain(first) == Encoder().plain(second)


@dataclass(frozen=True)
class Moods:
    """A state of a strategy of one's own, with all that a state may hold."""

    inner: object
    tried: dict
    seen: frozenset
    noise: np.ndarray
    key: jax.Array
    pairs: tuple


class Gauge(NamedTuple):
    level: np.float32
    notes: list


class Moody(RegularizedEvolution):
    """Evolution whose state is more than evolution's, and decides what it does."""

    def init(self, key):
        return Moods(super().init(key), {}, frozenset(), np.zeros(3, jnp.bfloat16), key, (Gauge(np.float32(0), []),))

    def ask(self, state, key):
        salt = int(jax.random.randint(state.key, (), 0, 1000)) + len(state.tried) + len(state.seen)
        return super().ask(state.inner, jax.random.fold_in(key, salt))

    def tell(self, state, candidates, feedback):
        tried = dict(state.tried)
        for candidate in candidates:
            tried[candidate.origin] = tried.get(candidate.origin, 0) + 1
        tried[("last", 1)] = candidates[-1]  # a candidate of this batch, under a key that is no text
        gauge = Gauge(np.float32(state.pairs[0].level + 0.1), [*state.pairs[0].notes, candidates[0].digest][-3:])
        return Moods(
            super().tell(state.inner, candidates, feedback),
            tried,
            state.seen | {candidates[0].length},
            (state.noise + jnp.bfloat16(0.1)).astype(jnp.bfloat16),
            jax.random.fold_in(state.key, 1),
            (gauge,),
        )


def moody(config, start, limits):
    own = config.population, config.tournament, config.batch, config.restart
    return Moody(start, *own, limits)


@pytest.mark.parametrize("strategy", [*PROGRAM_STRATEGIES, "of one's own"])
@pytest.mark.parametrize("order", ["fixed", "regret"])
def test_searches_over_programs_by_any_strategy_and_curriculum_resume(strategy, order, tmp_path, monkeypatch):
    monkeypatch.setitem(PROGRAM_STRATEGIES, "of one's own", moody)
    made = program_strategy(replace(CONFIG, strategy=strategy), START)
    tried = TaskOrder(("a", "b"), focus=1 if order == "regret" else 0)
    whole, last = searched(tmp_path / "whole", made, tried, 260)
    for programs in (1, 40, 120, 200):
        searched(tmp_path / "cut", made, tried, programs)
    cut, end = searched(tmp_path / "cut", made, tried, 260)
    assert cut == whole
    same_states(last.strategy, end.strategy)
    same_states(last.curriculum, end.curriculum)


class Counting:
    """A problem of one's own with a state that is a registered pytree and a ledger of neither."""

    def init(self, key):
        return {"calls": np.int32(0), "best": jnp.float32(jnp.inf), "by length": {}}

    def evaluate(self, state, candidates, tasks, key):
        told = []
        by_length = dict(state["by length"])
        for candidate in candidates:
            drift = 0.01 * int(state["calls"])  # the score depends on the state
            told.append(Feedback(Score(1 + drift + candidate.length / 50, "", {"a": 1.0}), "evaluated"))
            by_length[candidate.length] = by_length.get(candidate.length, 0) + 1
        best = jnp.minimum(state["best"], min(x.score.fitness for x in told))
        state = {"calls": np.int32(state["calls"] + 1), "best": best, "by length": by_length}
        return Evaluation(state, told, [x.score for x in told], {})


def test_a_problem_of_ones_own_keeps_its_state(tmp_path):
    made = program_strategy(CONFIG, START)
    whole, last = searched(tmp_path / "whole", made, Fixed(None), 200, problem=Counting())
    for programs in (30, 90):
        searched(tmp_path / "cut", made, Fixed(None), programs, problem=Counting())
    cut, end = searched(tmp_path / "cut", made, Fixed(None), 200, problem=Counting())
    assert cut == whole
    same_states(last.problem, end.problem)
    assert int(end.problem["calls"]) > 5


def test_a_state_that_cannot_be_kept_is_refused_with_its_place(tmp_path):
    class Bad(RegularizedEvolution):
        def tell(self, state, candidates, feedback):
            return {"inner": [open, super().tell(state, candidates, feedback)]}

        def ask(self, state, key):
            return super().ask(state["inner"][1] if isinstance(state, dict) else state, key)

    with pytest.raises(RulesmithError, match=r"states\.strategy\.inner\[0\] is a builtin"):
        searched(tmp_path / "run", Bad(START, 20, 5, 16, 90), Fixed(None), 200)


@pytest.fixture(scope="module")
def pools():
    made = [Pool(build_pretend, workers) for workers in (1, 2)]
    yield made
    for pool in made:
        pool.close()


@pytest.mark.parametrize("strategy", PROGRAM_STRATEGIES)
def test_the_number_of_workers_changes_nothing(strategy, tmp_path, pools):
    made = program_strategy(replace(CONFIG, strategy=strategy), START)
    found = [searched(tmp_path / str(i), made, Fixed(None), 100, pool)[0] for i, pool in enumerate(pools)]
    assert found[0] == found[1]


def kept_by(store_class, directory, parts, arrays_of, steps, method, config):
    """Run or go on with a search over networks, by any parts, and return what it keeps."""
    fresh = not (directory / "run.sqlite").exists()
    facts = {"method": method, "config": config, "held_out": {"unit": "u", "random": 0.0, "antagonist": 1.0}}
    with store_class.create(directory, facts) if fresh else store_class.open(directory, write=True) as store:
        store.arrays_of = arrays_of
        first = initial(*parts, jax.random.key(3))
        step, states = store.resume(first) or (0, first)
        records = []
        until = lambda step, _: step >= steps  # noqa: E731
        observers = [store, records.append]
        last = run(*parts, key=jax.random.key(3), states=states, step=step, until=until, observers=observers)
        store.close_step(records[-1])
    return json.dumps(run_json(directory, stats=False)), last


class PretendLives:
    """A problem on levels: lives end and are worth what a key says."""

    def init(self, key):
        return {"lived": np.zeros(4, np.int32)}

    def evaluate(self, state, candidates, tasks, key):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
        lived = np.where(tasks.vacant, 0, state["lived"]) + 1
        names = [name for score in LEVEL_SCORES.values() for name in score.figures]
        figures = {name: rng.random(4) for name in names}
        lives = Lives(lived > 1 + rng.integers(0, 2, 4), rng.random(4) > 0.1, *rng.random((3, 4)), figures)
        metrics = {"center": 0.0, "env_steps": 1}
        gradient = jax.tree.map(lambda x: np.full_like(x, rng.random()), candidates)
        return Evaluation({"lived": lived.astype(np.int32)}, gradient, lives, metrics)


@pytest.mark.parametrize("score", LEVEL_SCORES)
def test_runs_on_levels_by_any_score_resume(score, tmp_path):
    env, start = make("grid/small"), starts.start_arrays("lpg", 4, 0)
    draw = lambda key, count: draw_levels(env, (count,), key)  # noqa: E731
    edit = lambda key, levels: levels  # noqa: E731
    curriculum_ = LevelBuffer(draw, edit, (2, 6), 4, LEVEL_SCORES[score], ReplaySettings(capacity=10, edit=0.2))
    strategy = MetaGradientDescent(start, 1e-2)
    parts = strategy, curriculum_, PretendLives()
    config = {"score": score, "rule": "lpg", "strategy": "meta-gradient", "seed": 0, "levels": "small"}
    config |= {"updates": [2, 6], "agent": {}}
    make_run = functools.partial(kept_by, LevelStore, parts=parts, arrays_of=strategy.mean)
    whole, last = make_run(tmp_path / "whole", steps=12, method="curriculum", config=config)
    for steps in (1, 5, 12):
        cut, end = make_run(tmp_path / "cut", steps=steps, method="curriculum", config=config)
    assert cut == whole
    same_states(last, end)
    lives = json.loads(whole)["lives"]
    assert len(lives) > 5
    figures = {name for each in LEVEL_SCORES.values() for name in each.figures}
    assert all(set(life["figures"]) == figures for life in lives)


def test_a_score_of_ones_own_brings_its_figures(tmp_path, monkeypatch):
    figure = {"entropy": lambda last: last.entropies.mean()}
    monkeypatch.setitem(LEVEL_SCORES, "curiosity", LevelScore(lambda lives: lives.figure("entropy"), figures=figure))
    config = curriculum.CurriculumSearch(
        levels="small",
        score="curiosity",
        updates=(2, 6),
        agents=8,
        episodes=2,
        hidden=8,
        agent={"workers": 4, "steps": 8},
        replay=ReplaySettings(capacity=12),
        held_out=2,
    )
    discover(curriculum.METHOD, config, tmp_path / "run", bound=10)
    lives = run_json(tmp_path / "run", stats=False)["lives"]
    assert lives
    for life in lives:
        assert life["score"] == pytest.approx(life["figures"]["entropy"], rel=1e-5)
        assert 0 < life["score"] <= np.log(9) + 1e-6
    monkeypatch.setattr("rulesmith.results.level_regrets.LEAST", 3)
    with LevelStore.open(tmp_path / "run") as store:
        assert "curiosity" in correlations(store, list(store.lives()))


SMALL_NET = Shapes.lpg(timed=False, hidden=2, embedding=1, classes=2).draw(0, 0.1)


class PretendReturns:
    """A problem over networks: worth is how near they are to a point, and the state counts."""

    def init(self, key):
        return np.int32(0)

    def evaluate(self, state, candidates, tasks, key):
        flat = np.concatenate([np.asarray(x).reshape(len(x), -1) for x in jax.tree.leaves(candidates)], axis=1)
        worth = -np.square(flat[:-1] - 0.01 * int(state)).sum(axis=1)
        metrics = {"center": float(worth.mean()), "median": 0.0, "best": 0.0, "worst": 0.0, "env_steps": 1}
        return Evaluation(np.int32(state + 1), worth[:, None], worth, metrics)


@pytest.mark.parametrize("name", EVOLUTION_STRATEGIES)
def test_runs_over_networks_by_any_strategy_resume(name, tmp_path):
    strategy = EvolutionStrategy(name, EsSettings(population=6), SMALL_NET)
    parts = strategy, Fixed(None), PretendReturns()
    config = {"rule": "lpg", "strategy": name, "seed": 0, "environments": ["x"], "horizon": [1, 2], "agent": {}}
    make_run = functools.partial(kept_by, ArrayStore, parts=parts, arrays_of=strategy.mean)
    whole, last = make_run(tmp_path / "whole", steps=7, method="objective", config=config)
    for steps in (1, 4, 7):
        cut, end = make_run(tmp_path / "cut", steps=steps, method="objective", config=config)
    assert cut == whole
    same_states(last, end)


def test_curricula_of_lifetimes_are_functions_of_their_state_and_key():
    env, key = make("grid/small"), jax.random.key(5)
    for made in (
        UniformLifetimes((env,), ((2, 9),), groups=2, each=3),
        RenewedLifetimes(env, (2, 9), slots=4),
        Fixed(("a", "b")),
    ):
        state = made.init(key)
        first, second = made.sample(state, key), made.sample(state, key)
        unwrap = functools.partial(
            jax.tree.map,
            lambda x: jax.random.key_data(x) if jnp.issubdtype(getattr(x, "dtype", int), jax.dtypes.prng_key) else x,
        )
        jax.tree.map(np.testing.assert_array_equal, unwrap(first), unwrap(second))


@pytest.mark.parametrize("name", [name for name in names() if not name.startswith("brax/")])
def test_every_environment_steps_as_its_spaces_say(name):
    env = make(name)
    assert make(name) is env
    observation, state = jax.jit(env.reset)(jax.random.key(0), env.params)
    space = env.observations
    shape = () if isinstance(space, Discrete) else space.shape
    assert observation.shape == shape
    action = jnp.int32(0) if isinstance(env.actions, Discrete) else jnp.zeros(env.actions.shape)
    after = jax.eval_shape(env.step, jax.random.key(1), state, action, env.params)
    assert after.observation.shape == shape
    assert jax.tree.structure(after.state) == jax.tree.structure(state)
    assert after.terminated.dtype == after.truncated.dtype == bool
    assert after.reward.dtype == jnp.float32
    assert env.mark() == env.mark()


def test_every_task_is_in_one_set_at_most_and_has_a_mark_of_its_own():
    every = [name for members in SETS.values() for name in members]
    assert len(set(every)) == len(every)
    assert set(every) <= set(tasks())
    few = [tasks()[name] for name in ("digits-mlp-2k", "iris-mlp-2k", "digits-autoencoder-2k")]
    assert len({task.mark() for task in few}) == len(few)
    assert few[0].mark() == few[0].mark()
    assert replace(few[0], batch_size=3).mark() != few[0].mark()


def test_flags_of_jax_are_recorded():
    assert set(jax_flags()) >= {
        "jax_enable_x64",
        "jax_default_prng_impl",
        "jax_threefry_partitionable",
        "jax_default_matmul_precision",
    }
    assert json.loads(json.dumps(jax_flags())) == jax_flags()
