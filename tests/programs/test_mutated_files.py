"""Damaged and hostile rule files are data: read, or refused in a line, in little time and memory, and never run."""

import os
import threading
import time
import warnings

import pytest
from hostile import most_memory, read_all
from rulesmith import RulesmithError
from rulesmith.envs.gridworld import level_file
from rulesmith.programs import rule_file, text_file


def test_mutated_files_are_read_or_refused_in_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_all(0, 2_000, tmp_path)
    assert found.valid.total() > 200
    assert found.refused.total() > 1_000


DEEP = "a dotted key of too many parts"


@pytest.mark.parametrize("read", [rule_file.loads, level_file.loads])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a." * 90_000 + "b = 1", DEEP),
        ("[" + "a . " * 20_000 + "b]\n" + "c.d = 1\n" * 10_000, DEEP),
        ("x = {" + "'a b'.\t" * 20_000 + "b = 1}", DEEP),
        ('"\\""."é".' * 10_000 + "b = 1", DEEP),
        ('"""' * 60_000, "not TOML"),
        ('x = """' + '\\"' * 90_000, "not TOML"),
        ("'" * 190_001, "not TOML"),
        ("x = 1" + "0" * 9_000, "not TOML"),
        ("x = " + "[" * 190_000, "not TOML"),
        (".".join("a" * 20) + " = 1", "'a'"),
        # Dots in strings, comments and lists make no key.
        ("x = '''" + "a.'b." * 100 + "\"'''\ny = \"" + "a.'" * 30 + '" # ' + "a." * 30 + "\nz = 0.1", "'x'"),
        ("x = [" + "0.1, " * 1_000 + "]", "'x'"),
    ],
)
def test_hostile_toml_takes_little_time_and_memory(read, text, says):
    assert len(text) <= text_file.MAX_FILE_BYTES
    began, before = time.process_time(), most_memory()
    with pytest.raises(RulesmithError) as caught:
        read(text)
    assert says in str(caught.value)
    assert time.process_time() - began < 1.0
    assert most_memory() - before < 100.0


@pytest.mark.parametrize("read", [rule_file.read, rule_file.read_program, level_file.read])
def test_an_endless_file_is_refused(read, tmp_path):
    path = tmp_path / "endless.toml"
    os.mkfifo(path)

    def write():
        try:
            with path.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(65_536))
        except BrokenPipeError:
            return

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(RulesmithError, match="too large to be read"):
        read(path)
    writer.join()
