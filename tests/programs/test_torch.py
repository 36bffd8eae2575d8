"""Rules in PyTorch do what they do in JAX, and are used as PyTorch's own optimizers are."""

import copy
import io

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rulesmith
from rulesmith import Program, Rule, RulesmithError, load
from rulesmith.programs import folding
from rulesmith.programs.compiler import update_function
from rulesmith.programs.objective import Objective, Shapes
from rulesmith.programs.rule_file import published
from rulesmith.programs.vocabulary import FUNCTIONS, Kind

torch = pytest.importorskip("torch")

from rulesmith.programs.pytorch.building import TORCH  # noqa: E402
from rulesmith.programs.pytorch.together import Leaves  # noqa: E402

LR, STEPS, FEW = 0.01, 100, 15


# --- one network in both ---------------------------------------------------------------------------------------------


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3)
        self.dense = torch.nn.Linear(4, 6)
        self.out = torch.nn.Linear(6, 3, bias=False)
        self.scale = torch.nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        x = torch.tanh(self.conv(x)).mean((2, 3))
        return self.scale * self.out(torch.tanh(self.dense(x)))


def to_flax(tensor):
    """Return a weight of PyTorch, (out, in, ...), as flax keeps it, (..., in, out)."""
    x = tensor.detach().numpy()
    return x.transpose(2, 3, 1, 0) if x.ndim == 4 else x.T


def loss_in_jax(w, batch):
    x, y = batch
    x = jax.lax.conv_general_dilated(x, w["conv.weight"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    x = jnp.tanh(x + w["conv.bias"]).mean((1, 2))
    x = w["scale"] * (jnp.tanh(x @ w["dense.weight"] + w["dense.bias"]) @ w["out.weight"])
    return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()


GRADIENT = jax.jit(jax.value_and_grad(loss_in_jax))
RNG = np.random.default_rng(0)
BATCHES = [(RNG.normal(size=(8, 6, 6, 1)).astype(np.float32), RNG.integers(0, 3, 8)) for _ in range(STEPS)]


def network():
    torch.manual_seed(0)
    return Net()


def train_in_jax(tx):
    """Return the weights after FEW and after STEPS steps."""
    w = {name: jnp.asarray(to_flax(param)) for name, param in network().named_parameters()}
    state = tx.init(w)
    update = jax.jit(tx.update)
    kept = {}
    for step, batch in enumerate(BATCHES, 1):
        loss, gradients = GRADIENT(w, batch)
        updates, state = update(gradients, state, w, value=loss)
        w = jax.tree.map(jnp.add, w, updates)
        kept[step] = w
    return kept[FEW], kept[STEPS]


def batches(steps):
    return [(torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(y)) for x, y in BATCHES[slice(*steps)]]


def train(net, optimizer, steps=(0, STEPS), step=None):
    for x, y in batches(steps):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            return loss

        (step or optimizer.step)(closure)
    return net


def made(rule, net, **options):
    options = {"lr": LR, "total_steps": STEPS, "leaf_classes": rulesmith.torch_leaf_classes(net), **options}
    return rule.to_torch(net.named_parameters(), **options)


def same_bits(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters()))


@pytest.fixture
def one_by_one(monkeypatch):
    """Leaves are updated as in a compiled step, where no call does several."""
    return lambda: monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)


OF_THE_LOSS = """
def update(g, s: scalar(1), lr, loss):
    return lr * g * loss / s, s + loss
"""
OF_ALL_LEAVES = """
def update(w, g, m, lr, progress):
    m = interp(clip_by_global_norm(g, 0.3), m, 0.9)
    length = global_norm(m) + 1e-3 * global_dot(g, w)
    return lr * (1 - progress) * m / length, m
"""
OF_OLD_STATES = """
def update(w, g, a, b: full(w), lr):
    return lr * a + 0.1 * lr * b, g, a
"""
OWN = {
    name: Rule(name, {"all": Program.parse(text)})
    for name, text in [("of-the-loss", OF_THE_LOSS), ("of-all-leaves", OF_ALL_LEAVES), ("of-old-states", OF_OLD_STATES)]
}


