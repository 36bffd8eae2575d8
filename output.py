"""Standard output and standard error as they are: not in UTF-8, on a disk that is full, a pipe that nobody reads.

What an encoding does not have is written in ASCII that reads alike. Where nothing can be written any more, the rest is
dropped and the command goes on, since searches and comparisons keep their results elsewhere; main tells at the end. A
reader that leaves, as in ``rulesmith discover ... | head -4``, has what it wanted: the search goes on to its end, which
is its run directory, and the exit status is that of the search. To stop it, press Ctrl-C.
"""

from __future__ import annotations

import codecs
import io
import os
import unicodedata
from typing import TextIO

_ALIKE = str.maketrans(
    {
        **dict(zip("▁▂▃▄▅▆▇█", "_.-:=+*#")),  # sparklines
        **dict(zip("─━│┃", "--||")),
        **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰╸╺", "+"),
        **dict(zip("–—‘’“”−", "--''\"\"-")),
        **{"±": "+/-", "×": "x", "·": "*", "→": "->", "≤": "<=", "≥": ">=", "≈": "~", "…": "...", "•": "*"},
    }
)


def _alike(error: UnicodeError) -> tuple[str, int]:
    """Handle an error of an encoding: write what reads alike, letters without their accents, ``?`` for the rest."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_ALIKE)
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    return plain.encode("ascii", "replace").decode(), error.end


codecs.register_error("rulesmith-alike", _alike)


class Output(io.TextIOWrapper):
    """A stream that never raises for what it cannot write.

    Attributes:
        failed: whether something could not be written.
        fault: why, in words; empty while nothing failed, or where a reader has left, which is no fault.
    """

    failed = False
    fault = ""

    def write(self, s: str, /) -> int:
        """Write text; what cannot be written is dropped."""
        if not self.failed:
            try:
                return super().write(s)
            except OSError as error:
                self._fail(error)
        return len(s)

    def flush(self) -> None:
        """Write what is in the buffer; what cannot be written is dropped."""
        if not self.failed:
            try:
                super().flush()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failed = True
        self.fault = "" if isinstance(error, BrokenPipeError) else str(error.strerror)


def wrapped(stream: TextIO | None) -> Output:
    """Return an `Output` in the place of a process's own stream, which may be closed (None)."""
    if stream is None:
        nowhere = Output(io.FileIO(os.devnull, "w"), "utf-8")
        nowhere.failed, nowhere.fault = True, "it is closed"
        return nowhere
    buffered, line = stream.isatty(), getattr(stream, "line_buffering", False)
    stream.flush()
    encoding = stream.encoding
    return Output(stream.buffer, encoding, "rulesmith-alike", line_buffering=line or buffered)
