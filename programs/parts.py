"""The programs of a rule as one value: one for all leaves, or one for matrices and one for all other leaves.

Searches mutate, hash, simplify, store and train a rule whole; here is what that means for a rule of two programs. In
text each of two programs stands under a line that says for which leaves it is.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .analysis import has_tree_functions, lift, with_weight_decay
from .errors import ProgramError
from .program import Program
from .vocabulary import FUNCTIONS, Dialect, Function

_HEADS = {"matrix": "# for matrix leaves", "other": "# for other leaves"}
_HEAD = re.compile(rf"^({'|'.join(_HEADS.values())})\n", re.MULTILINE)


@dataclass(frozen=True, repr=False)
class Programs:
    """The programs of a rule.

    Attributes:
        parts: class of leaves and program: ``(("all", program),)``, or "matrix" first and "other" second.

    Example:
        >>> from rulesmith.programs.parts import Programs
        >>> signs = "def update(g, lr):\\n    return lr * sign(g)\\n"
        >>> Programs.parse(f"# for matrix leaves\\n{signs}# for other leaves\\n{signs}").simplified()
        <Programs for all leaves>
    """

    parts: tuple[tuple[str, Program], ...]

    @classmethod
    def of(cls, programs: Program | Mapping[str, Program]) -> Programs:
        """Return the value for one program, or for a rule's programs by class of leaves."""
        if isinstance(programs, Program):
            return cls((("all", programs),))
        return cls(tuple(sorted(programs.items())))

    @classmethod
    def parse(cls, text: str) -> Programs:
        """Return the programs that `to_text` or `to_flat_text` wrote.

        Raises:
            ProgramError: a text is not a program, or there are other than one, or one for each class of leaves.
        """
        first, *rest = _HEAD.split(text)
        if not rest:
            return cls.of(Program.parse(first))
        found = dict(zip(rest[::2], rest[1::2], strict=True))
        if first.strip() or set(found) != set(_HEADS.values()) or len(rest) != 2 * len(found):
            raise ProgramError("expected one program, or one for matrix leaves and one for other leaves")
        return cls(tuple((label, Program.parse(found[head])) for label, head in _HEADS.items()))

    def __getitem__(self, label: str) -> Program:
        return dict(self.parts)[label]

    @property
    def only(self) -> Program:
        """The program of a rule that has just one.

        Raises:
            ProgramError: there are two.
        """
        if len(self.parts) > 1:
            raise ProgramError("there are two programs, for matrix and other leaves; this takes one")
        return dict(self.parts)["all"]

    @property
    def statements(self) -> int:
        """Number of all statements."""
        return sum(len(program.statements) for _, program in self.parts)

    @property
    def dialect(self) -> Dialect:
        """What the programs may use."""
        return self.parts[0][1].dialect

    def mapped(self, function: Callable[[Program], Program]) -> Programs:
        """Return the programs after a function of each."""
        return Programs(tuple((label, function(program)) for label, program in self.parts))

    def with_part(self, label: str, program: Program) -> Programs:
        """Return the programs with another one for a class of leaves."""
        return Programs(tuple((each, program if each == label else old) for each, old in self.parts))

    def simplified(self) -> Programs:
        """Return programs for the same functions, simplified; one if two do the same."""
        short = self.mapped(Program.simplified)
        return Programs.of(short["matrix"]) if short.alike else short

    def with_hyperparameters(self, values: Mapping[str, float]) -> Programs:
        """Return the programs with other defaults of some hyperparameters; see `Program.with_hyperparameters`."""
        return self.mapped(lambda program: program.with_hyperparameters(values))

    def lifted(self) -> Programs:
        """Return the programs with their literals as hyperparameters, equal ones as the same; see `analysis.lift`."""
        done: list[tuple[str, Program]] = []
        for label, program in self.parts:
            done.append((label, lift(program, [each for _, each in done])))
        return Programs(tuple(done))

    def with_weight_decay(self) -> Programs:
        """Return the programs with their weight decay as hyperparameters; see `analysis.with_weight_decay`.

        Two programs share `weight_decay` if theirs is the same; else the second's is `other_weight_decay`.
        """
        named = self.mapped(with_weight_decay)
        values = {dict(program.hyperparameters).get("weight_decay") for _, program in named.parts} - {None}
        if len(values) < 2:
            return named
        return named.with_part("other", with_weight_decay(self["other"], "other_weight_decay"))

    def calls(self, wanted: Callable[[Function], bool]) -> bool:
        """Tell whether a program calls a function of which `wanted` is true."""
        return any(wanted(FUNCTIONS[s.function]) for _, program in self.parts for s in program.statements)

    @property
    def alike(self) -> bool:
        """Whether two programs do what one for all leaves would: numbers over all leaves would be others then."""
        programs = [program for _, program in self.parts]
        same = len({program.digest for program in programs}) == 1
        return len(programs) > 1 and same and not has_tree_functions(programs[0].simplified())

    @functools.cached_property
    def digest(self) -> str:
        """What the programs compute, as 32 hexadecimal digits; of one program its own. See `Program.digest`."""
        return digest_of([program.digest for _, program in self.parts], self.alike)

    def to_text(self) -> str:
        """Return the text; `parse` of it gives equal programs."""
        return self._text(Program.to_text)

    def to_flat_text(self) -> str:
        """Return the text as `Program.to_flat_text` writes it."""
        return self._text(Program.to_flat_text)

    def _text(self, write: Callable[[Program], str]) -> str:
        if len(self.parts) == 1:
            return write(self.parts[0][1])
        return "".join(f"{_HEADS[label]}\n{write(program)}" for label, program in self.parts)

    def __repr__(self) -> str:
        return f"<Programs for {' and '.join(label for label, _ in self.parts)} leaves>"


def digest_of(digests: list[str], alike: bool) -> str:
    """Return the digest of programs with these digests; `alike` if two do what one for all leaves would."""
    if len(digests) == 1 or alike:
        return digests[0]
    return hashlib.blake2b(" ".join(digests).encode(), digest_size=16).hexdigest()
