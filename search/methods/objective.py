"""Discovery of RL objectives: networks that train agents, found by evolution strategies over whole lifetimes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...envs.environment import Environment, make
from ...programs import RulesmithError, rule_file
from ...programs.errors import nearest
from ...programs.objective import Objective, Shapes
from ..array_store import ArrayStore
from ..curricula.fixed import Fixed
from ..engine import Evaluation, Observer, Record
from ..executors import cache_compilations
from ..facts import facts_of
from ..session import run_session
from ..strategies.evolution_strategies import EsSettings, EvolutionStrategy
from ..strategies.meta_gradient import MetaGradientDescent

META_RATE = 1e-3
"""Learning rate of meta-gradients by default (the public setting, for far longer runs, is 1e-4)."""
RULES = ("lpo", "ta-lpo", "lpg", "ta-lpg")
META_GRADIENT = "meta-gradient"
"""The strategy that is told gradients; the others are `evolution_strategies.KINDS`."""


@dataclass(frozen=True)
class ObjectiveConfig:
    """What a run is; it decides, with versions and hardware, every byte that the run finds.

    Attributes:
        rule: one of `RULES`.
        environments: names; see `envs.environment.make`.
        horizon: shortest and longest lifetime, in environment steps, drawn log-uniformly.
        each: lifetimes of a candidate in each environment, a generation.
        episodes: whole episodes that an agent's last policy is judged by.
        hidden: units of LPG's recurrent net.
        entropy: weight of the agents' entropy bonus (drifts).
        agent: settings of the agents that are not the usual ones.
        es: the evolution strategy.
        seed: of the run.
    """

    rule: str = "ta-lpo"
    environments: tuple[str, ...] = ("CartPole-v1",)
    horizon: tuple[float, float] = (1e5, 1e6)
    each: int = 1
    episodes: int = 16
    hidden: int = 256
    entropy: float = 0.01
    agent: Mapping[str, Any] = field(default_factory=dict)
    es: EsSettings = EsSettings()
    seed: int = 0

    @property
    def kind(self) -> str:
        """Of the rule: "drift" or "lpg"."""
        return "lpg" if self.rule.endswith("lpg") else "drift"

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        return self.es.name

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, and the strategy's name, as plain data."""
        return {**asdict(self), "strategy": self.strategy}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ObjectiveConfig:
        """Return what `to_dict` was called on."""
        known = {name: value for name, value in fields.items() if name != "strategy"}
        known |= {"environments": tuple(known["environments"]), "horizon": tuple(known["horizon"])}
        return cls(**{**known, "es": EsSettings(**known["es"])})


_SMALL = {"workers": 16, "steps": 32, "minibatches": 4, "widths": (32, 32)}

PRESETS: dict[str, dict[str, tuple[ObjectiveConfig, float]]] = {
    "demo": {
        "drift": (
            ObjectiveConfig(
                environments=("SpaceInvaders-MinAtar",),
                horizon=(5e3, 2e4),
                agent=_SMALL,
                es=EsSettings(population=16, sigma=0.1, learning_rate=0.03),
            ),
            1.5,
        ),
        "lpg": (
            ObjectiveConfig(
                environments=("grid/small",),
                horizon=(1.28e4, 1.28e5),
                hidden=32,
                es=EsSettings(population=32, sigma=0.1, learning_rate=0.02, ranks="pairwise"),
            ),
            1.5,
        ),
    },
    "standard": {
        "drift": (
            ObjectiveConfig(
                environments=("SpaceInvaders-MinAtar",),
                horizon=(1e4, 6e4),
                agent=_SMALL,
                es=EsSettings(population=32, sigma=0.03, learning_rate=0.01),
            ),
            60.0,
        ),
        "lpg": (
            ObjectiveConfig(
                environments=("grid/small",),
                horizon=(1.28e4, 3.2e5),
                each=2,
                hidden=64,
                es=EsSettings(population=64, sigma=0.1, learning_rate=0.01, ranks="pairwise"),
            ),
            60.0,
        ),
    },
    "paper": {
        "drift": (
            ObjectiveConfig(
                environments=("SpaceInvaders-MinAtar",),
                horizon=(1e7, 1e7),
                es=EsSettings(
                    population=64, sigma=0.03, sigma_decay=0.99, learning_rate=0.03, learning_rate_decay=0.99
                ),
            ),
            60.0 * 24 * 7,
        ),
        "lpg": (
            ObjectiveConfig(
                environments=("grid/all",),
                horizon=(1.28e4, 3.2e5),
                es=EsSettings(
                    population=512, sigma=0.1, learning_rate=0.01, learning_rate_decay=0.999, ranks="pairwise"
                ),
            ),
            60.0 * 24 * 7,
        ),
    },
}
"""By name and kind of rule: the config, and the minutes that a run takes if nothing else bounds it."""


