"""rulesmith discovers the update rules that train neural networks, and hands them back as optax transforms."""

from .programs import Program, ProgramError, RulesmithError
from .programs.rule import Rule
from .results.catalog import load

__all__ = ["Program", "ProgramError", "Rule", "RulesmithError", "load"]
