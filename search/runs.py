"""Methods and runs by name; what RULE means: a published rule's name, a rule file, or a run (its best rule)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..programs import RulesmithError, rule_file
from ..programs.objective import Objective
from ..programs.rule import Rule
from .store import Store

if TYPE_CHECKING:
    from .method import Method

METHODS = ("symbolic", "objective", "curriculum", "drift", "distillation", "refinement")
"""Names of the methods, each the value `METHOD` of a module of `search.methods`."""


def method_named(name: str) -> Method[Any]:
    """Return a method.

    Raises:
        RulesmithError: there is none of that name.
    """
    if name not in METHODS:
        raise RulesmithError(f"there is no method {name!r} here; there are {', '.join(METHODS)}")
    return importlib.import_module(f".methods.{name}", __package__).METHOD


def method_of(config: Any) -> Method[Any]:
    """Return the method that a config is of.

    Raises:
        RulesmithError: it is no config.
    """
    for name in METHODS:
        if type(config).__module__.endswith(f".methods.{name}"):
            return method_named(name)
    raise RulesmithError(f"{config!r:.80} is no config of a method: give a rulesmith.Symbolic or another one")


def open_store(directory: Path) -> tuple[Method[Any], Any]:
    """Return the method of the run in a directory, and its store, to be closed by the caller.

    Raises:
        RulesmithError: there is no run; see `Store.open`.
    """
    store = Store.open(directory)
    try:
        method = method_named(store.fact("method"))
    except RulesmithError:
        store.close()
        raise
    return method, store.of_kind(method.store)


def load(rule: str | Path) -> Rule | Objective:
    """Return a rule: published ones by name, a rule file by its path, the best rule of a run by the run's directory.

    Loading reads data and runs none of it.

    Raises:
        RulesmithError: there is no such rule, or the file is no rule file; in one line.
    """
    if str(rule) not in rule_file.published() and Path(rule).is_dir():
        method, store = open_store(Path(rule))
        with store:
            return method.rule(store)
    return rule_file.find(str(rule))
