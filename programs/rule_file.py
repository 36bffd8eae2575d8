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
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from .errors import ProgramError, RulesmithError, nearest
from .parsing import MAX_BYTES
from .program import Program
from .rule import Rule

_KEYS = {"name", "kind", "description", "program", "programs", "tuning", "provenance", "evidence"}
MAX_FILE_BYTES = 10 * MAX_BYTES
PUBLISHED = Path(__file__).parents[1] / "results" / "rules"
"""Where the rules that rulesmith ships stand."""


def published() -> dict[str, Path]:
    """Return the published rules' files by name, in alphabetical order."""
    return {path.stem: path for path in sorted(PUBLISHED.glob("*.toml"))}


def find(rule: str) -> Rule:
    """Return a published rule by name, or the rule in a file.

    Raises:
        RulesmithError: there is no such rule, or the file is no rule file; in one line.
    """
    known = published()
    if rule in known:
        return read(known[rule])
    if rule.endswith(".toml") or Path(rule).exists():
        return read(Path(rule))
    hint = "give a published rule (see `rulesmith rules`), a rule file or a run"
    raise RulesmithError(f"no rule {rule!r}{nearest(rule, known)}: {hint}")


def read(path: Path) -> Rule:
    """Return the rule in a file.

    Raises:
        RulesmithError: there is no such file, or it is no rule file; one line that says what is wrong and where.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RulesmithError(f"{path}: {path.stat().st_size:,} bytes; a rule file has at most {MAX_FILE_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise RulesmithError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return loads(data.decode())
    except UnicodeDecodeError:
        raise RulesmithError(f"{path}: not a text file in UTF-8") from None
    except RulesmithError as error:
        raise type(error)(f"{path}: {error}") from None


def loads(text: str) -> Rule:
    """Return the rule that the text of a rule file describes; raises as `read` does."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise RulesmithError(f"not TOML: {' '.join(str(error).split())[:200]}") from None
    for key in table:
        if key not in _KEYS:
            raise RulesmithError(f"unknown key {key!r}{nearest(key, _KEYS)}")
    if table.get("kind") != "optimizer":
        raise RulesmithError(f'kind is {table.get("kind")!r}; this version reads kind = "optimizer"')
    texts = {"all": table["program"]} if "program" in table else table.get("programs")
    if not isinstance(texts, dict) or ("program" in table) == ("programs" in table):
        raise RulesmithError("a rule file has either 'program' or a table [programs] with 'matrix' and 'other'")
    programs = {}
    for label, body in texts.items():
        if not isinstance(body, str):
            raise RulesmithError(f"the program of {label!r} leaves is not a string")
        try:
            programs[label] = Program.parse(body)
        except ProgramError as error:
            raise ProgramError(f"program{'' if label == 'all' else ' ' + label}, {error}") from None
    ranges = {name: _range(name, value) for name, value in _table(table, "tuning").items()}
    description = table.get("description", "")
    if not isinstance(table.get("name"), str) or not isinstance(description, str):
        raise RulesmithError("'name' must be there and be a string, and so must 'description' if it is there")
    return Rule(
        name=table["name"],
        programs=programs,
        description=" ".join(description.split()),
        learning_rate=ranges.pop("learning_rate", None),
        ranges=ranges,
        provenance=_table(table, "provenance"),
        evidence=_table(table, "evidence"),
    )


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise RulesmithError(f"{key!r} must be a table: [{key}]")
    return value


def _range(name: str, value: Any) -> tuple[float, float]:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(v) in (int, float) for v in value)
    if not numbers or not 0 < value[0] <= value[1] < float("inf"):
        raise RulesmithError(f"the range of {name!r} must be [low, high] with 0 < low <= high")
    return (float(value[0]), float(value[1]))


def dumps(rule: Rule) -> str:
    """Return the text of the rule's file; `loads` of it gives an equal rule."""
    import tomli_w

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


def write(rule: Rule, path: Path) -> None:
    """Write the rule's file, whole or not at all."""
    write_text(path, dumps(rule))


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        RulesmithError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RulesmithError(f"{path}: cannot be written: {error.strerror}") from None
