"""Steps of rules in PyTorch beside `torch.optim.AdamW`: 10 million weights in 100 tensors, both sides in turn.

python benchmarks/torch_speed.py [--device cuda] [--rounds 20]
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from rulesmith import load

RULES = ("adamw", "nadamw", "lion", "root-momentum", "cautious-adamw")
"""AdamW's program first; its cost is the yardstick."""


def parameters(device, tensors=100, shape=(250, 400)):
    generator = torch.Generator().manual_seed(0)
    found = [torch.nn.Parameter(torch.randn(shape, generator=generator).to(device)) for _ in range(tensors)]
    for each in found:
        each.grad = torch.randn(shape, generator=generator).to(device)
    return found


def exported(name, folder):
    """Return the class in a rule's exported file."""
    source = load(name).to_source("torch")
    (folder / f"{name.replace('-', '_')}_torch.py").write_text(source)
    module = __import__(f"{name.replace('-', '_')}_torch")
    return next(
        c
        for c in vars(module).values()
        if isinstance(c, type)
        and c.__module__ == module.__name__
        and issubclass(c, module.RuleOptimizer)
        and c is not module.RuleOptimizer
    )


def seconds(step, device):
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(label, steps, rounds, device):
    """Print the milliseconds of each step, and its ratio to the first one's, of which all are run in turn."""
    for step in steps.values():
        for _ in range(3):
            seconds(step, device)
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds(step, device))
    least, middle = (next(map(f, times.values())) for f in (min, statistics.median))
    print(f"\n{label}, {rounds} rounds in turn, {torch.get_num_threads()} threads, torch {torch.__version__}, {device}")
    for name, own in times.items():
        print(
            f"{name:32} least {1e3 * min(own):8.2f} ms ({min(own) / least:.2f})   "
            f"median {1e3 * statistics.median(own):8.2f} ms ({statistics.median(own) / middle:.2f})"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--compiled", action="store_true", help="compiled steps too")
    options = parser.parse_args()
    device = options.device
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        for label, sizes in (("100 tensors of 250 x 400", (100, (250, 400))), ("one tensor", (1, (25_000, 400)))):
            steps = {
                "torch.optim.AdamW(foreach=True)": torch.optim.AdamW(parameters(device, *sizes), foreach=True).step
            }
            for name in RULES:
                steps[f"{name}, exported"] = exported(name, Path(folder))(parameters(device, *sizes), lr=1e-3).step
            if options.compiled:
                theirs = torch.optim.AdamW(parameters(device, *sizes), foreach=True, capturable=device == "cuda")
                steps["AdamW, compiled"] = torch.compile(theirs.step)
                ours = load("adamw").to_torch(parameters(device, *sizes), lr=1e-3)
                steps["adamw, compiled"] = torch.compile(ours.step)
            compare(label, steps, options.rounds, device)


if __name__ == "__main__":
    main()
