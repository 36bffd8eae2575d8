"""Golden files: what a text was when a person last looked at it, kept byte for byte."""

import difflib
import os
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "golden"


def assert_golden(name: str, text: str) -> None:
    """Compare a text with the file of that name in tests/golden; with RENEW_GOLDEN=1, write the file instead."""
    path = FOLDER / name
    if os.environ.get("RENEW_GOLDEN") == "1":
        path.write_bytes(text.encode())
        return
    kept = path.read_bytes().decode() if path.exists() else ""
    if kept != text:
        lines = kept.splitlines(keepends=True), text.splitlines(keepends=True)
        diff = "".join(difflib.unified_diff(*lines, f"tests/golden/{name}", "now"))
        test = os.environ.get("PYTEST_CURRENT_TEST", "tests").split("::")[0]
        raise AssertionError(
            f"tests/golden/{name} {'differs' if path.exists() else 'is missing'}; if the new text is right, renew it:\n"
            f"RENEW_GOLDEN=1 .venv/bin/python -m pytest {test}\n{diff}"
        )
