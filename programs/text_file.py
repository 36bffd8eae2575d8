"""Text files that others wrote, read as data: little memory and time, whatever is in them, and errors of one line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .errors import RulesmithError

_Read = TypeVar("_Read")
MAX_FILE_BYTES = 200_000
MAX_TABLE_DEPTH = 20
"""Levels of tables and lists in TOML, at most: what is read can be written again, which takes recursion."""
MAX_MESSAGE = 500
"""Characters of an error, at most, without the file's path."""
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{0,5}'
    r"|'''(?:[^']|'(?!''))*+'{0,5}"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
"""A string of TOML, closed or not, or a comment."""
_DEEP_KEY = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MAX_TABLE_DEPTH},}}", re.ASCII)


def read(path: Path, most: int, meaning: Callable[[str], _Read]) -> _Read:
    """Return what a file of at most so many bytes means.

    Raises:
        RulesmithError: there is no such file, it is too large, no text, or `meaning` refuses it; names the file.
    """
    try:
        with path.open("rb") as file:  # not by its size: that of a device or a pipe is 0
            data = file.read(most + 1)
    except OSError as error:
        raise RulesmithError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise RulesmithError(f"{path}: more than {most:,} bytes, which is too large to be read")
    try:
        return meaning(data.decode())
    except UnicodeDecodeError:
        raise RulesmithError(f"{path}: not a text file in UTF-8") from None
    except RulesmithError as error:
        raise type(error)(f"{path}: {one_line(error)}") from None


def toml(text: str) -> dict[str, Any]:
    """Return the table that a text of TOML describes.

    Raises:
        RulesmithError: it is no TOML, or its tables are nested too deeply.
    """
    # Found before the text is parsed: that takes memory by the square of a dotted key's parts, 40 GB in MAX_FILE_BYTES.
    if _DEEP_KEY.search(_STRING.sub("string", text)):
        raise RulesmithError(f"a dotted key of too many parts; at most {MAX_TABLE_DEPTH} are allowed")
    try:
        table = tomllib.loads(text)
    except (RecursionError, ValueError) as error:
        raise RulesmithError(f"not TOML: {one_line(error)}") from None
    if _depth(table) > MAX_TABLE_DEPTH:
        raise RulesmithError(f"tables in tables, nested too deeply; at most {MAX_TABLE_DEPTH} levels are allowed")
    return table


def _depth(table: Any) -> int:
    """Return how deeply tables and lists are nested, counted up to one level more than is allowed."""
    depth, level = 0, [table]
    while level and depth <= MAX_TABLE_DEPTH:
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [value for values in inner for value in values]
        depth += bool(inner)
    return depth


def one_line(error: Exception) -> str:
    """Return what an error says as one line that can be printed, cut where it quotes much of a file."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(str(error).split()))
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."
