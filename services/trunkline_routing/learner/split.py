"""Which samples are learned from and which are held back, by a stable hash of the query."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from trunkline_policy.normal import normalise
from trunkline_routing.learner.trust import Sample

HELD_BACK_OF: Final = 5
HELD_BACK: Final = 2
"""Two queries of five are held back: proposals begin with 10 samples, and fewer than 4 would tell nothing."""


def held_back(text: str) -> bool:
    """Return True if the query is held back: the same in every process, and however the query is written."""
    digest = hashlib.blake2b(normalise(text).encode(), digest_size=8, person=b"held-back").digest()
    return int.from_bytes(digest, "big") % HELD_BACK_OF < HELD_BACK


def split(samples: Iterable[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Return the samples to learn from and those that are held back."""
    learned: list[Sample] = []
    kept: list[Sample] = []
    for sample in samples:
        (kept if held_back(sample.text) else learned).append(sample)
    return learned, kept
