"""Which cheap fitness ranks rules as trainings of 200,000 weights do?

Some forty rules (published ones, others of their constants, and programs that searches found) train networks of several
sizes, each at several step sizes: the root mean square that its updates should have, so that a rule and a multiple of
it are alike. Two seeds make the proxies, and two others the truth: the step size is chosen on validation data,
and the test loss there is what the proxies should have foretold.

`measure` trains one family and keeps every loss (a process a core, each with a family of its own; one that was stopped
goes on); `study` reads what was kept and prints, for each proxy, its rank correlation with the truth.

python benchmarks/proxies.py measure digits-mlp --out digits.json
python benchmarks/proxies.py study digits.json topics.json
"""

import itertools
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rulesmith import Task, load
from rulesmith.envs.tasks import tasks
from rulesmith.meta.fitness import SHORT_PART
from rulesmith.meta.training import Trainer
from rulesmith.programs import Program, ProgramError, rule_file
from rulesmith.programs.parts import Programs
from rulesmith.programs.quantities import counted
from rulesmith.programs.rule import Rule
from rulesmith.results.layout import table
from rulesmith.search.mutation import inlined
from scipy.stats import spearmanr
from tyro.conf import Positional

SIZES = ("2k", "20k", "200k")
SCALES = tuple(1e-3 * 2.2**i for i in range(8))
"""Root mean squares of the updates that each rule tries."""
SEEDS = (0, 1)
"""The proxies' seeds."""
LATER = (2, 3)
"""The truth's."""
RESCALED = (0.1, 10.0)
"""Range of the factors of leaves where weights are rescaled."""
SHORTEST = 1 / 8
"""The shortest of the lengths that are drawn, as a part of the whole."""
FORMS = ("whole", "short", "rescaled", "directions", "fan-in", "lengths")
"""How a training differs from a whole one by the rule itself: a part of its length; weights rescaled by leaf; each
leaf's update scaled to unit root mean square, before the learning rate; divided by the leaf's fan-in; a length that is
drawn log-uniformly for each seed. At the largest size there are the first two only."""
FORMULAS = {"directions": "lr * (found / maximum(rms(found), 1e-30))", "fan-in": "found / cols"}
"""What becomes of an update, `found`, in some forms."""
WORST = 1.0
"""The largest logarithm of a relative loss; a diverged rule counts as that."""
KNOWN = (
    *("adamw", "nadamw", "amsgrad", "adabelief", "ademamix", "adopt", "mars", "rmsprop", "cautious-adamw", "exadam"),
    *("adafactor", "lamb", "momentum", "sgd", "lion", "signsgd", "root-momentum", "muon", "normuon", "auon"),
)
VARIED = {
    "adamw": [{"b1": b1, "b2": b2} for b1, b2 in ((0.5, 0.9), (0.8, 0.95), (0.95, 0.99), (0.9, 0.9))],
    "lion": [{"b1": 0.8, "b2": 0.9}, {"b1": 0.95, "b2": 0.98}],
    "muon": [{"beta": 0.5}, {"beta": 0.8, "adam_ratio": 0.3}, {"beta": 0.9, "weight_decay": 0.05}],
    "momentum": [{"momentum": 0.7}, {"momentum": 0.97}],
}
FOUND = Path(__file__).parents[1] / "results/evidence/search-from-muon.json"
EACH = 3
"""Programs taken of each search."""


def rules():
    """Return the rules by name, hyperparameters inlined."""
    found = {name: Programs.of(load(name).programs) for name in KNOWN}
    for name, settings in VARIED.items():
        for setting in settings:
            label = " ".join([name, *(f"{key} {value:g}" for key, value in setting.items())])
            found[label] = Programs.of(load(name).programs).with_hyperparameters(setting)
    for i, run in enumerate(json.loads(FOUND.read_text())["runs"]):
        for row in run["hall_of_fame"][:EACH]:
            found[f"search {i}, {row['candidate']}"] = Programs.parse(row["programs"])
    return {name: Rule("tried", dict(inlined(programs).parts)) for name, programs in found.items()}


def rescaled(task):
    """Return a task whose network multiplies each leaf of its weights by a factor, one draw for all trainings."""
    low, high = map(math.log, RESCALED)
    shapes, structure = jax.tree.flatten(task.shapes[0])
    drawn = np.exp(np.random.default_rng(0).uniform(low, high, len(shapes))).astype(np.float32)
    factors = structure.unflatten(list(drawn))

    def network(weights):
        return jax.tree.map(jnp.multiply, weights, factors)

    def init(key):
        weights, state = task.functions.init(key)
        return jax.tree.map(jnp.divide, weights, factors), state

    return Task(
        name=task.name,
        data_set=task.data_set,
        splits=lambda: task.data,
        steps=task.steps,
        batch_size=task.batch_size,
        init=init,
        loss=lambda weights, *rest: task.functions.loss(network(weights), *rest),
        evaluation=lambda weights, *rest: task.functions.evaluation(network(weights), *rest),
        stateful=True,
        leaf_classes=task.functions.leaf_classes,
    )


