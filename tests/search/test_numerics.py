"""What a user's process says of JAX changes nothing that is found, and a platform that is not there is one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from rulesmith import RulesmithError, Symbolic, Workers, compare, discover
from rulesmith.results import verdicts
from rulesmith.search import numerics
from rulesmith.search.numerics import computing, jax_flags, standard_numerics, under_flags

RULESMITH = str(Path(sys.executable).parent / "rulesmith")
HABITS = {
    "jax_enable_x64": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_debug_nans": True,
    "jax_debug_infs": True,
}
SMALL = Symbolic(tasks=("iris-mlp-2k",), population=8, tournament=2, batch=8, seeds=1)
HOW = {"resources": Workers(1), "progress": False}


@pytest.fixture
def habits():
    """Set flags as scientific users do."""
    before = {name: getattr(jax.config, name) for name in HABITS}
    for name, value in HABITS.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_in_standard_numerics_flags_of_the_process_do_not_matter(habits):
    assert jnp.ones(()).dtype == "float64"
    with standard_numerics():
        assert jnp.ones(()).dtype == "float32"
        assert (jnp.float32(1) + jnp.int32(1)).dtype == "float32"
        assert jnp.isnan(jnp.log(-jnp.ones(3))).all()
        assert jax_flags()["jax_enable_x64"] is False
    assert jnp.ones(()).dtype == "float64"


def test_a_worker_computes_as_the_process_that_sent_it(habits):
    with standard_numerics():
        flags = jax_flags()

    def build():
        made = jnp.ones(3)
        return lambda item: (str(made.dtype), str((jnp.ones(3) * item).dtype))

    assert under_flags(flags, build)(2.0) == ("float32", "float32")


@pytest.mark.slow
def test_searches_and_comparisons_find_the_same_under_a_users_flags(tmp_path, monkeypatch):
    def found(name):
        monkeypatch.setattr(verdicts, "cache_folder", lambda _: tmp_path / name)
        monkeypatch.setattr(verdicts, "cache_path", lambda _: tmp_path / name)
        run = discover(SMALL, tmp_path / name, programs=16, **HOW)
        results = compare(run.best, tasks="iris-mlp-2k", trials=1, seeds=2, workers=1, status=lambda line: None)
        kept = results.to_dict()["rules"]["adamw"]["tasks"][0]
        return json.dumps(run.to_json()), kept["losses"]

    plain = found("plain")
    for name, value in HABITS.items():
        monkeypatch.setenv(name.upper(), str(value))  # of the worker processes
    before = {name: getattr(jax.config, name) for name in HABITS}
    try:
        for name, value in HABITS.items():
            jax.config.update(name, value)
        assert found("odd") == plain
        assert discover(None, tmp_path / "plain", programs=20, resume=True, **HOW).best  # begun under other flags
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_a_platform_that_is_not_there_is_one_line(monkeypatch, tmp_path):
    def absent():
        raise RuntimeError("Unable to initialize backend 'nosuch': not known. (set JAX_PLATFORMS='' to choose)\nmore")

    monkeypatch.setattr(jax, "default_backend", absent)
    says = r"JAX cannot compute on .*: Unable to initialize backend 'nosuch': not known; set JAX_PLATFORMS=cpu"
    for call in (
        lambda: discover(SMALL, tmp_path / "run", programs=8, **HOW),
        lambda: compare("lion", tasks="iris-mlp-2k"),
        lambda: compare("dpo", env="Catch-bsuite", horizon=1e4),
        lambda: computing().__enter__(),
    ):
        with pytest.raises(RulesmithError, match=says) as raised:
            call()
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()
    assert numerics.platform_fault()


def test_a_plugin_that_is_not_installed_is_one_line(tmp_path):

    done = subprocess.run(
        [RULESMITH, "level", "mazes"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "JAX_PLATFORMS": "cuda"},
    )
    if done.returncode == 0:
        pytest.skip("there is a GPU")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "set JAX_PLATFORMS=cpu" in done.stderr
