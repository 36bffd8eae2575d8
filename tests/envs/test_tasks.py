"""What every task must do."""

import hashlib
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rulesmith import RulesmithError
from rulesmith.envs.models import PatchConv
from rulesmith.envs.tasks import SETS, find, tasks
from rulesmith.envs.tasks.family import family_of
from rulesmith.envs.tasks.music import HELD, LOWEST, REST, chorales, voices
from rulesmith.envs.tasks.sources import check_digest, folder_of
from rulesmith.meta.baselines import BASELINES
from rulesmith.results.cards import EARLIER, EVIDENCE


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if "-2k" in n else pytest.mark.slow) for n in tasks()])
def test_a_task_can_be_trained(name):
    task = tasks()[name]
    weights, extra = jax.jit(task.start)(jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(weights))
    train, validation, test = task.data
    assert min(map(len, (train.inputs, validation.inputs, test.inputs))) >= 30

    @jax.jit
    def once(key):
        training = jax.value_and_grad(task.training_loss, has_aux=True)
        (loss, _), gradients = training(weights, extra, task.batch(task.rows(key)[0]), key)
        return loss, gradients, [task.loss_on(part, weights, extra) for part in ("validation", "test")]

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(once(jax.random.key(1))))


@pytest.mark.parametrize("name", tasks())
def test_the_size_is_what_the_name_says(name):
    size = {"2k": 2_000, "20k": 20_000, "200k": 200_000, "2m": 2_000_000}[name.split("-")[-1]]
    assert 0.8 * size <= tasks()[name].parameters <= 1.25 * size


def test_the_parts_of_a_data_set_do_not_overlap():
    digits = tasks()["digits-mlp-2k"].data
    seen = [{x.tobytes() for x in part.inputs} for part in digits]
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_no_data_set_is_in_two_sets():
    sets = [{task.data_set for task in find([name])} for name in SETS]
    assert sum(map(len, sets)) == len(set.union(*sets))


@pytest.mark.parametrize("name", SETS["held-out"])
def test_a_task_of_a_claim_has_many_predictions_to_test(name):
    targets = find([name])[0].data.test.targets
    predictions = targets.size if np.issubdtype(targets.dtype, np.integer) else targets.size // targets.shape[-1]
    assert predictions >= 2_000


@pytest.mark.parametrize("evidence", [EVIDENCE, EARLIER], ids=lambda path: path.stem)
def test_chance_does_not_decide_claims(evidence):
    found = json.loads(evidence.read_text())
    noise = {row["task"]: np.std(np.log(row["losses"]), ddof=1) for row in found["rules"]["adamw"]["tasks"]}
    assert found["claimed"] == [name for name, of_task in noise.items() if of_task < 0.03]
    assert len(found["claimed"]) >= 8


@pytest.mark.parametrize("name", [name for names in SETS.values() for name in names if not name.endswith("-200k")])
def test_validation_and_test_data_are_of_one_kind(name):
    rows = json.loads(BASELINES.read_text())["baselines"]
    (row,) = [row for row in rows if (row["rule"], row["task"]) == ("adamw", name)]
    few = np.size(find([name])[0].data.test.targets) < 500
    assert abs(np.log(row["test"] / row["validation"])) < (1.0 if few else 0.2)


def test_windows_of_chorales_begin_with_a_beat():
    def held(part):
        return np.mean(np.asarray(part.inputs) == HELD, axis=0)

    train, validation, test = map(held, chorales())
    assert np.ptp(train) > 0.3  # notes begin with a beat
    np.testing.assert_allclose(validation, train, atol=0.1)
    np.testing.assert_allclose(test, train, atol=0.1)


def test_the_patch_convolution_is_a_convolution():
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    model = PatchConv(5, stride=2)
    weights = model.init(jax.random.key(1), x)
    wanted = jax.lax.conv_general_dilated(
        x, weights["params"]["kernel"], (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(model.apply(weights, x), wanted, rtol=1e-4, atol=1e-5)


def test_tasks_by_import_path_and_errors(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from rulesmith.envs.tasks import tasks\ntask = tasks()['iris-mlp-2k']\nx = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find(["mine:task"])[0].name == "iris-mlp-2k"
    for name, says in [
        ("mine:x", "int, not a rulesmith.Task"),
        ("nowhere:x", "cannot be imported: .*; it must be a rulesmith.Task, as in examples/plain_dict.py"),
        ("iris-mpl-2k", "did you mean 'iris-mlp-2k'"),
    ]:
        with pytest.raises(RulesmithError, match=says):
            find([name])


def test_sizes_are_of_the_families_of_tasks():
    names = [task.name for task in find(["digits-mlp-2k", "search"], sizes=["20k", "2m"])]
    assert names[:2] == ["digits-mlp-20k", "digits-few-mlp-20k"]
    assert len(names) == 2 * len({family_of(task) for task in find(["search"])})
    assert [task.name for task in find(["all"])] == list(tasks())
    for sizes, says in [(["20"], "there are 2k, 20k, 200k, 2m"), (["2k"], "there is no mine-2k")]:
        with pytest.raises(RulesmithError, match=says):
            find([replace(tasks()["digits-mlp-2k"], name="mine")], sizes)


def test_data_of_another_version_are_refused(monkeypatch):
    digits = np.arange(10)
    check_digest("the digits", hashlib.blake2b(digits.tobytes(), digest_size=8).hexdigest(), digits)
    with pytest.raises(RulesmithError, match=r"the digits are not those .* pip install '"):
        check_digest("the digits", "0" * 16, digits)
    with pytest.raises(RulesmithError, match=r"package nowhere, which is not here: pip install"):
        folder_of("nowhere")


@pytest.mark.parametrize("name", ["bwv66.6", "bwv269"])
def test_chorales_are_what_music21_reads(name):
    music21 = pytest.importorskip("music21")
    score = music21.corpus.parse(f"bach/{name}")
    found = voices(folder_of("music21") / "corpus" / "bach" / f"{name}.mxl").reshape(-1, 4)
    for part, tokens in zip(score.parts, found.T, strict=True):
        begun = [n for n in part.flatten().notes if n.offset % 0.5 == 0 and not (n.tie and n.tie.type != "start")]
        wanted = {int(2 * note.offset): 2 + note.pitch.midi - LOWEST for note in begun}
        assert {i: token for i, token in enumerate(tokens) if token not in (REST, HELD)} == wanted
