"""lion: the sign of an interpolated momentum, as optax.lion

The program:

    def update(w, g, m, lr, b1=0.9, b2=0.99, weight_decay=0.001):
        c = interp(g, m, b1)
        m = interp(g, m, b2)
        return lr * (sign(c) + weight_decay * w), m

Origin:
    origin: Chen et al. 2023
    paper: arXiv 2302.06675

Learning rates to try: 0.0001 to 0.3. The update that a program returns is subtracted from the weights. Written by `rulesmith export`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch


def update(w, g, lr, m, b1, b2, weight_decay):
    c = interp(g, m, b1)
    m = interp(g, m, b2)
    return lr * (torch.sign(c) + weight_decay * w), m


def interp(x, y, a):
    """(1 - a) x + a y."""
    return (1.0 - a) * x + a * y


# From here on, what applies any rule to the parameters of a network; at the end, the optimizer.


class TorchProgram(NamedTuple):
    """What is done with the leaves of one class.

    Attributes:
        update: function of one leaf; takes what `reads` and `slots` name, and the hyperparameters.
        reads: which of `w`, `g`, `lr`, `t`, `progress`, `loss` and `shape` it takes.
        slots: each state's shape, "full", "row", "column" or "scalar", and what it holds at first: a number, or "w",
            the weights.
        hyperparameters: names of those that it takes.
        axes: whether it matters which axes are inputs and which outputs.
        together: whether it goes element by element, so that many leaves can be as one, and parts of one as many.
    """

    update: Callable[..., Any]
    reads: tuple[str, ...]
    slots: dict[str, Any]
    hyperparameters: tuple[str, ...]
    axes: bool
    together: bool


class MatrixView(NamedTuple):
    """A leaf as matrices (outputs, inputs).

    Attributes:
        shape: of the leaf.
        axes: (stacked, inputs, outputs), or None where the leaf is taken as it is.
    """

    shape: Any
    axes: Any

    @property
    def order(self):
        """The axes, those that count matrices first, then outputs, then inputs."""
        stacked, inputs, outputs = self.axes
        return stacked + outputs + inputs

    @property
    def matrix(self):
        """Shape of one matrix."""
        if self.axes is None:
            return tuple(self.shape)
        return tuple(math.prod(self.shape[axis] for axis in part) for part in self.axes[:0:-1])

    def matrices(self, x):
        """Return the leaf's matrices, a list."""
        if self.axes is None:
            return [x]
        return list(x.permute(self.order).reshape(-1, *self.matrix).unbind())

    def leaf(self, matrices):
        """Return matrices as the leaf."""
        if self.axes is None:
            return matrices[0]
        order = self.order
        x = torch.stack(matrices).reshape([self.shape[axis] for axis in order])
        return x.permute(sorted(range(len(order)), key=lambda i: order[i]))


class Leaf(NamedTuple):
    """What a step needs of one parameter: the arrays, the states by name, how it is seen, the numbers by name."""

    weights: torch.Tensor
    gradient: torch.Tensor
    states: dict[str, torch.Tensor]
    view: MatrixView
    numbers: dict[str, Any]


