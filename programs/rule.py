"""A rule: one program, or one for each class of leaves, with a name, ranges to tune in, and where it comes from."""

from __future__ import annotations

import functools
import html
import inspect
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import RulesmithError, nearest, need
from .program import Program

if TYPE_CHECKING:
    import optax
    import sympy
    import torch

CLASSES = ("all", "matrix", "other")
START = "learning rate to start with"
"""Name of the evidence that says it."""
_OPTIONS = ("total_steps", "mask", "state_dtype", "leaf_classes")


@dataclass(frozen=True, repr=False)
class Rule:
    """An update rule that trains networks.

    Attributes:
        name: letters, digits, ``_`` and ``-``.
        programs: ``{"all": program}``, or one for ``"matrix"`` leaves (two axes or more) and one for ``"other"``.
        description: one line.
        learning_rate: range of learning rates worth trying, or None.
        ranges: ranges worth trying of the hyperparameters, by name; under `1 - b1`, of the distance of `b1` from 1.
        provenance: where the rule comes from; `origin` names the paper, or rulesmith.
        evidence: why to believe in it.
    """

    name: str
    programs: Mapping[str, Program]
    description: str = ""
    learning_rate: tuple[float, float] | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", self.name):
            raise RulesmithError(f"rule name {self.name!r}: a letter, then letters, digits, '_' and '-', 64 at most")
        if set(self.programs) not in ({"all"}, {"matrix", "other"}):
            raise RulesmithError("a rule has one program, or one for 'matrix' and one for 'other' leaves")
        defaults: dict[str, float] = {}
        for program in self.programs.values():
            for name, default in program.hyperparameters:
                if defaults.setdefault(name, default) != default:
                    raise RulesmithError(f"hyperparameter {name!r} has two defaults: {defaults[name]} and {default}")
        for name in (label.removeprefix("1 - ") for label in self.ranges):
            if name not in defaults:
                raise RulesmithError(f"a range for {name!r}, which is no hyperparameter{nearest(name, defaults)}")

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.programs.items())))

    def __repr__(self) -> str:
        about = f": {self.description}" if self.description else ""
        return f"<Rule {self.name!r}{about}>"

    def _repr_html_(self) -> str:
        code = "".join(
            f"<p>{html.escape('' if label == 'all' else f'for {label} leaves')}</p>"
            f"<pre>{html.escape(program.to_text())}</pre>"
            for label, program in self.programs.items()
        )
        rates = "learning rates to try: {:g} to {:g}".format(*self.learning_rate) if self.learning_rate else ""
        return f"<p><b>{html.escape(self.name)}</b> {html.escape(self.description)}</p>{code}<p>{rates}</p>"

    @classmethod
    def of(cls, program: Program, name: str = "program") -> Rule:
        """Return the rule that applies one program to every leaf."""
        return cls(name, {"all": program})

    @property
    def program(self) -> Program:
        """The program of a rule that has just one.

        Raises:
            RulesmithError: it has two.
        """
        if "all" not in self.programs:
            raise RulesmithError(f"rule {self.name!r} has two programs, for matrix and other leaves; this takes one")
        return self.programs["all"]

    @property
    def hyperparameters(self) -> dict[str, float]:
        """Defaults by name."""
        return {name: value for program in self.programs.values() for name, value in program.hyperparameters}

    @property
    def needs_total_steps(self) -> bool:
        """Whether the rule reads `progress`."""
        return any("progress" in program.inputs for program in self.programs.values())

    @property
    def function_name(self) -> str:
        """The rule's name as that of a Python function."""
        name = self.name.replace("-", "_")
        return f"{name}_" if keyword.iskeyword(name) else name

    @property
    def class_name(self) -> str:
        """The rule's name as that of a class, such as CautiousAdamw."""
        return "".join(part[:1].upper() + part[1:] for part in re.split("[-_]", self.name))

    def to_optax(
        self,
        learning_rate: Any,
        *,
        total_steps: int | None = None,
        mask: Any = None,
        state_dtype: Any = None,
        leaf_classes: Any = None,
        **hyperparameters: Any,
    ) -> optax.GradientTransformation:
        """Return the rule as an optax transform.

        Of a rule that reads the loss, the transform's update takes that of the batch as `value`, as optax's line
        searches do: ``update(gradients, state, params, value=loss)``.

        Args:
            learning_rate: number, or schedule (function of the step, from 0).
            total_steps: length of the training; needed by a rule that reads `progress`.
            mask: as in `optax.adamw`: a tree of booleans, a prefix of one, or a function of the parameters to one, that
                says which leaves have weight decay. For rules with a hyperparameter `weight_decay`.
            state_dtype: type of the states (by default that of the weights, of float16 weights float32). Arithmetic
                is in float32 or wider.
            leaf_classes: tree like the parameters, a prefix of one, or a function of the parameters to one, that says
                for each leaf "matrix" (the last axis counts outputs, the others inputs), "other", or as a pair which
                axes are (inputs, outputs), such as ``((0, 1, 2), 3)``; axes that are not named count matrices, each of
                which is one for itself. By default leaves of two axes are matrices, those of fewer are not, and those
                of more are refused where it matters. `rulesmith.flax_leaf_classes` is such a function.
            **hyperparameters: numbers instead of the rule's defaults.

        Raises:
            RulesmithError: an unknown hyperparameter, a value that cannot be, or an option that does not fit the rule.

        Example:
            >>> import jax.numpy as jnp, rulesmith
            >>> tx = rulesmith.load("lion").to_optax(learning_rate=0.1, weight_decay=0.0)
            >>> weights = jnp.ones(3)
            >>> updates, state = tx.update(jnp.array([0.5, 0.0, -2.0]), tx.init(weights), weights)
            >>> updates.tolist()
            [-0.10000000149011612, -0.0, 0.10000000149011612]
        """
        from .compiler import leaf_program, limits
        from .transform import transform

        self._check_names(hyperparameters)
        values: dict[str, Any] = self.hyperparameters | hyperparameters
        parts = {label: leaf_program(program) for label, program in self.programs.items()}
        bounds = {name: limit for program in self.programs.values() for name, limit in limits(program).items()}
        try:
            return transform(parts, learning_rate, values, bounds, total_steps, mask, state_dtype, leaf_classes)
        except ValueError as error:
            raise RulesmithError(f"{self.name}: {error}") from None

    def _check_names(self, hyperparameters: Mapping[str, Any]) -> None:
        values = self.hyperparameters
        for name in hyperparameters:
            if name not in values:
                known = ", ".join(values) or "none"
                raise RulesmithError(
                    f"{self.name} has no hyperparameter {name!r}{nearest(name, values)}; it has {known}"
                )

    @functools.cached_property
    def _torch_class(self) -> Callable[..., torch.optim.Optimizer]:
        need("torch", "torch")
        from .pytorch.building import optimizer_class

        return optimizer_class(self)

    def to_torch(
        self,
        params: Any,
        lr: float | torch.Tensor,
        *,
        total_steps: int | None = None,
        state_dtype: torch.dtype | None = None,
        leaf_classes: Any = None,
        **hyperparameters: Any,
    ) -> torch.optim.Optimizer:
        """Return the rule as an optimizer of PyTorch, which is an optional dependency.

        It is used as any other: with groups of parameters (each may have its own `lr`, hyperparameters, `total_steps`
        and `leaf_classes`), learning-rate schedulers, `state_dict`, closures, `GradScaler` and `torch.compile`. Of a
        rule that reads the loss, call ``step(closure)`` or ``step(loss=loss)``. Gradients are dense and real. A group
        counts its steps in its entry `step`, from which `t` and `progress` follow.

        Args:
            params: parameters, named parameters, or groups of them, as for any optimizer of PyTorch.
            lr: learning rate, a number; a tensor where a compiled step is not to be compiled anew when it changes.
            total_steps: length of the training; needed by a rule that reads `progress`.
            state_dtype: type of the states (by default that of the weights, of float16 weights float32). Arithmetic
                is in float32 or wider.
            leaf_classes: a dictionary by the names of named parameters, or a function of a parameter, that says for
                each leaf "matrix" (the first axis counts outputs, the others inputs), "other", or as a pair which axes
                are (inputs, outputs), such as ``((1, 2, 3), 0)``; axes that are not named count matrices, each of which
                is one for itself. By default leaves of two axes are matrices, those of fewer are not, and those of more
                are refused where it matters. `rulesmith.torch_leaf_classes` makes such a dictionary for a module.
            **hyperparameters: numbers instead of the rule's defaults.

        Raises:
            RulesmithError: an unknown hyperparameter, a value that cannot be, or an option that does not fit the rule.

        Example:
            >>> import torch, rulesmith
            >>> weights = torch.nn.Parameter(torch.ones(3))
            >>> optimizer = rulesmith.load("lion").to_torch([weights], lr=0.25, weight_decay=0.0)
            >>> weights.grad = torch.tensor([0.5, 0.0, -2.0])
            >>> optimizer.step()
            >>> weights.tolist()
            [0.75, 1.0, 1.25]
        """
        self._check_names(hyperparameters)
        options = {"total_steps": total_steps, "state_dtype": state_dtype, "leaf_classes": leaf_classes}
        try:
            return self._torch_class(params, lr, hyperparameters=hyperparameters, **options)
        except ValueError as error:
            raise RulesmithError(f"{self.name}: {error}") from None

    @functools.cached_property
    def optimizer(self) -> Callable[..., optax.GradientTransformation]:
        """`to_optax` as a function with a signature of named arguments, as `optax.inject_hyperparams` needs it."""

        def optimizer(learning_rate: Any, *arguments: Any, **options: Any) -> optax.GradientTransformation:
            return self.to_optax(learning_rate, **dict(zip(self.hyperparameters, arguments)), **options)

        kind = inspect.Parameter
        parameters = [kind("learning_rate", kind.POSITIONAL_OR_KEYWORD)]
        parameters += [kind(n, kind.POSITIONAL_OR_KEYWORD, default=v) for n, v in self.hyperparameters.items()]
        parameters += [kind(name, kind.KEYWORD_ONLY, default=None) for name in _OPTIONS]
        optimizer.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
        optimizer.__name__ = optimizer.__qualname__ = self.function_name
        return optimizer

    def to_latex(self) -> str:
        """Return the rule as equations in LaTeX."""
        from .mathematics.latex import latex_of

        return latex_of(self.programs)

    def to_sympy(self) -> dict[str, list[sympy.Eq]]:
        """Return the equations of each program by class of leaves, as `Program.to_sympy` does."""
        return {label: program.to_sympy() for label, program in self.programs.items()}

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.to_latex()}$"

    def to_source(self, framework: str = "jax") -> str:
        """Return a Python module, formatted, that has the same optimizer and needs only jax and optax, or only torch.

        Args:
            framework: "jax", for an optax transform, or "torch".
        """
        if framework == "torch":
            need("torch", "torch")
            from .pytorch.exporting import optimizer_source

            return optimizer_source(self)
        from .exporting import rule_source

        return rule_source(self)
