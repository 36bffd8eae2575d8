"""The judge of optimizers: its measures against closed forms, its figures on data with known answers, live objects."""

import io
import json
import re
from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rich.console import Console
from rich.table import Table
from rulesmith import RulesmithError, load
from rulesmith.envs.tasks import Examples, Splits, Task, find, tasks
from rulesmith.envs.tasks.family import family_of
from rulesmith.meta.contestants import contestant_at, contestant_of_function, contestant_of_rule
from rulesmith.meta.judging_optimizers import OptimizerVerdict, judge_optimizer
from rulesmith.meta.measures import POINTS, sharpness, watch
from rulesmith.meta.training import Trainer, maker
from rulesmith.meta.tuning import Tuned, tune
from rulesmith.results import optimizer_contest, verdicts
from rulesmith.results.comparison import compare
from rulesmith.results.comparison_text import comparison_text
from rulesmith.results.optimizer_comparison import YARDSTICKS, OptimizerComparison
from rulesmith.results.optimizer_contest import OptimizerContest
from told import plots_of, words_of

TASK = tasks()["iris-mlp-2k"]


def watched(name, rate=0.01, task=TASK, **options):
    trainer, entry = Trainer(task, runs=2), contestant_of_rule(load(name))
    make = maker(entry.rule, options, task)
    run = jax.jit(lambda start: watch(task, make, start, jnp.float32(rate), jax.random.key(0)))
    return trainer, run(trainer.seed(3))


def test_what_is_watched_is_the_training_that_is_tuned():
    for steps in (TASK.steps, 2 * POINTS + 7):
        task = replace(TASK, steps=steps)
        trainer, seen = watched("adamw", task=task)
        validation, test = trainer.losses(load("adamw"), [0.01], [3])[0, 0]
        np.testing.assert_allclose([seen.validation[-1], seen.test], [validation, test], rtol=2e-3)
        assert seen.validation.shape == (POINTS,)


def test_measures_have_the_values_that_follow_from_the_rule():
    _, sgd = watched("sgd", 0.05)
    assert float(sgd.sign_agreement) > 0.98  # each weight goes against its gradient, but where that is 0
    _, sign = watched("signsgd", 0.01)
    # Each update is lr times +-1, and the schedule's mean is half its start: about 0.005 over the weights' size.
    weights = Trainer(TASK, runs=1).seed(3).weights
    size = float(optax.tree.norm(weights) / np.sqrt(TASK.parameters))
    assert float(sign.update_size) == pytest.approx(0.005 / size, rel=0.5)
    assert 0 <= float(sgd.sparsity) < 0.2


def test_sharpness_is_the_largest_eigenvalue():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    matrix = jnp.asarray(basis @ np.diag([9.0, 4.0, 2.0, 1.0, 0.5, 0.1]) @ basis.T, jnp.float32)
    loss = lambda w: 0.5 * jnp.concatenate([w["a"], w["b"]]) @ matrix @ jnp.concatenate([w["a"], w["b"]])  # noqa: E731
    found = sharpness(loss, {"a": jnp.ones(2), "b": jnp.zeros(4)}, jax.random.key(1), steps=60)
    assert float(found) == pytest.approx(9.0, rel=1e-3)


def verdict(task, losses, validation):
    return OptimizerVerdict(
        task=task,
        setting={"learning_rate": 0.1},
        validation=0.5,
        tuning=[[{"learning_rate": 0.1}, 0.5], [{"learning_rate": 0.2}, None]],
        whole=[1, 1],
        results=losses,
        curve=validation,
        basin=0.1,
        update_size=0.1,
        sign_agreement=0.6,
        sharpness=1.0,
        sparsity=0.1,
        state_bytes=8.0,
        step_seconds=2e-6,
        adamw_seconds=1e-6,
    )


