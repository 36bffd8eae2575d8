"""What each part of LPG's published form does: searches by meta-gradients with one part as it was before, or all.

    python benchmarks/lpg_parts.py --steps 300 --seeds 3 --out parts/

prints the signs of life of each search in its last tenth, and writes each rule as a file, to be judged by
`rulesmith compare` at its own best rate. Lives are on newly drawn levels.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from rulesmith.envs.registry import make
from rulesmith.meta.learners import hyper_range, learner_for
from rulesmith.meta.lpg_learner import PUBLISHED_FORM
from rulesmith.meta.meta_gradient import MetaGradient
from rulesmith.meta.meta_settings import MetaSettings
from rulesmith.programs import rule_file
from rulesmith.programs.objective import Objective
from rulesmith.results.signs_of_life import signs_in
from rulesmith.search import engine
from rulesmith.search.curricula.renewed import RenewedLifetimes
from rulesmith.search.numerics import standard_numerics
from rulesmith.search.problems.agents import AgentsProblem
from rulesmith.search.starts import start_arrays
from rulesmith.search.strategies.meta_gradient import MetaGradientDescent


@dataclass(frozen=True)
class Form:
    """One form of LPG: settings that are part of the rule, of the meta-gradient, and the multiples of agents' rates."""

    rule: dict[str, Any]
    meta: MetaSettings
    rates: tuple[float, float]


PUBLISHED = Form(PUBLISHED_FORM, MetaSettings(), (0.5, 10.0))
PARTS: dict[str, Any] = {
    "penalty on logarithms": lambda form: replace(form, meta=replace(form.meta, penalty="logarithms")),
    "ends seen": lambda form: replace(form, rule=form.rule | {"mask_ends": False}),
    "y from zero": lambda form: replace(form, rule=form.rule | {"prediction_start": 0.0}),
    "critic by Adam": lambda form: replace(form, meta=replace(form.meta, critic="last-rollout")),
    "advantages as they are": lambda form: replace(form, meta=replace(form.meta, normalize="nothing")),
    "one rate": lambda form: replace(form, rates=(1.0, 1.0)),
    "own Adam for each agent": lambda form: replace(form, meta=replace(form.meta, scale="adam")),
}
"""Changes of the published form; all but the last are how it was before."""


def forms(names: tuple[str, ...]) -> Iterator[tuple[str, Form]]:
    """Yield the forms by name: the published one, with each part changed alone, and with all but the last."""
    before = PUBLISHED
    for change in [*PARTS.values()][:-1]:
        before = change(before)
    every = {"published": PUBLISHED, **{name: change(PUBLISHED) for name, change in PARTS.items()}, "before": before}
    yield from ((name, every[name]) for name in names or every)


@standard_numerics()
def search(form: Form, options: Options, seed: int) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return the metrics of each step, and the rule's arrays at the end."""
    env = make(options.levels)
    start = start_arrays("lpg", options.hidden, seed)
    agent = {**form.rule, "workers": options.workers}
    learner = learner_for(env, Objective("search", "lpg", arrays=start), agent)
    hypers = hyper_range(env, "lpg", None, form.rates, (0.0, 0.0))
    meta = MetaGradient(learner, (hypers.low, hypers.high), form.meta, options.chunk, rule=start)
    strategy = MetaGradientDescent(start, options.learning_rate)
    parts = (
        strategy,
        RenewedLifetimes(env, (options.shortest, options.longest), options.agents),
        AgentsProblem(meta, options.agents),
    )
    key, rows = jax.random.key(seed), []
    end = engine.run(
        *parts,
        key=key,
        states=engine.initial(*parts, key),
        step=0,
        until=lambda step, states: step >= options.steps,
        observers=[lambda record: rows.append(record.metrics)],
    )
    return rows, strategy.mean(end.strategy)


@dataclass(frozen=True)
class Options:
    """What is run.

    Attributes:
        only: Names of forms; by default all.
        steps: Meta-steps of each search.
        seeds: Searches of each form.
        levels: The levels, an environment's name.
        agents: Agents at once.
        workers: Workers of an agent.
        hidden: Units of the rule's net.
        shortest: Updates of the shortest life.
        longest: Updates of the longest.
        learning_rate: Adam's, of the rule.
        chunk: Agents differentiated together.
        out: Folder for rule files and figures.
    """

    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FORM")] = ()
    steps: int = 300
    seeds: int = 1
    levels: str = "grid/all"
    agents: int = 32
    workers: int = 16
    hidden: int = 64
    shortest: int = 10
    longest: int = 100
    learning_rate: float = 1e-3
    chunk: int = 4
    out: Path | None = None


def main(options: Options) -> None:
    """Run the searches, and print a row for each."""
    found: dict[str, Any] = {}
    for name, form in forms(options.only):
        for seed in range(options.seeds):
            began = time.perf_counter()
            rows, arrays = search(form, options, seed)
            tenth = max(1, len(rows) // 10)
            last = {key: float(np.mean(values[-tenth:])) for key, values in signs_in(rows).items()}
            last["return"] = float(np.mean([row["center"] for row in rows[-tenth:]]))
            found[f"{name}, seed {seed}"] = {"signs": last, "seconds": time.perf_counter() - began}
            print(f"{name}, seed {seed}: " + ", ".join(f"{key} {value:.4g}" for key, value in last.items()), flush=True)
            if options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                file = f"{name.replace(' ', '-')}-{seed}"
                agent = {**form.rule, "workers": options.workers}
                rule = Objective(f"lpg-{file}", "lpg", arrays=arrays, agent=agent)
                rule_file.write(rule, options.out / f"{file}.toml")
                (options.out / "signs.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
