"""What all comparisons share (the cache, progress, what contestants may be), and those of objectives."""

import io
import json
import threading
import time
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from rulesmith import RulesmithError, load
from rulesmith.envs.marks import computation_hash
from rulesmith.envs.registry import make
from rulesmith.envs.tasks import find
from rulesmith.meta.drawn_levels import draw_levels
from rulesmith.meta.judging_objectives import ObjectiveVerdict, agent_ranges, tuned
from rulesmith.meta.learners import learner_for
from rulesmith.meta.tuning import ranges_of, settings, tune, tuning_steps
from rulesmith.programs import rule_file
from rulesmith.programs.objective import Objective, Shapes
from rulesmith.results import comparison_progress, objective_comparison, verdicts
from rulesmith.results.comparison import compare, rule_meant
from rulesmith.results.comparison_progress import Workload, reporting
from rulesmith.results.comparison_text import comparison_text
from rulesmith.results.objective_comparison import ObjectiveComparison, ObjectiveContest
from rulesmith.search.executors import Pool, sharing
from told import plots_of, words_of

SMALL = {"workers": 4, "steps": 8, "minibatches": 2, "epochs": 2, "widths": (8,)}
CATCH = "Catch-bsuite"


def net():
    return Objective("net", "drift", arrays=Shapes.drift(timed=True).draw(0, 1.0))


def verdict(returns, untrained=0.0, task=CATCH, horizon=320.0):
    return ObjectiveVerdict(
        task=task,
        setting={"learning_rate": 0.01, "entropy": 0.1},
        tuning=[],
        lives=[],
        ranges={"learning_rate": [0.001, 0.1], "entropy": [0.001, 0.1]},
        at_edge=[],
        results=returns,
        curve=[0.5] * 20,
        horizon=horizon,
        untrained=untrained,
        untrained_error=0.0,
        figures={"entropy": [0.1] * 20, "update size": [0.1] * 20},
    )


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "cache_folder", lambda name: tmp_path)
    monkeypatch.setattr(verdicts, "cache_path", lambda name: tmp_path)
    return tmp_path


@pytest.fixture
def judged(monkeypatch):
    """Names of the judgements made, each of which takes no time."""
    made = []

    def judge(rule, run, task, horizon, trials, seeds):
        made.append((rule.name, task, horizon))
        return verdict([float(len(made)), 1.0], task=task, horizon=horizon)

    monkeypatch.setattr(objective_comparison, "judge_objective", judge)
    return made


def quiet(_):
    pass


# ---------------------------------------------------------------- objectives


def test_a_comparison_tunes_every_rule_alike_and_is_repeatable(own_cache):
    options = {"env": CATCH, "horizon": [640, 1280], "seeds": 6, "trials": 4, "agent": SMALL, "status": quiet}
    found = compare([net(), "ppo-clip"], **options)
    assert found.tasks == ((CATCH, 640), (CATCH, 1280))
    assert found.contestants == ("net", "ppo-clip")
    base = found.scores("ppo-clip")
    assert base.shape == (2, 6)
    np.testing.assert_allclose(base.mean(axis=1), 1.0, rtol=1e-5)
    ranges = agent_ranges(learner_for(make(CATCH), load("ppo-clip")), "drift")
    tried = settings(ranges, 4)
    for own in found.verdicts.values():
        for each in own:
            assert [each.setting, max(lives for lives in each.lives)] == [each.tuning[0][0], each.lives[0]]
            assert all(setting in [known for known, _ in each.tuning] for setting in tried)
            beyond = [known for known, _ in each.tuning if known not in tried]
            for known in beyond:  # what was tried beside the sequence lies beyond the first ranges
                assert any(not low <= known[name] <= high for name, (low, high) in ranges.items())
            assert bool(beyond) == (each.ranges != {name: list(bounds) for name, bounds in ranges.items()})
    for file in own_cache.iterdir():
        file.unlink()
    again = compare([net(), "ppo-clip"], **options)
    assert json.dumps(found.to_dict()) == json.dumps(again.to_dict())


