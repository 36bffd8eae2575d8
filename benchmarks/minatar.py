"""An exam on MinAtar games: `python benchmarks/minatar.py ppo-clip dpo --env Asterix-MinAtar --out exam.json`.

One lifetime after another, of ten million steps, with the agents and the settings that are public for PPO: 64
environments x 128 steps, 4 epochs, 8 minibatches, discount 0.99, lambda 0.95, entropy 0.01, ReLU; Adam's learning rate
5e-3 falls to 0. Nothing is tuned for a rule or a game. The same lifetimes (seeds) for all rules. What is in --out
already is not trained again, so that an exam can go on for many nights. Four minutes a lifetime on one core.

DiscoBench's `OnPolicyRL_loss` is this exam for rules that were learned on Breakout and Freeway, its games Asterix and
SpaceInvaders; it takes the best of ten learning rates and greedy actions, so its figures are not comparable with these.
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from rulesmith import load
from rulesmith.envs.registry import make
from rulesmith.meta.learners import hyper_for, learner_for, updates_for
from rulesmith.meta.population import Population, Trials, repeated
from rulesmith.programs.objective import Objective
from rulesmith.search.curricula.lifetimes import draw_lifetimes

EPISODES = 64
"""Whole episodes that the last policy is judged by, its actions sampled."""


class Exam:
    """A rule's lifetimes in a game; compiled once."""

    def __init__(self, rule: Objective, env: str, steps: float, rate: float) -> None:
        self._env = make(env)
        learner = learner_for(self._env, rule, {"activation": "relu"})
        self._updates = updates_for(steps, learner)
        self._run = Population(learner, EPISODES)
        self._hyper = repeated(hyper_for(self._env, rule.kind, rate, 0.01), 1)
        self._rule = {name: array[None] for name, array in rule.arrays.items()}

    def __call__(self, seed: int) -> dict[str, Any]:
        """Return what the last policy returns, and those before it by twentieth of the training; None if none ended."""
        lives = draw_lifetimes(self._env, (self._updates, self._updates), (1, 1), jax.random.key(seed))
        one = jax.tree.map(lambda x: x[0], lives)
        life = self._run(self._rule, Trials(np.zeros(1, np.int32), one.updates, one.keys, one.params, self._hyper))
        course = [None if np.isnan(found) else round(float(found), 2) for found in life.returns[0]]
        return {"last policy": round(float(life.final[0]), 2), "by twentieth": course}


def main(
    rules: tyro.conf.Positional[tuple[str, ...]] = ("ppo-clip",),
    env: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
    seeds: int = 3,
    steps: float = 1e7,
    rate: float = 5e-3,
    out: Path | None = None,
) -> None:
    """Train agents by each rule in each game, and print what their last policies return.

    Args:
        rules: drifts: published objectives, rule files, or runs.
        env: an environment; may be given several times (Breakout-MinAtar).
        seeds: lifetimes of each rule in each environment.
        steps: environment steps of a lifetime.
        rate: Adam's first learning rate.
        out: a file (JSON) that keeps what is done.
    """
    kept: dict[str, Any] = json.loads(out.read_text()) if out and out.exists() else {}
    found = {name: load(name) for name in rules}
    if wrong := [name for name, rule in found.items() if not (isinstance(rule, Objective) and rule.kind == "drift")]:
        sys.exit(f"{wrong[0]} is no drift; this exam is for drifts, such as ppo-clip")
    games = env or ("Breakout-MinAtar",)
    exams = {(game, rule.name): Exam(rule, game, steps, rate) for game in games for rule in found.values()}
    for seed, (game, name) in itertools.product(range(seeds), exams):
        of_rule = kept.setdefault(f"{game}, {steps:g} steps, rate {rate:g}", {}).setdefault(name, {})
        if str(seed) not in of_rule:
            told = of_rule[str(seed)] = exams[game, name](seed)
            if out:
                out.write_text(json.dumps(kept, indent=1) + "\n")
            print(f"{game}, {name}, seed {seed}: {told}", flush=True)
    for where, by_rule in kept.items():
        for name, by_seed in by_rule.items():
            finals = [each["last policy"] for each in by_seed.values()]
            error = f" \u00b1{np.std(finals, ddof=1) / len(finals) ** 0.5:.1f}" if len(finals) > 1 else ""
            print(f"{where}: {name} {np.mean(finals):.1f}{error} ({len(finals)} seeds)")


if __name__ == "__main__":
    tyro.cli(main)