def preset(name: str, rule: str) -> tuple[ObjectiveConfig, float]:
    """Return a preset's config for a rule, and its minutes.

    Raises:
        RulesmithError: there is no such preset or rule.
    """
    if name not in PRESETS:
        raise RulesmithError(f"no preset {name!r}{nearest(name, PRESETS)}; there are {', '.join(PRESETS)}")
    if rule not in RULES:
        raise RulesmithError(f"no kind of rule {rule!r}{nearest(rule, RULES)}; there are {', '.join(RULES)}")
    config, minutes = PRESETS[name]["lpg" if rule.endswith("lpg") else "drift"]
    return replace(config, rule=rule), minutes


def start_arrays(config: ObjectiveConfig) -> dict[str, np.ndarray]:
    """Return the parameters that a search starts from: PPO's drift, or a random net."""
    timed = config.rule.startswith("ta-")
    if config.kind == "drift":
        # A small hidden layer under a zero output: PPO at first, with a gradient to both layers.
        arrays = Shapes.drift(timed=timed).draw(config.seed, 1.0)
        return {**arrays, "output": np.zeros_like(arrays["output"])}
    return Shapes.lpg(timed=timed, hidden=config.hidden).draw(config.seed, 1.0)


@dataclass(frozen=True)
class Reference:
    """What returns in an environment are measured by, at the longest horizon.

    Attributes:
        random: mean return of a policy that has learned nothing.
        ppo: of tuned PPO.
        learning_rate: PPO's best, which agents under a learned drift use too.
    """

    random: float
    ppo: float
    learning_rate: float

    def normalized(self, returns: Any) -> Any:
        """Return 0 for random, 1 for PPO."""
        return (returns - self.random) / max(abs(self.ppo - self.random), 1e-6) * np.sign(self.ppo - self.random or 1)


