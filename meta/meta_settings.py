"""Settings of the meta-gradient; a part of the configs of searches by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MetaSettings:
    """How a rule is improved by meta-gradients; the defaults are the public settings (Jackson et al. 2023).

    Attributes:
        updates: K, the updates of an agent in a meta-step.
        gae_lambda: Lambda of the last rollouts' advantages.
        critic: How critics learn: every-rollout (a step on each rollout of a meta-step: a plain gradient step where
            they are tables, else one of Adam), or last-rollout (one step of Adam, on the last one).
        critic_rate: Learning rate of the plain gradient steps of critics that are tables.
        normalize: What has mean 0 and variance 1: advantages of each agent's last rollout, or nothing.
        penalty: What of the rule's predictions is penalized: squares (their sum), or logarithms (the mean of their
            squares).
        scale: What the agents' gradients are before they are averaged: raw, clipped (each to a norm of 1, so that a few
            that explode do not decide), or adam (steps of each agent's own Adam; DiscoRL, Oh et al. 2025).
        policy_entropy: Weight of the policies' entropy, which is to stay high.
        prediction_entropy: Weight of the predictions' entropy.
        action_size: Weight of the mean square of the rule's pull on actions.
        prediction_size: Weight of the penalty on predictions.
    """

    updates: int = 5
    gae_lambda: float = 0.95
    critic: Literal["every-rollout", "last-rollout"] = "every-rollout"
    critic_rate: float = 4.0
    normalize: Literal["advantages", "nothing"] = "advantages"
    penalty: Literal["squares", "logarithms"] = "squares"
    scale: Literal["raw", "clipped", "adam"] = "raw"
    policy_entropy: float = 5e-2
    prediction_entropy: float = 1e-3
    action_size: float = 5e-3
    prediction_size: float = 1e-3