def known():
    made = (tasks()["iris-mlp-2k"], tasks()["digits-mlp-20k"])
    curve = [2.0, 1.0, 0.5, 0.4]
    found = {
        "half": (verdict("a", [0.5, 0.5], [1.0, 0.4, 0.3, 0.2]), verdict("b", [1.0, 1.0], [9.0, 9.0, 9.0, 9.0])),
        "broken": (verdict("a", [None, 1.0], [None] * 4), verdict("b", [2.0, 2.0], curve)),
        "adamw": (verdict("a", [0.5, 1.5], curve), verdict("b", [2.0, 2.0], curve)),
    }
    ranges = {"half": {"learning_rate": (0.1, 1.0)}, "broken": {}, "adamw": {}}
    return OptimizerComparison(found, 4, 2, made, ranges)


def many(factor, seeds=5, count=8):
    """Return a comparison of AdamW with what is so many times as good, on copies of a task."""
    rng, curve = np.random.default_rng(0), [1.0] * 4
    runs = [[np.exp(0.01 * rng.normal(size=seeds)) for _ in range(2)] for _ in range(count)]
    own = tuple(verdict("a", [factor * x for x in pair[0]], curve) for pair in runs)
    base = tuple(verdict("a", list(pair[1]), curve) for pair in runs)
    return OptimizerComparison({"mine": own, "adamw": base}, 64, seeds, (TASK,) * count, {"mine": {}, "adamw": {}})


def test_conclusions_are_sentences_and_a_pilot_has_none():
    assert re.match(
        r"mine is better than AdamW on 8 tasks: its loss is 5.\d% smaller, 95% inter", *many(0.95).conclusions()
    )
    assert re.match(r"mine is worse than AdamW on 8 tasks: its loss is 4.\d% larger", *many(1.05).conclusions())
    (same,) = many(1.0).conclusions()
    assert re.search(r"mine is not shown to differ .* a difference of about [01].\d% could have been shown.$", same)
    assert same in text_of(comparison_text(many(1.0))).replace("\n", " ")
    pilot = many(0.5, seeds=2, count=2)
    assert pilot.conclusions() == [
        "A pilot: it has 2 of 8 tasks that tell, 2 of 3 seeds. That is too few to say which is better."
    ]
    assert "[0." not in text_of(comparison_text(pilot))
    assert "[" not in repr(pilot)


def test_a_claim_is_made_against_the_best_baseline_on_each_task():
    names = ("mine", *YARDSTICKS)
    losses = {"mine": [0.9, 0.9], "adamw": [1.0, 1.0], "nadamw": [1.1, 0.8], "muon": [0.6, 1.2]}
    validation = {"mine": [9.0, 9.0], "adamw": [1.0, 2.0], "nadamw": [1.1, 1.0], "muon": [2.0, None]}

    def found(name, i):
        return replace(verdict("a", [losses[name][i]] * 3, [1.0] * 4), validation=validation[name][i])

    verdicts = {name: tuple(found(name, i % 2) for i in range(8)) for name in names}
    made = OptimizerComparison(verdicts, 64, 3, (TASK,) * 8, {name: {} for name in names})
    assert made.best_baselines() == ["adamw", "nadamw"] * 4  # by validation: muon's 0.6 on test data is not seen
    assert made.against_envelope("mine").value == pytest.approx((0.9 + 0.9 / 0.8) / 2)
    last = made.conclusions()[-1]
    assert last.startswith(
        "mine is worse than the best of AdamW, NAdamW and Muon on each task: its loss is 1.2% larger"
    )
    assert made.against("mine", "muon").value == pytest.approx((0.9 / 0.6 + 0.9 / 1.2) / 2)
    kept = made.to_dict()["rules"]
    assert "against_best_baseline" in kept["mine"]
    sizes = ["all", "up to 5k weights"]
    assert {name: list(of) for name, of in kept["mine"]["against"].items()} == {"nadamw": sizes, "muon": sizes}
    assert list(kept["muon"]["against"]) == ["nadamw"]
    assert "loss / that of" in text_of(comparison_text(made))


@pytest.mark.slow
def test_the_baselines_are_judged_too_where_there_is_enough_for_a_claim():
    enough = {"tasks": ["search", "selection"], "trials": 16, "seeds": 3}
    for fewer, count in [({}, 4), ({"trials": 15}, 2), ({"seeds": 2}, 2), ({"tasks": ["search"]}, 2)]:
        options = {**enough, **fewer}
        contest = OptimizerContest(["sgd"], options.pop("tasks"), **options)
        assert len({judgement.contestant for judgement in contest.judgements}) == count


