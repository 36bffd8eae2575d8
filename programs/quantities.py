"""Quantities in words, as all messages and pages give them."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Return how many there are of something.

    >>> counted(1, "program"), counted(2000, "life", "lives")
    ('1 program', '2,000 lives')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def duration(seconds: float) -> str:
    """Return a time in words, in the unit that suits it.

    >>> duration(95), duration(7300)
    ('1.6 minutes', '2.0 hours')
    """
    for unit, size in (("days", 2 * 86400), ("hours", 5400), ("minutes", 90)):
        if seconds >= size:
            return f"{seconds / {'days': 86400, 'hours': 3600, 'minutes': 60}[unit]:.1f} {unit}"
    return f"{seconds:.0f} seconds"
