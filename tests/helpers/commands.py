"""The installed command, and what a run holds, for tests that stop it."""

import json
import subprocess
import sys
from pathlib import Path

from rulesmith import load
from rulesmith.programs import rule_file
from rulesmith.results.views import run_json

RULESMITH = str(Path(sys.executable).parent / "rulesmith")


def start(*words, **options):
    """Start a command; its output comes as one stream of text."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([RULESMITH, *map(str, words)], **{**pipes, **options})


def finish(*words, **options):
    """Run a command to its end, and return its exit status and output."""
    process = start(*words, **options)
    out, _ = process.communicate()
    return process.returncode, out


def everything(directory):
    """Return all that a run has found, as text, without times."""
    return json.dumps(run_json(Path(directory), stats=False)) + rule_file.dumps(load(directory))