def test_figures_of_known_returns():
    ours, base = (verdict([3.0, 5.0], 1.0), verdict([2.0, None], 0.0)), (verdict([2.0, 4.0], 1.0), verdict([4.0, 4.0]))
    found = ObjectiveComparison({"ours": ours, "ppo-clip": base}, 2, 2, ((CATCH, 320.0), (CATCH, 640.0)), {})
    # Of the first task 1 is random and 3 PPO's mean; of the second 0 and 4, and a diverged agent counts as random.
    np.testing.assert_allclose(found.scores("ours"), [[1.0, 2.0], [0.5, 0.0]])
    assert found.learned() == [False, True]  # on the first PPO is two standard errors above learning nothing
    assert found.telling == found.claimed == [1]
    assert found.estimate("ours").value == pytest.approx(0.25)  # of the task that tells
    assert found.estimate("ours", (0, 1)).value == pytest.approx((1.0 + 0.5) / 2)  # the middle half of 0, 0.5, 1, 2
    assert found.improvement("ours").value == 0.0
    told = found.to_dict()
    assert told["random"] == [1.0, 0.0]
    assert told["rules"]["ours"]["tasks"][1]["returns"] == [2.0, None]
    assert "1 tuned PPO" in words_of(told)
    for steps in (320, 640):
        where = f"Catch-bsuite, {steps} steps"
        assert {f"{where}: return of training episodes", f"{where}: entropy of the policy"} <= set(plots_of(told))
    table = found.table()
    assert list(table["mean"]) == [4.0, 2.0, 3.0, 4.0]
    assert list(table["steps"]) == [320.0, 640.0] * 2
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(comparison_text(found))
    text = console.export_text()
    assert "4.00 ±1.00" in text
    assert "1 of 2 diverge" in text
    assert "in Catch-bsuite at 320 steps PPO learned nothing that stands out from noise, so scores say little" in text
    assert "it is left out of the figures over all tasks" in " ".join(text.split())
    assert "0.01 of 0.001 to 0.1" in text


@pytest.mark.parametrize(("peak", "edges"), [(3.0, []), (300.0, []), (1e9, ["rate"])])
def test_ranges_are_widened_until_the_best_lies_inside(peak, edges):
    calls = []

    def returns(at, lives):
        calls.append((len(at), lives))
        noise = np.random.default_rng(0).normal(size=64)[list(lives)]
        return np.array([-((np.log(each["rate"] / peak)) ** 2) + 0.01 * noise for each in at])

    found, ranges, at_edge = tuned({"rate": (1.0, 100.0)}, 8, returns)
    assert at_edge == edges
    assert [(8, range(2)), (4, range(2, 4)), (2, range(4, 8))] == calls[:3]
    known = [each.setting["rate"] for each in found]
    assert abs(np.log(known[0] / peak)) == min(abs(np.log(np.array(known[:2]) / peak)))
    assert (ranges["rate"][1] > 100.0) == (peak > 100)
    if not edges:
        assert min(known) < known[0] < max(known)


def test_the_comparisons_among_the_evidence_can_be_shown():
    every = {
        path.stem: json.loads(path.read_text()) for path in (rule_file.PUBLISHED.parent / "evidence").glob("*.json")
    }
    shown = {name: found for name, found in every.items() if isinstance(found, dict) and "rules" in found}
    assert {"root-momentum", "optimizers", "lpg-small", "groove-levels"} <= set(shown)
    for name, found in shown.items():
        pilot = bool(found.get("too_few"))  # which has no interval that could be quoted
        assert words_of(found).startswith("A pilot") if pilot else "95% bootstrap intervals" in words_of(found)
        drawn = [
            title for title in plots_of(found) if title.endswith(("return of training episodes", "validation loss"))
        ]
        assert bool(drawn) == (not name.startswith(("groove", "network")))  # which are kept without their curves


def test_a_stopped_comparison_goes_on_and_a_new_contestant_alone_is_judged(own_cache, judged):
    options = {"env": [CATCH, "grid/sparse"], "horizon": [320, 640], "seeds": 2, "trials": 1, "agent": SMALL}

    def stop(line):
        if "3 of 8 done" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare("dpo", **options, status=stop)
    assert len(judged) == 3
    heard = []
    found = compare("dpo", **options, status=heard.append)
    assert heard[0] == "8 judgements, of which 3 are known; 5 to make"
    assert len(judged) == len(set(judged)) == 8
    assert found.verdicts["dpo"][1].results == [2.0, 1.0]  # what was judged before the stop
    compare(["dpo", net()], **options, status=quiet)
    assert {name for name, *_ in judged[8:]} == {"net"}
    assert len(judged) == 12
    compare(["dpo", net()], **{**options, "horizon": [640, 320]}, status=quiet)
    assert len(judged) == 12


def test_a_damaged_verdict_is_judged_anew(own_cache, judged):
    options = {"env": CATCH, "horizon": 320, "seeds": 2, "trials": 1, "agent": SMALL, "status": quiet}
    compare("dpo", **options)
    files = sorted(own_cache.glob("*.json"))
    assert len(files) == 2
    files[0].write_text(files[0].read_text()[:40])
    files[1].write_text('{"task": "x"}')
    compare("dpo", **options)
    assert len(judged) == 4


