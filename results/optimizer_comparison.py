"""What a comparison of optimizers found: test losses at the end of the training, against tuned AdamW's."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..envs.tasks import Task
from ..envs.tasks.family import family_of
from ..meta.judging_optimizers import FIRST_SEED, OptimizerVerdict
from ..meta.tuning import FROM_ONE, TUNING_SEEDS
from . import statistics
from .comparison import Comparison, change_words, finite_or

YARDSTICKS = ("adamw", "nadamw", "muon")
"""What a claim is made against: each alone and, on each task, the best of them."""
SCALES = ((5_000, "up to 5k weights"), (50_000, "5k to 50k"), (500_000, "50k to 500k"), (10**12, "above 500k"))
"""Groups of tasks: the most weights of a group, and its name."""
EDGE = 0.1
"""Part of a range that counts as its end."""
MOST_NOISE = 0.03
"""A task says little if AdamW's loss varies by more over seeds."""
PROFILE = np.array([0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0])
"""Losses over AdamW's at which the performance profile is computed."""


@dataclass(frozen=True, repr=False)
class OptimizerComparison(Comparison):
    """Optimizers on supervised tasks.

    Attributes:
        tasks: the tasks, in the order of the verdicts.
        ranges: what was tuned of each optimizer.
    """

    baseline = "adamw"
    baseline_title = "AdamW"
    figure = "interquartile mean of loss / AdamW's"
    quantity = "loss"
    smaller_is_better = True

    verdicts: Mapping[str, tuple[OptimizerVerdict, ...]]
    tasks: tuple[Task, ...]
    ranges: Mapping[str, Mapping[str, tuple[float, float]]]

    def task_facts(self) -> list[dict[str, Any]]:
        """Return each task's name and its number of weights."""
        return [{"task": task.name, "weights": task.parameters} for task in self.tasks]

    @functools.cached_property
    def telling(self) -> Sequence[int]:
        """Places of the tasks on which AdamW's loss varies little over seeds."""
        return [i for i, noise in enumerate(self.noise()) if noise < MOST_NOISE]

    def losses(self, name: str, tasks: Sequence[int] | None = None) -> Float[np.ndarray, "tasks seeds"]:
        """Return test losses on the claimed tasks, or on those given by place.

        A diverged run counts as a thousand times AdamW's worst finite loss.
        """
        rows = []
        for i in self.claimed if tasks is None else tasks:
            base = self.verdicts[self.baseline][i].results
            worst = max((loss for loss in base if loss is not None), default=1.0)
            rows.append(finite_or(self.verdicts[name][i].results, 1e3 * worst))
        return np.array(rows)

    def relative(self, name: str) -> Float[np.ndarray, "tasks seeds"]:
        """Return losses over the interquartile mean of tuned AdamW's on the same task."""
        return self.losses(name) / statistics.interquartile_mean(self.losses(self.baseline), axis=1)[:, None]

    def estimate(self, name: str, tasks: Sequence[int] | None = None) -> statistics.Estimate:
        """Return the interquartile mean of the loss relative to tuned AdamW's, with its interval."""
        return self.against(name, self.baseline, tasks)

    def against(self, name: str, other: str, tasks: Sequence[int] | None = None) -> statistics.Estimate:
        """Return the interquartile mean of the loss relative to that of another contestant, with its interval."""
        return statistics.relative(self.losses(name, tasks), self.losses(other, tasks))

    def improvement(self, name: str) -> statistics.Estimate:
        """Return the probability that a run ends with a smaller loss than one of AdamW's on the same task."""
        return statistics.improvement(-self.losses(name), -self.losses(self.baseline))

    def profile(self, name: str) -> Float[np.ndarray, " bounds"]:
        """Return the share of runs whose loss over AdamW's is at most each bound of `PROFILE`."""
        return 1 - statistics.profile(self.relative(name), PROFILE)

    def scales(self) -> dict[str, list[int]]:
        """Return the places of the claimed tasks, grouped by the size of their networks."""
        groups: dict[str, list[int]] = {}
        for i in self.claimed:
            label = next(label for most, label in SCALES if self.tasks[i].parameters <= most)
            groups.setdefault(label, []).append(i)
        return {label: groups[label] for _, label in SCALES if label in groups}

    @property
    def has_envelope(self) -> bool:
        """Whether all of `YARDSTICKS` are among the contestants."""
        return set(YARDSTICKS) <= set(self.contestants)

    def best_baselines(self) -> list[str]:
        """Return on each claimed task the one of `YARDSTICKS` whose tuned validation loss is the smallest."""

        def loss(name: str, task: int) -> float:
            validation = self.verdicts[name][task].validation
            return np.inf if validation is None else validation

        return [min(YARDSTICKS, key=lambda name: loss(name, i)) for i in self.claimed]

    def against_envelope(self, name: str) -> statistics.Estimate:
        """Return the interquartile mean of the loss relative to the best baseline's on each task, with its interval."""
        base = [self.losses(best, [i])[0] for i, best in zip(self.claimed, self.best_baselines(), strict=True)]
        return statistics.relative(self.losses(name), np.array(base))

    def slope(self, name: str) -> statistics.Estimate | None:
        """Return by how much the logarithm of loss / AdamW's changes with ten times as many weights, within families.

        None unless a family of tasks is here at two sizes. Below 0, a lead grows with the size of the network.
        """
        tasks = [self.tasks[i] for i in self.claimed]
        families = [family_of(task) for task in tasks]
        if len({(family_of(task), task.parameters) for task in tasks}) == len(set(families)):
            return None
        sizes = np.log10([task.parameters for task in tasks])
        return statistics.slope(self.losses(name), self.losses(self.baseline), sizes, families)

    def best_rates(self, name: str) -> dict[str, float]:
        """Return the geometric mean of the tuned learning rates at each size."""
        rates = np.log([verdict.setting["learning_rate"] for verdict in self.verdicts[name]])
        return {label: float(np.exp(rates[members].mean())) for label, members in self.scales().items()}

    def at_edges(self) -> list[str]:
        """Return which tuned numbers are within a tenth of their range, on its scale, of an end, on half of the tasks.

        There the best may lie outside the range.
        """
        found = []
        for name, verdicts in self.verdicts.items():
            for label, (low, high) in self.ranges[name].items():
                key = label.removeprefix(FROM_ONE)
                values = np.array([verdict.setting[key] for verdict in verdicts])
                values = 1.0 - values if label != key else values
                places = np.log(values / low) / np.log(high / low)
                for end, near in (("low", places < EDGE), ("high", places > 1 - EDGE)):
                    if near.mean() >= 0.5:
                        found.append(f"{name}'s {label} at the {end} end of {low:g} to {high:g}")
        return found

    def noise(self) -> list[float]:
        """Return the standard deviation over seeds of the logarithm of AdamW's test loss on each task."""
        return [float(np.std(np.log(losses), ddof=1)) for losses in self.losses(self.baseline, range(len(self.tasks)))]

    def warnings(self) -> list[str]:
        """Return which tasks say little, since AdamW's own loss varies on them, and which ranges may be too narrow."""
        found = []
        noises = zip(self.tasks, self.noise(), strict=True)
        noisy = ", ".join(f"{task.name} ({noise:.0%})" for task, noise in noises if noise >= MOST_NOISE)
        if noisy:
            where = "; they are in the first table only" if len(self.claimed) < len(self.tasks) else ""
            found.append(
                f"AdamW's own loss varies by {MOST_NOISE:.0%} and more over seeds on {noisy}, so chance decides there"
                + where
            )
        if edges := self.at_edges():
            found.append(
                "on half of the tasks and more the best setting lies near the end of what was tried, and a better one "
                f"may lie beyond: {'; '.join(edges)}"
            )
        return found

    def conclusions(self) -> list[str]:
        """Return what has been shown; against AdamW, and in a claim against the best baseline on each task too."""
        found = super().conclusions()
        if self.too_few() or not self.has_envelope:
            return found
        for name in self.contestants:
            if name not in YARDSTICKS:
                estimate = self.against_envelope(name)
                told = f"{name} {self.shown(estimate)} the best of AdamW, NAdamW and Muon on each task"
                found.append(f"{told}: its loss is {change_words(estimate)}.")
        return found

    def expected_best(self, name: str) -> dict[int, statistics.Estimate]:
        """Return the best validation loss to be expected of 1, 2, 4, ... settings, over tuned AdamW's best.

        Where a setting was tried in a short training only, its loss is what a whole one is expected to reach.
        """
        rows = []
        for i in self.claimed:
            own, base = self.verdicts[name][i], self.verdicts[self.baseline][i]
            least = min(loss for _, loss in base.tuning if loss is not None)
            rows.append(np.array([np.inf if loss is None else loss for _, loss in own.tuning]) / least)
        return statistics.expected_best(np.array(rows))

    def steps_to_baseline(self, name: str, task: int) -> float | None:
        """Return the share of the training after which the mean validation loss reaches AdamW's last; None if never."""
        final = self.verdicts[self.baseline][task].curve[-1]
        curve = self.verdicts[name][task].curve
        for i, loss in enumerate(curve, 1):
            if loss is not None and final is not None and loss <= final:
                return i / len(curve)
        return None

    def _against_yardsticks(self, name: str) -> dict[str, Any]:
        """Return the losses over those of the best baseline on each task, and over each other's by size, as data."""
        places = {"all": None, **self.scales()}
        others = {
            other: {label: self.against(name, other, tasks)._asdict() for label, tasks in places.items()}
            for other in YARDSTICKS
            if other not in (name, self.baseline)
        }
        return {"against_best_baseline": self.against_envelope(name)._asdict(), "against": others}

    def more_facts(self) -> dict[str, Any]:
        """See `Comparison.more_facts`."""
        rules = {}
        for name, verdicts in self.verdicts.items():
            tasks = []
            for verdict in verdicts:
                row = verdict.to_dict()
                losses, validation = row.pop("results"), row.pop("curve")
                tasks.append({**row, "losses": losses, "validation": validation})
            rules[name] = {
                "interquartile_mean": self.estimate(name)._asdict(),
                "expected_best": {str(n): best._asdict() for n, best in self.expected_best(name).items()},
                **(self._against_yardsticks(name) if self.has_envelope else {}),
                **({"slope_by_tenfold_size": slope._asdict()} if (slope := self.slope(name)) else {}),
                "best_learning_rates": self.best_rates(name),
                "improvement_over_adamw": self.improvement(name)._asdict(),
                "by_scale": {label: self.estimate(name, members)._asdict() for label, members in self.scales().items()},
                "profile": {"below": PROFILE.tolist(), "share": self.profile(name).tolist()},
                "ranges": {key: list(value) for key, value in self.ranges[name].items()},
                "steps_to_adamw": [self.steps_to_baseline(name, i) for i in range(len(self.tasks))],
                "tasks": tasks,
            }
        return {
            "tuning_seeds": TUNING_SEEDS,
            "first_seed": FIRST_SEED,
            "claimed": [self.tasks[i].name for i in self.claimed],
            "rules": rules,
        }