class RuleOptimizer(torch.optim.Optimizer):
    """An optimizer that applies the programs of a rule to the leaves, the parameters of a network.

    Groups of parameters may have their own `lr`, hyperparameters, `total_steps` and `leaf_classes`. A group counts its
    steps in its entry `step`. Arithmetic is in float32 or wider, whatever the type of weights and states.

    Attributes:
        programs: by class of leaves: {"all": TorchProgram} or {"matrix": TorchProgram, "other": TorchProgram}.
        limits: (low, high) of hyperparameters that may not take every value, by name; high itself is excluded.
    """

    programs: dict[str, TorchProgram]
    limits: dict[str, tuple[float, float]]

    def __init__(
        self, params, lr, hyperparameters, total_steps=None, state_dtype=None, leaf_classes=None
    ):
        if state_dtype is not None and not getattr(state_dtype, "is_floating_point", False):
            raise ValueError(
                f"state_dtype is {state_dtype!r}; it must be a type of floating-point numbers"
            )
        options = {
            "total_steps": total_steps,
            "state_dtype": state_dtype,
            "leaf_classes": leaf_classes,
        }
        super().__init__(params, {"lr": lr, **hyperparameters, **options})

    def add_param_group(self, param_group):
        """Add a group of parameters: check its numbers, and make the states of its parameters."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check(group)
            found = classes_of(group)
        except ValueError:
            self.param_groups.pop()
            raise
        # The classes are kept as plain data, so that they go with `state_dict`.
        group["leaf_classes"] = found if self._looks_at_axes else None
        group["step"] = torch.zeros((), dtype=torch.float32)
        for param, part, view in self._members(group):
            states = self.state[param]
            for name, (shape, start) in part.slots.items():
                states[name] = first_state(param.detach(), view, shape, start, group["state_dtype"])

    @property
    def _looks_at_axes(self):
        return len(self.programs) > 1 or any(part.axes for part in self.programs.values())

    def _check(self, group):
        real_number("lr", group["lr"], 0.0)
        for name in {name for part in self.programs.values() for name in part.hyperparameters}:
            real_number(name, group[name], *self.limits.get(name, ()))
        if (
            any("progress" in part.reads for part in self.programs.values())
            and group["total_steps"] is None
        ):
            raise ValueError(
                "the rule reads progress: pass total_steps, the length of the training"
            )
        if group["total_steps"] is not None:
            real_number("total_steps", group["total_steps"], 1)
        for name, param in zip(parameter_names(group), group["params"]):
            if not param.is_floating_point():
                raise ValueError(
                    f"{name} is of type {param.dtype}: the rule trains real floating-point weights"
                )
        if self._looks_at_axes:
            for name, param, given in zip(
                parameter_names(group), group["params"], classes_of(group)
            ):
                if given == "unknown":
                    raise ValueError(
                        f"{name} has {param.ndim} axes, {tuple(param.shape)}: pass leaf_classes, a dictionary by name "
                        "or a function of the parameter that says 'matrix' (the first axis counts outputs), 'other' or "
                        "which axes are (inputs, outputs), such as ((1, 2, 3), 0)"
                    )

    def _members(self, group):
        """Return (parameter, program, view) of the parameters of a group that have entries."""
        found = []
        classes = group["leaf_classes"] or ["other"] * len(group["params"])
        for name, param, given in zip(parameter_names(group), group["params"], classes):
            kind, axes = axes_of_class(given, param.ndim, name)
            part = self.programs["all" if "all" in self.programs else kind]
            if param.numel():
                found.append((param, part, MatrixView(param.shape, axes)))
        return found

    @torch.no_grad()
    def step(self, closure=None, *, loss=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Do one step and return what the closure returns.

        Args:
            closure: function that computes the gradients again and returns the loss.
            loss: the batch's loss, for a rule that reads it, where there is no closure.
        """
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        loss = result if loss is None else loss
        waiting = {label: [] for label in self.programs}
        for group in self.param_groups:
            members = [member for member in self._members(group) if member[0].grad is not None]
            if members:
                group["step"].add_(1.0)
            numbers = {}
            for param, part, view in members:
                refuse_sparse(group, param)
                wide = (
                    torch.float64
                    if torch.float64 in (param.dtype, param.grad.dtype)
                    else torch.float32
                )
                if wide not in numbers:
                    numbers[wide] = self._numbers(group, loss, wide)
                states = self.state[param]
                for name, value in states.items():
                    if (
                        value.device != param.device
                    ):  # the module was moved after the optimizer was made
                        states[name] = value.to(param.device)
                label = next(label for label, own in self.programs.items() if own is part)
                waiting[label].append(Leaf(param, param.grad, states, view, numbers[wide]))
        for label, leaves in waiting.items():
            part = self.programs[label]
            if part.together and not torch.compiler.is_compiling():
                for block in blocks_of(part, leaves):
                    run_together_on(part, block)
            else:
                run_one_by_one(part, leaves)
        return result

    def _numbers(self, group, loss, dtype):
        """Return what is the same for all leaves of a group, by name, in the arithmetic's type."""
        numbers = {
            name: group[name] for part in self.programs.values() for name in part.hyperparameters
        }
        reads = {name for part in self.programs.values() for name in part.reads}
        steps = group["step"].to(dtype)
        numbers |= {"lr": torch.as_tensor(group["lr"], dtype=dtype), "t": steps, "dtype": dtype}
        if "progress" in reads:
            numbers["progress"] = torch.clamp((steps - 1.0) / group["total_steps"], max=1.0)
        if "loss" in reads:
            if loss is None:
                raise ValueError("this rule reads the loss: call step(closure), or step(loss=loss)")
            numbers["loss"] = torch.as_tensor(loss, dtype=dtype).detach().cpu()
        return numbers

    def load_state_dict(self, state_dict):
        """Load a state; the states of parameters keep the types that they were saved with."""
        super().load_state_dict(state_dict)
        saved = (index for group in state_dict["param_groups"] for index in group["params"])
        params = (param for group in self.param_groups for param in group["params"])
        for index, param in zip(saved, params):
            for name, value in state_dict["state"].get(index, {}).items():
                self.state[param][name] = value.detach().to(param.device, copy=True)


