"""The level buffer: its invariants as properties of random histories, its draw by hand, and its scores."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rulesmith import RulesmithError
from rulesmith.search.curricula.level_buffer import LevelBuffer, ReplaySettings, mark_of
from rulesmith.search.curricula.scores import LEVEL_SCORES, LevelScore, Lives, relative_regret, score_named

SLOTS = 4


def draw(key, count):
    """Levels are numbers, all different."""
    return {"number": np.asarray(jax.random.randint(key, (count,), 0, 10**9)), "other": np.zeros((count, 2))}


def edit(key, levels):
    return {**levels, "other": levels["other"] + 1}


def lives(over, sound=None, returns=None, **fields):
    count = len(over)
    full = dict.fromkeys(Lives._fields, np.zeros(count))
    full |= {"over": np.array(over), "sound": np.ones(count, bool) if sound is None else np.array(sound)}
    full |= {
        "returns": np.zeros(count) if returns is None else np.array(returns),
        "yardstick": np.zeros(count),
        "figures": {},
    }
    return Lives(**(full | fields))


def buffer(capacity=8, score="exact-regret", draw=draw, **settings):
    return LevelBuffer(draw, edit, (3, 9), SLOTS, score_named(score), ReplaySettings(capacity=capacity, **settings))


def numbers(level):
    return np.asarray(level["number"]).tolist()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_always_holds(data):
    capacity = data.draw(st.integers(SLOTS, 10))
    made = buffer(
        capacity,
        score=data.draw(st.sampled_from(["exact-regret", "random", "frozen"])),
        replay=data.draw(st.sampled_from([0.0, 0.5, 1.0])),
        transform=data.draw(st.sampled_from(["rank", "proportional"])),
        staleness=data.draw(st.sampled_from([0.0, 0.3, 1.0])),
        edit=data.draw(st.sampled_from([0.0, 0.5])),
    )
    state = made.init(jax.random.key(0))
    seed = data.draw(st.integers(0, 10**6))
    held = {}  # every level that the buffer must hold, by place
    for step in range(data.draw(st.integers(1, 12))):
        tasks = made.sample(state, jax.random.fold_in(jax.random.key(seed), step))
        before = state
        over = data.draw(st.lists(st.booleans(), min_size=SLOTS, max_size=SLOTS))
        sound = data.draw(st.lists(st.booleans(), min_size=SLOTS, max_size=SLOTS))
        returns = data.draw(st.lists(st.floats(-3, 3, width=32), min_size=SLOTS, max_size=SLOTS))
        state = made.update(state, tasks, lives(over, sound, returns))
        # Each agent has a level of its own, and keeps it as long as it lives.
        assert len(set(tasks.place.tolist())) == SLOTS
        np.testing.assert_array_equal(tasks.vacant, before.slots < 0)
        np.testing.assert_array_equal(tasks.place[~tasks.vacant], before.slots[~tasks.vacant])
        # What was being lived is neither replayed nor evicted; what was never evaluated is not replayed.
        given_ = tasks.place[tasks.vacant]
        assert not before.active[given_].any()
        replayed = tasks.place[tasks.vacant & ~tasks.fresh]
        assert before.idle[replayed].all()
        # Levels leave the buffer only by eviction, which is counted, and never while an empty place is left.
        lost = [place for place in held if place in tasks.place[tasks.fresh]]
        assert state.evicted - before.evicted == len(lost)
        if lost:
            assert state.filled.all()
        for slot in range(SLOTS):
            place = int(tasks.place[slot])
            if tasks.fresh[slot]:
                held[place] = numbers(tasks.level)[slot]
                assert state.lives[place] == 1
                assert 3 <= tasks.updates[slot] <= 9
            assert numbers(state.level)[place] == held[place] == numbers(tasks.level)[slot]
            assert state.updates[place] == tasks.updates[slot]
        assert set(np.flatnonzero(state.filled).tolist()) == set(held)
        assert all(numbers(state.level)[place] == number for place, number in held.items())
        # The flags: a level is active exactly while a slot has it, and evaluated once a life on it ended well.
        np.testing.assert_array_equal(np.flatnonzero(state.active), np.sort(state.slots[state.slots >= 0]))
        np.testing.assert_array_equal(state.slots < 0, over)
        for slot in np.flatnonzero(over):
            place = tasks.place[slot]
            if sound[slot]:
                assert state.evaluated[place]
                assert state.score[place] == (0.0 if made.score.replay is not None else -np.float32(returns[slot]))
            elif tasks.fresh[slot]:
                assert not state.evaluated[place]
        if state.idle.any():
            chances = made.probabilities(state, state.idle)
            assert chances.sum() == pytest.approx(1.0)
            assert (chances >= 0).all()
            assert not chances[~state.idle].any()


def filled(scores, stamps=None, **settings):
    """A buffer of idle levels with these scores, one slot free for each of the four agents."""
    made = buffer(len(scores), **settings)
    state = made.init(jax.random.key(0))
    yes = np.ones(len(scores), bool)
    level = draw(jax.random.key(9), len(scores))
    return made, state._replace(
        level={name: np.array(x) for name, x in level.items()},
        filled=yes,
        evaluated=yes,
        score=np.array(scores, np.float32),
        stamp=np.zeros(len(scores), np.int32) if stamps is None else np.array(stamps, np.int32),
        step=np.int32(10),
    )


def test_the_draw_by_hand():
    made, state = filled([1.0, 5.0, 3.0, 3.0, -2.0], staleness=0.0)
    ranks = np.array([4, 1, 2, 2, 5])
    np.testing.assert_allclose(made.probabilities(state, state.idle), 1 / ranks / (1 / ranks).sum())
    made, state = filled([1.0, 5.0, 3.0, 3.0, -2.0], staleness=0.0, temperature=0.5)
    np.testing.assert_allclose(made.probabilities(state, state.idle), 1 / ranks**2 / (1 / ranks**2).sum())
    made, state = filled([1.0, 5.0, 3.0, 3.0, -2.0], staleness=0.0, transform="proportional")
    np.testing.assert_allclose(made.probabilities(state, state.idle), np.array([1, 5, 3, 3, 0]) / 12, atol=1e-6)
    made, state = filled([1.0, 5.0, 3.0, 3.0, -2.0], stamps=[10, 10, 8, 10, 4], staleness=1.0)
    np.testing.assert_allclose(made.probabilities(state, state.idle), np.array([0, 0, 2, 0, 6]) / 8)
    # Ranks are among those that may be drawn, not among all.
    among = np.array([True, False, False, True, True])
    made, state = filled([1.0, 5.0, 3.0, 3.0, -2.0], staleness=0.0)
    np.testing.assert_allclose(made.probabilities(state, among), np.array([1 / 2, 0, 0, 1, 1 / 3]) / (11 / 6))


def test_replay_draws_as_often_as_it_says():
    made, state = filled([4.0, 3.0, 2.0, 1.0], staleness=0.0, replay=1.0)
    firsts = [made.sample(state, jax.random.key(i)).place[0] for i in range(600)]
    wanted = made.probabilities(state, state.idle)
    np.testing.assert_allclose(np.bincount(firsts, minlength=4) / 600, wanted, atol=0.06)
    made, state = filled(range(20), replay=0.3)
    fresh = np.mean([made.sample(state, jax.random.key(i)).fresh for i in range(100)])
    assert fresh == pytest.approx(0.7, abs=0.06)


def test_the_lowest_score_makes_room():
    made, state = filled([4.0, -1.0, 2.0, 1.0, 0.5, 9.0], replay=0.0)
    tasks = made.sample(state, jax.random.key(0))
    assert tasks.fresh.all()
    assert tasks.place.tolist() == [1, 4, 3, 2]
    after = made.update(state, tasks, lives([False] * 4))
    assert after.evicted == 4
    assert np.isnan(after.yardstick[tasks.place]).all()
    spoilt = state._replace(evaluated=np.array([True] * 5 + [False]))
    assert made.sample(spoilt, jax.random.key(0)).place.tolist()[0] == 5


def test_duplicates_are_seen():
    def few(key, count):
        return {"number": np.asarray(jax.random.randint(key, (count,), 0, 5)), "other": np.zeros((count, 2))}

    made = buffer(8, draw=few, replay=0.0)
    state = made.init(jax.random.key(0))
    for step in range(12):
        tasks = made.sample(state, jax.random.key(step))
        assert len(set(numbers(tasks.level))) == SLOTS
        state = made.update(state, tasks, lives([True] * 4))
        held = np.array(numbers(state.level))[state.filled].tolist()
        assert len(set(held)) == len(held)
    assert state.duplicates > 0
    assert len(held) <= 5


def test_agents_share_a_level_where_there_is_only_one():
    made = buffer(8, draw=lambda key, n: {"number": np.zeros(n), "other": np.zeros((n, 2))})
    state = made.init(jax.random.key(0))
    for step in range(6):
        tasks = made.sample(state, jax.random.key(step))
        assert numbers(tasks.level) == [0] * SLOTS
        assert len(set(tasks.place.tolist())) == SLOTS  # each with a place, score and yardstick of its own
        state = made.update(state, tasks, lives([True] * 4))


def test_bad_luck_in_the_draw_ends_no_run():
    made = buffer(12, draw=lambda key, n: {"number": np.zeros(n), "other": np.zeros((n, 2))}, replay=0.0)
    _, state = filled(range(12))
    known = {**state.level, "number": np.array([0, *state.level["number"][1:]])}
    marks = np.stack([mark_of(jax.tree.map(lambda x, i=i: x[i], known)) for i in range(12)])
    state = state._replace(level=known, mark=marks, active=np.arange(12) == 0)  # the only level drawn is being lived
    tasks = made.sample(state, jax.random.key(0))
    assert not tasks.fresh.any()
    assert 0 not in tasks.place


def test_lives_are_whole_meta_steps():
    made = LevelBuffer(draw, None, (3, 23), SLOTS, score_named("random"), ReplaySettings(capacity=8), multiple=5)
    drawn = [made.sample(made.init(jax.random.key(0)), jax.random.key(i)).updates for i in range(30)]
    assert set(np.concatenate(drawn).tolist()) == {5, 10, 15, 20, 25}


def test_the_yardstick_is_kept_with_its_level():
    made, state = filled([1.0] * 6, replay=1.0, staleness=0.0)
    tasks = made.sample(state, jax.random.key(0))
    yardstick = np.array([7.0, np.nan, 8.0, 9.0])
    state = made.update(state, tasks, lives([True, True, False, True], yardstick=yardstick))
    known = state.yardstick[tasks.place]
    np.testing.assert_array_equal(known, [7.0, np.nan, np.nan, 9.0])
    assert not np.isfinite(state.score[tasks.place[1]]) or state.score[tasks.place[1]] == 1.0  # NaN is no score


def test_edits_are_of_replayed_levels():
    made, state = filled([1.0] * 6, replay=0.0, edit=1.0)
    tasks = made.sample(state, jax.random.key(0))
    assert set(numbers(tasks.level)) <= set(numbers(state.level))
    assert (tasks.level["other"] == 1).all()
    assert tasks.fresh.all()


def test_frozen_fills_once_and_then_stays():
    made = buffer(6, score="frozen")
    state = made.init(jax.random.key(0))
    for step in range(10):
        tasks = made.sample(state, jax.random.key(step))
        state = made.update(state, tasks, lives([True] * 4))
        if step == 1:
            kept = numbers(state.level)
    assert state.filled.all()
    assert numbers(state.level) == kept
    assert state.evicted == 0


def test_scores_are_what_they_say():
    found = Lives(
        over=np.ones(2, bool),
        sound=np.ones(2, bool),
        returns=np.array([1.0, 2.0]),
        yardstick=np.array([3.0, 1.5]),
        best=np.array([4.5, 5.6]),
        figures={
            "positive value loss": np.array([0.1, 0.2]),
            "L1 value loss": np.array([0.3, 0.4]),
            "value": np.array([0.5, 0.6]),
        },
    )
    wanted = {
        "algorithmic-regret": [2.0, -0.5],
        "exact-regret": [2.0, -0.5],
        "relative-algorithmic-regret": [2 / 3, -1 / 3],
        "relative-exact-regret": [2 / 3, -1 / 3],
        "pvl": [0.1, 0.2],
        "l1": [0.3, 0.4],
        "maxmc": [4.0, 5.0],
        "random": [0.0, 0.0],
        "frozen": [0.0, 0.0],
    }
    assert set(wanted) == set(LEVEL_SCORES)
    for name, values in wanted.items():
        np.testing.assert_allclose(LEVEL_SCORES[name].worth(found), values)


def test_a_share_of_the_possible_return_is_bounded_and_unknown_where_that_is():
    found = Lives(
        over=np.ones(5, bool),
        sound=np.ones(5, bool),
        returns=np.array([-9.0, 9.0, -1.0, 0.0, 1.0]),
        yardstick=np.array([0.1, 1.0, -0.5, 0.0, np.nan]),
        best=np.zeros(5),
        figures={},
    )
    np.testing.assert_array_equal(relative_regret(found), [1.0, -1.0, 0.0, 0.0, np.nan])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"capacity": 3}, "a buffer of 3 levels is smaller than the number of agents, 4"),
        ({"replay": 1.5}, "replay is 1.5"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"score": "regret"}, "no score 'regret'"),
    ],
)
def test_what_cannot_work_is_refused(changes, says):
    with pytest.raises(RulesmithError, match=says):
        buffer(**changes)


def test_levels_that_cannot_be_edited():
    with pytest.raises(RulesmithError, match="cannot be edited"):
        LevelBuffer(draw, None, (3, 9), SLOTS, LevelScore(lambda _: np.zeros(4)), ReplaySettings(edit=0.5))
