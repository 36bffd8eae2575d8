"""What can be measured, seen and changed of a level: against value iteration written plainly, and in properties."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rulesmith import RulesmithError
from rulesmith.envs.gridworld import (
    DISTRIBUTIONS,
    FIVE,
    FOUR,
    NINE,
    RANDOM,
    TABULAR,
    Thing,
    environment_of,
    level_file,
    level_of,
    pictures,
)
from rulesmith.envs.gridworld.editing import edited
from rulesmith.envs.gridworld.optimal import optimal, optimal_return, solvable
from rulesmith.envs.registry import make

seeds = st.integers(0, 10**9)
DRAWS = {name: jax.jit(distribution.draw) for name, distribution in DISTRIBUTIONS.items()}
EDIT = jax.jit(edited)


def drawn(name, seed):
    return jax.tree.map(np.asarray, DRAWS[name](jax.random.key(seed)))


def small_level(seed):
    """A level of up to 3 x 3 cells and two objects, few steps, so that a plain recursion sees all of it."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 4))
    cells = [(int(i), int(j)) for i, j in rng.permutation([(i, j) for i in range(size) for j in range(size)])]
    chance = lambda: float(rng.choice([0.0, 1.0, round(rng.random(), 2)]))  # noqa: E731
    things = [Thing(round(float(rng.normal()), 2), chance(), chance(), place) for place in cells[: rng.integers(1, 3)]]
    start = cells[2] if rng.random() < 0.5 else None
    return level_of(size, things, int(rng.integers(1, 6)), walls=cells[3 : 3 + rng.integers(2)], start=start)


def plain_optimal(level, moves):
    """Value iteration as the rules of the grid-world say it: over actions, endings, and every set that comes back."""
    board, count = len(level.walls), len(level.rewards)

    @functools.cache
    def value(cell, present, left):
        if left == 0:
            return 0.0
        best = -np.inf
        for move in moves:
            row, column = cell[0] + move[0], cell[1] + move[1]
            free = 0 <= row < board and 0 <= column < board and not level.walls[row, column]
            after = (int(row), int(column)) if free else cell
            number = after[0] * board + after[1]
            hit = [i for i in range(count) if present[i] and level.places[i] == number and after != cell]
            reward = sum(float(level.rewards[i]) for i in hit)
            goes_on = np.prod([1.0 - float(level.ends[i]) for i in hit])
            gone = [i for i in range(count) if not present[i] or i in hit]
            later = 0.0
            for back in range(2 ** len(gone)):
                chance, now = 1.0, [i not in gone for i in range(count)]
                for bit, i in enumerate(gone):
                    here = bool(back >> bit & 1)
                    chance *= float(level.respawns[i]) if here else 1.0 - float(level.respawns[i])
                    now[i] = here
                if chance:
                    later += chance * value(after, tuple(now), left - 1)
            best = max(best, reward + goes_on * later)
        return best

    everywhere = [divmod(int(c), board) for c in np.asarray(level.cells)[: int(level.free)]]
    first = everywhere if level.start < 0 else [divmod(int(level.start), board)]
    return np.mean([value(cell, (True,) * count, int(level.steps)) for cell in first])


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_the_optimal_return_is_that_of_plain_value_iteration(seed):
    level = small_level(seed)
    assert optimal_return(level) == pytest.approx(plain_optimal(level, NINE), abs=1e-4)


def test_the_optimal_return_with_four_moves():
    level = level_of(3, [Thing(1, 1, 0, (2, 2))], steps=3, start=(0, 0))
    assert optimal_return(level) == 1.0  # diagonally in two steps
    assert float(optimal(level, FOUR)) == plain_optimal(level, FOUR) == 0.0  # which takes four otherwise


def test_no_policy_beats_the_optimal_return():
    env = make("grid/small")
    rng = np.random.default_rng(0)
    for seed in range(5):
        level = drawn("small", seed)
        table = rng.integers(0, 9, env.observations.count)
        returns = []
        step = jax.jit(env.step)
        for key in jax.random.split(jax.random.key(seed), 20):
            observation, state = env.reset(key, level)
            total, over = 0.0, False
            while not over:
                key, now = jax.random.split(key)
                after = step(now, state, table[int(observation)], level)
                observation, state = after.observation, after.state
                total, over = total + float(after.reward), bool(after.terminated | after.truncated)
            returns.append(total)
        error = np.std(returns) / np.sqrt(len(returns))
        assert np.mean(returns) <= optimal_return(level) + 4 * error + 1e-5


