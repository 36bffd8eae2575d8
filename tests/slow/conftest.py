"""Figures of the long tests, which are shown as each of them ends."""

import time

import pytest


@pytest.fixture
def figures(request, capsys):
    """Return a function that prints a line of figures and the seconds that the test has taken, whatever is captured."""
    began = time.monotonic()

    def show(text):
        with capsys.disabled():
            print(f"\n{request.node.name}: {text} ({time.monotonic() - began:.0f} s)", flush=True)

    return show
