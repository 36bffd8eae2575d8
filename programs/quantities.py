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


def pace(per_second: float, what: str = "") -> str:
    """Return how many come in a second, or in a minute or an hour where that is less than two.

    >>> pace(28.2), pace(0.4, " programs"), pace(0.001)
    ('28/s', '24 programs/min', '4/h')
    """
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 2:
            return f"{per_second * seconds:.0f}{what}/{unit}"
    return f"{per_second * 3600:.0f}{what}/h"