def with_update(rule, formula):
    """Return a rule whose update is a formula of what it was, `found`."""

    def change(program):
        program = replace(program, inputs=tuple(dict.fromkeys((*program.inputs, "lr"))))
        body, _, returned = program.to_flat_text().rstrip().rpartition("return ")
        update, *states = returned.split(", ")
        indent = body[body.rindex("\n") :]
        return Program.parse(f"{body}found = {update}{indent}return {', '.join([formula, *states])}")

    return Rule(rule.name, dict(Programs.of(rule.programs).mapped(change).parts))


def drawn_lengths(steps, seeds):
    """Return the seeds with the lengths of their trainings: (length, seeds) pairs."""
    parts = [SHORTEST ** np.random.default_rng(seed).uniform() for seed in seeds]
    return [(max(1, round(steps * part)), [seed]) for seed, part in zip(seeds, parts)]


def on_cpu():
    """Tell whether JAX computes on a CPU."""
    return jax.default_backend() == "cpu"


def measure(family: Positional[str], out: Path, sizes: tuple[str, ...] = SIZES) -> None:
    """Train a family's networks by every rule, and keep the losses.

    Args:
        family: such as digits-mlp.
        out: file of the losses; what it holds is not trained again.
        sizes: which networks.
    """
    kept = json.loads(out.read_text()) if out.exists() else []
    known = {(row["rule"], row["task"], row["form"]) for row in kept}
    for size in sizes:
        task, last = tasks()[f"{family}-{size}"], size == SIZES[-1]
        for form in FORMS[:2] if last else FORMS:
            trainer = Trainer(rescaled(task) if form == "rescaled" else task, runs=len(SCALES) * (1 if on_cpu() else 4))
            seeds = SEEDS[:1] if form == "short" else SEEDS + LATER if last else SEEDS
            length = max(1, task.steps // SHORT_PART) if form == "short" else task.steps
            trainings = drawn_lengths(task.steps, seeds) if form == "lengths" else [(length, seeds)]
            for name, rule in rules().items():
                if (name, task.name, form) in known:
                    continue
                trained = with_update(rule, FORMULAS[form]) if form in FORMULAS else rule
                began = time.perf_counter()
                try:
                    losses = [
                        trainer.losses(trained, SCALES, some, relative=True, steps=steps, interpreted=not last)
                        for steps, some in trainings
                    ]
                except ProgramError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                seconds = (time.perf_counter() - began) / len(seeds)
                kept.append({"rule": name, "task": task.name, "form": form, "seconds": seconds})
                losses = np.concatenate(losses, axis=1)
                kept[-1]["losses"] = np.where(np.isfinite(losses), losses, -1.0).round(6).tolist()
                print(f"{task.name} {form} {name}: {seconds:.1f} s a seed", file=sys.stderr, flush=True)
                rule_file.write_text(out, json.dumps(kept))


class Losses:
    """What was measured, by rule, task and form."""

    def __init__(self, files):
        rows = [row for file in files for row in json.loads(file.read_text())]
        self.rows = {(row["rule"], row["task"], row["form"]): row for row in rows}
        self.families = sorted({row["task"].rsplit("-", 1)[0] for row in rows})
        wanted = {f"{family}-{SIZES[-1]}" for family in self.families}
        names = dict.fromkeys(row["rule"] for row in rows)
        self.rules = [name for name in names if all((name, task, "whole") in self.rows for task in wanted)]

    def best(self, rule, task, form, seeds, by=0, result=0):
        """Return the log of the mean loss over seeds at the best step size; `by` and `result`: validation 0, test 1."""
        row = self.rows[rule, task, form]
        losses = np.array(row["losses"])[:, list(seeds)]
        losses = np.where(losses <= 0, np.inf, losses).mean(axis=1)
        at = int(np.argmin(losses[:, by]))
        return float(np.log(losses[at, result]))

    def relative(self, family, size, form, seeds, **how):
        """Return each rule's log loss, relative to AdamW's, at most `WORST`."""
        task = f"{family}-{size}"
        found = np.array([self.best(rule, task, form, seeds, **how) for rule in self.rules])
        return np.minimum(np.nan_to_num(found - found[self.rules.index("adamw")], posinf=WORST, nan=WORST), WORST)

    def seconds(self, size, form, seeds):
        """Return the core seconds that a rule takes, the median over rules, summed over families."""
        rows = [
            [self.rows[rule, f"{family}-{size}", form]["seconds"] for rule in self.rules] for family in self.families
        ]
        return float(np.median(rows, axis=1).sum()) * len(seeds)


def proxies():
    """Return for each proxy its parts: (weight, size, form, seeds)."""
    found = {}
    for size, form, seeds in itertools.product(SIZES[:2], FORMS, (SEEDS[:1], SEEDS)):
        if len(seeds) == 1 or form != "short":
            found[f"{size}, {form}, {counted(len(seeds), 'seed')}"] = [(1.0, size, form, seeds)]
    two = SEEDS
    found["200k, short, 1 seed"] = [(1.0, "200k", "short", SEEDS[:1])]
    found["2k and 20k, whole, 2 seeds"] = [(0.5, "2k", "whole", two), (0.5, "20k", "whole", two)]
    found["2k and 20k, whole and rescaled"] = [
        (0.25, size, form, two) for size in SIZES[:2] for form in ("whole", "rescaled")
    ]
    found["20k, short and whole"] = [(0.5, "20k", "short", SEEDS[:1]), (0.5, "20k", "whole", two)]
    found["ladder: 2k and 20k, extrapolated to 200k"] = [(-1.0, "2k", "whole", two), (2.0, "20k", "whole", two)]
    found["ladder by half"] = [(-0.5, "2k", "whole", two), (1.5, "20k", "whole", two)]
    return found


def study(files: Positional[tuple[Path, ...]], json_file: Path | None = None) -> None:
    """Print each proxy's rank correlation with the truth, with its interval over rules and families.

    Args:
        files: what `measure` kept.
        json_file: keep the figures in this file.
    """
    losses = Losses(files)
    truth = np.array([losses.relative(f, SIZES[-1], "whole", LATER, result=1) for f in losses.families])
    rng = np.random.default_rng(0)
    draws = [
        (
            rng.integers(len(losses.families), size=len(losses.families)),
            rng.integers(truth.shape[1], size=truth.shape[1]),
        )
        for _ in range(1000)
    ]
    heads = ("rank correlation [95%]", "of the better half", "loss of its first, to the best's", "core seconds a rule")
    rows = table(f"{truth.shape[1]} rules, {len(losses.families)} families", *heads, right=heads)
    kept = {}
    for name, parts in proxies().items():
        wanted = [(f"{family}-{size}", form) for _, size, form, _ in parts for family in losses.families]
        if not all((rule, *each) in losses.rows for each in wanted for rule in losses.rules):
            print(f"{name}: not measured for all rules", file=sys.stderr)
            continue
        value = sum(w * np.array([losses.relative(f, s, form, n) for f in losses.families]) for w, s, form, n in parts)
        mean, real = value.mean(axis=0), truth.mean(axis=0)
        drawn = [spearmanr(value[f][:, r].mean(axis=0), truth[f][:, r].mean(axis=0)).statistic for f, r in draws]
        low, high = np.nanquantile(drawn, (0.025, 0.975))
        half = real <= np.median(real)
        figures = {
            "correlation": spearmanr(mean, real).statistic,
            "low": low,
            "high": high,
            "better_half": spearmanr(mean[half], real[half]).statistic,
            "first": math.exp(real[int(np.argmin(mean))] - real.min()),
            "seconds": sum(losses.seconds(s, form, n) for _, s, form, n in parts),
        }
        kept[name] = {key: round(float(number), 4) for key, number in figures.items()}
        cells = [f"{figures['correlation']:.2f} [{low:.2f}, {high:.2f}]", f"{figures['better_half']:.2f}"]
        rows.add_row(name, *cells, f"{figures['first']:.3f}", f"{figures['seconds']:.1f}")
    again = np.array([losses.relative(f, SIZES[-1], "whole", SEEDS, result=1) for f in losses.families])
    ceiling = spearmanr(again.mean(axis=0), truth.mean(axis=0)).statistic
    Console(width=140).print(rows)
    print(f"Two other seeds of the truth itself: {ceiling:.2f}.")
    if json_file:
        order = sorted(zip(truth.mean(axis=0), losses.rules))
        ranking = {rule: round(math.exp(value), 4) for value, rule in order}
        facts = {"families": losses.families, "proxies": kept, "ceiling": round(float(ceiling), 4), "truth": ranking}
        json_file.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"measure": measure, "study": study})
