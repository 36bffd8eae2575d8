"""Rule files: TOML, read as data. Nothing in one is ever executed.

```toml
name = "lion"
kind = "optimizer"
description = "the sign of an interpolated momentum"
program = '''
def update(w, g, m, lr, b1=0.9, b2=0.99, weight_decay=0.001):
    ...
'''

[tuning]                        # ranges worth searching
learning_rate = [1e-5, 1e-1]

[provenance]
origin = "Chen et al. 2023"
```

A rule for two classes of leaves has a table `[programs]` with `matrix` and `other` instead of `program`.

An objective has `kind = "drift"` or `"lpg"`, and either a `program` (of a drift) or a table `[arrays]` with the shape
of each array of its network; the arrays are in a safetensors file beside it, of the same name.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import text_file
from .errors import ProgramError, RulesmithError, nearest
from .folding import fits
from .objective import OBJECTIVE_KINDS, Objective
from .parsing import MAX_BYTES, parse
from .program import Program
from .rule import Rule

_KEYS = {"name", "kind", "description", "program", "programs", "tuning", "provenance", "evidence"}
_OBJECTIVE_KEYS = {"name", "kind", "description", "program", "arrays", "agent", "provenance", "evidence"}
MAX_ARRAY_BYTES = 50_000_000
"""Bytes of a file with a network's arrays, at most; the networks that are shipped take 80,000."""
PUBLISHED = Path(__file__).parents[1] / "results" / "rules"
"""Folder of the optimizers that rulesmith ships."""
PUBLISHED_OBJECTIVES = PUBLISHED.parent / "objectives"
"""Folder of the objectives that rulesmith ships."""


def published() -> dict[str, Path]:
    """Return the published optimizers' files by name, in alphabetical order."""
    return {path.stem: path for path in sorted(PUBLISHED.glob("*.toml"))}


def published_objectives() -> dict[str, Path]:
    """Return the published objectives' files by name, in alphabetical order."""
    return {path.stem: path for path in sorted(PUBLISHED_OBJECTIVES.glob("*.toml"))}


@functools.cache
def cards() -> dict[str, dict[str, Any]]:
    """Return the cards of published optimizers by name; see `results.cards`."""
    return json.loads((PUBLISHED / "cards.json").read_text(encoding="utf-8"))


def with_card(rule: Rule | Objective) -> Rule | Objective:
    """Return a published rule with its card as the first of its evidence, if it has one."""
    card = cards().get(rule.name, {})
    return replace(rule, evidence={**card, **rule.evidence}) if card else rule


def find_optimizer(rule: str) -> Rule:
    """Return an optimizer; raises as `find` does, and for a rule of another kind."""
    found = find(rule)
    if isinstance(found, Objective):
        raise RulesmithError(f"{rule} is an objective of reinforcement learning ({found.kind}); give an optimizer")
    return found


def find_objective(rule: str) -> Objective:
    """Return an objective; raises as `find` does, and for a rule of another kind."""
    found = find(rule)
    if isinstance(found, Rule):
        raise RulesmithError(f"{rule} is an optimizer; give an objective of reinforcement learning")
    return found


def find(rule: str) -> Rule | Objective:
    """Return a published rule by name, or the rule in a file.

    Raises:
        RulesmithError: there is no such rule, or the file is no rule file; in one line.
    """
    known = published() | published_objectives()
    if rule in known:
        return with_card(read(known[rule]))
    if rule.endswith(".toml") or Path(rule).exists():
        return read(Path(rule))
    hint = "give a published rule (see `rulesmith rules`), a rule file or a run"
    raise RulesmithError(f"no rule {rule!r}{nearest(rule, known)}: {hint}")


def read(path: Path) -> Rule | Objective:
    """Return the rule in a file: a rule file, or the text of one program, in a file that ends in .py.

    Raises:
        RulesmithError: there is no such file, or it is no rule file; one line that says what is wrong and where.
    """
    if path.suffix == ".py":
        program, name = read_program(path), path.stem.replace("_", "-")
        return Objective(name, "drift", program=program) if program.kind == "drift" else Rule(name, {"all": program})
    return text_file.read(path, text_file.MAX_FILE_BYTES, lambda text: loads(text, path.with_suffix(".safetensors")))


def read_program(path: Path) -> Program:
    """Return the program whose text is a file; raises as `read` does."""
    return text_file.read(path, MAX_BYTES, lambda text: parse(text, finite=True))


def loads(text: str, arrays: Path | None = None) -> Rule | Objective:
    """Return the rule that the text of a rule file describes; raises as `read` does.

    Args:
        text: the text of the rule file.
        arrays: the file with the arrays of a network.
    """
    table = text_file.toml(text)
    kind = table.get("kind")
    keys = _OBJECTIVE_KEYS if kind in OBJECTIVE_KINDS else _KEYS
    for key in table:
        if key not in keys:
            raise RulesmithError(f"unknown key {key!r}{nearest(key, keys)}")
    if kind in OBJECTIVE_KINDS:
        return _objective(table, arrays)
    if kind != "optimizer":
        raise RulesmithError(f"kind is {kind!r}; it is one of optimizer, {', '.join(OBJECTIVE_KINDS)}")
    texts = {"all": table["program"]} if "program" in table else table.get("programs")
    if not isinstance(texts, dict) or ("program" in table) == ("programs" in table):
        raise RulesmithError("a rule file has either 'program' or a table [programs] with 'matrix' and 'other'")
    programs = {}
    for label, body in texts.items():
        if not isinstance(body, str):
            raise RulesmithError(f"the program of {label!r} leaves is not a string")
        try:
            programs[label] = parse(body, finite=True)
        except ProgramError as error:
            raise ProgramError(f"program{'' if label == 'all' else ' ' + label}, {error}") from None
        if programs[label].kind != "update":
            raise ProgramError(f"program, line 1: an optimizer's function is 'update', not {programs[label].kind!r}")
    ranges = {name: _range(name, value) for name, value in _table(table, "tuning").items()}
    name, description = _name(table)
    return Rule(
        name=name,
        programs=programs,
        description=description,
        learning_rate=ranges.pop("learning_rate", None),
        ranges=ranges,
        provenance=_table(table, "provenance"),
        evidence=_table(table, "evidence"),
    )


