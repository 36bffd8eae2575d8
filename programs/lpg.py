"""LPG's learned update (Oh et al. 2020), and TA-LPG's (Jackson et al. 2024), in JAX. Part of exported objectives.

An agent predicts, beside its policy, a categorical vector y(s) whose meaning is learned. The rule is a recurrent net
that runs backwards over a rollout and says, for each step, how much likelier its action should become, and what y
should have been.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .policies import log_probability, widened


def gru_steps(parameters, x, ended):
    """A GRU's states, backwards over inputs (time, workers, inputs), and what each step began with and computed.

    A step from the state h, which is zero where an episode ended, gives ``(1 - keep) new + keep h``, where
    ``new = tanh(drive + reset own)``; drive is linear in the input and own in h.

    Returns:
        the states, and each step's h, (time, workers, h) each; and (reset, keep, own, new), of that shape too.
    """
    size = parameters["hidden"].shape[0]

    def step(h, row):
        x, over = row
        h = h * (1.0 - over)[:, None]
        drive = x @ parameters["input"] + parameters["input_bias"]
        recurrent = h @ parameters["hidden"]
        reset, keep = jnp.split(jax.nn.sigmoid(drive[:, : 2 * size] + recurrent[:, : 2 * size]), 2, axis=-1)
        own = recurrent[:, 2 * size :] + parameters["hidden_bias"]
        new = jnp.tanh(drive[:, 2 * size :] + reset * own)
        after = (1.0 - keep) * new + keep * h
        return after, (after, h, (reset, keep, own, new))

    return jax.lax.scan(step, jnp.zeros((x.shape[1], size)), (x, ended), reverse=True)[1]


def gru_states(parameters, x, ended):
    """The states of `gru_steps` alone."""
    return gru_steps(parameters, x, ended)[0]


def lpg_targets(
    parameters, reward, done, gamma, probability, y, y_last, progress, total, masked=False, recurrence=gru_states
):
    """What the rule wants: how much more of each action, (time, workers), and predictions (time, workers, classes).

    Args:
        parameters: of the net: "embed" (classes, e) and "embed_bias"; "input" (inputs, 3 h) and "input_bias"; "hidden"
            (h, 3 h) and "hidden_bias" (h), a GRU's; "action" (h, 1) and "prediction" (h, classes).
        reward: (time, workers).
        done: whether the episode ended with the step; the net forgets there.
        gamma: discount.
        probability: of the actions, by the policy.
        y: predictions of the observations, probabilities, (time, workers, classes).
        y_last: of the observations after the rollout, (workers, classes).
        progress: n / N, the share of the lifetime that is over; read by nets with two more inputs, as is
        total: N, updates of the lifetime, of which they see the logarithm.
        masked: whether the embedding of y after an episode's end is zero, as published; else it is the next episode's
            first.
        recurrence: computes what `gru_states` does.
    """
    embedded = jax.nn.relu(jnp.concatenate([y, y_last[None]]) @ parameters["embed"] + parameters["embed_bias"])
    ended = done.astype(reward.dtype)
    columns = [reward, ended, jnp.full_like(reward, gamma), probability]
    if parameters["input"].shape[0] == 6 + 2 * embedded.shape[-1]:
        columns += [jnp.full_like(reward, progress), jnp.full_like(reward, jnp.log(total))]
    after = embedded[1:] * (1.0 - ended)[..., None] if masked else embedded[1:]
    x = jnp.concatenate([jnp.stack(columns, axis=-1), embedded[:-1], after], axis=-1)
    states = recurrence(parameters, x, ended)
    return (states @ parameters["action"])[..., 0], jax.nn.softmax(states @ parameters["prediction"])


def lpg_loss(policy, y_logits, action, more, y_target, weight=0.5):
    """A loss whose descent follows the targets: ``-mean(more log pi(a|s)) + weight mean KL(y(s), y_target)``."""
    logs = jax.nn.log_softmax(widened(y_logits))
    divergence = jnp.sum(jnp.exp(logs) * (logs - jnp.log(y_target + 1e-8)), axis=-1)
    log_new = log_probability(policy, action)
    log_new = jnp.where(log_new > -jnp.inf, log_new, 0.0)  # of an action that the policy forbids
    return jnp.mean(weight * divergence - more * log_new)