def real_number(name, value, low=-math.inf, high=math.inf):
    """Return a number that an optimizer is given; raise ValueError unless it is real, finite, and in [low, high)."""
    if isinstance(value, torch.Tensor) and (
        value.ndim or value.is_complex() or value.dtype == torch.bool
    ):
        raise ValueError(
            f"{name} is a tensor of shape {tuple(value.shape)} and {value.dtype}; it must be one number"
        )
    if not isinstance(value, (int, float, torch.Tensor)) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; it must be a number")
    if not (math.isfinite(value) and low <= value < high):
        bounds = [f"at least {low:g}"] * (low > -math.inf) + [f"below {high:g}"] * (high < math.inf)
        raise ValueError(
            f"{name} is {float(value):g}; it must be {' and '.join(bounds) or 'finite'}"
        )
    return value


def parameter_names(group):
    """Return what the parameters of a group are called in messages."""
    return group.get("param_names") or [
        f"parameter {i} of its group" for i in range(len(group["params"]))
    ]


def refuse_sparse(group, param):
    """Raise RuntimeError for a gradient that is not a plain tensor of real numbers."""
    if param.grad.layout != torch.strided:
        name = next(n for n, own in zip(parameter_names(group), group["params"]) if own is param)
        raise RuntimeError(
            f"{name} has a sparse gradient; the rule takes dense ones (Embedding(sparse=False))"
        )


def classes_of(group):
    """Return the class of each parameter of a group: "matrix", "other", a pair of axes, or "unknown".

    The group's `leaf_classes` is a class for all of them, a list, a dictionary by the parameters' names, or a function
    of a parameter. What it leaves out has the default: two axes are a matrix, fewer are not, more are unknown.
    """
    given, params = group["leaf_classes"], group["params"]
    if isinstance(given, dict):
        if not group.get("param_names"):
            raise ValueError(
                "leaf_classes is a dictionary by name: pass model.named_parameters(), which has names"
            )
        found = [given.get(name) for name in group["param_names"]]
    elif isinstance(given, list):
        found = given
    else:
        found = [given(param) if callable(given) else given for param in params]
    defaults = [
        "other" if param.ndim < 2 else "matrix" if param.ndim == 2 else "unknown"
        for param in params
    ]
    return [default if own is None else own for own, default in zip(found, defaults)]


def axes_of_class(given, axes, where):
    """Return (class, axes) of a leaf: "matrix" or "other"; axes as (stacked, inputs, outputs), None if as they are.

    Args:
        given: the class, as in `classified`.
        axes: number of axes of the leaf.
        where: what the leaf is called in messages.
    """
    if given in (None, "other", "unknown"):
        return "other", None
    if given == "matrix":
        if axes < 2:
            raise ValueError(f"leaf_classes: {where} has {axes} axes, so it is no matrix")
        return "matrix", None
    if not isinstance(given, tuple):
        raise ValueError(
            f"leaf_classes: {given!r} for {where}; give 'matrix', 'other' or a pair of axes (inputs, outputs)"
        )
    pair = [(part,) if isinstance(part, int) else part for part in given]
    if not all(-axes <= axis < axes for part in pair for axis in part):
        raise ValueError(
            f"leaf_classes: {given!r} for {where}, which has {axes} axes, 0 to {axes - 1}"
        )
    inputs, outputs = (tuple(axis % axes for axis in part) for part in pair)
    if len({*inputs, *outputs}) < len(inputs) + len(outputs):
        raise ValueError(f"leaf_classes: {given!r} for {where} names an axis twice")
    stacked = tuple(axis for axis in range(axes) if axis not in (*inputs, *outputs))
    return "matrix", (stacked, inputs, outputs)