def mark_of(rule, env=CATCH, horizon=640, **options):
    options = {"trials": 2, "seeds": 2, "agent": SMALL, "workers": None, **options}
    return ObjectiveContest([rule], [env], [horizon], **options).judgements[0].mark


def test_all_that_a_verdict_of_an_objective_depends_on_is_in_its_mark():
    env = make(CATCH)
    own = replace(env)  # no longer the one that is shipped: known by what it computes
    scaled = [
        replace(env, step=lambda *given, f=f: env.step(*given)._replace(reward=env.step(*given).reward * f[0]))
        for f in (np.array([2.0, 1.0], np.float32), np.array([3.0, 1.0], np.float32))
    ]
    marks = [mark_of("dpo"), mark_of(net()), mark_of("dpo", horizon=1280), mark_of("dpo", trials=3)]
    marks += [mark_of("dpo", seeds=3), mark_of("dpo", agent={**SMALL, "epochs": 3}), mark_of("dpo", "CartPole-v1")]
    marks += [mark_of("dpo", own), *(mark_of("dpo", each) for each in scaled)]
    changed = net()
    changed.arrays["output"][0] += 1
    marks.append(mark_of(changed))
    assert len(set(marks)) == len(marks)
    assert mark_of("dpo") == mark_of(load("dpo"), env) == marks[0]
    assert mark_of("dpo", replace(env)) == mark_of("dpo", own)


def test_levels_are_drawn_for_each_life_or_repeated():
    mazes = make("grid/mazes")
    levels = draw_levels(mazes, (5,), jax.random.key(0))
    own = jax.jit(mazes.draw)(jax.random.split(jax.random.key(0), 5)[3])
    for each, one in zip(jax.tree.leaves(levels), jax.tree.leaves(own), strict=True):
        np.testing.assert_allclose(np.asarray(each[3], float), np.asarray(one, float), rtol=1e-6)
    catch = draw_levels(make(CATCH), (2, 3), jax.random.key(0))
    assert all(leaf.shape[:2] == (2, 3) for leaf in jax.tree.leaves(catch))


@pytest.mark.slow
def test_lpg_compares_with_ppo_and_a2c_in_an_environment_object(own_cache):
    lpg = Objective("net-lpg", "lpg", arrays=Shapes.lpg(timed=True, hidden=8).draw(0, 1.0))
    agent = {"workers": 4, "steps": 8, "minibatches": 2, "widths": [8]}
    env = replace(make("grid/sparse"), name="mine")
    found = compare(lpg, env=env, horizon=400.0, seeds=2, trials=1, agent=agent, status=quiet)
    assert found.contestants == ("net-lpg", "ppo-clip", "a2c", "a2c-sgd")
    assert found.tasks == (("mine", 400.0),)
    assert json.loads(json.dumps(found.to_dict()))["seeds"] == 2


@pytest.mark.parametrize(
    ("given", "options", "says"),
    [
        ("dpo", {"seeds": 1}, "seeds is 1; it must be a whole number, at least 2"),
        ("dpo", {"trials": 0}, "trials is 0"),
        ("dpo", {"horizon": 3}, "shorter than one update"),
        ("dpo", {"horizon": "long"}, "give a number of environment steps"),
        ("dpo", {"horizon": [320, 320.0]}, "two horizons are called '320 steps'"),
        ("dpo", {"horizon": ()}, "name --horizon"),
        ("dpo", {"env": ()}, "at least one --env"),
        ("dpo", {"env": "CartPole-v7"}, "did you mean 'CartPole-v1'"),
        ("dpo", {"env": 3}, "3 is no environment"),
        ("dpo", {"env": [CATCH, CATCH]}, "two environments are called"),
        ("dpo", {"env": replace(make(CATCH), step=lambda *_: 1 / 0)}, "cannot be stepped: division by zero"),
        ("dpo", {"agent": {**SMALL, "minibatches": 7}}, "do not divide"),
        ("dpo", {"agent": {"worker": 4}}, "did you mean 'workers'"),
        ("dpo", {"agent": {"workers": "many"}}, "'workers' is 'many'"),
        ("lion", {}, "lion is an optimizer"),
        (max, {}, "max is an optimizer"),
        ([replace(net(), name="ppo-clip")], {}, "two rules are called 'ppo-clip'"),
        ("dpoo", {}, "did you mean 'dpo'"),
        ("dpo", {"tasks": "iris-mlp-2k"}, "give one of them"),
    ],
)
def test_comparisons_of_objectives_that_cannot_work_are_refused(given, options, says, own_cache, judged):
    with pytest.raises(RulesmithError) as caught:
        compare(given, **{"env": CATCH, "horizon": 320, "agent": SMALL, "status": pytest.fail, **options})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not judged


