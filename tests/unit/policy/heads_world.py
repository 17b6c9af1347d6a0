"""Texts with vectors for tests of heads: topics are directions, texts lie around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypedDict

import numpy as np
import numpy.typing as npt

from trunkline_policy.basis import BasisText, Family
from trunkline_policy.head import HeadSet
from trunkline_policy.prototypes import prototype_heads

DIMENSION = 32


class Space(TypedDict):
    space_id: str
    model_id: str
    model_revision: str


SPACE: Final = Space(space_id="space", model_id="model", model_revision="1")


def direction(name: str) -> npt.NDArray[np.float32]:
    """The same direction for the same name, nearly at right angles to others."""
    seed = int.from_bytes(name.encode(), "big") % 2**32
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def around(name: str, count: int, *, spread: float = 0.1, seed: int = 0) -> npt.NDArray[np.float32]:
    """So many vectors near a direction."""
    noise = np.random.default_rng(seed).normal(size=(count, DIMENSION)) * spread
    return np.asarray(direction(name) + noise, dtype=np.float32)


def texts_of(
    counts: Mapping[str, int], *, family: Family = "collection"
) -> tuple[list[BasisText], npt.NDArray[np.float32]]:
    """So many examples of each target, with their vectors."""
    texts = [
        BasisText(family, name, "example", f"{name} {number}") for name in counts for number in range(counts[name])
    ]
    vectors = [around(f"{family} {name}", count) for name, count in counts.items()]
    return texts, np.concatenate(vectors)


def outside_of(count: int) -> tuple[list[BasisText], npt.NDArray[np.float32]]:
    """Examples of what belongs nowhere."""
    texts = [BasisText("out_of_scope", "", "example", f"outside {number}") for number in range(count)]
    return texts, around("elsewhere", count)


def prototypes(counts: Mapping[str, int]) -> HeadSet:
    """A head of prototypes of collections."""
    texts, vectors = texts_of(counts)
    return prototype_heads(texts, vectors, **SPACE)