def first_state(w, view, shape, start, dtype):
    """Return a state before the first step.

    Args:
        w: the weights.
        view: how they are seen as matrices.
        shape: "full", "row", "column" or "scalar".
        start: what it holds, a number or "w".
        dtype: its type, by default that of the weights, of float16 weights float32.
    """
    dtype = dtype or (torch.float32 if w.dtype == torch.float16 else w.dtype)
    if start == "w":
        return w.to(dtype, copy=True)
    if shape == "full":
        return torch.full_like(w, start, dtype=dtype)
    one = view.matrix
    rows = (*one[:1], *(1 for _ in one[1:]))
    columns = (*(1 for _ in one[:1]), *one[1:])
    stacked = (len(view.matrices(w)),) if view.axes and view.axes[0] else ()
    narrow = stacked + {"row": rows, "column": columns, "scalar": ()}[shape]
    return torch.full(narrow, start, dtype=dtype, device=w.device)


def blocks_of(part, leaves):
    """Yield lists of arrays by name, and their numbers, of which one call does all.

    On a CPU a block is as large as its cache holds, so leaves are taken apart where their arrays lie alike in memory;
    elsewhere a block has few and large calls.
    """
    block, filled, last = {}, 0, None
    for leaf in leaves:
        arrays = {
            "w": leaf.weights,
            "g": leaf.gradient,
            **{name: leaf.states[name] for name in part.slots},
        }
        on_cpu = leaf.weights.device.type == "cpu"
        limit = 2**17 if on_cpu else 2**26
        if (
            on_cpu
            and leaf.weights.numel() > 2 * limit
            and all(x.is_contiguous() for x in arrays.values())
        ):
            pieces = zip(*(x.view(-1).split(limit) for x in arrays.values()))
        else:
            pieces = [tuple(arrays.values())]
        kind = (id(leaf.numbers), leaf.weights.device)
        for piece in pieces:
            if block and (kind != last or filled + piece[0].numel() > limit):
                yield block
                block, filled = {}, 0
            block = block or {"numbers": leaf.numbers, **{name: [] for name in arrays}}
            for name, x in zip(arrays, piece):
                block[name].append(x)
            filled, last = filled + piece[0].numel(), kind
    if block:
        yield block


def run_together_on(part, block):
    """Update the arrays of a block by a program that goes element by element."""
    numbers = block["numbers"]
    wide = {name: [x.to(numbers["dtype"]) for x in block[name]] for name in ("w", "g", *part.slots)}
    given = {
        name: Leaves(own) for name, own in wide.items() if name in part.reads or name in part.slots
    }
    update, *states = part.update(**{**numbers_for(part, numbers), **given})
    written = [own for name, own in wide.items() if name != "g"]

    def unshared(parts):
        """Return tensors that writing the block's arrays leaves as they are."""
        return [x.clone() for x in parts] if any(parts is own for own in written) else parts

    if not isinstance(update, Leaves):
        update = Leaves([torch.full_like(x, float(update)) for x in wide["w"]])
    update = Leaves(unshared(update.parts), update.factor)
    new = [
        unshared(value.plain())
        if isinstance(value, Leaves)
        else [torch.full_like(x, float(value)) for x in wide["w"]]
        for value in states
    ]
    for name, value in zip(part.slots, new):
        torch._foreach_copy_(block[name], value)
    torch._foreach_sub_(wide["w"], update.parts, alpha=update.factor)
    if wide["w"][0] is not block["w"][0]:
        torch._foreach_copy_(block["w"], wide["w"])


def numbers_for(part, numbers):
    """Return those of a leaf's numbers that a program takes."""
    return {name: numbers[name] for name in (*part.reads, *part.hyperparameters) if name in numbers}


