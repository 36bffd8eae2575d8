"""Which leaves are matrices and where their axes divide, in memory and in exported files alike."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from rulesmith import Program, RulesmithError, flax_leaf_classes, load
from rulesmith.programs.rule import Rule

RNG = np.random.default_rng(0)
CLIPPED = Program.parse(
    "def update(g, v: row, lr):\n v = interp(row_norm(g), v, 0.9)\n return lr * clip_by_global_norm(g, 1) / (v + 1), v"
)


def random(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def exported(rule):
    namespace = {"__name__": "exported"}
    exec(compile(rule.to_source(), "exported.py", "exec"), namespace)
    return namespace[rule.function_name]


def three_steps(tx, weights, gradients):
    state = tx.init(weights)
    for _ in range(3):
        updates, state = jax.jit(tx.update)(gradients, state, weights)
        weights = optax.apply_updates(weights, updates)
    return weights


@pytest.mark.parametrize(
    "rule", [load("muon"), load("normuon"), load("adafactor"), Rule.of(CLIPPED)], ids=lambda r: r.name
)
def test_a_leaf_of_several_matrices_is_trained_as_each_by_itself(rule):
    weights, gradients = ({"stack": random(2, 3, 4), "heads": random(5, 2, 3)} for _ in range(2))
    classes = {"stack": (1, 2), "heads": (0, (1, 2))}
    apart = [{"a": t["stack"][0], "b": t["stack"][1], "c": t["heads"].reshape(5, 6)} for t in (weights, gradients)]
    wanted = three_steps(rule.to_optax(0.1), *apart)
    for make in (rule.to_optax, exported(rule)):
        found = three_steps(make(0.1, leaf_classes=classes), weights, gradients)
        np.testing.assert_allclose(found["stack"], np.stack([wanted["a"], wanted["b"]]), rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(found["heads"].reshape(5, 6), wanted["c"], rtol=2e-5, atol=1e-6)


def test_axes_in_another_order_are_transposed():
    rule, w, g = load("normuon"), random(4, 3), random(4, 3)
    wanted = three_steps(rule.to_optax(0.1), w.T, g.T)
    found = three_steps(rule.to_optax(0.1, leaf_classes=(1, 0)), w, g)
    np.testing.assert_allclose(found, wanted.T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "exported"])
def test_what_is_a_matrix_is_not_guessed_and_wrong_classes_are_refused(in_memory):
    weights = {"kernel": random(2, 3, 4), "bias": random(4)}

    def init(name, **options):
        rule = load(name)
        (rule.to_optax if in_memory else exported(rule))(0.1, **options).init(weights)

    init("adamw")  # does not look at axes
    init("muon", leaf_classes={"kernel": ((0, 1), 2), "bias": "other"})
    init("muon", leaf_classes=lambda params: {"kernel": "matrix", "bias": None})
    for classes, says in [
        (None, r"leaf \['kernel'\] has 3 axes, \(2, 3, 4\): pass leaf_classes"),
        ({"kernel": "matrx", "bias": "other"}, "'matrx' for leaf"),
        ({"kernel": (0, 3), "bias": "other"}, "has 3 axes, 0 to 2"),
        ({"kernel": (0, (0, 2)), "bias": "other"}, "names an axis twice"),
        ({"kernel": "matrix", "bias": "matrix"}, "so it is no matrix"),
        ({"kernel": "matrix"}, "does not fit the parameters"),
    ]:
        with pytest.raises((RulesmithError, ValueError), match=says):
            init("muon", leaf_classes=classes)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return nn.Dense(5)(x), None


class Linen(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(7, 6)(tokens)
        x = nn.Conv(5, (3,))(nn.MultiHeadDotProductAttention(num_heads=2, name="attention")(x, x))
        layers = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)(name="layers")
        return nn.DenseGeneral((2, 2), name="shared")(layers(x, None)[0])


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.attention = nnx.MultiHeadAttention(2, 6, rngs=rngs, decode=False)
        self.linear = nnx.Linear(6, 4, rngs=rngs)
        self.embed = nnx.Embed(7, 6, rngs=rngs)


def classes_by_name(params):
    classes = jax.tree.leaves(flax_leaf_classes(params), is_leaf=lambda x: isinstance(x, str | tuple))
    names = [jax.tree_util.keystr(path, simple=True) for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    return dict(zip(names, classes, strict=True))


def test_flax_leaf_classes_know_its_modules_by_name():
    query, out = (-3, (-2, -1)), ((-3, -2), -1)
    linen = classes_by_name(Linen().init(jax.random.key(0), jnp.zeros((2, 4), int))["params"])
    module = classes_by_name(nnx.split(Nnx(nnx.Rngs(0)), nnx.Param)[1])
    for found in (linen, module):
        assert [found[name] for name in found if "query" in name and "kernel" in name] == [query]
        assert [found[name] for name in found if "out" in name and "kernel" in name] == [out]
        assert {found[name] for name in found if "bias" in name or "embedding" in name} == {"other"}
    assert [c for name, c in linen.items() if "Conv" in name] == ["other", "matrix"]
    assert [c for name, c in linen.items() if "layers" in name] == ["other", (-2, -1)]  # stacked by a scan
    assert [c for name, c in linen.items() if "shared" in name] == ["other", "unknown"]
    assert "matrix" in [c for name, c in module.items() if "linear" in name]
