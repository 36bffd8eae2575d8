"""Reading of mutated rule files, as the quick and the long test of them do it."""

import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mutants import Mutant, mutants
from rulesmith import RulesmithError, load
from rulesmith.programs import rule_file

LONGEST = 1_000
"""Characters of an error, at most."""


class Readings(NamedTuple):
    """What came of files.

    Attributes:
        valid: how many were valid, by how they were mutated.
        refused: the same of those that were not.
        slowest: the longest that one took, in seconds of a core.
    """

    valid: Counter
    refused: Counter
    slowest: float


def write(mutant: Mutant, folder: Path) -> Path:
    """Write a file, with its arrays beside it, and return its path."""
    path = folder / "rule.toml"
    path.write_bytes(mutant.data)
    beside = path.with_suffix(".safetensors")
    beside.unlink(missing_ok=True)
    if mutant.arrays:
        beside.write_bytes(mutant.arrays)
    return path


def read_all(seed: int, count: int, folder: Path) -> Readings:
    """Read mutated files; fail at one that is neither a rule nor refused in a line, or that runs in this folder."""
    found = Readings(Counter(), Counter(), 0.0)
    for number, mutant in enumerate(mutants(seed, count)):
        path = write(mutant, folder)
        began = time.process_time()
        try:
            rule = load(path)
        except RulesmithError as error:
            rule, said = None, str(error)
        except Exception as error:
            raise AssertionError(f"file {number} of seed {seed} is not refused: {mutant!r}") from error
        found = found._replace(slowest=max(found.slowest, time.process_time() - began))
        if rule is None:
            assert said.isprintable(), (seed, number, said)
            assert len(said) < LONGEST, (seed, number, said)
            found.refused[mutant.how] += 1
        else:
            again = rule_file.loads(rule_file.dumps(rule), path.with_suffix(".safetensors"))
            assert rule_file.dumps(again) == rule_file.dumps(rule), (seed, number)
            found.valid[mutant.how] += 1
    assert not Path("RAN").exists()
    return found
