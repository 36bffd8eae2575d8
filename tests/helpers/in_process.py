"""A command of rulesmith in this process, as its own would run it, so that hundreds can be tried."""

import io
import signal
import sys
from typing import NamedTuple

from rulesmith.__main__ import _run


class Done(NamedTuple):
    """What came of a command: its exit status, and what it has written."""

    status: int
    out: str
    errors: str


def command(*words: object, most: int = 60) -> Done:
    """Run a command; TimeoutError if it takes more than so many seconds."""
    kept = sys.stdout, sys.stderr, list(sys.path)
    out, errors = (io.TextIOWrapper(_Kept(), "utf-8", line_buffering=True) for _ in range(2))
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(most)
    try:
        sys.stdout, sys.stderr = out, errors
        status = _run([str(word) for word in words])
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        sys.stdout, sys.stderr, sys.path[:] = *kept[:2], kept[2]
    return Done(status, *(stream.buffer.getvalue().decode() for stream in (out, errors)))


def said(*words: object) -> str:
    """Run a command that succeeds, and return what it wrote on standard output."""
    done = command(*words)
    assert done.status == 0, done.errors
    return done.out


class _Kept(io.BytesIO):
    """Bytes that are there still when the stream that wrote them is gone."""

    def close(self) -> None:
        pass


def _too_long(*_):
    raise TimeoutError("the command takes too long")
