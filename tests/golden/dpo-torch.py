"""dpo: Discovered Policy Optimisation: the closed form distilled from LPO's learned drift

The drift:

    def drift(r, log_r, a, alpha=2, beta=0.6):
        x = (r - 1) * a
        y = log_r * a
        gain = maximum(x - alpha * tanh(x / alpha), 0)
        loss = maximum(y - beta * tanh(y / beta), 0)
        return where(a > 0, gain, loss)

Origin:
    origin: Lu et al. 2022
    paper: arXiv 2210.05639

Written by `rulesmith export`.
"""

from __future__ import annotations

import math

import torch


def dpo(
    new_log_prob: torch.Tensor,
    old_log_prob: torch.Tensor,
    advantage: torch.Tensor,
    progress: float | None = None,
    *,
    alpha: float = 2.0,
    beta: float = 0.6,
) -> torch.Tensor:
    """Return the loss of a batch, to be descended: the mean of ``drift(r, A) - r A``.

    new_log_prob: logarithms of the probabilities of the actions, of the policy that is trained; old_log_prob: the same
    when the actions were taken; advantage: of the actions; progress: share of the training that is over, 0 to 1.
    """
    return loss_of(
        new_log_prob,
        old_log_prob,
        advantage,
        lambda ratio, log_ratio, advantage: drift(ratio, log_ratio, advantage, alpha, beta)[0],
    )


def drift(r, log_r, a, alpha, beta):
    x = (r - 1.0) * a
    y = log_r * a
    gain = torch.maximum(x - alpha * torch.tanh(x / alpha), tensor(0.0))
    loss = torch.maximum(y - beta * torch.tanh(y / beta), tensor(0.0))
    return (where(a, 0.0, gain, loss),)


def tensor(x):
    """Return a number as a tensor, which keeps the type of those that it meets."""
    return torch.tensor(x, dtype=torch.float64) if isinstance(x, (int, float)) else x


def where(a, b, x, y):
    """X where a > b, else y."""
    return torch.where(tensor(a) > b, x, y)


def loss_of(new_log_prob, old_log_prob, advantage, drift):
    """Return ``-mean(r A - drift(r, A))``, whose gradient is that of the policy; see the JAX form for its limits.

    Args:
        new_log_prob: logarithms of the actions' probabilities, with a gradient, (...).
        old_log_prob: the same when they were taken, (...).
        advantage: the actions' advantages, (...).
        drift: function of (ratio, log ratio, advantage).
    """
    if not new_log_prob.shape == old_log_prob.shape == advantage.shape:
        shapes = ", ".join(str(tuple(x.shape)) for x in (new_log_prob, old_log_prob, advantage))
        raise ValueError(
            f"new_log_prob, old_log_prob and advantage have shapes {shapes}; they must be the same"
        )
    # The ratio is cut so that no power of it overflows; an action that the policy forbids is at the lower end.
    most = math.log(torch.finfo(new_log_prob.dtype).max) / 3
    wide = torch.float64 if new_log_prob.dtype == torch.float64 else torch.float32
    new, old, advantage = (
        x.to(wide) for x in (new_log_prob, old_log_prob.detach(), advantage.detach())
    )
    allowed = new > -math.inf
    log_ratio = torch.clamp(torch.where(allowed, new - old, -most), -most, most).detach()
    value, slope = slope_of(drift, log_ratio, advantage)
    ratio = torch.exp(log_ratio)
    weight = torch.where(allowed, (advantage - slope) * ratio, 0.0)
    surrogate = -torch.mean(weight * torch.where(allowed, new, 0.0))
    return torch.mean(value - ratio * advantage) + (surrogate - surrogate.detach())


def slope_of(drift, log_ratio, advantage):
    """Return ``drift(r, log r, A)`` and its derivative in r, elementwise; neither has a gradient."""
    with torch.enable_grad():
        log_ratio = log_ratio.detach().requires_grad_()
        ratio = torch.exp(log_ratio).detach().requires_grad_()
        value = torch.broadcast_to(torch.as_tensor(drift(ratio, log_ratio, advantage)), ratio.shape)
        if not value.requires_grad:
            return value, torch.zeros_like(ratio)
        ones = torch.ones_like(value)
        along = torch.autograd.grad(value, (ratio, log_ratio), ones, allow_unused=True)
    by_ratio, by_log = (torch.zeros_like(ratio) if each is None else each for each in along)
    return value.detach(), by_ratio + by_log / ratio.detach()