def test_levels_with_random_places_have_no_exact_return():
    with pytest.raises(RulesmithError, match="object 0 appears on random cells"):
        optimal_return(RANDOM["random-dense"])


def test_what_cannot_be_reached_cannot_be_solved():
    apart = [(row, 2) for row in range(5)]
    assert not solvable(level_of(5, [Thing(1, 1, 0, (0, 4))], 50, walls=apart, start=(0, 0)))
    assert solvable(level_of(5, [Thing(1, 1, 0, (0, 4))], 50, walls=apart))  # some episodes begin on its side
    assert solvable(level_of(5, [Thing(1, 1, 0, (0, 4))], 50, walls=apart[1:], start=(0, 0)))
    assert not solvable(level_of(5, [Thing(1, 1, 0, (0, 4))], 3, start=(0, 0)))  # four steps away
    assert not solvable(level_of(5, [Thing(-1, 1, 0, (0, 1))], 50, start=(0, 0)))  # nothing good is there
    assert solvable(level_of(2, [Thing(1, 1, 0, (0, 0))], 5, start=(0, 0)))  # away and back
    assert not solvable(level_of(1, [Thing(1, 1, 0, (0, 0))], 5, start=(0, 0)))
    assert all(solvable(level) for level in (TABULAR | RANDOM).values())


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_solvable_is_having_something_to_gain_if_nothing_is_bad(seed):
    level = small_level(seed)
    level = level._replace(rewards=np.abs(level.rewards) + np.float32(0.1))
    assert bool(solvable(level)) == (optimal_return(level) > 0)


@settings(max_examples=12, deadline=None)
@given(seeds, st.sampled_from(list(DISTRIBUTIONS)))
def test_a_level_file_says_all_of_a_level(seed, name):
    level = drawn(name, seed)
    text = level_file.dumps(level)
    again = level_file.loads(text)
    assert level_file.dumps(again) == text
    own, there = len(again.walls), np.asarray(level.exists)
    np.testing.assert_array_equal(again.walls, level.walls[:own, :own])
    assert level.walls[own:].all()
    assert level.walls[:, own:].all()
    for field in ("rewards", "ends", "respawns"):
        np.testing.assert_array_equal(getattr(again, field), getattr(level, field)[there])
    assert int(again.steps) == int(level.steps)
    board = len(level.walls)
    places = [divmod(int(p), board) for p in level.places[there]]
    assert [divmod(int(p), own) for p in again.places] == places


GOOD = "steps = 5\nmap = '''\n#####\n#@.a#\n#####\n'''\n[objects.a]\nreward = 1\n"


def test_a_map_may_be_spaced_as_it_is_shown():
    spaced = GOOD.replace("#####", "# # # # #").replace("#@.a#", "# @ . a #")
    assert level_file.dumps(level_file.loads(spaced)) == level_file.dumps(level_file.loads(GOOD))


