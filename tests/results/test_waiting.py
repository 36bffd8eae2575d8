"""What is said while one waits."""

import pytest
from rulesmith.results import waiting


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (10, "compiling, for 10 s, about 30 s left"),
        (38, "compiling, for 38 s, last time 40 s in all"),
        (41, "compiling, for 41 s, longer than last time"),
    ],
)
def test_the_time_left_is_told_while_the_last_time_says_something_of_it(monkeypatch, passed, words):
    monkeypatch.setattr(waiting, "last_time", lambda what: 40.0)
    assert waiting.waiting_words("compiling", passed) == words
