"""Every known rule against an implementation that is not ours, over 100 steps: optax, or NumPy from the paper."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rulesmith import load
from rulesmith.programs.rule_file import published

LR = 0.02


def tree(seed, shapes):
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {name: jax.random.normal(k, shape) for k, (name, shape) in zip(keys, shapes.items())}


ALL = {"matrix": (4, 6), "vector": (5,), "scalar": (), "kernel": (2, 2, 3, 4)}
PLAIN = {"matrix": (4, 6), "wide": (7, 3), "vector": (5,)}

OPTAX = {
    "sgd": (ALL, lambda: optax.sgd(LR)),
    "momentum": (ALL, lambda: optax.sgd(LR, momentum=0.9)),
    "nesterov": (ALL, lambda: optax.sgd(LR, momentum=0.9, nesterov=True)),
    "rmsprop": (ALL, lambda: optax.rmsprop(LR)),
    "adam": (ALL, lambda: optax.adam(LR)),
    "adamw": (ALL, lambda: optax.adamw(LR)),
    "nadamw": (ALL, lambda: optax.nadamw(LR)),
    "adabelief": (ALL, lambda: optax.adabelief(LR)),
    "signsgd": (ALL, lambda: optax.sign_sgd(LR)),
    "lion": (ALL, lambda: optax.lion(LR)),
    "adafactor": (PLAIN, lambda: optax.adafactor(LR, min_dim_size_to_factor=1)),
    "muon": (PLAIN, lambda: optax.contrib.muon(LR)),
    "easy-muon": (
        PLAIN,
        lambda: optax.contrib.muon(
            LR, beta=0.8, weight_decay=0.04, adam_b1=0.85, adam_b2=0.97, adam_learning_rate=0.7 * LR
        ),
    ),
    "amsgrad": (ALL, lambda: optax.amsgrad(LR)),
    "yogi": (ALL, lambda: optax.yogi(LR)),
    "radam": (ALL, lambda: optax.radam(LR)),
    "lamb": (ALL, lambda: optax.lamb(LR)),
    "lars": (ALL, lambda: optax.lars(LR)),
    "novograd": (ALL, lambda: optax.novograd(LR)),
    "adagrad": (ALL, lambda: optax.adagrad(LR)),
    "adamax": (ALL, lambda: optax.adamax(LR)),
    "adan": (ALL, lambda: optax.adan(LR)),
    "ademamix": (ALL, lambda: optax.contrib.ademamix(LR)),
    "adopt": (ALL, lambda: optax.contrib.adopt(LR)),
    "madgrad": (ALL, lambda: optax.contrib.madgrad(LR)),
}


def trajectory(tx, shapes, steps=100):
    weights = tree(1, shapes)
    state = tx.init(weights)
    update = jax.jit(tx.update)
    for i in range(steps):
        # Gradients that shrink and share a direction, so that moments settle.
        gradients = jax.tree.map(lambda n, w: (0.3 * n + w) / (1 + i / 20), tree(100 + i, shapes), weights)
        updates, state = update(gradients, state, weights)
        weights = optax.apply_updates(weights, updates)
    return weights


@pytest.mark.parametrize("name", OPTAX)
def test_against_optax(name):
    shapes, reference = OPTAX[name]
    ours, theirs = (trajectory(tx, shapes) for tx in (load(name).to_optax(LR), reference()))
    for leaf in shapes:
        np.testing.assert_allclose(ours[leaf], theirs[leaf], rtol=1e-4, atol=2e-5)


def test_hyperparameters_are_called_as_optax_calls_them():
    optax_names = {"signsgd": "sign_sgd", "momentum": "sgd", "nesterov": "sgd", "easy-muon": "muon"}
    for name in OPTAX:
        called = optax_names.get(name, name)
        function = getattr(optax, called, None) or getattr(optax.contrib, called)
        theirs = {*inspect.signature(function).parameters, *inspect.signature(optax.scale_by_yogi).parameters}
        assert set(load(name).hyperparameters) - {"adam_ratio"} <= theirs, name  # optax takes two learning rates


def lion_k(direction):
    def step(w, g, state, _):
        m = state.get("m", np.zeros_like(w))
        u = direction(0.9 * m + 0.1 * g)
        return LR * (u + 1e-3 * w), {"m": 0.99 * m + 0.01 * g}

    return step


def root_momentum(w, g, state, _):
    m = 0.64 * state.get("m", np.zeros_like(w)) + 0.36 * g
    return LR * (np.sign(m) * np.sqrt(np.abs(m)) + 0.008 * w), {"m": m}


def exadam(w, g, state, t):
    m, v = (state.get(k, np.zeros_like(w)) for k in "mv")
    b1, b2, eps = 0.9, 0.999, 1e-8
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    d1, d2 = 1 + v / (v + eps) * b2**t, 1 + m**2 / (m**2 + eps) * b1**t
    m_hat, v_hat, g_hat = d1 * m / (1 - b1**t), d2 * v / (1 - b2**t), d1 * g / (1 - b1**t)
    return LR * (m_hat + g_hat) / (np.sqrt(v_hat) + eps), {"m": m, "v": v}


def newton_schulz(g):  # of the paper's (out, in) matrix
    x = g / np.linalg.norm(g)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if tall else x


def normuon(w, g, state, _):
    w, g = w.T, g.T  # (out, in)
    m, v = state.get("m", np.zeros_like(w)), state.get("v", np.zeros((len(w), 1)))
    m = 0.95 * m + 0.05 * g
    o = newton_schulz(m)
    v = 0.95 * v + 0.05 * (o**2).mean(axis=1, keepdims=True)
    o = o / (np.sqrt(v) + 1e-8)
    return (0.2 * LR * np.sqrt(w.size) / np.linalg.norm(o) * o).T, {"m": m, "v": v}


def auon(w, g, state, _):
    w, g = w.T, g.T
    m = 0.95 * state.get("m", np.zeros_like(w)) + 0.05 * g
    u = 0.95 * m + 0.05 * g
    n = u / (np.linalg.norm(u) + 1e-7)
    s = n / (np.sqrt((np.cosh(n) ** 2).mean()) + 1e-8)
    return (LR * np.sqrt(max(1, w.shape[0] / w.shape[1])) * s).T, {"m": m}


def qhadam(w, g, state, t):
    m, v = (state.get(k, np.zeros_like(w)) for k in "mv")
    m, v = 0.995 * m + 0.005 * g, 0.999 * v + 0.001 * g**2
    numerator = 0.3 * g + 0.7 * m / (1 - 0.995**t)
    return LR * numerator / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), {"m": m, "v": v}


def tiger(w, g, state, _):
    m = 0.965 * state.get("m", np.zeros_like(w)) + 0.035 * g
    return LR * (np.sign(m) + 1e-3 * w), {"m": m}


def cautious_adamw(w, g, state, t):
    m, v = (state.get(k, np.zeros_like(w)) for k in "mv")
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    mask = (m * g > 0).astype(float)
    mask = mask / max(mask.mean(), 1e-3)
    adam = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return LR * (mask * adam + 1e-4 * w), {"m": m, "v": v}


def mars(w, g, state, t):
    m, v = (state.get(k, np.zeros_like(w)) for k in "mv")
    c = g + 0.025 * 0.95 / 0.05 * (g - state.get("g", g))
    c = c / max(1.0, np.linalg.norm(c))
    m, v = 0.95 * m + 0.05 * c, 0.99 * v + 0.01 * c**2
    return LR * m / (1 - 0.95**t) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8), {"m": m, "v": v, "g": g}


MATRICES = {"matrix": (4, 6), "wide": (7, 3)}
NUMPY = {
    "lion-l2": (lion_k(lambda u: u / np.linalg.norm(u)), MATRICES | {"vector": (5,)}),
    "lion-group": (lion_k(lambda u: u / np.linalg.norm(u, axis=0, keepdims=True)), MATRICES),
    "root-momentum": (root_momentum, MATRICES | {"vector": (5,)}),
    "exadam": (exadam, MATRICES | {"vector": (5,)}),
    "normuon": (normuon, MATRICES),
    "auon": (auon, MATRICES),
    "qhadam": (qhadam, MATRICES | {"vector": (5,)}),
    "tiger": (tiger, MATRICES | {"vector": (5,)}),
    "cautious-adamw": (cautious_adamw, MATRICES | {"vector": (5,)}),
    "mars": (mars, MATRICES | {"vector": (5,)}),
}


@pytest.mark.parametrize("name", NUMPY)
def test_against_the_papers_equations(name):
    step, shapes = NUMPY[name]
    tx = load(name).to_optax(LR)
    weights = tree(1, shapes)
    ours, state, update = weights, tx.init(weights), jax.jit(tx.update)
    theirs = {leaf: np.asarray(w, np.float64) for leaf, w in weights.items()}
    kept = {leaf: {} for leaf in shapes}
    for i in range(100):
        noise = tree(100 + i, shapes)
        gradients = jax.tree.map(lambda n, w: (0.3 * n + w) / (1 + i / 20), noise, ours)
        for leaf in shapes:
            g = (0.3 * np.asarray(noise[leaf], np.float64) + theirs[leaf]) / (1 + i / 20)
            change, kept[leaf] = step(theirs[leaf], g, kept[leaf], i + 1)
            theirs[leaf] = theirs[leaf] - change
        updates, state = update(gradients, state, ours)
        ours = optax.apply_updates(ours, updates)
    for leaf in shapes:
        np.testing.assert_allclose(ours[leaf], theirs[leaf], rtol=1e-3, atol=2e-4)


def test_every_rule_is_tested():
    assert set(published()) == set(OPTAX) | set(NUMPY)


@pytest.mark.parametrize("name", ["normuon", "auon"])
def test_leaves_that_are_no_matrices_are_trained_by_nadamw(name):
    shapes = {"vector": (5,), "scalar": ()}
    ours, theirs = (trajectory(tx, shapes, 30) for tx in (load(name).to_optax(LR), optax.nadam(LR)))
    for leaf in shapes:
        np.testing.assert_allclose(ours[leaf], theirs[leaf], rtol=1e-5, atol=1e-6)
    assert jnp.isfinite(ours["vector"]).all()
