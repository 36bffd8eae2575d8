"""Rules as files of Python that need only jax and optax.

An exported file is put together from source that is tested here: the helpers of `operations`, the transform of
`transform`, and the program written as the very operations that `compiler` traces. So it gives the same jaxpr.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import subprocess
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import leaves, transform
from .analysis import has_tree_functions
from .compiler import JAX, Backend, leaf_program, limits, plan, reads
from .program import Operand, Program, body_lines, call_node
from .vocabulary import NUMBERS, SIZES

if TYPE_CHECKING:
    from .rule import Rule


def format_source(source: str) -> str:
    """Return Python source, formatted."""
    from ruff import find_ruff_bin

    command = [find_ruff_bin(), "format", "--isolated", "--line-length", "100", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


def _number(value: float) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)


def _call(function: str, *operands: ast.expr) -> ast.expr:
    return ast.Call(ast.parse(function, mode="eval").body, list(operands), [])


def update_source(program: Program, name: str = "update", backend: Backend = JAX) -> str:
    """Return the source of the function of one leaf, the written twin of `compiler.update_function`."""
    steps = plan(program)
    own = program.input_names

    def leaf(operand: Operand) -> ast.expr:
        if not isinstance(operand, str):
            return _number(operand)
        if operand in NUMBERS and operand not in own:
            return _number(NUMBERS[operand])
        return _call(operand, ast.Name("shape")) if operand in SIZES else ast.Name(operand)

    def call(i: int, operands: list[ast.expr]) -> ast.expr:
        step = steps[i]
        values = [
            _call(backend.tensor, o) if wrap else o for o, wrap in zip(operands, backend.wraps(step), strict=True)
        ]
        wide = [
            _call("spread", o, ast.Name("shape")) if spread else o
            for o, spread in zip(values, step.spread, strict=True)
        ]
        match step.function:
            case "global_norm":
                return _call("norm", ast.Yield(_call("norm", *wide)))
            case "global_dot":
                return _call(f"{backend.name}.sum", ast.Yield(_call("dot", *wide)))
            case "clip_by_global_norm":
                return _call("clip_to", *values, _call("norm", ast.Yield(_call("norm", wide[0]))))
        if step.operator:
            return call_node(step.function, wide)
        return _call(step.function if backend.own(step) else f"{backend.name}.{step.function}", *wide)

    arguments = [
        *(n for n in reads(program) if n != "shape"),
        *(slot.name for slot in program.states),
        *(hyper for hyper, _ in program.hyperparameters),
        *(["shape"] if "shape" in reads(program) else []),
    ]
    lines = body_lines(program, leaf, call)
    if len(program.returns) == 1:
        lines[-1] += ","  # a tuple in any case
    return f"def {name}({', '.join(arguments)}):\n" + textwrap.indent("\n".join(lines), "    ") + "\n"


def helpers_of(sources: list[str], backend: Backend = JAX) -> str:
    """Return the source of the words that sources call, and of the functions that these call in turn."""
    known = {name: f for name, f in vars(backend.words).items() if inspect.isfunction(f)}
    wanted: set[str] = set()
    queue = [*sources]
    while queue:
        for name in re.findall(r"(?<!torch\.)\b(\w+)\(", queue.pop()):
            if name in known and name not in wanted:
                wanted.add(name)
                queue.append(inspect.getsource(known[name]))
    return "\n\n".join(inspect.getsource(f) for name, f in known.items() if name in wanted)


def program_source(program: Program) -> str:
    """Return runnable source of a program's function of one leaf; see `Program.to_python`."""
    source = update_source(program)
    if has_tree_functions(program):
        source = (
            "# A generator: it yields its leaf's share of a number over all leaves, and is sent the sum.\n" + source
        )
    return format_source(f"import jax\nimport jax.numpy as jnp\n\n\n{helpers_of([source])}\n\n{source}")