@pytest.mark.parametrize("name", [*published(), *OWN])
def test_a_rule_trains_as_in_jax(name, one_by_one):
    rule = OWN.get(name) or load(name)
    hand = {"conv.weight": "matrix", "dense.weight": "matrix", "out.weight": "matrix"}
    classes = {key: hand.get(key, "other") for key, _ in network().named_parameters()}
    early, theirs = train_in_jax(rule.to_optax(LR, total_steps=STEPS, leaf_classes=classes))
    whole = train(net := network(), made(rule, net))
    one_by_one()
    optimizer = made(rule, net := network(), leaf_classes={"conv.weight": ((1, 2, 3), 0)})
    single = train(net, optimizer, (0, FEW))
    for key, param in whole.named_parameters():
        moved = np.abs(theirs[key] - to_flax(network().get_parameter(key))).max()
        assert moved > 1e-4, key
        np.testing.assert_allclose(to_flax(param), theirs[key], rtol=1e-4, atol=3e-5, err_msg=key)
        np.testing.assert_allclose(to_flax(single.get_parameter(key)), early[key], rtol=1e-4, atol=3e-5, err_msg=key)


def test_several_matrices_in_a_leaf_are_each_one_for_itself():
    torch.manual_seed(0)
    start, gradient = torch.randn(2, 3, 2, 4), torch.randn(2, 3, 2, 4)
    axes = {"muon": ((1, 3), 2), "adafactor": ((1, 3), 2), "normuon": ((1, 3), 2)}
    for name, pair in axes.items():
        whole = torch.nn.Parameter(start.clone())
        apart = [torch.nn.Parameter(x.permute(1, 0, 2).reshape(2, 12).clone()) for x in start]
        ours = load(name).to_torch([whole], lr=0.1, leaf_classes=lambda _, pair=pair: pair)
        theirs = load(name).to_torch(apart, lr=0.1)
        for _ in range(3):
            whole.grad = gradient
            for each, g in zip(apart, gradient):
                each.grad = g.permute(1, 0, 2).reshape(2, 12)
            ours.step()
            theirs.step()
        found = [x.permute(1, 0, 2).reshape(2, 12) for x in whole.detach()]
        torch.testing.assert_close(found, [each.detach() for each in apart])


# --- used as any optimizer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adamw", "muon", "normuon", "novograd", "madgrad", "of-all-leaves"])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_training_resumes_to_the_same_bits(name, kind):
    rule = OWN.get(name) or load(name)

    def fresh():
        net = network().to(kind)
        net.forward = lambda x, plain=net.forward: plain(x.to(kind)).float()
        return net, made(rule, net, state_dtype=torch.float32)

    whole, optimizer = fresh()
    train(whole, optimizer, (0, 12))
    part, optimizer = fresh()
    train(part, optimizer, (0, 5))
    file = io.BytesIO()
    torch.save((part.state_dict(), optimizer.state_dict()), file)
    file.seek(0)
    resumed, optimizer = fresh()
    weights, state = torch.load(file, weights_only=True)
    resumed.load_state_dict(weights)
    optimizer.load_state_dict(state)
    assert same_bits(train(resumed, optimizer, (5, 12)), whole)
    assert {x.dtype for own in optimizer.state.values() for x in own.values()} <= {torch.float32}


def test_weights_of_bfloat16_are_computed_in_float32():
    w = torch.nn.Parameter(torch.tensor([1.0, 300.0], dtype=torch.bfloat16))
    w.grad = torch.tensor([1.0, 1e-3], dtype=torch.bfloat16)
    optimizer = load("adamw").to_torch([w], lr=0.25, weight_decay=0.0)
    assert optimizer.state[w]["m"].dtype == torch.bfloat16
    optimizer.step()
    assert w.tolist() == [0.75, 300.0]  # 299.75, rounded once
    half = torch.nn.Parameter(torch.ones(2, dtype=torch.float16))
    assert load("adamw").to_torch([half], lr=0.1).state[half]["v"].dtype == torch.float32


def test_groups_have_their_own_numbers():
    first, second = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = load("adamw").to_torch(
        [{"params": [first], "weight_decay": 0.0}, {"params": [second], "lr": 0.5}], lr=0.1
    )
    for param in (first, second):
        param.grad = torch.ones(3)
    optimizer.step()
    torch.testing.assert_close(first.detach(), torch.full((3,), 0.9))
    torch.testing.assert_close(second.detach(), torch.full((3,), 1 - 0.5 * (1 + 1e-4)))
    third = torch.nn.Parameter(torch.ones(3))
    third.grad = torch.ones(3)
    optimizer.add_param_group({"params": [third]})
    optimizer.step()
    assert [group["step"].item() for group in optimizer.param_groups] == [2, 2, 1]
    torch.testing.assert_close(third.detach(), torch.full((3,), 1 - 0.1 * (1 + 1e-4)))


