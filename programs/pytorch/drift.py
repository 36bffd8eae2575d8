"""Drifts in PyTorch, as losses; see the `drift` of JAX for what they mean. Source of exported objectives."""

from __future__ import annotations

import math

import torch


def features(ratio, log_ratio, advantage, bound=0.0):
    """The eight inputs of a learned drift, (..., 8): r - 1, its square, log r, its square; the four, and times A.

    Each is clipped to [-bound, bound] unless the bound is 0.
    """
    four = torch.stack([ratio - 1.0, torch.square(ratio - 1.0), log_ratio, torch.square(log_ratio)], dim=-1)
    eight = torch.cat([four, four * advantage[..., None]], dim=-1)
    return torch.clamp(eight, -bound, bound) if bound else eight


def network_drift(arrays, ratio, log_ratio, advantage, progress, bound=0.0):
    """LPO's drift; TA-LPO's where the network has 16 inputs: the eight, and the eight times `progress`."""
    hidden, output = (arrays[name].to(ratio) for name in ("hidden", "output"))
    x = features(ratio, log_ratio, advantage, bound)
    if len(hidden) == 16:
        x = torch.cat([x, x * torch.as_tensor(progress).to(x)[..., None]], dim=-1)
    out = (torch.tanh(x @ hidden) @ output)[..., 0]
    clipped = (ratio - 1.0 - torch.clamp(ratio - 1.0, -0.2, 0.2)) * advantage
    zero = torch.zeros_like(out)
    return torch.maximum(out + torch.maximum(clipped, zero) - 1e-4, zero)


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
        raise ValueError(f"new_log_prob, old_log_prob and advantage have shapes {shapes}; they must be the same")
    # The ratio is cut so that no power of it overflows; an action that the policy forbids is at the lower end.
    most = math.log(torch.finfo(new_log_prob.dtype).max) / 3
    wide = torch.float64 if new_log_prob.dtype == torch.float64 else torch.float32
    new, old, advantage = (x.to(wide) for x in (new_log_prob, old_log_prob.detach(), advantage.detach()))
    allowed = new > -math.inf
    log_ratio = torch.clamp(torch.where(allowed, new - old, -most), -most, most).detach()
    value, slope = slope_of(drift, log_ratio, advantage)
    ratio = torch.exp(log_ratio)
    weight = torch.where(allowed, (advantage - slope) * ratio, 0.0)
    surrogate = -torch.mean(weight * torch.where(allowed, new, 0.0))
    return torch.mean(value - ratio * advantage) + (surrogate - surrogate.detach())
