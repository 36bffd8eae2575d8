"""Damaged and hostile rule files are data: read, or refused in a line, and never run."""

import warnings

from hostile import read_all


def test_mutated_files_are_read_or_refused_in_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_all(0, 2_000, tmp_path)
    assert found.valid.total() > 200
    assert found.refused.total() > 1_000
