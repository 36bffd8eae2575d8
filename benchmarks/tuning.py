"""How long tuning takes: 64 settings by successive halving, against 16 settings with three seeds each, in one run.

python benchmarks/tuning.py [TASK]
"""

import sys
import time

from rulesmith import load
from rulesmith.envs.tasks import tasks
from rulesmith.meta.tuning import TUNING_SEEDS, ranges_of, settings, tune, tuning_trainer


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    task, rule = tasks()[sys.argv[1] if len(sys.argv) > 1 else "digits-mlp-20k"], load("adamw")
    ranges, seeds = ranges_of(rule), range(1000, 1000 + TUNING_SEEDS)
    # Each compiles for itself.
    few = seconds(lambda: tuning_trainer(task).losses_at(rule, settings(ranges, 16), seeds))
    many = seconds(lambda: tune(rule, ranges, task, trials=64, seeds=TUNING_SEEDS))
    print(f"{task.name}, {rule.name}: 16 settings with {TUNING_SEEDS} seeds {few:.1f} s,", end=" ")
    print(f"64 settings by halving {many:.1f} s, {many / few:.2f} times as long")
