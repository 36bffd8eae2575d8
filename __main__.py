"""`python -m rulesmith` and the command `rulesmith`."""

from __future__ import annotations

import os
import sys

from .programs import RulesmithError


def main() -> None:
    """Run the command line; what a user can put right is one line on standard error, and exit status 2."""
    from . import cli

    # Once, for every command: modules of the current directory are found, as those of `python my_script.py` are.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        cli.run(sys.argv[1:])
    except RulesmithError as error:
        print(f"rulesmith: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