def test_the_slope_over_size_is_within_families():
    sizes = [find([f"{name}-{size}"])[0] for name in ("digits-mlp", "wine-mlp") for size in ("2k", "20k", "200k")]
    level = {"digits-mlp": 0.5, "wine-mlp": 2.0}
    own = []
    for task in sizes:
        factor = level[family_of(task)] * 1.1 ** np.log10(task.parameters)
        own.append(verdict(task.name, [factor * 3.0] * 3, [1.0] * 4))
    base = tuple(verdict(task.name, [3.0] * 3, [1.0] * 4) for task in sizes)
    made = OptimizerComparison({"mine": tuple(own), "adamw": base}, 4, 3, tuple(sizes), {"mine": {}, "adamw": {}})
    assert np.exp(made.slope("mine").value) == pytest.approx(1.1, rel=1e-6)
    assert "+10.0%" in text_of(made)
    one = replace(made, verdicts={"mine": tuple(own[:1]), "adamw": base[:1]}, tasks=tuple(sizes[:1]))
    assert one.slope("mine") is None


def test_tasks_on_which_adamw_varies_are_named_and_no_part_of_a_claim():
    told, edges = known().warnings()
    assert edges.endswith("lie beyond: half's learning_rate at the low end of 0.1 to 1")
    assert told == "AdamW's own loss varies by 3% and more over seeds on iris-mlp-2k (78%), so chance decides there"
    quiet, noisy = many(0.95), tasks()["iris-mlp-2k"]
    row = {"mine": [9.0] * 5, "adamw": [0.5, 1.0, 1.0, 1.0, 1.5]}
    verdicts = {name: (*found, verdict("b", row[name], [1.0] * 4)) for name, found in quiet.verdicts.items()}
    found = replace(quiet, verdicts=verdicts, tasks=(*quiet.tasks, noisy))
    assert found.conclusions() == quiet.conclusions()
    assert found.warnings()[0].endswith("; they are in the first table only")
    assert len(found.table()) == len(quiet.table()) + 2
    assert found.to_dict()["claimed"] == [TASK.name] * 8
    few = many(0.95, count=7)
    verdicts = {name: (*own, verdict("b", row[name], [1.0] * 4)) for name, own in few.verdicts.items()}
    pilot = replace(few, verdicts=verdicts, tasks=(*few.tasks, noisy))
    assert pilot.conclusions() == ["A pilot: it has 7 of 8 tasks that tell. That is too few to say which is better."]
    assert len(pilot.claimed) == 8


def test_losses_are_relative_to_adamws_mean():
    found = known()
    np.testing.assert_allclose(found.relative("half"), 0.5)
    np.testing.assert_allclose(found.relative("adamw"), [[0.5, 1.5], [1.0, 1.0]])
    assert found.losses("broken")[0, 0] == 1.5e3  # a thousand times the worst of AdamW's
    assert found.steps_to_baseline("half", 0) == 0.5
    assert found.steps_to_baseline("half", 1) is None
    assert found.steps_to_baseline("broken", 0) is None
    assert found.scales() == {"up to 5k weights": [0], "5k to 50k": [1]}


