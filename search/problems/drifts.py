"""Drift programs scored by the returns of the agents that they train, or by how near they are to a learned drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...envs.environment import Environment
from ...meta.drift_learner import DriftLearner, Hyper
from ...meta.learners import settings_of, updates_for
from ...meta.population import Population, Trials, repeated
from ...meta.score import Score
from ...meta.visited import Visited
from ...programs import ProgramError, RulesmithError, rule_file
from ...programs.drift import drift_slope
from ...programs.interpreter import Capacity, Code, encode, interpret_drift
from ...programs.objective import Objective
from ...programs.parts import Programs
from ..candidates import Candidate
from ..config_codec import names_of
from ..curricula.lifetimes import draw_lifetimes
from ..mutation import Limits, checked, inlined
from ..program_store import ProgramStore
from .return_scale import ReturnScale

CAPACITY = Capacity(statements=24, registers=32)
"""The largest drift that is interpreted."""


def _encoded(candidates: Sequence[Candidate]) -> list[Code | ProgramError]:
    codes: list[Code | ProgramError] = []
    for candidate in candidates:
        try:
            codes.append(encode(Programs.parse(candidate.programs.to_flat_text()).simplified(), CAPACITY))
        except ProgramError as error:
            codes.append(error)
    return codes


def _interpreted(code: Code, ratio: Any, log_ratio: Any, advantage: Any, progress: Any) -> Any:
    return interpret_drift(code, ratio, log_ratio, advantage, progress)


class ReturnScorer:
    """Scores drift programs by the agents that they train, interpreted: one compile for all programs.

    The fitness is minus the normalized return (0 random, 1 tuned PPO), a mean over environments and lifetimes.

    Args:
        environments: where agents live.
        scales: the scale of returns in each environment.
        horizon: shortest and longest lifetime, in environment steps.
        each: lifetimes of a program in each environment; the same for all programs.
        episodes: whole episodes that an agent's last policy is judged by.
        entropy: weight of the agents' entropy bonus.
        agent: settings of the agents.
        batch: programs that are scored in one call; fewer are filled up with agents that learn nothing.
        seed: seed of the lifetimes.
    """

    def __init__(
        self,
        environments: Sequence[Environment],
        scales: Sequence[ReturnScale],
        *,
        horizon: tuple[float, float],
        each: int,
        episodes: int,
        entropy: float,
        agent: Mapping[str, Any],
        batch: int,
        seed: int,
    ) -> None:
        self.batch = batch
        self._parts = []
        settings: Any = settings_of("drift", agent)
        for i, (env, scale) in enumerate(zip(environments, scales, strict=True)):
            learner = DriftLearner(env, _interpreted, settings)
            bounds = updates_for(horizon[0], settings), updates_for(horizon[1], settings)
            drawn = draw_lifetimes(env, bounds, (1, each), jax.random.fold_in(jax.random.key(seed), i))
            hyper = Hyper(scale.learning_rate, entropy)
            self._parts.append((env.name, Population(learner, episodes), drawn, hyper, scale))

    def __call__(self, candidates: Sequence[Candidate], tasks: Any = None) -> list[Score]:
        """Return the candidates' scores."""
        codes = _encoded(candidates)
        fit = [i for i, code in enumerate(codes) if not isinstance(code, ProgramError)]
        losses: dict[int, dict[str, float]] = {i: {} for i in fit}
        for begin in range(0, len(fit), self.batch):
            part = fit[begin : begin + self.batch]
            padded = part + part[-1:] * (self.batch - len(part))
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *(codes[i] for i in padded))
            for name, run, drawn, hyper, scale in self._parts:
                each = drawn.updates.shape[1]
                candidate, lifetime = np.repeat(np.arange(self.batch), each), np.tile(np.arange(each), self.batch)
                # Those that only pad the batch learn nothing, so that they cost little.
                updates = np.where(candidate < len(part), drawn.updates[0][lifetime], 0).astype(np.int32)
                trials = Trials(
                    candidate.astype(np.int32),
                    updates,
                    drawn.keys[0][lifetime],
                    jax.tree.map(lambda x, at=lifetime: x[0][at], drawn.params),
                    repeated(hyper, len(candidate)),
                )
                final = run(stacked, trials).final.reshape(self.batch, each).mean(axis=1)
                for i, value in zip(part, final, strict=False):
                    losses[i][name] = -float(scale.normalized(value))
        return [_score(code, losses.get(i, {})) for i, code in enumerate(codes)]


class SlopeScorer:
    """Scores drift programs by how near their slopes in r are to a learned drift's, on samples of an agent's life.

    The fitness is the mean squared difference, relative to the mean square of the learned drift's slope.
    """

    def __init__(self, target: Objective, seen: Visited) -> None:
        log_ratio, advantage, progress = (jnp.asarray(x) for x in seen)

        def slope(drift: Callable[..., Any]) -> Any:
            return drift_slope(lambda r, log_r, a: drift(r, log_r, a, progress), log_ratio, advantage)

        learned, arrays = target.drift(), target.arrays
        wanted = slope(lambda *x: learned(arrays, *x))
        size = jnp.square(wanted).mean()
        if not size > 0:
            raise RulesmithError(f"{target.name} has no slope wherever its agents went: nothing to distil")
        self._error = jax.jit(
            lambda code: jnp.square(slope(lambda *x: interpret_drift(code, *x)) - wanted).mean() / size
        )

    def __call__(self, candidates: Sequence[Candidate], tasks: Any = None) -> list[Score]:
        """Return the candidates' scores."""
        scores = []
        for code in _encoded(candidates):
            losses = {} if isinstance(code, ProgramError) else {"slope": float(self._error(code))}
            scores.append(_score(code, losses))
        return scores


def _score(code: Code | ProgramError, losses: dict[str, float]) -> Score:
    if isinstance(code, ProgramError):
        return Score(np.inf, str(code))
    for name, loss in losses.items():
        if not np.isfinite(loss):
            return Score(np.inf, f"diverges on {name}")
    return Score(float(np.mean(list(losses.values()))), "", losses)


def start_drift(init: str, statements: int) -> Programs:
    """Return the drift that a search starts from, hyperparameters inlined.

    Args:
        init: a published drift or a rule file.
        statements: the most statements that it may have.

    Raises:
        RulesmithError: there is no such drift, or it is a network.
    """
    found = rule_file.find_objective(init)
    if found.program is None:
        raise RulesmithError(f"--init {init}: a search over programs starts from a program, not from a network")
    start = inlined(Programs.of(found.program))
    checked(start, Limits(statements=statements))
    return start


def drift_rule(store: ProgramStore, measure: str, sign: float) -> Objective:
    """Return the best drift of a run as a rule.

    Args:
        store: the run's store.
        measure: what its losses are, times `sign`, in words.
        sign: 1, or -1 for losses that are the negative of what is measured.

    Raises:
        RulesmithError: the run has found none yet.
    """
    found, config = store.best(), store.fact("config")
    evidence = {measure: sign * found.fitness}
    evidence |= {f"{measure} on {name}": sign * loss for name, loss in found.losses.items()}
    provenance = {"origin": "rulesmith", "method": f"symbolic, {config['strategy']}", "start": config["init"]}
    provenance |= {"seed": config["seed"], "candidate": found.number}
    if any(config["horizon"]):
        provenance |= {"environments": list(names_of(config["environments"])), "horizon": list(config["horizon"])}
    return Objective(
        f"found-{found.number}",
        "drift",
        program=found.programs.only,
        description="a drift found by symbolic search",
        agent=store.fact("agent") or {},
        provenance=provenance,
        evidence=evidence,
    )
