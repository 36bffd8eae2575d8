"""An objective: what trains a reinforcement-learning agent. A drift (a program or a network), or LPG's network."""

from __future__ import annotations

import functools
import hashlib
import html
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import RulesmithError, nearest, need
from .program import Program

if TYPE_CHECKING:
    import optax
    import sympy
    import torch

OBJECTIVE_KINDS = ("drift", "lpg")
HIDDEN = 128
"""Hidden units of a learned drift."""


@dataclass(frozen=True, repr=False)
class Shapes:
    """The architecture of a network rule: the shape of each array, by name."""

    arrays: Mapping[str, tuple[int, ...]]

    @classmethod
    def drift(cls, *, timed: bool) -> Shapes:
        """Return the architecture of LPO, or with `timed` that of TA-LPO."""
        return cls({"hidden": (16 if timed else 8, HIDDEN), "output": (HIDDEN, 1)})

    @classmethod
    def lpg(cls, *, timed: bool, hidden: int = 256, embedding: int = 16, classes: int = 8) -> Shapes:
        """Return the architecture of LPG, or with `timed` that of TA-LPG."""
        inputs = 4 + 2 * embedding + (2 if timed else 0)
        return cls(
            {
                "embed": (classes, embedding),
                "embed_bias": (embedding,),
                "input": (inputs, 3 * hidden),
                "input_bias": (3 * hidden,),
                "hidden": (hidden, 3 * hidden),
                "hidden_bias": (hidden,),
                "action": (hidden, 1),
                "prediction": (hidden, classes),
            }
        )

    def draw(self, seed: int, scale: float) -> dict[str, np.ndarray]:
        """Return random parameters: normal with deviation ``scale / sqrt(inputs)``; biases are zero. float32."""
        rng = np.random.default_rng(seed)
        return {
            name: (rng.normal(size=shape) * scale / math.sqrt(shape[0]) * (len(shape) > 1)).astype(np.float32)
            for name, shape in self.arrays.items()
        }


def _timed_shapes(kind: str, arrays: Mapping[str, np.ndarray]) -> tuple[Shapes, bool]:
    """Return the architecture that the arrays have, and whether it reads the time.

    Raises:
        RulesmithError: they fit no architecture; the message names a wrong array, and the shape that it should have.
    """
    for timed in (False, True):
        if kind == "drift":
            shapes = Shapes.drift(timed=timed)
        else:
            need = {"embed": 2, "hidden": 2}
            if any(name not in arrays or arrays[name].ndim != axes for name, axes in need.items()):
                raise RulesmithError("an LPG net has arrays 'embed' (classes, e) and 'hidden' (h, 3 h)")
            classes, embedding = arrays["embed"].shape
            shapes = Shapes.lpg(
                timed=timed, hidden=len(arrays["hidden"]), embedding=int(embedding), classes=int(classes)
            )
        wrong = [n for n, s in shapes.arrays.items() if n not in arrays or arrays[n].shape != s]
        if not wrong and set(arrays) == set(shapes.arrays):
            return shapes, timed
    first = wrong[0] if wrong else next(iter(set(arrays) - set(shapes.arrays)))
    got = arrays[first].shape if first in arrays else "not there"
    raise RulesmithError(f"array {first!r} is {got}; a {kind} net has {shapes.arrays.get(first, 'none of that name')}")


