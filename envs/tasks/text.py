"""Character language models on excerpts of CPython 3.11: its documentation, its source, its docstrings.

The excerpts are part of this package, since the texts differ between versions of Python; `texts/README` says what
they are and under which license.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from ...programs import RulesmithError
from ..models import CharGru, CharMlp, CharTransformer
from .task import Examples, Splits, Task, cross_entropy

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz.,:;'\"()[]_=-*`/#0"
"""Letters count in lower case, every digit as 0, and any other character as the last class."""

_DIGESTS = {
    "topics": "8cfc46251da6ac54",
    "source": "9f0971a0449a475b",
    "docstrings": "a2941721eedb6ff4",
}


@functools.cache
def tokens(name: str) -> np.ndarray:
    """Return the excerpt as classes 0 to 47, int32.

    Raises:
        RulesmithError: the file is not the one that the project ships.
    """
    data = (Path(__file__).parent.parent / "texts" / f"{name}.txt").read_bytes()
    if hashlib.blake2b(data, digest_size=8).hexdigest() != _DIGESTS[name]:
        raise RulesmithError(f"the text {name!r} is not the one that rulesmith ships; reinstall rulesmith")
    table = np.full(128, len(ALPHABET), np.int32)
    for i, character in enumerate(ALPHABET):
        table[ord(character)] = table[ord(character.upper())] = i
    table[ord("0") : ord("9") + 1] = ALPHABET.index("0")
    return table[np.frombuffer(data, np.uint8)]


VOCABULARY = len(ALPHABET) + 1


def windows(name: str, context: int, stride: int, *, last_only: bool, most: int = 512) -> Splits:
    """Return windows of `context` characters and what follows: each next character, or only the last one.

    The text is cut in three: the first 80% is for training, then 10% each; at most `most` windows of those are used.
    """
    text = tokens(name)
    cuts = [0, int(0.8 * len(text)), int(0.9 * len(text)), len(text)]
    parts = []
    for begin, end in itertools.pairwise(cuts):
        part = np.lib.stride_tricks.sliding_window_view(text[begin:end], context + 1)[::stride]
        if begin and len(part) > most:
            part = part[np.linspace(0, len(part) - 1, most).astype(int)]
        targets = part[:, -1] if last_only else part[:, 1:]
        parts.append(Examples(np.ascontiguousarray(part[:, :-1]), np.ascontiguousarray(targets)))
    return Splits(*parts)


def _models(text: str) -> list[Task]:
    def task(name: str, model: Any, steps: int, context: int, batch_size: int) -> Task:
        last_only = isinstance(model, CharMlp)
        stride = 3 if last_only else context // 2
        splits = functools.partial(windows, text, context, stride, last_only=last_only)
        return Task(f"{text}-{name}", text, splits, model, cross_entropy, steps, batch_size)

    v = VOCABULARY
    return [
        task("mlp-2k", CharMlp(v, 4, (20,)), 250, 8, 32),
        task("mlp-20k", CharMlp(v, 12, (112, 40)), 500, 8, 64),
        task("mlp-200k", CharMlp(v, 32, (448, 160)), 1000, 8, 64),
        task("gru-2k", CharGru(v, 6, 13), 200, 24, 16),
        task("gru-20k", CharGru(v, 24, 56), 400, 24, 16),
        task("gru-200k", CharGru(v, 64, 216), 800, 24, 16),
        task("transformer-2k", CharTransformer(v, 8, 1, 1), 200, 24, 16),
        task("transformer-20k", CharTransformer(v, 28, 2, 2), 400, 24, 16),
        task("transformer-200k", CharTransformer(v, 72, 3, 4), 800, 24, 16),
    ]


TASKS = [task for text in _DIGESTS for task in _models(text)]
