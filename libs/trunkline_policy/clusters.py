"""Topics within a target: k-means over unit vectors, the same in every process."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline_policy.head_parts import Floats

ROUNDS: Final = 25
STARTS: Final = 4


def unit(rows: npt.NDArray[Any]) -> Floats:
    """Return rows of length 1; one of length 0 stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 1e-12, lengths, 1.0), dtype=np.float32)


def topics(rows: Floats, count: int) -> npt.NDArray[np.int32]:
    """Return the topic of each row, numbered from 0 without gaps; at most `count`, from 1.

    Spherical k-means (Dhillon and Modha, 2001), the best of `STARTS` runs from centres chosen far apart (k-means++,
    Arthur and Vassilvitskii, 2007). Its random numbers are the same each time.
    """
    if count <= 1 or len(rows) <= 1:
        return np.zeros(len(rows), dtype=np.int32)
    generator = np.random.default_rng(0)
    runs = [_run(rows, _centres(rows, min(count, len(rows)), generator)) for _ in range(STARTS)]
    best = max(runs, key=lambda run: run[0])[1]
    return np.unique(best, return_inverse=True)[1].astype(np.int32)


def _run(rows: Floats, centres: Floats) -> tuple[float, npt.NDArray[np.intp]]:
    """Return the sum of the cosines to the own centres, and the owners."""
    owners = np.full(len(rows), -1, dtype=np.intp)
    nearness = 0.0
    for _ in range(ROUNDS):
        cosines = rows @ centres.T
        moved = cosines.argmax(axis=1)
        nearness = float(cosines.max(axis=1).sum())
        if (moved == owners).all():
            break
        owners = moved
        members = np.zeros((len(centres), len(rows)), dtype=np.float32)
        members[owners, np.arange(len(rows))] = 1.0
        sums = members @ rows
        centres = np.where(sums.any(axis=1, keepdims=True), unit(sums), centres)
    return nearness, owners


def _centres(rows: Floats, count: int, generator: np.random.Generator) -> Floats:
    chosen = [int(generator.integers(len(rows)))]
    distances = 1.0 - rows @ rows[chosen[0]]
    while len(chosen) < count:
        odds = np.maximum(distances, 0.0).astype(np.float64) + 1e-12
        chosen.append(int(generator.choice(len(rows), p=odds / odds.sum())))
        distances = np.minimum(distances, 1.0 - rows @ rows[chosen[-1]])
    return rows[chosen]
