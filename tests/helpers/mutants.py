"""Mutated rule files: of the shipped ones, by bytes and by syntax, in a sequence that a seed decides."""

import ast
import copy
import datetime
import random
import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

import tomli_w
from rulesmith.programs.rule_file import published, published_objectives


class Mutant(NamedTuple):
    """A mutated rule file.

    Attributes:
        data: the bytes of the file.
        arrays: the bytes of the file with arrays beside it; empty where there is none.
        how: the name of the function that made it.
    """

    data: bytes
    arrays: bytes
    how: str


CODE = (
    *("open('RAN', 'w')", "__import__('pathlib').Path('RAN').touch()", "exec(\"open('RAN', 'w')\")"),
    *("eval(\"open('RAN', 'w')\")", "(lambda: open('RAN', 'w'))()", "[open('RAN', 'w') for g in 'a']"),
    *("f\"{open('RAN', 'w')}\"", "g.__class__.__base__.__subclasses__()", "__builtins__['open']('RAN', 'w')"),
)
"""Expressions that leave a file RAN in the current folder, were they ever executed."""
NUMBERS = (
    *("9 ** 9 ** 9 ** 9", "1e400", "-1e-400", "0x" + "f" * 300, "9" * 39, "9" * 5_000, "1_0", "1j", "inf", "nan"),
    *("reciprocal(0)", "exp(89)", "1 / 0", "tan(1.5707963267948966)", "1e-45", "-0.0", "0" * 39 + "1"),
)
NESTED = (
    "\n" + "a." * 50_000 + "b = 1\n",
    "(" * 60 + "g" + ")" * 60,
    "-" * 400 + "g",
    "sqrt(" * 39 + "g" + ")" * 39,
    "[" * 5_000,
    "a." * 3_000 + "b=1",
)
PIECES = (
    *("'''", '"""', "\n", "\\", "\x00", "\ud7ff", "é", "\r", "\t", "#", "import os", "return", "yield g", "*w", "**w"),
    *("= 3", "[evidence]", "[[program]]", "kind = 3", "w: row", "g if w else m", "m: col = 3", "where(g > w, g, w)"),
    *("norm(g)", "orthogonalize(w)", "{g for g in w}", "g[0]", "g := w", "lr=lr", "\nupdate = 3\n", "@g\n"),
)
NAMES = ("w", "g", "lr", "m", "v", "u", "r", "a", "sqrt", "interp", "pi", "open", "_x", "__import__", "x" * 70, "def_")
CONSTANTS = (0, 1, -1, 0.5, 1e38, 3.4e38, 1e-45, True, None, "text", b"bytes", 3j, 10**400, ...)
VALUES = (
    *(0, -1, 1, 10**30, 0.1, 1e308, float("inf"), float("nan"), True, "", "text", "x" * 30_000, "a\nb", "\x07", [], {}),
    *([1, 2], [1.0, 2.0], [2, 1], ["a"], [[1], [2]], {"a": {"b": {}}}, datetime.date(2026, 1, 1), datetime.time(1)),
)
KEYS = ("name", "kind", "program", "programs", "tuning", "arrays", "agent", "evidence", "all", "matrix", "", "é", "a b")
LONGEST = 1_000_000
"""Characters of a list that is made by repeating a value, at most: five times more than a file that is read."""
PROGRAM = re.compile(r"'''\n(.*?)'''", re.DOTALL)


def mutants(seed: int, count: int) -> Iterator[Mutant]:
    """Yield `count` mutated rule files."""
    rng, files = random.Random(seed), _shipped()
    texts = [text for text, _ in files]
    made = 0
    while made < count:
        text, arrays = rng.choice(files)
        by = rng.choice((by_bytes, by_bytes, by_syntax, by_syntax, by_table))
        try:
            data = by(text, rng, texts)
        except (ValueError, RecursionError, AttributeError, TypeError):  # such a tree or table cannot be written down
            continue
        made += 1
        if arrays and rng.random() < 0.2:
            arrays = bytes(_damaged(bytearray(arrays), rng, [arrays[:3_000]]))
        yield Mutant(data, arrays, by.__name__)


def _shipped() -> list[tuple[str, bytes]]:
    """Return the text of each shipped rule file, and its arrays, if it has some."""
    paths = [*published().values(), *published_objectives().values()]
    beside = [path.with_suffix(".safetensors") for path in paths]
    return [(path.read_text(), arrays.read_bytes() if arrays.exists() else b"") for path, arrays in zip(paths, beside)]


def by_bytes(text: str, rng: random.Random, others: list[str]) -> bytes:
    """Return the file with some of its bytes flipped, put in, left out, repeated, swapped or spliced with another's."""
    fragments = [rng.choice((*CODE, *NUMBERS, *NESTED, *PIECES)).encode(errors="surrogatepass")]
    return bytes(_damaged(bytearray(text.encode()), rng, [*fragments, rng.choice(others).encode()]))


