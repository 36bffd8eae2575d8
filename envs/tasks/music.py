"""Music that music21 carries: Irish and American tunes as letters, and Bach's chorales as four voices.

The tunes are O'Neill's (1850 of them) and Ryan's collections in abc notation, encoded by John Chambers and others; the
chorales were encoded by Margaret Greentree. Both are distributed with music21 by permission.
"""

from __future__ import annotations

import functools
import io
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..models import CharGru, GatedTransformer
from .family import family
from .sources import check_digest, folder_of, shuffled
from .task import Splits, cross_entropy
from .text import windows

SIGNS = "\n |ABCDEFGabcdefgz()[]{}<>/.:^=_,'~-\"0123456789uvTMHSK"
"""Any other character is the last class."""
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
LOWEST, HIGHEST = 36, 84
REST, HELD = 0, 1
"""Tokens of a voice that is silent, and of one that holds its note; others are notes that begin."""


@functools.cache
def _tunes() -> np.ndarray:
    """Return the tunes as classes of `SIGNS`, int32."""
    folder = folder_of("music21") / "corpus"
    files = [path for name in ("oneills1850", "ryansMammoth") for path in sorted((folder / name).glob("*.abc"))]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    tunes = []
    for tune in re.split(r"\n(?=X:)", text):
        lines = [line.rstrip("\\ ") for line in tune.splitlines() if not re.match(r"[A-JL-Za-z]:|%", line)]
        tunes.append("\n".join(filter(None, lines)))
    classes = {sign: i for i, sign in enumerate(SIGNS)}
    tokens = np.array([classes.get(sign, len(SIGNS)) for sign in "\n\n".join(shuffled(tunes))], np.int32)
    check_digest("the tunes of music21", "48c93c96f6b1e12e", tokens)
    return tokens


def tunes() -> Splits:
    """Windows of 32 characters, and each next character."""
    return windows(_tunes(), 32, 16, last_only=False)


@functools.cache
def _chorales() -> np.ndarray:
    """Return the chorales of four voices, token by token: at each eighth, soprano, alto, tenor and bass; int32."""
    folder = folder_of("music21") / "corpus" / "bach"
    paths = [folder / name for name in shuffled(sorted(path.name for path in folder.glob("*.mxl")))]
    found = [score for path in paths if (score := voices(path)) is not None]
    tokens = np.concatenate(found)
    check_digest("the chorales of music21", "7abbcbc0b80801b2", tokens)
    return tokens


def voices(path: Path) -> np.ndarray | None:
    """Return the tokens of a score, four at each eighth, int32; None if it has not four parts."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("xml") and not name.startswith("META"))
        score = ElementTree.parse(io.BytesIO(archive.read(name)))
    parts = [_voice(part) for part in score.iter("part")]
    if len(parts) != 4:
        return None
    length = max(map(len, parts))
    rows = np.array([[*part, *[REST] * (length - len(part))] for part in parts], np.int32)
    return rows.T.reshape(-1)


def _voice(part: ElementTree.Element) -> list[int]:
    """Return the token at each eighth of a part, by its first voice."""
    divisions, at, tokens = 1, 0, list[int]()
    for element in part.iter():
        if element.tag == "divisions":
            divisions = int(element.text or 1)
        if element.tag == "backup" or (element.tag == "note" and element.find("chord") is not None):
            continue
        if element.tag not in ("note", "forward") or element.findtext("voice", "1") != "1":
            continue
        end = at + int(element.findtext("duration") or 0)
        first, last = -(-2 * at // divisions), -(-2 * end // divisions)
        tied = any(tie.get("type") == "stop" for tie in element.iter("tie"))
        for eighth in range(first, last):
            tokens.append(_token(element) if eighth == first and not tied else HELD)
        at = end
    return tokens


def _token(note: ElementTree.Element) -> int:
    pitch = note.find("pitch")
    if pitch is None:
        return REST
    octave, step = int(pitch.findtext("octave") or 0), STEPS[pitch.findtext("step") or "C"]
    midi = 12 * (octave + 1) + step + int(pitch.findtext("alter") or 0)
    return 2 + min(max(midi, LOWEST), HIGHEST) - LOWEST


def chorales() -> Splits:
    """Windows of 32 tokens, which are eight eighths of four voices, and each next token; all begin on a half note."""
    return windows(_chorales(), 32, 16, last_only=False, beat=16)


_TOKENS = 2 + HIGHEST - LOWEST + 1

TASKS = [
    *family(
        "tunes-gru",
        "tunes",
        tunes,
        lambda w: CharGru(len(SIGNS) + 1, max(4, w // 3), w),
        cross_entropy,
        widths=(14, 62, 214, 697),
        steps=150,
        batch_size=24,
    ),
    *family(
        "chorales-transformer",
        "chorales",
        chorales,
        lambda w: GatedTransformer(_TOKENS, w, 2, 2),
        cross_entropy,
        widths=(6, 26, 88, 286),
        steps=150,
        batch_size=16,
    ),
]