def run_one_by_one(part, leaves):
    """Update leaves by any program, each by itself but for numbers over all of them."""
    all_at_once = inspect.isgeneratorfunction(part.update)
    for some in [leaves] if all_at_once else [[leaf] for leaf in leaves]:
        given = [arguments_of(part, leaf) for leaf in some]
        flat = [one for each in given for one in each]
        results = iter(
            in_turns(part.update, flat) if all_at_once else [part.update(**one) for one in flat]
        )
        for leaf, each in zip(some, given):
            write_leaf(part, leaf, each, [next(results) for _ in each])


def arguments_of(part, leaf):
    """Return what the program takes, for each matrix of a leaf."""
    dtype, view = leaf.numbers["dtype"], leaf.view
    arrays = {"w": leaf.weights, "g": leaf.gradient}
    arrays = {name: view.matrices(x.to(dtype)) for name, x in arrays.items() if name in part.reads}
    for name, (shape, _) in part.slots.items():
        x = leaf.states[name].to(dtype)
        stacked = view.axes is not None and view.axes[0]
        arrays[name] = view.matrices(x) if shape == "full" else list(x.unbind()) if stacked else [x]
    others = numbers_for(part, leaf.numbers) | (
        {"shape": view.matrix} if "shape" in part.reads else {}
    )
    if not arrays:
        return [others] * len(view.matrices(leaf.weights))
    return [{**dict(zip(arrays, one)), **others} for one in zip(*arrays.values())]


def write_leaf(part, leaf, given, results):
    """Write the new states and weights of a leaf, from what the program took and returned for each of its matrices."""

    def unshared(value, arrays, shape):
        value = torch.as_tensor(value, dtype=leaf.numbers["dtype"], device=leaf.weights.device)
        value = value.clone() if any(value is x for x in arrays.values()) else value
        return torch.broadcast_to(value, shape)

    view, whole = leaf.view, list(zip(*results))
    update = view.leaf([unshared(x, arrays, view.matrix) for x, arrays in zip(whole[0], given)])
    new = []
    for (name, (shape, _)), values in zip(part.slots.items(), whole[1:]):
        values = [unshared(x, arrays, arrays[name].shape) for x, arrays in zip(values, given)]
        new.append(view.leaf(values) if shape == "full" else torch.stack(values))
    for name, value in zip(part.slots, new):
        leaf.states[name].copy_(value.reshape(leaf.states[name].shape))
    if leaf.weights.dtype == leaf.numbers["dtype"]:
        leaf.weights.sub_(update)
    else:
        leaf.weights.copy_(leaf.weights.to(leaf.numbers["dtype"]) - update)


def in_turns(update, leaves):
    """Run generators `update(**leaf)` in step and return their results: each yields a share and is sent all shares."""
    runs = [update(**leaf) for leaf in leaves]
    results: list = [None] * len(runs)
    sent = None
    while None in results:
        shares = []
        for i, run in enumerate(runs):
            try:
                shares.append(run.send(sent))
            except StopIteration as stop:
                results[i] = stop.value
        sent = torch.stack([share.to(shares[0].device) for share in shares]) if shares else None
    return results


