"""Objectives in environments: returns of the agents they train, against tuned PPO's.

Agents live in this process, shared by its JAX devices; on a CPU each core is one. Scores are returns at the end of
lifetimes, scaled so that 0 is a policy that learned nothing and 1 the mean of tuned PPO's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float

from ..envs.environment import Environment
from ..envs.marks import content_hash, hash_of
from ..envs.registry import environment_family, make
from ..meta.drift_learner import DriftSettings
from ..meta.judging_objectives import (
    CLAIM_KEY,
    EPISODES,
    ROUNDS,
    TUNING_KEY,
    WIDENINGS,
    WIDER,
    ObjectiveVerdict,
    agent_ranges,
    agent_settings,
    judge_objective,
)
from ..meta.learners import PARTS_OF_RULES, learner_for, settings_of, updates_for
from ..meta.lpg_learner import LpgSettings
from ..meta.population import Population, use_cores
from ..meta.tuning import settings
from ..programs import RulesmithError, rule_file
from ..programs.errors import unknown
from ..programs.objective import Objective
from ..search.executors import available_cores, cache_compilations
from ..search.numerics import check_platform
from . import statistics
from .comparison import Comparison, Judgement, check_names, finite_or, result_words, rule_meant
from .verdicts import explained, verdict_mark

AGENT_SETTINGS = sorted(
    {field.name for made in (DriftSettings, LpgSettings) for field in fields(made)} - PARTS_OF_RULES
)
"""Settings that agents of any kind have, but for those that are part of a rule."""


LEAD = 5.0
"""Standard errors by which tuned PPO must be above agents that learn nothing where a task is to tell something."""


@dataclass(frozen=True, repr=False)
class ObjectiveComparison(Comparison):
    """Objectives on tasks, each an environment and a horizon.

    Attributes:
        tasks: (environment's name, horizon in environment steps), in the order of the verdicts.
        agent: settings that all agents share.
    """

    baseline = "ppo-clip"
    baseline_title = "PPO"
    figure = "interquartile mean, 0 random, 1 PPO"
    quantity = "normalized return"
    smaller_is_better = False

    verdicts: Mapping[str, tuple[ObjectiveVerdict, ...]]
    tasks: tuple[tuple[str, float], ...]
    agent: Mapping[str, Any]

    def task_facts(self) -> list[dict[str, Any]]:
        """Return each task's environment, horizon, mean return of agents that learned nothing, and whether it tells."""
        rows = zip(self.tasks, self.random, self.learned(), strict=True)
        return [
            {"environment": env, "steps": horizon, "random": random, "tells": "yes" if learned else "no"}
            for (env, horizon), random, learned in rows
        ]

    @property
    def telling(self) -> Sequence[int]:
        """Places of the tasks where PPO has learned something; see `learned`."""
        return [i for i, learned in enumerate(self.learned()) if learned]

    @property
    def claimed(self) -> Sequence[int]:
        """Places of the tasks that the figures are of: all only where none tells anything."""
        return self.telling or range(len(self.tasks))

    @property
    def random(self) -> tuple[float, ...]:
        """Mean return of agents that learned nothing, by task."""
        return tuple(verdict.untrained for verdict in self.verdicts[self.baseline])

    def returns(self, name: str, tasks: Sequence[int] | None = None) -> Float[np.ndarray, "tasks seeds"]:
        """Return returns at the end of lifetimes; a diverged agent's is that of one that learned nothing."""
        places = range(len(self.tasks)) if tasks is None else tasks
        return np.array([finite_or(self.verdicts[name][i].results, self.random[i]) for i in places])

    def scores(self, name: str, tasks: Sequence[int] | None = None) -> Float[np.ndarray, "tasks seeds"]:
        """Return normalized returns: 0 is the return of agents that learned nothing, 1 the mean of tuned PPO's."""
        places = range(len(self.tasks)) if tasks is None else tasks
        rows = []
        for i, returns in zip(places, self.returns(name, tasks), strict=True):
            low = self.random[i]
            known = [value for value in self.verdicts[self.baseline][i].results if value is not None]
            span = float(np.mean(known)) - low if known else 0.0
            rows.append((returns - low) / (span if abs(span) > 1e-6 else 1e-6))
        return np.array(rows)

    def estimate(self, name: str, tasks: Sequence[int] | None = None) -> statistics.Estimate:
        """Return the interquartile mean of the scores, with its interval."""
        return statistics.aggregate(self.scores(name, self.claimed if tasks is None else tasks))

    def improvement(self, name: str) -> statistics.Estimate:
        """Return the probability that an agent's return is higher than one of PPO's on the same task."""
        return statistics.improvement(self.scores(name, self.claimed), self.scores(self.baseline, self.claimed))

    def lead(self) -> list[float]:
        """Return for each task how far PPO's mean return is above that of learning nothing, in standard errors."""
        rows = []
        for verdict in self.verdicts[self.baseline]:
            mean, error = statistics.mean_and_error(verdict.results)
            above, noise = mean - verdict.untrained, float(np.hypot(error, verdict.untrained_error))
            with np.errstate(divide="ignore", invalid="ignore"):
                rows.append(float(np.nan_to_num(np.float64(above) / noise, nan=0.0)))
        return rows

    def learned(self) -> list[bool]:
        """Return for each task whether PPO is `LEAD` standard errors above learning nothing, so that it tells."""
        return [lead >= LEAD for lead in self.lead()]

    def at_edges(self) -> list[str]:
        """Return where the best setting lies at the end of a range that was widened as often as it may be."""
        found = []
        for name, verdicts in self.verdicts.items():
            for (env, steps), verdict in zip(self.tasks, verdicts, strict=True):
                for label in verdict.at_edge:
                    low, high = verdict.ranges[label]
                    where = f"{env} at {steps:,.0f} steps"
                    found.append(f"{name}'s {label} {verdict.setting[label]:.3g} of {low:.3g} to {high:.3g} in {where}")
        return found

    def warnings(self) -> list[str]:
        """See `Comparison.warnings`."""
        found = []
        for i, ((env, steps), lead) in enumerate(zip(self.tasks, self.lead(), strict=True)):
            where, low = f"{env} at {steps:,.0f} steps", self.random[i]
            if not lead >= LEAD:
                why = "PPO learned nothing that stands out from noise, so scores say little"
                out = "it is left out of the figures over all tasks" if self.telling else "give a longer --horizon"
                found.append(f"in {where} {why} ({lead:.1f} standard errors above random, {LEAD:g} are needed); {out}")
            for name, verdicts in self.verdicts.items():
                mean, error = statistics.mean_and_error(verdicts[i].results)
                if mean + 2 * error < low:
                    nothing = f"below agents that learn nothing ({mean:.2f}, and {low:.2f})"
                    found.append(f"in {where} {name} is {nothing}")
        if edges := self.at_edges():
            told = "the best setting lies at the end of what was tried, and a better one may lie beyond"
            found.append(f"{told}: {'; '.join(edges)}")
        return found

    def more_facts(self) -> dict[str, Any]:
        """See `Comparison.more_facts`."""
        rules = {}
        for name, verdicts in self.verdicts.items():
            rules[name] = {
                "interquartile_mean": self.estimate(name)._asdict(),
                "improvement_over_ppo": self.improvement(name)._asdict(),
                "tasks": [
                    {
                        "environment": env,
                        "horizon": horizon,
                        "setting": verdict.setting,
                        "tuning": verdict.tuning,
                        "ranges": verdict.ranges,
                        "at_edge": verdict.at_edge,
                        "returns": verdict.results,
                        "scores": row.tolist(),
                        "curve": verdict.curve,
                        "figures": verdict.figures,
                    }
                    for (env, horizon), verdict, row in zip(self.tasks, verdicts, self.scores(name), strict=True)
                ],
            }
        return {"random": list(self.random), "tells": self.learned(), "agent": dict(self.agent), "rules": rules}


class ObjectiveContest:
    """Objectives to compare; tuned PPO is always added, and A2C if a rule without values is among them.

    Args:
        rules: see `compare`.
        environments: see `env` of `compare`.
        horizons: lengths of a lifetime, in environment steps; by default the longest with which the first learned rule
            was found.
        trials: settings tried of each rule on each task.
        seeds: lifetimes of each rule at its best setting.
        agent: settings that all agents share; by default those that the first learned rule was found with.
        workers: devices that share the lifetimes; by default all.

    Raises:
        RulesmithError: a rule, environment, horizon or setting is not right, or one does not suit another.
    """

    verdict = ObjectiveVerdict
    at_once = 1  # all devices share the lifetimes of one judgement

    def __init__(
        self,
        rules: Sequence[Any],
        environments: Sequence[Any],
        horizons: Sequence[Any],
        *,
        trials: int,
        seeds: int,
        agent: Mapping[str, Any] | None,
        workers: int | None,
    ) -> None:
        _use_cores(workers or available_cores())  # before anything runs in JAX, such as the opening of a run
        check_platform()
        self._trials, self._seeds, self._workers = trials, seeds, workers
        self._rules = _with_baselines([_objective_meant(given) for given in rules])
        check_names([rule.name for rule in self._rules], "rules")
        found = next((rule.agent for rule in self._rules if rule.arrays), {})
        self._agent = agent or {name: value for name, value in found.items() if name not in PARTS_OF_RULES}
        for name in self._agent:
            if name not in AGENT_SETTINGS:
                raise unknown("setting of agents", name, AGENT_SETTINGS)
        self._horizons = [_horizon(horizon) for horizon in horizons] or [_found_with(self._rules)]
        check_names([f"{horizon:,.0f} steps" for horizon in self._horizons], "horizons")
        self._names = [_environment_name(given) for given in environments]
        check_names(self._names, "environments")
        for rule in self._rules:
            for horizon in self._horizons:
                updates_for(horizon, settings_of(rule.kind, agent_settings(rule, self._agent)))
        self._environments = {
            name: make(given) if isinstance(given, str) else given
            for name, given in zip(self._names, environments, strict=True)
        }
        self._tasks = tuple((name, horizon) for name in self._names for horizon in self._horizons)
        self.judgements = self._all_judgements()

    def _all_judgements(self) -> list[Judgement]:
        """Return the judgements: those of one rule in one environment follow each other, since they share a compile."""
        judgements = []
        for first, (name, env) in enumerate(self._environments.items()):
            packages, content = _environment_content(name, env)
            for rule in self._rules:
                own = agent_settings(rule, self._agent)
                learner = learner_for(env, rule, own)  # raises if the rule does not suit the environment
                tried = settings(agent_ranges(learner, rule.kind), self._trials)
                what = (*content, *_objective_content(rule), repr(learner.settings), tried)
                how = (self._seeds, ROUNDS, WIDENINGS, WIDER, TUNING_KEY, CLAIM_KEY, EPISODES)
                for i, horizon in enumerate(self._horizons):
                    mark = verdict_mark(ObjectiveVerdict, packages, name, horizon, *what, *how)
                    label = f"{name}, {horizon:,.0f} steps: {rule.name}"
                    place = first * len(self._horizons) + i
                    judgements.append(Judgement(rule.name, place, label, horizon, mark))
        return judgements

    def judge(self, waiting: Sequence[Judgement]) -> Iterator[tuple[Judgement, ObjectiveVerdict]]:
        """Make judgements on the devices, and yield each with its verdict."""
        import jax

        cache_compilations()
        rules = {rule.name: rule for rule in self._rules}
        run, compiled = None, None
        for judgement in waiting:
            rule, (name, horizon) = rules[judgement.contestant], self._tasks[judgement.task]
            if run is None or compiled != (rule.name, name):
                learner = learner_for(self._environments[name], rule, agent_settings(rule, self._agent))
                run, compiled = Population(learner, EPISODES, jax.devices()[: self._workers]), (rule.name, name)
            yield judgement, judge_objective(rule, run, name, horizon, self._trials, self._seeds)

    def shares(self) -> dict[Judgement, float]:
        """Return nothing: how often ranges are widened is not known beforehand."""
        return {}

    def words(self, verdict: ObjectiveVerdict) -> str:
        """Return what was found in words."""
        return result_words(verdict.results, 3)

    def comparison(self, found: Mapping[Judgement, Any]) -> ObjectiveComparison:
        """Return the result, given the verdicts of all judgements."""
        by_place = {(judgement.contestant, judgement.task): verdict for judgement, verdict in found.items()}
        return ObjectiveComparison(
            {rule.name: tuple(by_place[rule.name, i] for i in range(len(self._tasks))) for rule in self._rules},
            self._trials,
            self._seeds,
            self._tasks,
            dict(self._agent),
        )


def _objective_meant(given: Any) -> Objective:
    """Return the objective that a contestant of `compare` stands for.

    Raises:
        RulesmithError: there is none, or it is an optimizer.
    """
    rule = rule_meant(given)
    if isinstance(rule, Objective):
        return rule
    name = rule.name if rule is not None else getattr(given, "__name__", repr(given)[:80])
    raise RulesmithError(f"{name} is an optimizer; compare it with tasks (--tasks), not with env (--env)")


def _with_baselines(rules: Sequence[Objective]) -> list[Objective]:
    """Return the rules, each once, and the baselines that are not among them."""
    names = [ObjectiveComparison.baseline, *(["a2c", "a2c-sgd"] if any(rule.kind == "lpg" for rule in rules) else [])]
    found: dict[str, Objective] = {}
    for rule in (*rules, *map(rule_file.find_objective, names)):
        found.setdefault(hash_of(rule.name, sorted(rule.agent.items()), *_objective_content(rule)), rule)
    return list(found.values())


def _use_cores(count: int) -> None:
    """Make each core a device, unless JAX runs already; then its devices are what they are."""
    try:
        use_cores(count)
    except RuntimeError:
        return


def _horizon(given: Any) -> float:
    try:
        return float(given)
    except (TypeError, ValueError):
        raise RulesmithError(f"horizon {given!r}: give a number of environment steps, such as 1e5") from None


def _found_with(rules: Sequence[Objective]) -> float:
    """Return the longest horizon with which the first learned rule was found.

    Raises:
        RulesmithError: none says with which.
    """
    for rule in rules:
        if "horizon" in rule.provenance:
            return _horizon(max(rule.provenance["horizon"]))
        if "updates" in rule.provenance:
            agent = settings_of(rule.kind, rule.agent)
            return _horizon(max(rule.provenance["updates"]) * agent.workers * agent.steps)
    raise RulesmithError("name --horizon, in environment steps; none of the rules says with which it was found")


def _environment_name(given: Any) -> str:
    """Return what an environment is called: as it was given, or an object's own name."""
    if not isinstance(given, str | Environment):
        raise RulesmithError(f"{given!r:.80} is no environment: give a name or a rulesmith Environment")
    return given.name if isinstance(given, Environment) else given


def _objective_content(rule: Objective) -> tuple[Any, ...]:
    """Return what an objective computes, as plain data."""
    return rule.kind, rule.program and rule.program.to_text(), rule.digest()


def _environment_content(name: str, env: Environment) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return the packages that an environment comes from, and what it is, as plain data.

    One that rulesmith ships is known by its name and its packages' versions, another by what JAX compiles from its
    functions.

    Raises:
        RulesmithError: it cannot be stepped.
    """
    if _is_shipped(name, env):
        return environment_family(name)[0].packages, (content_hash(env.params),)
    with explained(f"environment {name} cannot be stepped"):
        return (), (env.mark(),)


def _is_shipped(name: str, env: Environment) -> bool:
    """Tell whether an environment is the one that rulesmith ships under its name."""
    if ":" in name or name.endswith(".toml"):
        return False
    try:
        return make(name) is env
    except RulesmithError:
        return False
