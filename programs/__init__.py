"""Rules: the language, its analysis, its interpreter and compiler, rule files, and the optax export."""

from .errors import ProgramError, RulesmithError
from .program import Program, Slot, Statement

__all__ = ["Program", "ProgramError", "RulesmithError", "Slot", "Statement"]