def test_a_level_file_is_an_environment(tmp_path):
    (tmp_path / "my.toml").write_text(GOOD)
    env = make(str(tmp_path / "my.toml"))
    assert env.max_steps == 5
    assert optimal_return(env.params) == 1.0
    assert "a: reward +1" in pictures.text(env.params)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("steps = 5", "steps = 0"), "'steps' is 0"),
        (("steps = 5", "step = 5"), "no 'step' (did you mean 'steps'?)"),
        (("@.a", "@.b"), "row 2, column 4: 'b' is no wall"),
        (("@.a", "aa@"), "'a' is on the map already"),
        (("reward = 1", "reward = 'x'"), "'reward' is 'x'"),
        (("reward = 1", "reward = inf"), "'reward' is inf"),
        (("reward = 1", "reward = 1\nends = 2"), "a probability"),
        (("reward = 1", "rewards = 1"), "did you mean 'reward'"),
        (("#@.a#", "#####"), "no free cell"),
        (("#@.a#", "#" * 40), "32 at most"),
        (("[objects.a]", "[objects.Q]"), "row 2, column 4"),
        (("map = '''", "map = ''"), "not TOML"),
        (("reward = 1", "reward = 1\n[objects.abc]\nreward = 1"), "[objects.abc]"),
    ],
)
def test_bad_level_files_are_refused(change, says, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(RulesmithError) as caught:
        level_file.read(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=20, deadline=None)
@given(seeds, seeds)
def test_edits_leave_possible_levels(seed, key):
    level = drawn("all", seed)
    if not solvable(level):
        return
    after = jax.tree.map(np.asarray, EDIT(jax.random.key(key), level))
    assert bool(solvable(after))
    assert level_file.loads(level_file.dumps(after))  # refuses what is on walls or off the grid
    there = np.asarray(level.exists)
    np.testing.assert_array_equal(after.exists, level.exists)
    assert len(set(after.places[there].tolist())) == there.sum()
    assert not after.walls.ravel()[after.places[there]].any()
    assert pictures.extent(after) <= pictures.extent(level)
    assert int(after.free) == (~after.walls).sum()
    np.testing.assert_array_equal(np.sort(after.cells[: int(after.free)]), np.flatnonzero(~after.walls.ravel()))
    assert (np.abs(after.rewards) <= 1).all()


def test_edits_are_of_all_kinds():
    level = drawn("all", 3)._replace(start=np.int32(-1))
    changed = {"walls": 0, "places": 0, "rewards": 0}
    for key in range(40):
        after = EDIT(jax.random.key(key), level)
        for field in changed:
            changed[field] += not np.array_equal(getattr(after, field), getattr(level, field))
    assert all(count > 5 for count in changed.values())


def test_pictures_show_what_is_there(tmp_path):
    level = level_of(3, [Thing(1, 0, 0, (0, 2)), Thing(-1, 1, 0, (2, 2))], 9, walls=[(1, 1)], start=(0, 0))
    assert pictures.map_of(level) == ["@.a", ".#.", "..b"]
    pictures.write_png(level, tmp_path / "level.png")
    picture = np.asarray(Image.open(tmp_path / "level.png")).astype(int)
    assert picture.shape == (120, 120, 3)
    middle = {(i, j): picture[40 * i + 20, 40 * j + 20] for i in range(3) for j in range(3)}
    assert middle[0, 2][1] > middle[0, 2][0] + 50  # a good object is green
    assert middle[2, 2][0] > middle[2, 2][1] + 50  # a bad one red
    assert middle[0, 0][2] > middle[0, 0][0] + 50  # the start blue
    assert middle[1, 1].max() < 100  # a wall dark
    assert middle[1, 0].min() > 200  # a free cell bright
    with pytest.raises(RulesmithError, match="cannot be written"):
        pictures.write_png(level, tmp_path / "nowhere" / "level.png")


def test_environments_of_levels_step(tmp_path):
    level = level_file.loads(GOOD)
    env = environment_of("mine", level, tabular=True, max_steps=5)
    _, state = env.reset(jax.random.key(0), level)
    right = [tuple(move) for move in NINE].index((0, 1))
    total = 0.0
    for _ in range(2):
        after = env.step(jax.random.key(0), state, right, level)
        state, total = after.state, total + float(after.reward)
    assert total == 1.0


@pytest.mark.parametrize("name", ["public-small", "public-dense", "public-random-small"])
def test_public_levels_have_five_moves_and_a_fixed_start(name):
    env, plain = make(f"grid/{name}"), make(f"grid/{name.removeprefix('public-')}")
    assert (env.actions.count, plain.actions.count) == (5, 9)
    for seed in range(5 if env.draw else 1):
        level = env.draw(jax.random.key(seed)) if env.draw else env.params
        start = int(level.start)
        assert not np.asarray(level.walls).reshape(-1)[start]
        assert start not in np.asarray(level.places)[np.asarray(level.exists)]
        states = [env.reset(jax.random.key(i), level)[1] for i in range(3)]
        assert {int(state.cell) for state in states} == {start}
        _, state = env.reset(jax.random.key(0), level)
        stayed = env.step(jax.random.key(1), state, 4, level).state
        assert int(stayed.cell) == start
    if name == "public-dense":
        assert 0 < optimal_return(level, FIVE) < optimal_return(level)  # which may go diagonally
