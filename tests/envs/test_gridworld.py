"""The grid-world against rules written plainly, and its random levels."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulesmith import RulesmithError
from rulesmith.envs.gridworld import DISTRIBUTIONS, FOUR, NINE, RANDOM, TABULAR, Thing, environment_of, level_of
from rulesmith.envs.gridworld.levels import make_grid
from rulesmith.envs.registry import make

seeds = st.integers(0, 10**9)
DRAWS = {name: jax.jit(distribution.draw) for name, distribution in DISTRIBUTIONS.items()}


def walk(level, moves, actions):
    """Play a level whose probabilities are all 0 or 1, written as one would say it."""
    board = len(level.walls)
    cell = divmod(int(level.start), board)
    present = [True] * len(level.rewards)
    seen = []
    for time, action in enumerate(actions, 1):
        row, column = cell[0] + moves[action][0], cell[1] + moves[action][1]
        moved = 0 <= row < board and 0 <= column < board and not level.walls[row, column]
        before, cell = cell, (row, column) if moved else cell
        reward, over = 0.0, False
        for i in range(len(present)):
            if present[i] and divmod(int(level.places[i]), board) == cell and cell != before:
                reward += float(level.rewards[i])
                over = over or level.ends[i] == 1
                present[i] = False
            if not present[i] and level.respawns[i] == 1:
                present[i] = True
        seen.append((cell, tuple(present), reward, over, time >= level.steps and not over))
    return seen


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_steps_are_what_the_rules_say(seed, nine):
    rng = np.random.default_rng(seed)
    cells = [(int(i), int(j)) for i, j in rng.permutation([(i, j) for i in range(4) for j in range(4)])]
    things = [Thing(float(rng.normal()), 0, float(rng.integers(2)), place) for place in cells[:3]]
    level = level_of(4, things, steps=30, walls=cells[3:6], start=cells[6])
    moves = NINE if nine else FOUR
    env = environment_of("test", level, tabular=True, max_steps=30, moves=moves)
    step = jax.jit(env.step)
    _, state = env.reset(jax.random.key(0), level)
    actions = rng.integers(0, len(moves), 25)
    numbers = {}
    for action, wanted in zip(actions, walk(level, moves, actions), strict=True):
        after = step(jax.random.key(1), state, action, level)
        state = after.state
        cell, present, reward, over, late = wanted
        assert divmod(int(state.cell), 4) == cell
        assert tuple(np.asarray(state.present).tolist()) == present
        assert float(after.reward) == pytest.approx(reward, abs=1e-6)
        assert (bool(after.terminated), bool(after.truncated)) == (over, late)
        # The tabular observation tells states apart by position and objects, and by nothing else.
        assert numbers.setdefault(int(after.observation), (cell, present)) == (cell, present)
    assert len(set(numbers.values())) == len(numbers)


def test_episodes_end_by_objects_and_by_time():
    level = level_of(2, [Thing(1, 1, 0, (0, 1))], steps=3, start=(0, 0))
    env = environment_of("test", level, tabular=True, max_steps=3, moves=FOUR)
    _, state = env.reset(jax.random.key(0), level)
    right = env.step(jax.random.key(0), state, 3, level)
    assert (float(right.reward), bool(right.terminated), bool(right.truncated)) == (1.0, True, False)
    for _ in range(3):
        after = env.step(jax.random.key(0), state, 0, level)
        state = after.state
    assert (bool(after.terminated), bool(after.truncated)) == (False, True)


def test_chances_are_as_often_as_they_say():
    level = level_of(1 + 1, [Thing(1, 0.3, 0.2, (0, 1))], steps=10, start=(0, 0))
    env = environment_of("test", level, tabular=True, max_steps=10, moves=FOUR)
    _, state = env.reset(jax.random.key(0), level)
    after = jax.vmap(lambda key: env.step(key, state, 3, level))(jax.random.split(jax.random.key(1), 4000))
    assert float(after.terminated.mean()) == pytest.approx(0.3, abs=0.03)
    assert float(after.state.present.mean()) == pytest.approx(0.2, abs=0.03)


def test_random_places_are_free_and_all_of_them_are_drawn():
    level = level_of(3, [Thing(1, 0, 1)], steps=10, walls=[(1, 1)])
    env = environment_of("test", level, tabular=False, max_steps=10)
    states = jax.vmap(lambda key: env.reset(key, level)[1])(jax.random.split(jax.random.key(0), 500))
    free = set(range(9)) - {4}
    assert set(np.asarray(states.places).ravel().tolist()) == free == set(np.asarray(states.cell).tolist())


def test_the_image_shows_agent_walls_and_objects():
    level = level_of(3, [Thing(1, 0, 0, (2, 0)), Thing(-1, 0, 0, (0, 2))], steps=10, walls=[(1, 1)], start=(0, 0))
    env = environment_of("test", level, tabular=False, max_steps=10, moves=FOUR)
    image, state = env.reset(jax.random.key(0), level)
    assert [np.argwhere(image[..., i]).tolist() for i in range(4)] == [[[0, 0]], [[1, 1]], [[2, 0]], [[0, 2]]]
    for action in (3, 3):
        state = env.step(jax.random.key(0), state, action, level).state
    after = env.step(jax.random.key(0), state, 1, level)
    assert not after.observation[..., 3].any()


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(["all", "small", "medium", "large"]))
def test_random_levels_keep_to_their_distribution(seed, name):
    distribution, level = DISTRIBUTIONS[name], DRAWS[name](jax.random.key(seed))
    board = len(level.walls)
    own = np.flatnonzero(~level.walls.all(axis=1)).max() + 1
    assert own <= board == distribution.sizes[1]
    assert int(level.free) >= 4
    count = int(level.exists.sum())
    assert 1 <= count <= distribution.objects
    places = np.asarray(level.places)[:count]
    assert len(set(places.tolist())) == count
    assert not np.asarray(level.walls).ravel()[places].any()
    assert float(level.rewards[0]) >= 0
    assert (np.abs(level.rewards) <= 1).all()
    assert ((level.ends >= 0.0099) & (level.ends <= 1.0001)).all()
    assert ((level.respawns >= 0.00099) & (level.respawns <= 0.1001)).all()
    assert distribution.steps[0] - 1 <= int(level.steps) <= distribution.steps[1]
    inside = board * board - (board * board - own * own)
    assert int(level.free) >= inside - distribution.walls


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_every_free_cell_of_a_maze_can_be_reached(seed):
    level = DRAWS["mazes"](jax.random.key(seed))
    free = ~np.asarray(level.walls)
    reached, waiting = set(), [tuple(np.argwhere(free)[0])]
    while waiting:
        i, j = waiting.pop()
        if 0 <= i < 13 and 0 <= j < 13 and free[i, j] and (i, j) not in reached:
            reached.add((i, j))
            waiting += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
    assert len(reached) == free.sum() > 60


def test_half_of_mixed_levels_are_mazes():
    levels = jax.tree.map(np.asarray, jax.vmap(DISTRIBUTIONS["mixed"].draw)(jax.random.split(jax.random.key(0), 400)))
    maze = levels.steps == 250
    small = levels.walls[:, 10:].all(axis=(1, 2)) & levels.walls[:, :, 10:].all(axis=(1, 2))
    np.testing.assert_array_equal(small, ~maze)
    assert 160 <= maze.sum() <= 240
    count = levels.exists.sum(axis=1)
    assert (count[maze].min(), count[maze].max(), count[~maze].min(), count[~maze].max()) == (1, 3, 1, 5)
    assert levels.free[maze].min() > 60
    assert not levels.walls.reshape(400, -1)[np.arange(400)[:, None], levels.places][levels.exists].any()


@pytest.mark.parametrize("name", ["small", "public-small"])
def test_an_environment_of_levels_may_be_made_in_a_jitted_function(name):
    made = []

    @jax.jit
    def drawn(key):
        made.append(make_grid(name))
        return made[0].draw(key)

    assert drawn(jax.random.key(1)).steps > 0
    assert int(made[0].params.steps) > 0  # no tracer is left in what is kept


def test_thousands_of_levels_run_in_one_compiled_function():
    env = make("grid/small")
    levels = jax.vmap(env.draw)(jax.random.split(jax.random.key(0), 1000))

    @jax.jit
    def first_rewards(levels):
        def one(level, key):
            _, state = env.reset(key, level)
            return env.step(key, state, 0, level).observation

        return jax.vmap(one)(levels, jax.random.split(jax.random.key(1), 1000))

    assert len(np.unique(first_rewards(levels))) > 50


def test_the_papers_levels_are_there():
    tabular = [*TABULAR.values()][:5]
    assert [int(level.steps) for level in tabular] == [500, 50, 1000, 2000, 2000]
    assert [len(level.walls) for level in tabular] == [11, 13, 11, 9, 11]
    assert len(RANDOM) >= 5
    assert all((level.places == -1).all() for level in RANDOM.values())


@pytest.mark.parametrize(
    ("make_level", "says"),
    [
        (lambda: level_of(2, [], 5, walls=[(i, j) for i in range(2) for j in range(2)]), "no free cell"),
        (lambda: level_of(3, [Thing(1, 0, 0, (1, 1))], 5, walls=[(1, 1)]), "object 0 at (1, 1) is on a wall"),
        (lambda: level_of(3, [Thing(1, 0, 0, (3, 1))], 5), "off the grid"),
        (lambda: level_of(3, [], 5, walls=[(0, 5)]), "wall (0, 5) is off the grid"),
        (lambda: level_of(5, [], 5, board=4), "does not fit"),
        (lambda: level_of(3, [Thing(1, 2, 0)], 5), "probabilities"),
    ],
)
def test_impossible_levels_are_refused(make_level, says):
    with pytest.raises(RulesmithError) as caught:
        make_level()
    assert says in str(caught.value)
