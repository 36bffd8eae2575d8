"""`python -m rulesmith` and the command `rulesmith`."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from .search import stopping


def main() -> None:
    """Run the command line, and end the process.

    What a user can put right is one line on standard error, and exit status 2. A command that was stopped by a signal
    has the status 128 + the signal's number, and one whose output could not be written the status 1; that a reader has
    left, as `head` does, is no fault: see `output`.
    """
    stopping.listen()
    try:
        sys.exit(_run(sys.argv[1:]))
    except stopping.Stopped as stopped:
        os._exit(stopped.status)  # at once: threads of XLA may be computing still, and would abort at a usual exit


def _run(words: list[str]) -> int:
    """Run a command, and return the exit status."""
    from . import output
    from .programs import RulesmithError

    out, errors = output.wrapped(sys.stdout), output.wrapped(sys.stderr)
    sys.stdout, sys.stderr = out, errors
    status = 0
    try:
        if os.environ.get("NO_COLOR"):
            os.environ.setdefault("PYTHON_TYRO_ANSI_CODES", "False")  # tyro reads it when it is imported
        from . import cli

        # Once, for every command: modules of the current directory are found, as those of `python my_script.py` are.
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        cli.run(words)
    except RulesmithError as error:
        _tell(f"rulesmith: {error}", errors)
        status = 2
    except OSError as error:  # a folder that cannot be read, a disk that is full
        _tell(f"rulesmith: {error.filename or 'a file'}: {error.strerror or error}", errors)
        status = 2
    except SystemExit as ended:  # of help, or of options that are not right
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except stopping.Stopped:
        print("rulesmith: stopped", file=errors)
        out.flush()
        errors.flush()
        raise
    out.flush()
    if out.fault:
        print(f"rulesmith: standard output cannot be written: {out.fault}", file=errors)
    return status or int(bool(out.fault))


def _tell(line: str, errors: TextIO) -> None:
    from rich.console import Console

    from .results.layout import say

    say(Console(file=errors), line)


if __name__ == "__main__":
    main()