# ---------------------------------------------------------------- what both kinds share


def test_a_contestant_may_be_a_name_a_file_a_rule_or_a_run(tmp_path):
    rule_file.write(load("lion"), tmp_path / "mine.toml")
    assert rule_meant("lion") == rule_meant(tmp_path / "mine.toml") == load("lion")

    @dataclass
    class Run:
        best: object
        directory: object

    assert rule_meant(Run(load("lion"), tmp_path / "my run")).name == "my-run"
    assert rule_meant(Run(net(), str(tmp_path / "2024"))).name == "run-2024"
    assert rule_meant(len) is None


def test_where_no_verdict_can_be_kept_the_comparison_says_so_and_goes_on(tmp_path, monkeypatch, judged):
    (tmp_path / "rulesmith").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lines = []
    found = compare("dpo", env=CATCH, horizon=320, seeds=2, agent=SMALL, status=lines.append)
    assert lines[0].endswith(f"2 to make; none can be kept, since {tmp_path}/rulesmith/verdicts cannot be written")
    assert len(judged) == 2
    assert found.contestants == ("dpo", "ppo-clip")


def test_the_horizon_is_by_default_the_longest_that_the_first_learned_rule_was_found_with(own_cache, judged):
    options = {"env": CATCH, "seeds": 2, "trials": 1, "agent": SMALL, "status": quiet}
    ranged = replace(net(), provenance={"horizon": [320, 640]})
    assert compare(["dpo", ranged], **options).tasks == ((CATCH, 640.0),)
    lives = replace(load("lpg-es"), provenance={"updates": [3, 5]}, agent={"workers": 4, "steps": 10})
    assert compare(lives, **options).tasks == ((CATCH, 200.0),)


def test_what_makes_a_comparison_say_little_comes_first(own_cache, monkeypatch):
    returns = {"ppo-clip": [0.0, 0.2], "net": [-5.0, -5.1]}
    monkeypatch.setattr(
        objective_comparison, "judge_objective", lambda rule, *rest: verdict(returns[rule.name], untrained=0.0)
    )
    found = compare(net(), env=CATCH, horizon=320, seeds=2, trials=1, agent=SMALL, status=quiet)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(comparison_text(found))
    first, _, second, *_ = console.export_text().splitlines()
    assert first.startswith("careful: in Catch-bsuite at 320 steps PPO learned nothing that stands out from noise")
    assert "net is below agents that learn nothing (-5.05, and 0.00)" in second
    assert "Careful: in Catch-bsuite" in words_of(found.to_dict())
    assert "careful: in Catch-bsuite" in found._repr_html_()


