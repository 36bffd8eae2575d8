"""Rules as equations: what they look like, that SymPy computes the same, and the way back."""

from xml.etree import ElementTree

import numpy as np
import pytest
import sympy as sp
from rulesmith import Program, RulesmithError, load
from rulesmith.programs.fingerprint import fingerprint
from rulesmith.programs.folding import ELEMENTWISE
from rulesmith.programs.mathematics.equations import name_of
from rulesmith.programs.mathematics.mathml import mathml
from rulesmith.programs.mathematics.symbolic import symbol
from rulesmith.programs.rule_file import published
from rulesmith.programs.vocabulary import FUNCTIONS, Kind

ADAMW = r"""\begin{aligned}
m_{t} &= \beta_{1} m_{t-1} + \left(1 - \beta_{1}\right) g_{t} \\
v_{t} &= \beta_{2} v_{t-1} + \left(1 - \beta_{2}\right) g_{t}^{2} \\
\hat{m}_{t} &= \frac{m_{t}}{1 - \beta_{1}^{t}} \\
\hat{v}_{t} &= \frac{v_{t}}{1 - \beta_{2}^{t}} \\
\theta_{t} &= \theta_{t-1} - \eta \left(\frac{\hat{m}_{t}}{\sqrt{\hat{v}_{t}} + \epsilon} + \lambda \theta_{t-1}\right)
\end{aligned}"""


def test_adamw_is_written_as_in_papers():
    assert load("adamw").to_latex() == ADAMW
    assert load("adamw")._repr_latex_() == f"$\\displaystyle {ADAMW}$"
    # The corrections have their symbols however the program is written.
    amsgrad = load("amsgrad").to_latex()
    assert r"v_{\mathrm{max},t} &= \max\left(v_{\mathrm{max},t-1}, \hat{v}_{t}\right)" in amsgrad
    assert r"\frac{\hat{m}_{t}}{\sqrt{v_{\mathrm{max},t}} + \epsilon}" in amsgrad


def test_what_a_state_was_is_told_from_what_it_becomes():
    yogi = load("yogi").to_latex()
    assert r"v'_{t} &= \begin{cases} v_{t-1} & t > 1" in yogi
    assert r"v_{t} &= v'_{t} - \left(1 - \beta_{2}\right)" in yogi
    assert "g_{t} - g_{t-1}" in load("adan").to_latex()
    program = Program.parse("def update(g, a, b, lr):\n    return lr * a, b, a + g")
    assert program.to_latex().splitlines()[1:-1] == [
        r"b_{t} &= a_{t-1} + g_{t} \\",
        r"a_{t} &= b_{t-1} \\",
        r"\theta_{t} &= \theta_{t-1} - \eta a_{t-1}",
    ]


def test_two_programs_and_drifts():
    muon = load("muon").to_latex()
    assert r"&\text{for matrix leaves:} \\" in muon
    assert r"\operatorname{orth}\left(u_{t}\right)" in muon
    assert r"D &= \beta \left(r - 1 - \ln\left(r\right)\right)" in load("ppo-kl").to_latex()
    assert load("lpo-invaders")._repr_latex_() is None
    with pytest.raises(RulesmithError, match="lpo-invaders is a network; only programs have equations"):
        load("lpo-invaders").to_latex()


@pytest.mark.parametrize("name", published())
def test_a_rule_comes_back_from_its_equations(name):
    for label, program in load(name).programs.items():
        defaults = {str(symbol(name_of(word, parameter=True))): value for word, value in program.hyperparameters}
        back = Program.from_sympy(load(name).to_sympy()[label], **defaults)
        assert fingerprint(back) == fingerprint(program), back
        values = [value for _, value in back.hyperparameters]
        assert set(values) <= {value for _, value in program.hyperparameters}


@pytest.mark.parametrize("name", ["dpo", "ppo-clip", "ppo-kl"])
def test_a_drift_comes_back_from_its_equations(name):
    program = load(name).program
    defaults = {str(symbol(name_of(word, parameter=True))): value for word, value in program.hyperparameters}
    back = Program.from_sympy(program.to_sympy(), kind="drift", **defaults)
    rng = np.random.default_rng(0)
    r, a = np.exp(rng.normal(size=50)), rng.normal(size=50)
    np.testing.assert_allclose(run(back, r=r, log_r=np.log(r), a=a), run(program, r=r, log_r=np.log(r), a=a), rtol=1e-9)


def run(program, **inputs):
    """Return what an elementwise program returns, computed with NumPy."""
    bound = {**inputs, **dict(program.hyperparameters)}
    value = lambda operand: bound[operand] if isinstance(operand, str) else operand  # noqa: E731
    for target, function, operands in program.statements:
        bound[target] = ELEMENTWISE[function](*map(value, operands))
    return value(program.returns[0])


@pytest.mark.parametrize("name", [name for name, each in FUNCTIONS.items() if each.kind is Kind.ELEMENTWISE])
def test_sympy_computes_each_word_as_numpy_does(name):
    words = ["r", "a", "beta", "gamma"][: FUNCTIONS[name].arity]
    call = (
        f"where({words[0]} > {words[1]}, {', '.join(words[2:])})" if name == "where" else f"{name}({', '.join(words)})"
    )
    program = Program.parse(f"def drift(r, a, beta=0.3, gamma=0.6):\n    return {call}")
    (equation,) = program.to_sympy()
    values = {"r": 0.4, "A": 0.7, "beta": 0.3, "gamma": 0.6}
    if name == "arccosh":
        values["r"] = 1.4
    given = {"r": values["r"], "a": values["A"]}
    own = {s: values[s.name] for s in equation.rhs.free_symbols}
    back = Program.from_sympy([equation], kind="drift", beta=0.3, gamma=0.6)
    expected = float(run(program, **given))
    np.testing.assert_allclose(float(run(back, **given)), expected, rtol=1e-9)
    if not equation.rhs.atoms(sp.core.function.AppliedUndef):  # SymPy has the word
        np.testing.assert_allclose(float(equation.rhs.subs(own)), expected, rtol=1e-9)


def test_a_program_from_an_expression():
    g, m, w, lr, b = sp.symbols("g m w lr b", real=True)
    norm = sp.Function("norm")
    program = Program.from_sympy(lr * (m / norm(m) + w / 100), states={"m": b * m + (1 - b) * g}, b=0.9)
    same = "def update(w, g, m, lr, b=0.9):\n    n = b * m + (1 - b) * g\n    return lr * (m / norm(m) + 0.01 * w), n"
    assert fingerprint(program) == fingerprint(Program.parse(same))


REFUSED = [
    (sp.Symbol("q"), "'q' is no input; for a hyperparameter give its default, q=..."),
    (sp.gamma(sp.Symbol("g")), "'gamma' is no word of it"),
    ([sp.Eq(sp.Symbol("m_{t}"), sp.Symbol("g_{t}"))], "the equation of the weights, theta_t, is missing"),
    (sp.Symbol("m_{t-1}") * sp.Symbol("lr"), "no equation says what m becomes"),
]


@pytest.mark.parametrize(("given", "says"), REFUSED)
def test_what_is_not_of_the_language_is_refused(given, says):
    with pytest.raises(RulesmithError, match=says):
        Program.from_sympy(given)


@pytest.mark.parametrize("name", [*published(), "ppo-clip", "dpo"])
def test_browsers_get_what_latex_says(name):
    latex = load(name).to_latex()
    page = ElementTree.fromstring(mathml(latex))
    table = page.find(".//{*}mtable")
    assert len(table) == latex.count("\\\\\n") + 1
    assert not [each for each in page.itertext() if "\\" in each or "&" in each]
