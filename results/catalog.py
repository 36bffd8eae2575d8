"""What RULE means on the command line and in `rulesmith.load`: a published rule's name, a rule file, or a run."""

from __future__ import annotations

from pathlib import Path

from ..programs import RulesmithError
from ..programs.errors import nearest
from ..programs.rule import Rule
from ..programs.rule_file import read

PUBLISHED = Path(__file__).parent / "rules"


def published() -> dict[str, Path]:
    """Return the published rules' files by name, in alphabetical order."""
    return {path.stem: path for path in sorted(PUBLISHED.glob("*.toml"))}


def load(rule: str | Path) -> Rule:
    """Return a rule: published ones by name, a rule file by its path, the best rule of a run by the run's directory.

    Loading reads data and runs none of it.

    Raises:
        RulesmithError: there is no such rule, or the file is no rule; in one line.
    """
    known = published()
    if str(rule) in known:
        return read(known[str(rule)])
    path = Path(rule)
    if path.is_dir():
        from ..search.store import Store

        with Store.open(path) as store:
            return store.best_rule()
    if path.suffix == ".toml" or path.exists():
        return read(path)
    raise RulesmithError(
        f"no rule {str(rule)!r}{nearest(str(rule), known)}: give a published rule (see `rulesmith rules`), a rule file or a run"
    )
