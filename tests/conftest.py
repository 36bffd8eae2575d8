"""Set before jax is imported: two host devices, for what is sharded, and the user's cache of compiled functions."""

import os

# Tests compile much and run little of it: these options compile in a quarter of the time, to slower code.
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0 "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)

import random
import signal

import hypothesis
import pytest
from rulesmith import Program
from rulesmith.programs import ProgramError
from rulesmith.programs.parts import Programs
from rulesmith.search.executors import cache_compilations
from rulesmith.search.methods.symbolic import WARM_START
from rulesmith.search.mutation import MUTATIONS, Limits, mutate

cache_compilations()
hypothesis.settings.register_profile("tests", deadline=None)  # machines are busy
hypothesis.settings.load_profile("tests")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background jobs; processes would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

KINDS = {name: share for name, share in MUTATIONS.items() if name != "share"}


def random_program(seed: int, most: int = 25) -> Program:
    """Return a program some mutations away from the warm start."""
    rng = random.Random(seed)
    program = Program.parse(WARM_START)
    for _ in range(rng.randrange(most)):
        try:
            program = mutate(Programs.of(program), rng, Limits(cost=1_000), KINDS).programs.only
        except ProgramError:
            continue
    return program


@pytest.fixture(scope="session")
def make_program():
    return random_program
