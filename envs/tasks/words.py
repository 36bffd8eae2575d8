"""Words of twenty languages (wordfreq): the language of a word, read by its letters.

wordfreq's lists are under CC BY-SA 4.0, and made of the sources that its README names.
"""

from __future__ import annotations

import functools
from collections import Counter

import numpy as np

from ..models import SequenceClassifier
from .family import family
from .sources import check_digest, folder_of
from .task import Splits, cross_entropy, shuffled_splits

LANGUAGES = [
    "ca",
    "cs",
    "da",
    "de",
    "en",
    "es",
    "fi",
    "fil",
    "fr",
    "hu",
    "is",
    "it",
    "lt",
    "lv",
    "nl",
    "pl",
    "pt",
    "ro",
    "sl",
    "sv",
]
EACH, LENGTH = 1_200, 12
"""Words of each language, and the most letters."""


@functools.cache
def languages() -> Splits:
    """Words (12,), letters as numbers after zeros, and the number of their language. No word is of two languages."""
    folder_of("wordfreq")
    import wordfreq

    words = {language: _usual(wordfreq.get_frequency_list(language, "small")) for language in LANGUAGES}
    known = Counter(word for found in words.values() for word in found)
    own = {language: [w for w in found if known[w] == 1][:EACH] for language, found in words.items()}
    letters = "".join(sorted({letter for found in own.values() for word in found for letter in word}))
    inputs, labels = [], []
    for label, found in enumerate(own.values()):
        for word in found:
            inputs.append([0] * (LENGTH - len(word)) + [1 + letters.index(letter) for letter in word])
            labels.append(label)
    arrays = np.array(inputs, np.int32), np.array(labels, np.int32)
    check_digest("the words of wordfreq", "fabdb99f0d88f212", *arrays)
    return shuffled_splits(*arrays)


def _usual(buckets: list[list[str]]) -> list[str]:
    """Return words of letters alone, the most frequent first."""
    words = [word for bucket in buckets for word in sorted(bucket)]
    return [word for word in words if word.isalpha() and 3 <= len(word) <= LENGTH]


ALPHABET_SIZE = 128
"""More than there are."""

TASKS = family(
    "languages-gru",
    "languages",
    languages,
    lambda w: SequenceClassifier(ALPHABET_SIZE, max(4, w // 3), w, len(LANGUAGES)),
    cross_entropy,
    widths=(15, 62, 215, 698),
    steps=150,
    batch_size=32,
)
