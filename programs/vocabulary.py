"""The words of the language: every function and constant a program may use, described once.

A value belongs to one leaf (one weight array) of the network. A leaf of shape ``(..., cols, rows)`` is seen as the
matrix that maps `cols` inputs to `rows` outputs: its last axis counts the rows (fan-out), all earlier axes together
the columns (fan-in). A flax kernel ``(in, out)`` and a convolution ``(height, width, in, out)`` fit as they are; a
bias ``(out,)`` is a matrix with one column. A value has one of four shapes:

====== =========================== ================================================
shape  array, for a kernel (i, o)  holds
====== =========================== ================================================
full   (i, o)                      a number for each weight
row    (1, o)                      a number for each row (output)
column (i, 1)                      a number for each column (input)
scalar ()                          one number
====== =========================== ================================================

A narrower value used with a wider one is repeated, and *every* function means what it would mean for its arguments
repeated to the full shape (so ``norm(2.0)`` is ``2 * sqrt(size)``). Shapes are thus a matter of storage and speed,
never of meaning, and no statement is refused for its shapes.

This module does not use JAX. What the words compute is in `operations` (JAX) and `folding` (NumPy, float64).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


class Shape(enum.IntFlag):
    """The shape of a value. Joining two shapes (``|``) gives the shape of their combination: row | column = full."""

    SCALAR = 0
    ROW = 1
    COLUMN = 2
    FULL = 3

    @property
    def label(self) -> str:
        """The word used for it in annotations and messages."""
        return self._name_.lower() if self._name_ else str(int(self))


SHAPES = {shape.label: shape for shape in (Shape.SCALAR, Shape.ROW, Shape.COLUMN, Shape.FULL)}


class Kind(enum.Enum):
    """How a function treats its arguments; it determines the shape of the result."""

    ELEMENTWISE = "elementwise"  # the join of the arguments' shapes
    LEAF = "one number a leaf"  # scalar
    TREE = "one number for all leaves"  # scalar
    ROW = "one number a row"  # row
    COLUMN = "one number a column"  # column
    MATRIX = "the leaf as a matrix"  # full
    TREE_SCALED = "elementwise, by a number for all leaves"  # the shape of the first argument


@dataclass(frozen=True)
class Function:
    """One function of the vocabulary.

    Attributes:
        name: as written in a program.
        parameters: names of the arguments, for messages and the table.
        kind: how it treats its arguments.
        meaning: the formula, in one line.
        outside: what happens outside its domain ("" if it is defined everywhere).
        cost: its time for one weight, in units of one multiplication (measured, rounded up).
        symbol: the Python operator that stands for it, if any.
        commutes: whether its first two arguments may change places.
        novel: True for words that the symbolic-discovery paper's list does not have.
    """

    name: str
    parameters: tuple[str, ...]
    kind: Kind
    meaning: str
    outside: str = ""
    cost: int = 1
    symbol: str = ""
    commutes: bool = False
    novel: bool = False

    @property
    def arity(self) -> int:
        """The number of arguments."""
        return len(self.parameters)

    @property
    def heavy(self) -> bool:
        """Whether it costs as much as products of matrices do; no vmapped interpreter has it."""
        return self.cost >= 100

    def shape(self, *shapes: Shape) -> Shape:
        """Return the shape of the result for arguments of these shapes."""
        match self.kind:
            case Kind.ELEMENTWISE:
                result = Shape.SCALAR
                for shape in shapes:
                    result |= shape
                return result
            case Kind.LEAF | Kind.TREE:
                return Shape.SCALAR
            case Kind.ROW:
                return Shape.ROW
            case Kind.COLUMN:
                return Shape.COLUMN
            case Kind.MATRIX:
                return Shape.FULL
            case Kind.TREE_SCALED:
                return shapes[0]


def _unary(name: str, meaning: str, outside: str = "", cost: int = 1) -> Function:
    return Function(name, ("x",), Kind.ELEMENTWISE, meaning, outside, cost)


_ALL = (
    Function("add", ("x", "y"), Kind.ELEMENTWISE, "x + y", symbol="+", commutes=True),
    Function("subtract", ("x", "y"), Kind.ELEMENTWISE, "x - y", symbol="-"),
    Function("multiply", ("x", "y"), Kind.ELEMENTWISE, "x * y", symbol="*", commutes=True),
    Function("divide", ("x", "y"), Kind.ELEMENTWISE, "x / y", "x / 0 is ±inf, 0 / 0 is NaN", 2, symbol="/"),
    Function("maximum", ("x", "y"), Kind.ELEMENTWISE, "the larger of x and y", commutes=True),
    Function("minimum", ("x", "y"), Kind.ELEMENTWISE, "the smaller of x and y", commutes=True),
    Function("power", ("x", "y"), Kind.ELEMENTWISE, "x ** y", "NaN for x < 0 with fractional y", 8, symbol="**"),
    _unary("abs", "|x|"),
    Function("negative", ("x",), Kind.ELEMENTWISE, "-x", symbol="-"),
    _unary("reciprocal", "1 / x", "±inf at 0", 2),
    _unary("sign", "-1, 0 or 1"),
    _unary("square", "x²"),
    _unary("sqrt", "√|x|", "acts on |x|", 2),
    _unary("cube", "x³"),
    _unary("cbrt", "the real cube root, sign kept", cost=8),
    _unary("exp", "eˣ", "inf above 88", 4),
    _unary("exp2", "2ˣ", "inf above 128", 4),
    _unary("exp10", "10ˣ", "inf above 38", 4),
    _unary("expm1", "eˣ - 1", "inf above 88", 6),
    _unary("log", "ln |x|", "acts on |x|; -inf at 0", 4),
    _unary("log2", "log₂ |x|", "acts on |x|; -inf at 0", 4),
    _unary("log10", "log₁₀ |x|", "acts on |x|; -inf at 0", 4),
    _unary("log1p", "ln |1 + x|", "acts on |1 + x|; -inf at -1", 6),
    _unary("sin", "sin x", cost=8),
    _unary("cos", "cos x", cost=8),
    _unary("tan", "tan x", "very large near odd multiples of π/2", 12),
    _unary("arcsin", "arcsin x", "NaN for |x| > 1", 8),
    _unary("arccos", "arccos x", "NaN for |x| > 1", 8),
    _unary("arctan", "arctan x", cost=8),
    _unary("sinh", "sinh x", "±inf beyond ±89", 8),
    _unary("cosh", "cosh x", "inf beyond ±89", 8),
    _unary("tanh", "tanh x", cost=4),
    _unary("arcsinh", "arcsinh x", cost=12),
    _unary("arccosh", "arccosh x", "NaN for x < 1", 12),
    _unary("arctanh", "arctanh x", "±inf at ±1, NaN for |x| > 1", 8),
    Function("interp", ("x", "y", "a"), Kind.ELEMENTWISE, "(1 - a) x + a y", cost=2),
    Function("dot", ("x", "y"), Kind.LEAF, "Σ x y", commutes=True),
    Function("cosine_similarity", ("x", "y"), Kind.LEAF, "Σ x y / (‖x‖ ‖y‖)", "0 where x or y is 0", 3, commutes=True),
    Function("norm", ("x",), Kind.LEAF, "√Σ x²"),
    Function("global_norm", ("x",), Kind.TREE, "√Σ x² over all leaves"),
    Function("clip_by_global_norm", ("x", "c"), Kind.TREE_SCALED, "x min(1, |c| / global_norm(x))", "0 stays 0", 3),
    # What follows is not in the paper's list.
    Function("global_dot", ("x", "y"), Kind.TREE, "Σ x y over all leaves", commutes=True, novel=True),
    Function("clip", ("x", "c"), Kind.ELEMENTWISE, "x cut to [-|c|, |c|]", novel=True),
    Function(
        "where", ("a", "b", "x", "y"), Kind.ELEMENTWISE, "x where a > b, else y; written where(a > b, x, y)", novel=True
    ),
    Function("mean", ("x",), Kind.LEAF, "Σ x / size", novel=True),
    Function("rms", ("x",), Kind.LEAF, "√(Σ x² / size)", novel=True),
    Function("row_mean", ("x",), Kind.ROW, "mean over the columns: Σ x / cols", novel=True),
    Function("col_mean", ("x",), Kind.COLUMN, "mean over the rows: Σ x / rows", novel=True),
    Function("row_max", ("x",), Kind.ROW, "largest of the columns", novel=True),
    Function("col_max", ("x",), Kind.COLUMN, "largest of the rows", novel=True),
    Function("row_norm", ("x",), Kind.ROW, "√Σ x² over the columns", novel=True),
    Function("col_norm", ("x",), Kind.COLUMN, "√Σ x² over the rows", novel=True),
    Function(
        "orthogonalize",
        ("x",),
        Kind.MATRIX,
        "Newton-Schulz, 5 steps: x's singular values moved to about 1",
        "0 stays 0",
        300,
        novel=True,
    ),
)

FUNCTIONS: dict[str, Function] = {function.name: function for function in _ALL}

NUMBERS: dict[str, float] = {"pi": math.pi, "e": math.e, "eps": 1e-8}
"""Named constants."""

SIZES: dict[str, str] = {
    "rows": "outputs of the leaf (fan-out): its last axis",
    "cols": "inputs of the leaf (fan-in): its other axes together, 1 for a bias",
    "size": "rows * cols",
}
"""Scalars that follow from a leaf's shape."""