class Leaves:
    """Tensors that stand for one: ``factor`` times ``parts``. Functions of torch and arithmetic act on all of them.

    One call of `torch._foreach_*` does what would be a call for each part. A product with a number takes no time: the
    number waits as the factor, until a sum takes it along.
    """

    __slots__ = ("factor", "parts")

    def __init__(self, parts, factor=1.0):
        self.parts = parts
        self.factor = factor

    def plain(self):
        """Return the tensors, the factor multiplied in."""
        return self.parts if self.factor == 1.0 else torch._foreach_mul(self.parts, self.factor)

    def __mul__(self, other):
        if isinstance(other, Leaves):
            return Leaves(
                torch._foreach_mul(self.parts, other.parts), self.factor * other.factor
            ).settled()
        other = float(other)
        if 1e-6 < abs(self.factor * other) < 1e6:
            return Leaves(self.parts, self.factor * other)
        return Leaves(torch._foreach_mul(self.plain(), other))

    __rmul__ = __mul__

    def __truediv__(self, other):
        if isinstance(other, Leaves):
            return Leaves(
                torch._foreach_div(self.parts, other.parts), self.factor / other.factor
            ).settled()
        other = float(other)
        if other and 1e-6 < abs(self.factor / other) < 1e6:
            return Leaves(self.parts, self.factor / other)
        return Leaves(torch._foreach_div(self.plain(), other))

    def __rtruediv__(self, other):
        return Leaves([float(other) / self.factor / x for x in self.parts])

    def settled(self):
        """Return the value with a factor that no sum could overflow by."""
        return self if 1e-6 < abs(self.factor) < 1e6 else Leaves(self.plain())

    def __neg__(self):
        return Leaves(self.parts, -self.factor)

    def __add__(self, other):
        if not isinstance(other, Leaves):
            return Leaves(torch._foreach_add(self.parts, float(other) / self.factor), self.factor)
        if abs(self.factor + other.factor - 1.0) < 1e-7:
            return Leaves(torch._foreach_lerp(other.parts, self.parts, self.factor))
        if other.factor == 1.0:
            self, other = other, self
        return Leaves(
            torch._foreach_add(self.parts, other.parts, alpha=other.factor / self.factor),
            self.factor,
        )

    __radd__ = __add__

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __pow__(self, other):
        other = other.plain() if isinstance(other, Leaves) else float(other)
        return Leaves(torch._foreach_pow(self.plain(), other))

    def __rpow__(self, other):
        return Leaves(torch._foreach_pow(float(other), self.plain()))

    def __abs__(self):
        return Leaves(torch._foreach_abs(self.parts), abs(self.factor))

    def __gt__(self, other):
        other = other.plain() if isinstance(other, Leaves) else [other] * len(self.parts)
        return Leaves([x > y for x, y in zip(self.plain(), other)])

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        """Apply a function of torch to the tensors; numbers are arguments for all of them."""
        name = function.__name__
        first, *rest = arguments
        if name in _OPERATORS and not isinstance(first, cls):
            return getattr(rest[0], _OPERATORS[name])(first)
        if name == "abs":
            return abs(first)
        if name == "square":
            return first * first
        if name == "sqrt" and first.factor > 0.0:
            return cls(torch._foreach_sqrt(first.parts), math.sqrt(first.factor))
        if name == "where" and isinstance(first, torch.Tensor) and first.ndim == 0:
            return rest[0] if first else rest[1]
        values = [x.plain() if isinstance(x, cls) else x for x in arguments]
        together = getattr(torch, f"_foreach_{name}", None)
        if together and not rest:
            return cls(together(*values))
        if together and name in ("maximum", "minimum"):
            values = values if isinstance(first, cls) else values[::-1]
            return cls(
                together(
                    values[0],
                    values[1] if isinstance(values[1], (list, tuple)) else float(values[1]),
                )
            )
        count = max(len(x) for x in values if isinstance(x, (list, tuple)))
        each = [x if isinstance(x, (list, tuple)) else [x] * count for x in values]
        return cls([function(*one) for one in zip(*each)])


_OPERATORS = {
    "add": "__radd__",
    "sub": "__rsub__",
    "mul": "__rmul__",
    "div": "__rtruediv__",
    "pow": "__rpow__",
}


class Lion(RuleOptimizer):
    """Lion, an optimizer of PyTorch; see the top of this file for the rule.

    params: parameters, named parameters or groups; lr: learning rate; state_dtype: type of the states;
    leaf_classes: which parameters are matrices, see `classes_of`; total_steps: not used.
    """

    programs = {
        "all": TorchProgram(
            update,
            ("w", "g", "lr"),
            {"m": ("full", 0.0)},
            ("b1", "b2", "weight_decay"),
            False,
            True,
        )
    }
    # Of these hyperparameters: the least value, and what they must be below.
    limits = {"b1": (0.0, 1.0), "b2": (0.0, 1.0), "weight_decay": (0.0, math.inf)}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | torch.Tensor,
        b1: float = 0.9,
        b2: float = 0.99,
        weight_decay: float = 0.001,
        *,
        total_steps: int | None = None,
        state_dtype: torch.dtype | None = None,
        leaf_classes: dict[str, Any] | Callable[[torch.Tensor], Any] | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            {"b1": b1, "b2": b2, "weight_decay": weight_decay},
            total_steps,
            state_dtype,
            leaf_classes,
        )