class LifetimeProblem:
    """The problem: rules are worth the returns at the end of lifetimes that they train.

    Args:
        config: of the run.
        environments: made.
        references: by environment.
    """

    def __init__(
        self, config: ObjectiveConfig, environments: Sequence[Environment], references: Sequence[Reference]
    ) -> None:
        from ...meta.learners import hyper_for, learner_for
        from ...meta.population import Population

        self.references = list(references)
        objective = Objective("search", config.kind, arrays=start_arrays(config))
        self._learners = [learner_for(env, objective, config.agent) for env in environments]
        self._populations = [Population(learner, config.episodes) for learner in self._learners]
        rates = [r.learning_rate if config.kind == "drift" else None for r in references]
        self._hypers = [hyper_for(e, config.kind, rate, config.entropy) for e, rate in zip(environments, rates)]

    def init(self, key: Any) -> tuple[()]:
        """Return the state: none, an agent lives and dies within a generation."""
        return ()

    def evaluate(self, state: tuple[()], candidates: Any, tasks: Any, key: Any) -> Evaluation:
        """Let every candidate, and last the strategy's mean, train its agents.

        The feedback is the agents' final returns, (candidates, tasks), NaN where an agent diverged.
        """
        import jax

        from ...meta.population import Trials, repeated

        count = len(jax.tree.leaves(candidates)[0]) - 1
        returns, normalized, center, steps = [], [], [], 0
        for run, hyper, reference, learner, lifetimes in zip(
            self._populations, self._hypers, self.references, self._learners, tasks, strict=True
        ):
            groups, each = lifetimes.updates.shape
            tried = min(groups, 4)  # groups whose lifetimes the mean is tried on
            candidate = np.concatenate([np.repeat(np.arange(count), each), np.full(tried * each, count)])
            group = np.concatenate([np.repeat(np.arange(count) % groups, each), np.repeat(np.arange(tried), each)])
            lifetime = np.tile(np.arange(each), count + tried)
            trials = Trials(
                candidate.astype(np.int32),
                lifetimes.updates[group, lifetime],
                lifetimes.keys[group, lifetime],
                jax.tree.map(lambda x, at=(group, lifetime): x[at], lifetimes.params),
                repeated(hyper, len(candidate)),
            )
            final = run(candidates, trials).final
            returns.append(final[: count * each].reshape(count, each))
            normalized.append(reference.normalized(returns[-1]))
            center.append(reference.normalized(final[count * each :]))
            steps += int(trials.updates.sum()) * learner.workers * learner.steps
        every = np.concatenate(normalized, axis=1)
        worth = np.nan_to_num(every, nan=0.0).mean(axis=1)
        metrics = {
            "center": float(np.mean([np.nan_to_num(c, nan=0.0).mean() for c in center])),
            "best": float(worth.max()),
            "median": float(np.median(worth)),
            "worst": float(worth.min()),
            "diverged": int(np.isnan(every).any(axis=1).sum()),
            "env_steps": steps,
        }
        return Evaluation((), np.concatenate(returns, axis=1), worth, metrics)


class MetaGradientProblem:
    """The problem of meta-gradients: agents that live on are its state, the rule's gradient its feedback.

    Args:
        config: of the run; its strategy's population is the number of agents.
        env: the environment; only one.
        reference: of it.
        horizon: shortest and longest lifetime, in updates.
    """

    def __init__(
        self, config: ObjectiveConfig, env: Environment, reference: Reference, horizon: tuple[int, int]
    ) -> None:
        from ...meta.learners import hyper_for, learner_for
        from ...meta.meta_gradient import MetaGradient, MetaSettings

        self.agents, self.reference = config.es.population, reference
        self._env, self._horizon = env, horizon
        learner = learner_for(env, Objective("search", config.kind, arrays=start_arrays(config)), config.agent)
        self._meta = MetaGradient(learner, hyper_for(env, config.kind, None, 0.0), MetaSettings())
        self._steps = (self._meta.settings.updates + 1) * learner.workers * learner.steps * self.agents

    def _newborn(self, key: Any) -> Any:
        import jax

        from ..curricula.lifetimes import draw_lifetimes

        drawn = draw_lifetimes(self._env, self._horizon, (1, self.agents), key)
        return self._meta.born(drawn.keys[0], jax.tree.map(lambda x: x[0], drawn.params), drawn.updates[0])

    def init(self, key: Any) -> Any:
        """Return the first agents."""
        return self._newborn(key)

    def evaluate(self, state: Any, candidates: Any, tasks: Any, key: Any) -> Evaluation:
        """Let the agents make K updates each, and return the rule's gradient."""
        import jax

        born, live = jax.random.split(key)
        gradient, state, episodes, over = self._meta.step(candidates, state, self._newborn(born), live)
        count = np.asarray(episodes.count)
        mean = float(np.asarray(episodes.returns).sum() / max(count.sum(), 1.0))
        worth = float(self.reference.normalized(mean)) if count.sum() else 0.0
        by_agent = self.reference.normalized(np.asarray(episodes.returns) / np.maximum(count, 1.0))
        metrics = {
            "center": worth,
            "best": float(by_agent.max()),
            "median": float(np.median(by_agent)),
            "worst": float(by_agent.min()),
            "diverged": int(not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))),
            "env_steps": self._steps,
            "lifetimes_ended": int(np.asarray(over).sum()),
        }
        return Evaluation(state, gradient, by_agent, metrics)