@dataclass(frozen=True)
class Dialect:
    """One kind of program: what its function is called, takes and may use.

    Attributes:
        function: its name in the text.
        inputs: meaning of each input that is not a state, by name.
        arrays: inputs that hold a number for each weight or sample; the others are scalars.
        needs: inputs that a result must depend on to be worth trying.
        states: the most states that a program may have.
        kinds: kinds of the functions that it may call.
        sizes: whether a program may read `SIZES`.
    """

    function: str
    inputs: dict[str, str]
    arrays: tuple[str, ...]
    needs: tuple[str, ...]
    states: int
    kinds: tuple[Kind, ...]
    sizes: bool

    @property
    def constants(self) -> set[str]:
        """Names that are bound before the program begins and are not inputs."""
        return {*NUMBERS, *SIZES} if self.sizes else {*NUMBERS}


DIALECTS = {
    "update": Dialect(
        "update",
        {
            "w": "weights",
            "g": "gradient",
            "lr": "learning rate of this step",
            "t": "number of this step, from 1",
            "progress": "share of the training that is over: 0 at the first step, below 1 at the last",
            "loss": "loss of this step's batch",
        },
        arrays=("w", "g"),
        needs=("g", "lr"),
        states=8,
        kinds=tuple(Kind),
        sizes=True,
    ),
    "drift": Dialect(
        "drift",
        {
            "r": "ratio of the new policy's probability of the action to the old one's",
            "log_r": "its logarithm",
            "a": "advantage of the action",
            "progress": "share of the agent's lifetime that is over",
        },
        arrays=("r", "log_r", "a"),
        needs=("r",),
        states=0,
        kinds=(Kind.ELEMENTWISE,),
        sizes=False,
    ),
}
"""By the function's name: an optimizer's update, and the drift of a policy's objective."""

