"""Character models on texts of CPython: its documentation, its source, its docstrings, and the names of characters.

The first three are excerpts of CPython 3.11 in this package, since they differ between versions of Python;
`texts/README` says what they are and under which license. The names are Unicode 3.2's, which every Python has.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..models import CharGru, CharMlp, CharTransformer
from .family import family
from .sources import check_digest, shuffled
from .task import Examples, Splits, Task, cross_entropy

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz.,:;'\"()[]_=-*`/#0"
"""Letters count in lower case, every digit as 0, and any other character as the last class."""

VOCABULARY = len(ALPHABET) + 1
CONTEXT, LAST = 24, 8
"""Characters that a recurrent net or a transformer reads, and that a network reads which predicts one character."""
_DIGESTS = {
    "topics": "d55ae72432d84f08",
    "source": "dac5f676da1d7b3b",
    "docstrings": "85cb53d39fea0bc4",
    "names": "cef0070df07bdddf",
}


@functools.cache
def tokens(name: str) -> np.ndarray:
    """Return a text as classes 0 to 47, int32."""
    table = np.full(256, len(ALPHABET), np.int32)
    for i, character in enumerate(ALPHABET):
        table[ord(character)] = table[ord(character.upper())] = i
    table[ord("0") : ord("9") + 1] = ALPHABET.index("0")
    text = _names() if name == "names" else (Path(__file__).parent.parent / "texts" / f"{name}.txt").read_bytes()
    found = table[np.frombuffer(text, np.uint8)]
    check_digest(f"the {name} of CPython", _DIGESTS[name], found)
    return found


def _names() -> bytes:
    """Return the names of Unicode's characters, but for the thousands that are numbered, a line each."""
    known = (unicodedata.ucd_3_2_0.name(chr(i), "") for i in range(0x110000))
    names = [name for name in known if name and not name.startswith(("CJK ", "HANGUL SYLLABLE"))]
    return "\n".join(shuffled(names)).encode("ascii")


def windows(
    tokens: np.ndarray, context: int, stride: int, *, last_only: bool, most: int = 512, beat: int = 1
) -> Splits:
    """Return windows of `context` tokens and what follows: each next token, or only the last one.

    The text is cut in three: the first 80% is for training, then 10% each; at most `most` windows of those are used,
    and eight times as many if only the last token counts.

    Where tokens come in beats, each part begins with one: networks learn what a place in the beat means, and would be
    tested on something else if the places were shifted.
    """
    cuts = [0, *(-(-int(part * len(tokens)) // beat) * beat for part in (0.8, 0.9)), len(tokens)]
    most = 8 * most if last_only else most
    parts = []
    for begin, end in itertools.pairwise(cuts):
        part = np.lib.stride_tricks.sliding_window_view(tokens[begin:end], context + 1)[::stride]
        if begin and len(part) > most:
            part = part[np.linspace(0, len(part) - 1, most).astype(int)]
        targets = part[:, -1] if last_only else part[:, 1:]
        parts.append(Examples(np.ascontiguousarray(part[:, :-1]), np.ascontiguousarray(targets)))
    return Splits(*parts)


def _last(name: str) -> Splits:
    return windows(tokens(name), LAST, 3, last_only=True)


def _each(name: str) -> Splits:
    return windows(tokens(name), CONTEXT, CONTEXT // 2, last_only=False)


def _models(text: str) -> list[Task]:
    def of(kind: str, splits: Callable[[str], Splits], network: Callable[[int], object], **rest: Any) -> list[Task]:
        return family(f"{text}-{kind}", text, functools.partial(splits, text), network, cross_entropy, **rest)

    v = VOCABULARY
    return [
        *of(
            "mlp",
            _last,
            lambda w: CharMlp(v, max(4, w // 5), (w, w)),
            widths=(20, 78, 268, 870),
            steps=250,
            batch_size=64,
        ),
        *of(
            "gru",
            _each,
            lambda w: CharGru(v, max(6, w // 3), w),
            widths=(13, 62, 216, 700),
            steps=200,
            batch_size=16,
        ),
        *of(
            "transformer",
            _each,
            lambda w: CharTransformer(v, w, 2, 2),
            widths=(6, 26, 88, 286),
            steps=200,
            batch_size=16,
        ),
    ]


TASKS = [task for text in _DIGESTS for task in _models(text)]