def measure_reference(env: Environment, config: ObjectiveConfig, steps: float) -> Reference:
    """Return random's and tuned PPO's returns in an environment after a number of steps.

    PPO is tuned over six learning rates, four seeds each. Its agents are those of the run, for a drift; for LPG as many
    workers of its own.
    """
    import jax

    from ...meta.drift_learner import Hyper
    from ...meta.learners import learner_for, settings_of
    from ...meta.population import Population, Trials
    from ..curricula.lifetimes import draw_lifetimes

    own = settings_of(config.kind, config.agent)
    agent = config.agent if config.kind == "drift" else {**_SMALL, "workers": own.workers}
    learner = learner_for(env, rule_file.find_objective("ppo-clip"), agent)
    run = Population(learner, config.episodes)
    updates = max(1, round(steps / (learner.workers * learner.steps)))
    seeds = 4
    drawn = draw_lifetimes(env, (updates, updates), (1, seeds), jax.random.key(10_000))
    rates = [0.0, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]  # the first is the policy that learns nothing
    rate, seed = np.repeat(rates, seeds).astype(np.float32), np.tile(np.arange(seeds), len(rates))
    trials = Trials(
        np.zeros(len(rate), np.int32),
        np.where(rate > 0, updates, 0).astype(np.int32),
        drawn.keys[0][seed],
        jax.tree.map(lambda x: x[0][seed], drawn.params),
        Hyper(rate, np.full(len(rate), config.entropy, np.float32)),
    )
    nothing = {"none": np.zeros((1, 1), np.float32)}
    random, *means = run(nothing, trials).final.reshape(len(rates), seeds).mean(axis=1).tolist()
    best = int(np.argmax(np.nan_to_num(means, nan=-np.inf)))
    if not means[best] > random:
        raise RulesmithError(
            f"PPO learns nothing in {env.name} within {steps:,.0f} steps, so no return can be measured by it; "
            "give a longer --horizon or another --env"
        )
    return Reference(random, means[best], rates[1 + best])