def _damaged(data: bytearray, rng: random.Random, others: list[bytes]) -> bytearray:
    """Damage bytes; the last of the others is what is spliced to them, all may be put in."""
    for _ in range(rng.choice((1, 1, 1, 2, 5, 30))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 3, 20)))
        match rng.randrange(8):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = bytes([rng.randrange(256)])
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end] * rng.choice((1, 2, 50))
            case 4:
                data[at:] = others[-1][rng.randrange(len(others[-1])) :]
            case 5:
                del data[at:]
            case 6:
                there = rng.randrange(len(data) + 1)
                first, second = data[at:end], data[there : there + end - at]
                data[there : there + end - at], data[at:end] = first, second
            case _:
                data[at:at] = rng.choice(others)
    return data


def by_syntax(text: str, rng: random.Random, others: list[str]) -> bytes:
    """Return the file with a program of another syntax tree; without a program, with another table."""
    programs = list(PROGRAM.finditer(text))
    if not programs:
        return by_table(text, rng, others)
    found = rng.choice(programs)
    donors = [ast.parse(match.group(1)) for match in PROGRAM.finditer(rng.choice(others))]
    tree = ast.parse(found.group(1))
    pool = [node for each in (tree, *donors) for node in ast.walk(each)]
    tree = _Syntax(rng, pool).visit(tree)
    mutated = ast.unparse(tree)
    return (text[: found.start(1)] + mutated + "\n" + text[found.end(1) :]).encode(errors="surrogatepass")


class _Syntax(ast.NodeTransformer):
    """Changes some names, constants, expressions and statements of a program."""

    def __init__(self, rng: random.Random, pool: list[ast.AST]) -> None:
        self.rng = rng
        self.often = rng.choice((0.01, 0.03, 0.1))
        self.expressions = [node for node in pool if isinstance(node, ast.expr)]
        self.statements = [node for node in pool if isinstance(node, ast.stmt)]

    def visit(self, node: ast.AST) -> Any:
        node = super().visit(node)
        if self.rng.random() > self.often:
            return node
        match node:
            case ast.arg() | ast.Name() if self.rng.random() < 0.5:
                field = "arg" if isinstance(node, ast.arg) else "id"
                setattr(node, field, self.rng.choice(NAMES))
                return node
            case ast.expr() if not isinstance(getattr(node, "ctx", None), ast.Store):
                return self.expression(node)
            case ast.stmt():
                other = self.rng.choice(self.statements)
                return self.rng.choice((None, [node, node], [node, other], [other, node], other))
        return node

    def expression(self, node: ast.expr) -> ast.expr:
        """Return an expression in the place of another."""
        rng = self.rng
        match rng.randrange(7):
            case 0:
                return rng.choice(self.expressions)
            case 1:
                return ast.Constant(rng.choice(CONSTANTS))
            case 2:
                return ast.Call(ast.Name(rng.choice(NAMES)), [node] * rng.randrange(4), [])
            case 3:
                operator = rng.choice((ast.Pow, ast.Div, ast.Mult, ast.MatMult, ast.LShift))
                return ast.BinOp(node, operator(), node)
            case 4:
                for _ in range(rng.choice((5, 38, 42, 200))):
                    node = (
                        ast.Call(ast.Name("sqrt"), [node], []) if rng.random() < 0.5 else ast.UnaryOp(ast.USub(), node)
                    )
                return node
            case 5:
                return ast.parse(rng.choice((*CODE, *NUMBERS[:5])), mode="eval").body
            case _:
                return rng.choice(
                    (
                        ast.List([node]),
                        ast.Tuple([node, node]),
                        ast.Compare(node, [ast.Gt()], [node]),
                        ast.IfExp(node, node, node),
                        ast.Attribute(node, "real"),
                        ast.Subscript(node, node),
                        ast.Lambda(ast.arguments([], [], None, [], [], None, []), node),
                    )
                )


def by_table(text: str, rng: random.Random, others: list[str]) -> bytes:
    """Return the file with other keys, values and types in its TOML tables."""
    table, donor = tomllib.loads(text), tomllib.loads(rng.choice(others))
    for _ in range(rng.choice((1, 1, 2, 6))):
        here, key = rng.choice(_places(table))
        match rng.randrange(6):
            case 0:
                here[key] = copy.deepcopy(rng.choice((*VALUES, *CODE, *NUMBERS)))
            case 1 if isinstance(here, dict):
                del here[key]
            case 2 if isinstance(here, dict):
                here[rng.choice((*KEYS, *NAMES, str(key) + "s"))] = here.pop(key)
            case 3:
                there, other = rng.choice(_places(donor))
                here[key] = there[other]
            case 4:
                for _ in range(rng.choice((1, 5, 100))):
                    here[key] = rng.choice(({"a": here[key]}, [here[key]]))
            case _:
                times = rng.choice((2, 3, 60))
                if times * len(repr(here[key])) < LONGEST:
                    here[key] = [here[key]] * times
    return tomli_w.dumps(table, multiline_strings=rng.random() < 0.8).encode(errors="surrogatepass")


def _places(table: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every value in a table."""
    keys = list(table) if isinstance(table, dict) else range(len(table))
    below = [place for key in keys if isinstance(table[key], dict | list) for place in _places(table[key])]
    return [(table, key) for key in keys] + below