def test_schedulers_accumulation_scaling_and_copies():
    w = torch.nn.Parameter(torch.tensor([4.0]))
    optimizer = load("sgd").to_torch([w], lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for _ in range(2):
        (w * 0.5).backward()
        (w * 0.5).backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    assert w.item() == 4.0 - 1.0 - 0.5
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(w.sum()).backward()
    scaler.step(optimizer)
    assert w.item() == 2.5 - 0.25
    w.grad = torch.tensor([float("inf")])
    scaler.update()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert w.item() == 2.25
    assert optimizer.param_groups[0]["step"] == 3
    copy.deepcopy(optimizer).step()


def test_what_has_no_gradient_stays():
    used, unused, empty = (torch.nn.Parameter(torch.ones(n)) for n in (2, 2, 0))
    used.grad, empty.grad = torch.ones(2), torch.ones(0)
    load("adamw").to_torch([used, unused, empty], lr=0.1).step()
    assert unused.tolist() == [1.0, 1.0] != used.tolist()


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_compiled_step_does_the_same(name):
    torch.compiler.reset()
    rule = load(name)
    plain = train(net := network(), made(rule, net), (0, 4))
    net = network()
    rate = torch.tensor(LR)
    optimizer = made(rule, net, lr=rate)
    compiled = torch.compile(lambda: optimizer.step(), backend="aot_eager", fullgraph=True)

    def step(closure):
        closure()
        compiled()

    train(net, optimizer, (0, 4), step)
    for ours, theirs in zip(net.parameters(), plain.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_step_compiled_to_machine_code_does_the_same():
    rule = load("adamw")
    plain = train(net := network(), made(rule, net), (0, 20))
    net = network()
    optimizer = made(rule, net)
    compiled = torch.compile(optimizer.step)
    train(net, optimizer, (0, 20), lambda closure: (closure(), compiled()))
    for ours, theirs in zip(net.parameters(), plain.parameters()):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_large_leaves_are_taken_apart_to_the_same_numbers(one_by_one):
    torch.manual_seed(0)
    start, gradient = torch.randn(700, 900), torch.randn(700, 900)
    found = []
    for turned in (False, True):  # a transposed leaf lies otherwise in memory, and is taken whole
        w = torch.nn.Parameter(start.T if turned else start.clone())
        w.grad = gradient.T if turned else gradient
        optimizer = load("adamw").to_torch([w], lr=0.1)
        optimizer.step()
        optimizer.step()
        found.append(w.detach().T if turned else w.detach())
    assert torch.equal(*found)


# --- refused ---------------------------------------------------------------------------------------------------------

REFUSED = [
    ("lion", {"lr": -1.0}, "lr is -1; it must be at least 0"),
    ("lion", {"b1": 1.0}, "b1 is 1; it must be at least 0 and below 1"),
    ("lion", {"beta": 0.9}, r"lion has no hyperparameter 'beta'.*; it has b1, b2, weight_decay"),
    ("lion", {"b1": "much"}, "b1 is 'much'; it must be a number"),
    ("lion", {"lr": torch.ones(2)}, r"lr is a tensor of shape \(2,\)"),
    ("lion", {"state_dtype": torch.int8}, "state_dtype is torch.int8; it must be a type of floating-point numbers"),
    ("muon", {"leaf_classes": None}, r"conv.weight has 4 axes, \(4, 1, 3, 3\): pass leaf_classes"),
    ("muon", {"leaf_classes": {"conv.weight": ((0, 1), 1)}}, "conv.weight names an axis twice"),
    ("muon", {"leaf_classes": {"conv.weight": "matrix", "scale": "matrix"}}, "scale has 0 axes, so it is no matrix"),
]


@pytest.mark.parametrize(("name", "options", "says"), REFUSED)
def test_what_cannot_be_is_refused_in_a_line(name, options, says):
    with pytest.raises(RulesmithError, match=says):
        made(load(name), network(), **options)


def test_gradients_and_weights_that_rules_do_not_take_are_refused_by_name():
    net = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = load("lion").to_torch(net.named_parameters(), lr=0.1)
    net(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="weight has a sparse gradient"):
        optimizer.step()
    with pytest.raises(RulesmithError, match=r"parameter 0 of its group is of type torch.complex64: the"):
        load("lion").to_torch([torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))], lr=0.1)
    with pytest.raises(RulesmithError, match="reads progress: pass total_steps"):
        OWN["of-all-leaves"].to_torch([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(RulesmithError, match=r"by name: pass model.named_parameters\(\)"):
        load("muon").to_torch([torch.nn.Parameter(torch.ones(2))], lr=0.1, leaf_classes={"a": "matrix"})
    optimizer = OWN["of-the-loss"].to_torch([w := torch.nn.Parameter(torch.ones(2))], lr=0.1)
    w.grad = torch.ones(2)
    with pytest.raises(ValueError, match=r"reads the loss: call step\(closure\)"):
        optimizer.step()
    with pytest.raises(RulesmithError, match="'step' is a name that PyTorch's optimizers use"):
        Rule.of(Program.parse("def update(g, lr, step=2.0):\n return lr * g * step")).to_torch([w], lr=0.1)


def test_layers_of_pytorch_are_known():
    nn = torch.nn
    layers = {
        "linear": nn.Linear(2, 3),
        "conv": nn.Conv1d(2, 3, 2),
        "turned": nn.ConvTranspose2d(2, 3, 2),
        "embedding": nn.Embedding(4, 2),
        "attention": nn.MultiheadAttention(4, 2),
    }
    module = nn.ModuleDict(layers)
    module.register_parameter("own", nn.Parameter(torch.ones(2, 2, 2)))
    found = rulesmith.torch_leaf_classes(module)
    expected = {"linear": "matrix", "conv": "matrix", "turned": ((0, 2, 3), 1), "embedding": "other"}
    assert {name: found[f"{name}.weight"] for name in expected} == expected
    assert found["attention.in_proj_weight"] == "matrix"
    assert found["own"] == "unknown"
    assert found["linear.bias"] == "other"


# --- the words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_word_means_the_same_as_in_numpy(name):
    function = FUNCTIONS[name]
    rng = np.random.default_rng(1)
    values = [rng.normal(size=(5, 3)).astype(np.float32) for _ in function.parameters]
    values[0].flat[:4] = 0.0, 1.0, -1.0, 30.0
    numpy = (folding.ELEMENTWISE | folding.SHAPED)[name]
    columns_first = [np.float64(x.T)[None] for x in values]
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(numpy(*columns_first), (1, 3, 5))[0].T
    program = Program.parse(
        f"def update(w, g, a, b, lr):\n    return {_call(name, ['w', 'g', 'a', 'b'][: function.arity])}, a, b"
    )
    run = update_function(program, TORCH)
    inputs = dict(zip(("w", "g", "a", "b"), map(torch.tensor, values + values[:1] * 3)))
    given = {key: inputs[key] for key in program.inputs if key in inputs} | {"lr": torch.tensor(0.1)}
    given |= {"shape": (5, 3)}
    if function.kind in (Kind.TREE, Kind.TREE_SCALED):
        from rulesmith.programs.pytorch.optimizer import in_turns

        found = in_turns(run, [given])[0][0]
    else:
        found = run(**given)[0]
    found = np.broadcast_to(found.numpy(), (5, 3))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    if function.kind is Kind.ELEMENTWISE:
        lists = {key: Leaves([x[:2], x[2:]]) for key, x in inputs.items()}
        for factor in (1.0, -0.5):
            scaled = {key: value * factor for key, value in lists.items() if key in program.inputs}
            plain = {key: value * factor for key, value in inputs.items() if key in program.inputs}
            together = torch.cat(run(**scaled, lr=0.1)[0].plain())
            np.testing.assert_allclose(together, run(**plain, lr=0.1)[0], rtol=1e-5, atol=1e-6)


def _call(name, arguments):
    if name == "where":
        return f"where({arguments[0]} > {arguments[1]}, {arguments[2]}, {arguments[3]})"
    return f"{name}({', '.join(arguments)})"


def test_random_programs_are_the_same_together_one_by_one_and_without_known_signs(make_program, one_by_one):
    shapes = [(3, 4), (5,), (2, 2)]
    tried = 0
    for seed in range(40):
        program = make_program(seed)
        rule = Rule.of(program)
        results = []
        for signs, together in ((True, True), (True, False), (False, False)):
            torch.manual_seed(seed)
            params = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
            optimizer = rule.to_torch(params, lr=0.01, total_steps=5)
            own = optimizer.programs["all"]
            run = own.update if signs else update_function(program, TORCH._replace(roots=False))
            tried += own.together and together
            optimizer.programs = {"all": own._replace(update=run, together=own.together and together)}
            for _ in range(5):
                for param in params:
                    param.grad = torch.randn(param.shape)
                optimizer.step(loss=torch.tensor(1.0))
            results.append([param.detach() for param in params])
        torch.testing.assert_close(results[1], results[2], rtol=0.0, atol=0.0, equal_nan=True)
        if all(torch.isfinite(x).all() and x.abs().max() < 1e3 for x in results[1]):
            torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)
    assert tried > 8


# --- exported files --------------------------------------------------------------------------------------------------


def load_export(rule, tmp_path):
    name = f"exported_{rule.function_name}"
    source = rule.to_source("torch")
    (tmp_path / f"{name}.py").write_text(source)
    space = {"__name__": name}
    exec(compile(source, name, "exec"), space)
    return source, space


@pytest.mark.parametrize("name", ["lion", "adamw", "muon", "adafactor", "radam", *OWN])
def test_an_exported_file_does_the_same_to_the_bit(name, tmp_path):
    rule = OWN.get(name) or load(name)
    source, space = load_export(rule, tmp_path)
    assert "jax" not in source.split('"""', 2)[2]
    assert "rulesmith" not in source.split('"""', 2)[2]
    ours = train(net := network(), made(rule, net), (0, 6))
    net = network()
    classes = rulesmith.torch_leaf_classes(net)
    options = {"lr": LR, "total_steps": STEPS, "leaf_classes": classes}
    theirs = train(net, space[rule.class_name](net.named_parameters(), **options), (0, 6))
    assert same_bits(ours, theirs)
    arguments = space[rule.class_name].__init__.__annotations__
    assert arguments["lr"] == "float | torch.Tensor"
    assert all(arguments[name] == "float" for name in rule.hyperparameters)


def test_an_exported_optimizer_pickles_and_needs_only_torch(tmp_path):
    import subprocess
    import sys

    (tmp_path / "mine.py").write_text(load("adamw").to_source("torch"))
    script = """
import pickle, sys, torch
from mine import Adamw
w = torch.nn.Parameter(torch.ones(3))
w.grad = torch.ones(3)
optimizer = pickle.loads(pickle.dumps(Adamw([w], lr=0.5)))
optimizer.step()
assert not {"jax", "numpy.random", "optax", "rulesmith"} & {*sys.modules} - {"numpy.random"}
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


# --- objectives ------------------------------------------------------------------------------------------------------

CLIPPED = Objective("clipped", "drift", arrays=Shapes.drift(timed=False).draw(0, 1.0), agent={"input_bound": 2.0})
DRIFTS = ["a2c", "dpo", "ppo-clip", "ppo-kl", "lpo-invaders", "ta-lpo-invaders", CLIPPED.name]


@pytest.mark.parametrize("name", DRIFTS)
def test_a_drift_is_the_same_loss_as_in_jax(name, tmp_path):
    from rulesmith.programs.drift import drift_loss

    objective, progress = CLIPPED if name == CLIPPED.name else load(name), 0.3
    rng = np.random.default_rng(0)
    logits, actions = rng.normal(size=(64, 4)).astype(np.float32), rng.integers(0, 4, 64)
    old = np.log(rng.uniform(0.1, 0.6, 64)).astype(np.float32)
    old[:2] = -80.0, 5.0  # ratios that are cut
    logits[2, actions[2]] = -np.inf  # an action that the policy forbids
    advantage = rng.normal(size=64).astype(np.float32)
    drift = objective.drift()

    def in_jax(logits):
        ours = lambda *x: drift(objective.arrays, *x, progress)  # noqa: E731
        loss, log_ratio = drift_loss(logits, actions, old, advantage, ours)
        ratio = jnp.exp(log_ratio)
        return loss, jnp.mean(ours(ratio, log_ratio, advantage) - ratio * advantage)

    (_, value), slope = jax.value_and_grad(in_jax, has_aux=True)(jnp.asarray(logits))
    _, space = load_export(objective, tmp_path)
    for function in (objective.to_torch(), space[objective.function_name]):
        given = torch.tensor(logits, requires_grad=True)
        new = torch.log_softmax(given, -1).gather(1, torch.tensor(actions)[:, None])[:, 0]
        loss = function(new, torch.tensor(old), torch.tensor(advantage), progress)
        loss.backward()
        np.testing.assert_allclose(loss.item(), value, rtol=2e-5)
        allowed = np.arange(64) != 2
        np.testing.assert_allclose(given.grad.numpy()[allowed], slope[allowed], rtol=2e-4, atol=1e-6)


def test_what_is_no_drift_has_no_loss():
    with pytest.raises(RulesmithError, match="kind 'lpg'; only drifts have a form in PyTorch"):
        load("lpg-es").to_torch()
    with pytest.raises(RulesmithError, match=r"ppo-clip has no hyperparameter 'epsilom'.*epsilon"):
        load("ppo-clip").to_torch(epsilom=0.1)
    with pytest.raises(ValueError, match="they must be the same"):
        load("ppo-clip").to_torch()(torch.ones(2), torch.ones(2), torch.ones(2, 1))
