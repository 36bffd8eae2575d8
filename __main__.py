"""`python -m rulesmith` and the command `rulesmith`."""

from __future__ import annotations

import sys

from .programs import RulesmithError


def main() -> None:
    """Run the command line; what a user can put right is one line on standard error, and exit status 2."""
    from . import cli

    try:
        cli.app.cli(prog="rulesmith", description=cli.__doc__, config=cli.CONFIG)
    except RulesmithError as error:
        print(f"rulesmith: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
