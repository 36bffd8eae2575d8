"""Reading of mutated rule files, as the quick and the long test of them do it."""

import resource
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
        memory: by how many megabytes reading raised the most memory that this process ever had.
    """

    valid: Counter
    refused: Counter
    slowest: float
    memory: float


def most_memory() -> float:
    """Return the most memory that this process ever had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000


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
    found = Readings(Counter(), Counter(), 0.0, 0.0)
    for number, mutant in enumerate(mutants(seed, count)):
        path = write(mutant, folder)
        began, before = time.process_time(), most_memory()
        try:
            rule = load(path)
        except RulesmithError as error:
            rule, said = None, str(error)
        except Exception as error:
            raise AssertionError(f"file {number} of seed {seed} is not refused: {mutant!r}") from error
        grown = found.memory + most_memory() - before
        found = found._replace(slowest=max(found.slowest, time.process_time() - began), memory=grown)
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