def _name(table: dict[str, Any]) -> tuple[str, str]:
    """Return name and description."""
    name, description = table.get("name"), table.get("description", "")
    if not isinstance(name, str) or not isinstance(description, str):
        raise RulesmithError("'name' must be there and be a string, and so must 'description' if it is there")
    return name, " ".join(description.split())


def _objective(table: dict[str, Any], path: Path | None) -> Objective:
    name, description = _name(table)
    program, shapes = None, _table(table, "arrays")
    if "program" in table:
        try:
            program = parse(str(table["program"]), finite=True)
        except ProgramError as error:
            raise ProgramError(f"program, {error}") from None
    return Objective(
        name=name,
        kind=table["kind"],
        program=program,
        arrays=_arrays(path, shapes) if shapes else {},
        description=description,
        agent=_table(table, "agent"),
        provenance=_table(table, "provenance"),
        evidence=_table(table, "evidence"),
    )


def _arrays(path: Path | None, shapes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of a network from the file beside its rule file."""
    if path is None or not path.is_file():
        raise RulesmithError(f"its arrays are missing: there is no file {path} beside it")
    found = read_arrays(path)
    for name in {*found, *shapes}:
        got = list(found[name].shape) if name in found else None
        if got != shapes.get(name):
            raise RulesmithError(f"array {name!r}: the rule file says {shapes.get(name)!r}, {path.name} has {got}")
    return found


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a network, float32, from a safetensors file. It is plain data; reading it runs nothing.

    Raises:
        RulesmithError: it is no such file, or too large.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > MAX_ARRAY_BYTES:
            raise RulesmithError(f"{path.name}: more than {MAX_ARRAY_BYTES:,} bytes, which is too large to be read")
        with safe_open(path, "numpy") as file:
            names = list(file.keys())
            for name in names:
                kind = file.get_slice(name).get_dtype()
                if kind not in ("F16", "F32", "F64"):
                    raise RulesmithError(f"array {name!r} of {path.name} is of {kind}; give float32")
            with np.errstate(over="ignore"):
                return {name: file.get_tensor(name).astype(np.float32) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise RulesmithError(f"{path.name} is not a safetensors file: {error}") from None


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise RulesmithError(f"{key!r} must be a table: [{key}]")
    return value


def _range(name: str, value: Any) -> tuple[float, float]:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(v) in (int, float) for v in value)
    if not numbers or not 0 < value[0] <= value[1] or not fits(value[1]):
        raise RulesmithError(f"the range of {name!r} must be [low, high] with 0 < low <= high, below 3.4e38")
    return (float(value[0]), float(value[1]))


def dumps(rule: Rule | Objective) -> str:
    """Return the text of the rule's file; `loads` of it gives an equal rule."""
    import tomli_w

    if isinstance(rule, Objective):
        shown: dict[str, Any] = {"name": rule.name, "kind": rule.kind, "description": rule.description}
        if rule.program is not None:
            shown["program"] = rule.program.to_text()
        shapes = {name: list(array.shape) for name, array in rule.arrays.items()}
        for key, value in (
            ("arrays", shapes),
            ("agent", rule.agent),
            ("provenance", rule.provenance),
            ("evidence", rule.evidence),
        ):
            if value:
                shown[key] = dict(value)
        return tomli_w.dumps(shown, multiline_strings=True)
    table: dict[str, Any] = {"name": rule.name, "kind": "optimizer", "description": rule.description}
    texts = {label: program.to_text() for label, program in rule.programs.items()}
    if "all" in texts:
        table["program"] = texts["all"]
    else:
        table["programs"] = texts
    tuning: dict[str, Any] = {name: list(value) for name, value in rule.ranges.items()}
    if rule.learning_rate:
        tuning = {"learning_rate": list(rule.learning_rate), **tuning}
    for key, value in (("tuning", tuning), ("provenance", rule.provenance), ("evidence", rule.evidence)):
        if value:
            table[key] = dict(value)
    return tomli_w.dumps(table, multiline_strings=True)


def write(rule: Rule | Objective, path: Path) -> None:
    """Write the rule's file, and the arrays of a network beside it, each whole or not at all."""
    if isinstance(rule, Objective) and rule.arrays:
        write_arrays(rule, path.with_suffix(".safetensors"))
    write_text(path, dumps(rule))


def write_arrays(objective: Objective, path: Path) -> None:
    """Write the arrays of a network as safetensors."""
    from safetensors.numpy import save

    write_bytes(path, save(dict(objective.arrays)))


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all; raises as `write_bytes` does."""
    write_bytes(path, text.encode())


def check_writable(path: Path) -> None:
    """Raise RulesmithError unless a file can be written there; called before long work, so that it fails at once."""
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise RulesmithError(f"{path}: cannot be written: {path.parent} is not a writable folder")
    if path.is_dir():
        raise RulesmithError(f"{path}: cannot be written: it is a folder")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        RulesmithError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RulesmithError(f"{path}: cannot be written: {error.strerror}") from None