@pytest.mark.parametrize("size", [3, 100_000])
def test_what_a_function_has_caught_is_part_of_what_it_computes(size):
    array = np.arange(size, dtype=np.float32)
    changed = array.copy()
    changed[size // 2] += 1
    hashes = [
        computation_hash(lambda x, a=a: (jnp.asarray(a) * x).sum(), np.float32(1))
        for a in (array, changed, array.copy())
    ]
    assert hashes[0] == hashes[2] != hashes[1]


@dataclass(frozen=True)
class Job:
    label: str
    cost: float


def test_the_time_left_is_weighed_by_cost():
    a, b, c, d = jobs = [Job("a", 4.0), Job("b", 4.0), Job("c", 2.0), Job("d", 1.0)]
    load = Workload(jobs, 2, now=100.0)
    assert load.seconds_left(110.0) is None
    assert load.working_on() == "working on: a; b"
    load.finish(a, 140.0)  # 4 took 40 seconds: 10 a unit; c begins
    assert load.working_on() == "working on: b; c"
    assert load.done == 1
    assert load.share == pytest.approx(4 / 11)
    # b is taken to be nearly done, 4 of its 40 seconds are left; c takes 20 and d 10, on two workers.
    assert load.seconds_left(140.0) == pytest.approx(max((4 + 20 + 10) / 2, 20))
    load.finish(b, 140.0)
    load.finish(c, 160.0)
    assert load.seconds_left(160.0) == pytest.approx(1.0)  # d began at 140 and was to take 10
    load.finish(d, 161.0)
    assert load.summary(161.0) == "4 of 4 done, none left"


def test_the_time_left_is_known_from_what_is_done_of_jobs_in_work():
    a, b, c = jobs = [Job("a", 4.0), Job("b", 4.0), Job("c", 4.0)]
    done = {}
    load = Workload(jobs, 2, 0.0, lambda: done)
    assert load.seconds_left(10.0) is None
    done |= {a: 0.0, b: 0.25}
    assert load.working_on() == "working on: a; b (25%)"
    assert load.share == pytest.approx(1 / 12)
    # b takes 40 seconds in all, as a and c are expected to, at one unit in ten.
    assert load.seconds_left(10.0) == pytest.approx((30 + 30 + 40) / 2)
    load.finish(b, 40.0)
    done |= {a: 0.5, c: 0.1}
    # a is half done after 90 seconds, however long b took; c a tenth after 50.
    assert load.seconds_left(90.0) == pytest.approx(450)
    done[c] = 0.999
    load.finish(c, 95.0)
    assert load.seconds_left(180.0) == pytest.approx(180.0)


def share_of_halves(item):
    told = sharing(2.0)
    told(1.0)
    time.sleep(item)
    told(1.0)
    return item


def build_share_of_halves():
    return share_of_halves


def test_workers_say_how_much_they_have_done():
    pool = Pool(build_share_of_halves, 1)
    seen, over = set(), threading.Event()

    def watch():
        while not over.wait(0.05):
            seen.update(pool.shares().items())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        assert pool.map([0.4, 0.5]) == [0.4, 0.5]
        assert pool.shares() == {1: pytest.approx(0.999)}
    finally:
        over.set()
        watching.join()
        pool.close()
    assert {(0, 0.5), (1, 0.5)} <= seen
    sharing(1.0)(1.0)  # outside of a worker nobody listens


def test_tuning_says_how_much_of_it_is_done():
    task = find(["iris-mlp-2k"])[0]
    for trials, seeds in ((1, 2), (8, 2), (9, 1), (20, 3)):
        steps = []
        rule = load("sgd")
        found = tune(rule, ranges_of(rule), task, trials=trials, seeds=seeds, told=steps.append)
        assert sum(steps) == tuning_steps(task, trials, seeds)
        assert len(found.tuning) == trials


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (30, "less than a minute left"),
        (80, "about 1 minute left"),
        (2000, "about 33 minutes left"),
        (9000, "2.5 hours"),
    ],
)
def test_the_time_left_in_words(seconds, words):
    load = Workload([Job("a", 1.0), Job("b", 1.0)], 1, now=0.0)
    load.finish(Job("a", 1.0), float(seconds))
    assert words in load.summary(float(seconds))


def test_silence_is_broken_by_lines_that_say_what_is_in_work(monkeypatch):
    monkeypatch.setattr(comparison_progress, "SILENCE", 0.1)
    heard = []
    jobs = [Job("first", 1.0), Job("second", 1.0)]
    with reporting(jobs, 1, heard.append, "2 to make") as finished:
        time.sleep(0.35)
        finished(jobs[0], "first is 3")
        time.sleep(0.25)
        finished(jobs[1], "second is 4")
    assert heard[0] == "2 to make"
    waited = [line for line in heard if line.startswith("working on: first; 0 of 2 done")]
    assert 1 <= len(waited) <= 3
    assert any(line.startswith("first is 3; 1 of 2 done, less than a minute left") for line in heard)
    assert any(line.startswith("working on: second; 1 of 2 done, less than a minute left") for line in heard)
    assert heard[-1] == "second is 4; 2 of 2 done, none left"
    threads = threading.active_count()
    time.sleep(0.25)
    assert heard[-1] == "second is 4; 2 of 2 done, none left"
    assert threading.active_count() <= threads


def test_lines_go_to_standard_error_and_a_terminal_gets_a_bar(capsys, monkeypatch):
    jobs = [Job("first", 1.0)]
    with reporting(jobs, 1, None, "1 to make") as finished:
        finished(jobs[0], "first is 3")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["1 to make", "first is 3; 1 of 1 done, none left"]
    monkeypatch.setenv("FORCE_COLOR", "1")  # as rich takes a terminal to be there
    monkeypatch.setenv("TERM", "dumb")
    with reporting(jobs, 1, None, "1 to make") as finished:
        finished(jobs[0], "first is 3")
    assert capsys.readouterr().err.splitlines() == ["1 to make", "first is 3; 1 of 1 done, none left"]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with reporting(jobs, 1, None, "1 to make") as finished:
        time.sleep(0.4)
        finished(jobs[0], "first is 3")
    told = capsys.readouterr().err
    assert "0 of 1 done, time left known once more is done; working on: first" in told
    assert "first is 3" in told
