"""Stopping from outside: Ctrl-C and SIGTERM end a command soon, whatever it is doing, and lose no whole step.

The main thread is told by `Stopped`, which it raises wherever it is. But Python hears of a signal only between its own
instructions, so a compile of minutes would go on, and libraries turn what a handler raises into errors of their own. So
a second thread watches: where the command has not ended some seconds later, it writes what is unwritten and ends the
process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

GRACE = 5.0
"""Seconds that the main thread has to end a command."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_writing = threading.RLock()
_unwritten: list[Callable[[], None]] = []
_held = 0
_asked = False
_due: Stopped | None = None
"""What is raised when no block of `whole` is left."""


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop.

    Attributes:
        status: exit status of a process that the signal stopped, as shells have it.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


def listen() -> None:
    """From now on raise `Stopped` in this, the main thread, when the process is asked to stop, and see that it ends.

    A second signal ends the process at once.
    """
    here, there = socket.socketpair()
    there.setblocking(False)
    signal.set_wakeup_fd(there.detach(), warn_on_full_buffer=False)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and shells' background jobs have it
            signal.signal(number, _handle)
    sys.unraisablehook = _unraisable
    # What processes shared is freed, when this one has ended, by a process of multiprocessing; it need not say so.
    quiet = "ignore:resource_tracker:UserWarning"
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), quiet)))
    threading.Thread(target=_watch, args=(here,), daemon=True).start()


def _handle(number: int, frame: object) -> None:
    global _asked, _due
    if _asked:
        return
    _asked = True
    if not _held:
        raise Stopped(number)
    _due = Stopped(number)


def _unraisable(fault: Any) -> None:
    """Keep a `Stopped` that was raised where Python drops exceptions, as in callbacks of the garbage collector."""
    global _due
    if isinstance(fault.exc_value, Stopped):
        _due = fault.exc_value
    else:
        sys.__unraisablehook__(fault)


def _watch(here: socket.socket) -> None:
    """Wait for a first signal; end the process after a second one, or when the time is over."""
    first = _next(here)
    here.settimeout(GRACE)
    if _next(here) is None:
        with whole():
            for write in list(_unwritten):
                with contextlib.suppress(Exception):
                    write()
    if sys.stdout and sys.stdout.isatty():
        os.write(1, b"\x1b[?25h\n")  # the cursor, which a live display hides
    os._exit(Stopped(first or signal.SIGTERM).status)


def _next(here: socket.socket) -> int | None:
    """Return the next signal that asks to stop, or None when the time is over."""
    while True:
        try:
            (number,) = here.recv(1)
        except TimeoutError:
            return None
        if number in _SIGNALS:
            return number


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """Do what is in this block wholly, be it a write or the start of processes: one thread at a time.

    `Stopped` is raised at its end.
    """
    global _held, _due
    with _writing:
        _held += 1
        try:
            yield
        finally:
            _held -= 1
    if _due and not _held and threading.current_thread() is threading.main_thread():
        due, _due = _due, None
        raise due


@contextlib.contextmanager
def written_at_least(write: Callable[[], None]) -> Iterator[None]:
    """Within this block, call `write` before the process is ended; it writes what is unwritten, if anything is."""
    _unwritten.append(write)
    try:
        yield
    finally:
        _unwritten.remove(write)


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Keep the handlers of signals as they are, whatever a library in this block sets."""
    kept = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in kept.items():
                if handler is not None:  # one that was not set from Python
                    signal.signal(number, handler)