INPUT_SHAPES: dict[str, Shape] = {
    name: Shape.FULL if name in dialect.arrays else Shape.SCALAR
    for dialect in DIALECTS.values()
    for name in dialect.inputs
}

ELSEWHERE = {
    "update": {
        **dict.fromkeys(("grad", "grads", "gradient", "gradients", "dw"), "g"),
        **dict.fromkeys(("weight", "weights", "param", "params", "parameter", "parameters", "theta", "x"), "w"),
        **dict.fromkeys(("learning_rate", "rate", "eta", "step_size", "stepsize"), "lr"),
        **dict.fromkeys(("step", "steps", "iteration", "iterations", "count", "epoch", "time"), "t"),
        **dict.fromkeys(("fraction", "total_steps"), "progress"),
        **dict.fromkeys(("losses", "value", "objective"), "loss"),
        **dict.fromkeys(("hessian", "hess", "curvature", "fisher"), ""),
        **dict.fromkeys(("jacobian", "key", "rng", "noise", "batch", "data", "mask", "layer"), ""),
    },
    "drift": {
        **dict.fromkeys(("ratio", "ratios"), "r"),
        **dict.fromkeys(("log_ratio", "logratio", "kl"), "log_r"),
        **dict.fromkeys(("adv", "advantage", "advantages"), "a"),
        **dict.fromkeys(("t", "step", "time"), "progress"),
    },
}
"""What optimizers are often given under other names, by dialect: the input that is meant, or "" where there is none."""

KEPT = {
    *("jax", "jnp", "optax", "shape", "spread", "clip_to", "transform", "update", "PROGRAMS", "LIMITS"),
    *("learning_rate", "total_steps", "mask", "state_dtype", "leaf_classes", "Any", "NamedTuple"),
}
"""Names that exported files and `to_optax` use themselves; a program may not."""


def vocabulary_table() -> str:
    """Return the vocabulary as a Markdown table (`rulesmith vocabulary` prints it)."""
    result = {
        Kind.ELEMENTWISE: "join of arguments",
        Kind.LEAF: "scalar",
        Kind.TREE: "scalar",
        Kind.ROW: "row",
        Kind.COLUMN: "column",
        Kind.MATRIX: "full",
        Kind.TREE_SCALED: "shape of x",
    }
    narrow = {
        Kind.ELEMENTWISE: "the same for every leaf",
        Kind.LEAF: "over all of the leaf's entries",
        Kind.TREE: "over all leaves' entries",
        Kind.ROW: "a bias has one column: each entry is a row; a convolution's columns are height * width * in",
        Kind.COLUMN: "a bias gives one number; a convolution one for each (height, width, in)",
        Kind.MATRIX: "a bias becomes 0.7 to 1.2 times x ÷ ‖x‖; a convolution is (height * width * in) x out",
        Kind.TREE_SCALED: "the same for every leaf",
    }
    lines = [
        "| word | means | result | outside its domain | cost | biases and convolutions |",
        "|---|---|---|---|---|---|",
    ]
    for function in _ALL:
        call = f"{function.name}({', '.join(function.parameters)})"
        if function.name == "where":
            call = "where(a > b, x, y)"
        if function.symbol:
            call += f", `{function.symbol}`"
        meaning = function.meaning.replace("|", "\\|")
        outside = function.outside.replace("|", "\\|")
        row = [call, meaning, result[function.kind], outside, str(function.cost), narrow[function.kind]]
        lines.append("| " + " | ".join(row) + " |")
    for name, value in NUMBERS.items():
        lines.append(f"| {name} | {value:.10g} | scalar |  | 0 | the same for every leaf |")
    for name, meaning in SIZES.items():
        lines.append(f"| {name} | {meaning} | scalar |  | 0 | from the leaf's shape |")
    for dialect in DIALECTS.values():
        for name, meaning in dialect.inputs.items():
            lines.append(f"| {name} | {meaning} | {INPUT_SHAPES[name].label} |  | 0 | input of {dialect.function} |")
    return "\n".join(lines)