@dataclass(frozen=True, eq=False)
class Objective:
    """An objective, with a name and where it comes from.

    Attributes:
        name: letters, digits, ``_`` and ``-``.
        kind: "drift" or "lpg".
        program: the drift's program, or None for a network.
        arrays: the network's arrays by name, float32; see `drift.learned_drift` and `lpg.lpg_targets`.
        description: one line.
        agent: settings of the agents that it is meant for, where they differ from the defaults.
        provenance: where the rule comes from; `origin` names the paper, or rulesmith.
        evidence: why to believe in it.

    Raises:
        RulesmithError: the arrays fit no architecture, or the rule has neither a program nor arrays.
    """

    name: str
    kind: str
    program: Program | None = None
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    description: str = ""
    agent: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", self.name):
            raise RulesmithError(f"rule name {self.name!r}: a letter, then letters, digits, '_' and '-', 64 at most")
        if (self.program is None) == (not self.arrays):
            raise RulesmithError(f"{self.name}: an objective has either a program or arrays")
        if self.program is not None and (self.kind != "drift" or self.program.kind != "drift"):
            raise RulesmithError(f"{self.name}: the program of an objective is a drift: def drift(r, a, ...)")
        if self.arrays:
            _timed_shapes(self.kind, self.arrays)

    def __repr__(self) -> str:
        about = f": {self.description}" if self.description else ""
        return f"<Objective {self.name!r}, {self._what()}{about}>"

    def _what(self) -> str:
        if self.program is not None:
            return "a drift as a program"
        size = sum(array.size for array in self.arrays.values())
        return f"{'a drift' if self.kind == 'drift' else self.kind} of {size:,} parameters"

    def _repr_html_(self) -> str:
        code = f"<pre>{html.escape(self.program.to_text())}</pre>" if self.program is not None else ""
        about = html.escape(f"{self.description} ({self._what()})")
        return f"<p><b>{html.escape(self.name)}</b> {about}</p>{code}"

    @property
    def timed(self) -> bool:
        """Whether the rule reads how much of the lifetime is over."""
        if self.program is not None:
            return "progress" in self.program.inputs
        return _timed_shapes(self.kind, self.arrays)[1]

    @property
    def masked(self) -> bool:
        """Whether an LPG net does not see y after an episode's end; files that do not say so were found without."""
        return bool(self.agent.get("mask_ends", False))

    @property
    def input_bound(self) -> float:
        """What the inputs of a learned drift are clipped to; 0 for none, as in files that do not say so."""
        return float(self.agent.get("input_bound", 0.0))

    def digest(self) -> str:
        """Return a hash of the network's arrays, 32 hexadecimal digits."""
        whole = hashlib.blake2b(digest_size=16)
        for name in sorted(self.arrays):
            whole.update(name.encode() + np.ascontiguousarray(self.arrays[name]).tobytes())
        return whole.hexdigest()

    def mark(self) -> str:
        """Return a hash of what the rule computes and of its agents' settings, by which a run recognizes it."""
        what = (self.kind, self.program.digest if self.program else self.digest(), sorted(self.agent.items()))
        return hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest()

    @property
    def function_name(self) -> str:
        """The rule's name as that of a Python function."""
        return self.name.replace("-", "_")

    def drift(self, **hyperparameters: Any) -> Callable[..., Any]:
        """Return the function of (parameters, ratio, log ratio, advantage, progress); a program ignores the first.

        Raises:
            RulesmithError: the objective is not a drift.
        """
        from .drift import learned_drift

        if self.kind != "drift":
            raise RulesmithError(f"{self.name} is a rule of kind {self.kind!r}, not a drift")
        if self.program is not None:
            return drift_function(self.program, hyperparameters)
        return functools.partial(learned_drift, bound=self.input_bound)

    def to_optax(
        self,
        apply: Callable[[Any, Any], Any],
        *,
        total_updates: int,
        steps_per_update: int = 1,
        gamma: float = 0.99,
        prediction_weight: float = 0.5,
        **hyperparameters: Any,
    ) -> optax.GradientTransformationExtraArgs:
        """Return an optax transform that adds the objective's gradient to the updates it is given.

        Chain it before an optimizer, ``optax.chain(objective.to_optax(...), optax.adam(3e-4))``, and update with
        ``tx.update(gradients of value loss and entropy, state, params, batch=batch)``. Fields of `batch`:

        - drift: `observation` (samples, ...), `action`, `log_probability` of the action when it was taken,
          `advantage` (normalized as the user likes);
        - lpg: `observation` (workers, time, ...), `action`, `reward`, `done`, all in order of time, and
          `last_observation` (workers, ...), the observations after the rollout.

        Args:
            apply: function of (params, observations) to the policy (logits, or a pair of means and logarithms of
                deviations); for lpg to the pair (policy, logits of y).
            total_updates: N, how many rollouts the training will learn from.
            steps_per_update: gradient steps made from one rollout.
            gamma: discount (lpg).
            prediction_weight: alpha_y (lpg).
            **hyperparameters: values for a drift program's hyperparameters, instead of its defaults.

        Raises:
            RulesmithError: there is no such hyperparameter, or a number cannot be.
        """
        from .objective_transform import adding, drift_gradient, lpg_gradient
        from .transform import number

        self._check_names(hyperparameters)
        try:
            for name, value in hyperparameters.items():
                number(name, value)
            if self.kind == "lpg":
                gradient = lpg_gradient(self.arrays, apply, gamma, prediction_weight, self.masked)
            else:
                drift, arrays = self.drift(**hyperparameters), self.arrays
                gradient = drift_gradient(lambda *x: drift(arrays, *x), apply)
            return adding(gradient, total_updates, steps_per_update)
        except ValueError as error:
            raise RulesmithError(f"{self.name}: {error}") from None

    def to_torch(self, **hyperparameters: float) -> Callable[..., torch.Tensor]:
        """Return a drift as a loss in PyTorch, a function ``(new_log_prob, old_log_prob, advantage, progress=0.0)``.

        It returns the mean of ``drift(r, A) - r A``, to be descended, with the gradient that the optax form has. The
        tensors have one shape; `progress` is the share of the training that is over.

        Args:
            **hyperparameters: values for a drift program's hyperparameters, instead of its defaults.

        Raises:
            RulesmithError: the objective is not a drift, or has no such hyperparameter.
        """
        need("torch", "torch")
        from .pytorch.building import loss_function

        if self.kind != "drift":
            raise RulesmithError(f"{self.name} is a rule of kind {self.kind!r}; only drifts have a form in PyTorch")
        self._check_names(hyperparameters)
        try:
            return loss_function(self, hyperparameters)
        except ValueError as error:
            raise RulesmithError(f"{self.name}: {error}") from None

    def _check_names(self, hyperparameters: Mapping[str, Any]) -> None:
        own = {} if self.program is None else dict(self.program.hyperparameters)
        for name in hyperparameters:
            if name not in own:
                raise RulesmithError(f"{self.name} has no hyperparameter {name!r}{nearest(name, own)}")

    def _written(self) -> Program:
        if self.program is None:
            raise RulesmithError(f"{self.name} is a network; only programs have equations")
        return self.program

    def to_latex(self) -> str:
        """Return a drift program as equations in LaTeX."""
        return self._written().to_latex()

    def to_sympy(self) -> list[sympy.Eq]:
        """Return a drift program as equations, as `Program.to_sympy` does."""
        return self._written().to_sympy()

    def _repr_latex_(self) -> str | None:
        return None if self.program is None else f"$\\displaystyle {self.to_latex()}$"

    def to_source(self, framework: str = "jax") -> str:
        """Return a Python module, formatted, that has the same objective and needs only jax and optax, or only torch.

        Args:
            framework: "jax", for an optax transform, or "torch", for a drift as a loss.
        """
        if framework == "torch":
            need("torch", "torch")
            from .pytorch.exporting import loss_source

            if self.kind != "drift":
                raise RulesmithError(f"{self.name} is a rule of kind {self.kind!r}; only drifts have a form in PyTorch")
            return loss_source(self)
        from .exporting_objectives import objective_source

        return objective_source(self)


def drift_function(program: Program, hyperparameters: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a drift program as a function of (anything, ratio, log ratio, advantage, progress)."""
    from .compiler import update_function

    run, own = update_function(program), {**dict(program.hyperparameters), **hyperparameters}

    def drift(_: Any, ratio: Any, log_ratio: Any, advantage: Any, progress: Any) -> Any:
        import jax.numpy as jnp

        given = {"r": ratio, "log_r": log_ratio, "a": advantage, "progress": progress}
        read = {name: value for name, value in given.items() if name in program.inputs}
        return jnp.broadcast_to(run(**read, **own)[0], ratio.shape)

    return drift
