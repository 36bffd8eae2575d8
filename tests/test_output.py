"""Standard output that is not UTF-8, full, closed, or a pipe that nobody reads: readable text, or one line."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rulesmith.output import Output, wrapped

RULESMITH = str(Path(sys.executable).parent / "rulesmith")


def rulesmith(*words, **options):
    return subprocess.run([RULESMITH, *words], stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_what_an_encoding_lacks_is_written_alike(encoding):
    kept = io.BytesIO()
    own = io.TextIOWrapper(kept, encoding)
    stream = wrapped(own)
    stream.write("Schrödinger ± 1, ▁█, β → 2 ≤ 3\n")
    stream.flush()
    text = kept.getvalue().decode(encoding)
    assert "_#" in text
    assert "-> 2 <= 3" in text
    assert ("Schrodinger +/- 1" if encoding == "ascii" else "Schrödinger ± 1") in text


def test_commands_write_ascii_where_nothing_else_can_be():
    done = rulesmith("show", "lpg-es", stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("ascii").startswith("lpg-es: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = rulesmith("rules", stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"rulesmith: standard output cannot be written: No space left on device\n"


def test_a_reader_that_has_left_is_told_nothing():
    reading, writing = os.pipe()
    os.close(reading)
    done = rulesmith("rules", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("columns", [40, 60])
def test_a_terminal_gets_errors_in_lines_that_end_between_words(columns):
    reading, terminal = pty.openpty()
    env = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    done = subprocess.run([RULESMITH, "show", "no-such-rule-at-all"], stderr=terminal, env=env)
    text = os.read(reading, 1 << 16).decode()
    os.close(terminal)
    os.close(reading)
    lines = text.splitlines()
    assert done.returncode == 2
    assert len(lines) > 1
    assert max(map(len, lines)) <= columns
    assert "'no-such-rule-at-all'" in text


def test_processes_that_are_stopped_say_nothing_of_what_they_shared():
    program = (
        "import multiprocessing, os\nfrom rulesmith.search import stopping\nstopping.listen()\n"
        "lock = multiprocessing.get_context('spawn').Lock()\nos._exit(130)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE)  # ends with the last that writes
    assert (done.returncode, done.stderr) == (130, b"")


def test_closed_output_is_one_line():
    done = subprocess.run(["sh", "-c", f"exec {RULESMITH} rules >&-"], stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"rulesmith: standard output cannot be written: it is closed\n"


def test_after_a_fault_the_rest_is_dropped_and_the_command_goes_on():
    class Full(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            raise OSError(28, "No space left on device")

    stream = Output(io.BufferedWriter(Full()), "utf-8")
    for _ in range(3):
        stream.write("x" * 10_000)
        stream.flush()
    assert (stream.failed, stream.fault) == (True, "No space left on device")


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
def test_help_is_coloured_in_a_terminal_unless_no_colour_is_wanted(variables):
    reading, terminal = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"} | variables
    done = rulesmith("level", "--help", stdout=terminal, env=env)
    os.close(terminal)
    text = os.read(reading, 1 << 16)
    os.close(reading)
    assert done.returncode == 0
    assert b"Show a level" in text
    assert (b"\x1b[" in text) is not bool(variables)