def docstring(
    name: str,
    description: str,
    programs: list[tuple[str, str]],
    provenance: Mapping[str, Any],
    evidence: Mapping[str, Any],
    note: str = "",
) -> str:
    """Return the docstring of an exported file. It is escaped, so that no text of a rule can end it early.

    Args:
        name: the rule's name.
        description: the rule's description.
        programs: title and text of each program.
        provenance: the rule's provenance.
        evidence: the rule's evidence.
        note: one more paragraph.
    """
    parts = [f"{name}: {description}" if description else name]
    parts += [title + "\n\n" + textwrap.indent(text.rstrip(), "    ") for title, text in programs]
    for title, table in (("Origin", provenance), ("Evidence", evidence)):
        if table:
            parts.append(f"{title}:\n" + "\n".join(f"    {key}: {value}" for key, value in table.items()))
    parts.append(f"{note} Written by `rulesmith export`.".strip())
    text = "\n\n".join(parts)
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return '"""' + text.replace("\\", "\\\\").replace('"""', "'''").rstrip('"') + '\n"""\n'


def program_titles(rule: Rule) -> list[tuple[str, str]]:
    """Return the title and the text of each of a rule's programs, for `docstring`."""
    return [
        ("The program:" if label == "all" else f"The program for {label} leaves:", program.to_text())
        for label, program in rule.programs.items()
    ]


def rates_note(rule: Rule) -> str:
    """Return the learning rates to try as a sentence, with a space behind it; "" where they are not known."""
    return "Learning rates to try: {:g} to {:g}. ".format(*rule.learning_rate) if rule.learning_rate else ""


def limits_source(bounds: Mapping[str, tuple[float, float]]) -> str:
    """Return the source of the limits of hyperparameters, a dictionary."""
    return "{" + ", ".join(f"{name!r}: ({low!r}, {_literal(high)})" for name, (low, high) in bounds.items()) + "}"


def rule_source(rule: Rule) -> str:
    """Return a rule as the text of a Python module with one function that makes its optax transform."""
    sources, entries, bounds = [], [], {}
    for label, program in rule.programs.items():
        name = "update" if label == "all" else f"update_{label}"
        sources.append(update_source(program, name))
        part = leaf_program(program)
        entries.append(f"{label!r}: LeafProgram({name}, {', '.join(map(repr, part[1:]))})")
        bounds |= limits(program)
    defaults = [f"{name}={value!r}" for name, value in rule.hyperparameters.items()]
    steps = "total_steps" if rule.needs_total_steps else "total_steps=None"
    signature = ", ".join(
        ["learning_rate", *defaults, "*", steps, "mask=None", "state_dtype=None", "leaf_classes=None"]
    )
    values = "{" + ", ".join(f"{name!r}: {name}" for name in rule.hyperparameters) + "}"
    options = "length of the training" if rule.needs_total_steps else "not used"
    text = f'''"""Return the optax transform.

    learning_rate: number or schedule; mask: leaves with weight decay; state_dtype: type of the states;
    leaf_classes: which leaves are matrices, see `classified`; total_steps: {options}.
    """'''
    note = f"{rates_note(rule)}The update that a program returns is subtracted from the weights."
    arguments = f"PROGRAMS, learning_rate, {values}, LIMITS, total_steps, mask, state_dtype, leaf_classes"
    parts = [
        docstring(rule.name, rule.description, program_titles(rule), rule.provenance, rule.evidence, note),
        _IMPORTS,
        *sources,
        f"def {rule.function_name}({signature}):\n    {text}\n    return transform({arguments})",
        helpers_of(sources),
        "# From here on, what applies any rule to the leaves of a network; at the end, what this one gives it.",
        *map(inspect.getsource, _MACHINERY),
        f"PROGRAMS = {{{', '.join(entries)}}}",
        f"# Of these hyperparameters: the least value, and what they must be below.\nLIMITS = {limits_source(bounds)}",
    ]
    return format_source("\n\n".join(parts))


_IMPORTS = """import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

"""
_MACHINERY = (
    *(transform.RuleState, transform.LeafProgram, transform.transform, transform.number, transform.narrowed),
    *(transform.run_program, transform.run_together),
    *(leaves.LeafView, leaves.is_leaf_class, leaves.per_leaf, leaves.classified, leaves.axes_of_class),
)
"""What every exported optimizer needs beside its programs."""


def _literal(value: float) -> str:
    return repr(value) if math.isfinite(value) else "math.inf"