def discover(
    config: ObjectiveConfig,
    directory: Path,
    *,
    generations: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    status: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a search over objectives, or go on with one.

    Args:
        config: what to search; of a resumed run, its own is used.
        directory: of the run.
        generations: stop after so many, counted from the start of the run.
        minutes: stop after so long, counted from now, at the end of a generation.
        resume: go on with the run in `directory`; other hosts than the first need its config in any case.
        observers: see each generation, after the store.
        status: told what is going on before the first.

    Raises:
        RulesmithError: the directory, environments, horizons or settings are not right; in one line.
    """
    import jax

    if jax.process_count() > 1 and minutes is not None:
        raise RulesmithError("several hosts stop together: bound the run by --generations, not by --minutes")
    if jax.process_index() > 0:
        _parts(config)
        _run(config, None, generations, minutes, (), lambda _: None)
        return
    if resume:
        with ArrayStore.open(directory, write=True) as store:
            if store.fact("keeps") != "arrays":
                raise RulesmithError(f"{directory} is not a run of `discover objective`")
            config = ObjectiveConfig.from_dict(store.fact("config"))
            _run(config, store, generations, minutes, observers, status)
        return
    _parts(config)
    facts = facts_of("objective", config.to_dict(), ("evosax", "gymnax", "brax"), keeps="arrays")
    with ArrayStore.create(directory, facts) as store:
        _run(config, store, generations, minutes, observers, status)


def check_horizon(horizon: tuple[float, float]) -> None:
    """Raise RulesmithError unless a horizon is a range of positive numbers."""
    low, high = horizon
    if not 0 < low <= high:
        raise RulesmithError(f"horizon {low:g}:{high:g}: give LOW:HIGH in environment steps, 0 < LOW <= HIGH")


def _parts(
    config: ObjectiveConfig,
) -> tuple[list[Environment], list[tuple[int, int]], EvolutionStrategy | MetaGradientDescent]:
    """Return environments, their horizons in updates, and the strategy; raises for what cannot work."""
    from ...meta.learners import learner_for, settings_of, updates_for

    if not config.environments:
        raise RulesmithError("--env: name at least one environment; `rulesmith environments` lists them")
    low, high = config.horizon
    check_horizon(config.horizon)
    if config.es.population < 1 or config.seed < 0:
        raise RulesmithError(f"population {config.es.population}, seed {config.seed}: above 0, and not below 0")
    environments = [make(name) for name in config.environments]
    start = start_arrays(config)
    objective = Objective("search", config.kind, arrays=start)
    for env in environments:
        learner_for(env, objective, config.agent)
    settings = settings_of(config.kind, config.agent)
    horizons = [(updates_for(low, settings), updates_for(high, settings))] * len(environments)
    if config.strategy != META_GRADIENT:
        return environments, horizons, EvolutionStrategy(config.es, start)
    if config.kind == "drift":
        raise RulesmithError(
            f"{META_GRADIENT} is for lpg and ta-lpg; {config.rule} is searched by open-es and the like"
        )
    if len(environments) > 1:
        raise RulesmithError(f"{META_GRADIENT} takes one environment; its levels may be many, as grid/all's are")
    return environments, horizons, MetaGradientDescent(start, config.es.learning_rate)


def _run(
    config: ObjectiveConfig,
    store: ArrayStore | None,
    generations: int | None,
    minutes: float | None,
    observers: Sequence[Observer],
    status: Callable[[str], None],
) -> None:
    """Run a search; of several hosts the first has the store, and all follow its states."""
    import jax

    from ...meta.population import from_first_host
    from .. import engine
    from ..curricula.lifetimes import UniformLifetimes

    cache_compilations()
    environments, horizons, strategy = _parts(config)
    groups = config.es.population // 2 if config.es.ranks == "pairwise" else 1
    curriculum = UniformLifetimes(tuple(environments), tuple(horizons), groups, config.each)
    key = jax.random.key(config.seed)
    kept = (store.fact("reference") if store else None) or {}
    unknown = (np.nan, np.nan, np.nan)
    known = [tuple(kept[name].values()) if name in kept else unknown for name in config.environments]
    references = []
    for name, env, row in zip(config.environments, environments, from_first_host(np.array(known)), strict=True):
        if np.isnan(row).any():
            status(f"compiling {name} and measuring random policies and tuned PPO there")
            row = astuple(measure_reference(env, config, config.horizon[1]))
        references.append(Reference(*map(float, row)))
        kept[name] = asdict(references[-1])
        line = "{random:.2f}, PPO {ppo:.2f} (learning rate {learning_rate:g})".format(**kept[name])
        status(f"{name}: return of random policies {line}")
        if store:
            store.add_fact("reference", kept)
    if isinstance(strategy, MetaGradientDescent):
        problem = MetaGradientProblem(config, environments[0], references[0], horizons[0])
        curriculum = Fixed(config.environments)
    else:
        problem = LifetimeProblem(config, environments, references)
    if store:
        store.rule_of = strategy.mean
    first = engine.initial(strategy, curriculum, problem, key)
    step, states = (store.resume(first) if store else None) or (0, first)
    step, states = from_first_host((np.int32(step), states))
    status(f"compiling whole lifetimes under {config.rule}, on {len(jax.devices())} devices")
    latest: list[Record] = []
    kept_by = [store, lambda record: latest.__setitem__(slice(None), [record])] if store else []
    try:
        run_session(
            strategy,
            curriculum,
            problem,
            key=key,
            begin=(int(step), states),
            reached=lambda step, _: generations is not None and step >= generations,
            minutes=minutes,
            observers=[*kept_by, *observers],
        )
    finally:
        if store and latest and (store.last_state() or (0,))[0] < latest[0].step:
            store.checkpoint(latest[0].step, latest[0].states)


__all__ = ["PRESETS", "RULES", "LifetimeProblem", "ObjectiveConfig", "discover", "preset"]