def test_the_figures_of_known_data():
    told = known().to_dict()
    assert "half 0.500" in words_of(told)
    wanted = {"loss / AdamW's by task", "loss / AdamW's by weights", "performance profile"}
    assert wanted | {"a: validation loss", "b: validation loss"} <= set(plots_of(told))
    rules = told["rules"]
    half = rules["half"]["interquartile_mean"]
    assert half["value"] == 0.5
    assert half["low"] < 0.5 < half["high"]  # AdamW's own noise counts: its mean on the first task may be 0.5 or 1.5
    assert rules["half"]["improvement_over_adamw"]["value"] == pytest.approx((0.5 * (1 + 0.5) + 1) / 2)
    assert rules["half"]["by_scale"]["5k to 50k"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert rules["half"]["profile"]["share"] == [1.0] * 9
    assert rules["adamw"]["profile"]["share"][3] == 0.75  # three of four runs are at 1 or below
    assert comparison_text(known())


def test_a_diverged_seed_of_adamws_flatters_no_one():
    curve = [1.0] * 4
    adamw, worse = verdict("a", [0.5, 0.5, 0.5, 0.5, None], curve), verdict("a", [9.0] * 5, curve)
    made = OptimizerComparison({"worse": (worse,), "adamw": (adamw,)}, 1, 5, (TASK,), {"worse": {}, "adamw": {}})
    assert made.estimate("worse").value == pytest.approx(18.0)
    first = next(part for part in comparison_text(made).renderables if isinstance(part, Table))
    assert "1 of 5 diverge" in str(first.columns[3]._cells)


def text_of(renderable):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_tables_hold_what_was_found():
    found = known()
    table = found.table().set_index(["contestant", "task"])
    assert len(table) == 6
    first = table.loc[("half", "iris-mlp-2k")]
    assert (first["mean"], first["standard_error"], first["diverged"]) == (0.5, 0.0, 0)
    assert first["setting"] == {"learning_rate": 0.1}
    adamw = table.loc[("adamw", "iris-mlp-2k")]
    # Of 0.5 and 1.5 the mean is 1, the deviation sqrt(1/2), and the error of the mean that over sqrt(2).
    assert (adamw["mean"], adamw["standard_error"]) == (1.0, pytest.approx(0.5))
    broken = table.loc[("broken", "iris-mlp-2k")]
    assert (broken["mean"], broken["diverged"]) == (1.0, 1)
    summary = found.summary()
    assert list(summary.index) == ["half", "broken", "adamw"]
    assert summary.loc["half"].to_dict() == {"figure": found.estimate("half").value}  # of a pilot no interval
    assert repr(found).startswith("<Comparison on 2 tasks, interquartile mean of loss / AdamW's: half 0.500, ")
    assert "\n" not in repr(found)
    assert "loss / AdamW's by weights" in text_of(found)  # rich prints the tables


def test_html_is_escaped():
    task = replace(TASK, name="<b>iris</b>")
    own = verdict("a", [0.5, 1.5], [1.0] * 4)
    found = OptimizerComparison({"<i>": (own,), "adamw": (own,)}, 1, 2, (task,), {"<i>": {}, "adamw": {}})
    html = found._repr_html_()
    assert "&lt;b&gt;iris" in html
    assert "&lt;i&gt;" in html
    assert "<b>iris" not in html
    assert "<i>" not in html


def mark_of(task, rule="sgd", trials=2, seeds=2):
    contest = OptimizerContest([rule], [task], trials=trials, seeds=seeds, workers=1)
    return next(j.mark for j in contest.judgements if j.contestant != "adamw")


def test_all_that_a_verdict_depends_on_is_in_its_mark():
    mark = mark_of(TASK)
    assert mark == mark_of(replace(TASK))
    factors = [np.ones(3, np.float32), np.array([1, 1, 2], np.float32)]  # what a loss has caught counts too
    changed = [replace(TASK, loss=lambda y, t, f=f: TASK.loss(y * f, t)) for f in factors]
    changed += [replace(TASK, steps=TASK.steps + 1), replace(TASK, model=tasks()["iris-mlp-20k"].model)]
    changed += [replace(TASK, splits=lambda: tasks()["wine-mlp-2k"].data)]
    others = [mark_of(task) for task in changed]
    others += [mark_of(TASK, trials=3), mark_of(TASK, seeds=3), mark_of(TASK, "signsgd")]
    assert len({mark, *others}) == 9
    assert mark_of(changed[0]) == others[0]


def test_what_an_optimizers_function_has_caught_is_in_its_mark():
    def momentum(beta):
        def mine(learning_rate):
            return optax.sgd(learning_rate, momentum=beta)

        return mine

    assert mark_of(TASK, momentum(0.9)) == mark_of(TASK, momentum(0.9))
    assert mark_of(TASK, momentum(0.9)) != mark_of(TASK, momentum(0.8))


def tiny_task():
    """A task of live objects alone: nothing of it can be imported."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(96, 3)).astype(np.float32)
    targets = inputs @ np.array([1.0, -2.0, 0.5], np.float32)
    parts = [Examples(inputs[i::3], targets[i::3]) for i in range(3)]

    class Line(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1)(x)[..., 0]

    return Task("line", "line", lambda: Splits(*parts), Line(), lambda y, t: (y - t) ** 2, steps=60, batch_size=16)


@pytest.mark.slow
def test_live_objects_are_judged_in_workers_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "cache_folder", lambda name: tmp_path)
    monkeypatch.setattr(verdicts, "cache_path", lambda name: tmp_path)
    rate = 0.5

    def halved(learning_rate):
        return optax.sgd(rate * learning_rate)

    halved.search_space = {"learning_rate": (0.02, 0.5)}
    heard, task = [], tiny_task()
    options = {"tasks": task, "trials": 2, "seeds": 2, "workers": 1, "status": heard.append}
    first = compare([halved], **options)
    assert heard[0] == "2 judgements, of which 0 are known; 2 to make"
    assert sum("of 2 done" in line and line.startswith("line: ") for line in heard) == 2
    assert set(first.verdicts) == {"halved", "adamw"}
    mine = contestant_of_function(halved)
    here = judge_optimizer(mine, task, tune(mine.rule, mine.ranges, task, trials=2, seeds=3), 2)
    np.testing.assert_allclose(first.losses("halved")[0], here.results, rtol=1e-4)
    assert first.verdicts["halved"][0].setting == here.setting

    heard.clear()  # another contestant, a Rule: it alone is judged
    more = compare([halved, replace(load("sgd"), name="mine")], **options)
    assert heard[0] == "3 judgements, of which 2 are known; 1 to make"
    assert [line.split()[1] for line in heard[1:] if line.startswith("line: ")] == ["mine"]
    assert {name: more.verdicts[name] for name in first.verdicts} == dict(first.verdicts)
    json.dumps(more.to_dict())

    monkeypatch.setattr(optimizer_contest, "Pool", None)  # all is known: no worker may start
    again = compare([halved, replace(load("sgd"), name="mine")], **options)
    assert again.to_dict() == more.to_dict()


def test_what_was_judged_before_a_stop_is_kept(tmp_path, monkeypatch):
    """Judged here instead of in workers, so that the stop comes at a known place."""
    judged, closed = [], []
    tuned = Tuned(task="line", setting={"learning_rate": 0.1}, tuning=[], validation=0.5, test=0.5, whole=[])

    class Here:
        def __init__(self, build, workers):
            self.run = build()

        def shares(self):
            return {}

        def each(self, items):
            for item in items:
                judged.append(item)
                yield item, (tuned, verdict("line", [1.0, 2.0], [1.0] * 4))

        def close(self):
            closed.append(True)

    def stop(line):
        if "1 of 2 done" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr(verdicts, "cache_folder", lambda name: tmp_path)
    monkeypatch.setattr(verdicts, "cache_path", lambda name: tmp_path)
    monkeypatch.setattr(optimizer_contest, "Pool", Here)
    options = {"tasks": [tiny_task()], "trials": 1, "seeds": 2}
    with pytest.raises(KeyboardInterrupt):
        compare("sgd", **options, status=stop)
    assert (len(judged), len(closed)) == (1, 1)
    compare("sgd", **options, status=lambda _: None)
    assert len(judged) == 2


def test_the_claim_is_made_on_test_data_and_on_other_seeds_than_the_tuning():
    sgd = contestant_of_rule(load("sgd"))
    found = judge_optimizer(sgd, TASK, tune(sgd.rule, sgd.ranges, TASK, trials=3, seeds=3), 2)
    rate = found.setting.pop("learning_rate")
    losses = Trainer(TASK, runs=2).losses(load("sgd"), [rate], [2000, 2001], hyperparameters=found.setting)[0]
    np.testing.assert_allclose(found.results, losses[:, 1], rtol=2e-3)
    tuning = [validation for _, validation in found.tuning]
    assert found.setting == {k: v for k, v in found.tuning[int(np.argmin(tuning))][0].items() if k != "learning_rate"}
    assert found.state_bytes < 1
    assert 0 < found.basin <= 1


def test_optimizers_come_by_import_path(tmp_path, monkeypatch):
    (tmp_path / "mine_opt.py").write_text(
        "import optax\n"
        "def good(learning_rate, b1=0.9):\n    return optax.sgd(learning_rate, momentum=b1)\n"
        "good.search_space = {'learning_rate': (1e-3, 1e-1), 'b1': (0.5, 0.99)}\n"
        "def needs(learning_rate, rho):\n    return optax.sgd(learning_rate * rho)\n"
        "def bad(rate):\n    return optax.sgd(rate)\n"
        "def odd(learning_rate):\n    return optax.sgd(learning_rate)\n"
        "odd.search_space = {'learning_rate': (1e-3, 1e-1), 'b2': (0.5, 0.99)}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert contestant_at("mine_opt:good").ranges == {"learning_rate": (1e-3, 1e-1), "b1": (0.5, 0.99)}
    assert set(contestant_at("optax:adamw").ranges) == {"learning_rate", "weight_decay"}
    assert set(contestant_at("optax:sgd").ranges) == {"learning_rate"}
    assert set(contestant_at("optax:nadamw").ranges) == {"learning_rate", "weight_decay"}  # a functools.partial
    for path, says in [
        ("mine_opt:bad", "no function of `learning_rate`"),
        ("mine_opt:odd", "has b2 from 0.5 to 0.99"),
        ("mine_opt:none", "cannot be imported"),
        ("mine_opt:needs", "missing 1 required positional argument"),
        ("optax:lbfgs", "no optimizer that trains from gradients alone"),
        ("no_such_module:x", "cannot be imported"),
        ("optax:__version__", "no function of"),
    ]:
        with pytest.raises(RulesmithError, match=says):
            contestant_at(path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (optax.adam(1e-3), "no function of `learning_rate`"),
        (lambda rate: optax.sgd(rate), "'lambda' is no function of `learning_rate`"),
        (3, "no function of `learning_rate`"),
        (lambda learning_rate: 3, "no optimizer that trains"),
    ],
)
def test_objects_that_are_no_optimizer_are_refused(given, says):
    with pytest.raises(RulesmithError, match=says):
        compare([given], tasks="iris-mlp-2k", status=pytest.fail)


def not_scalar(outputs, targets):
    raise ValueError("shapes (3,) and (2,) do not fit\nmore")


@pytest.mark.parametrize(
    ("names", "where", "options", "says"),
    [
        (["lionn"], ["iris-mlp-2k"], {}, "did you mean 'lion'"),
        (["dpo"], ["iris-mlp-2k"], {}, "compare it with env"),
        (["lion"], ["iris-mlp-2"], {}, "did you mean 'iris-mlp-2m'"),
        (["lion"], ["iris-mlp-2k"], {"seeds": 1}, "seeds is 1; it must be a whole number, at least 2"),
        (["lion"], ["iris-mlp-2k"], {"seeds": 0}, "seeds is 0"),
        (["lion"], ["iris-mlp-2k"], {"trials": 0}, "trials is 0"),
        (["lion"], ["iris-mlp-2k"], {"trials": 2.5}, "trials is 2.5"),
        (["lion"], ["iris-mlp-2k"], {"workers": 0}, "workers is 0"),
        (["lion", "optax:lion"], ["iris-mlp-2k"], {}, "two optimizers are called 'lion'"),
        (["lion"], ["iris-mlp-2k", "iris-mlp-2k"], {}, "two tasks are called 'iris-mlp-2k'"),
        (["lion"], ["iris-mlp-2k"], {"env": "CartPole-v1"}, "give one of them"),
        (["lion"], [replace(TASK, loss=not_scalar)], {}, "task iris-mlp-2k: loss raised ValueError"),
        (["lion"], [3], {}, "3 is no task"),
        ([], ["iris-mlp-2k"], {}, "at least one rule"),
    ],
)
def test_bad_input_gets_one_line(names, where, options, says):
    with pytest.raises(RulesmithError) as caught:
        compare(names, tasks=where, **{"trials": 1, "seeds": 2, "status": pytest.fail, **options})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_contestant_twice_counts_once():
    contest = OptimizerContest(["adamw", load("adamw"), "sgd"], find(["iris-mlp-2k"]), trials=1, seeds=2, workers=1)
    assert [judgement.contestant for judgement in contest.judgements] == ["adamw", "sgd"]
