"""Topics within a target: k-means over unit vectors, the same in every process."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline_policy.head_parts import Floats

ROUNDS: Final = 25


def unit(rows: npt.NDArray[Any]) -> Floats:
    """Return rows of length 1; one of length 0 stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 1e-12, lengths, 1.0), dtype=np.float32)


def topics(rows: Floats, count: int) -> npt.NDArray[np.int32]:
    """Return the topic of each row, numbered from 0 without gaps; at most `count`, from 1.

    Spherical k-means (Dhillon and Modha, 2001). It starts from the row nearest to the mean and then, each time, from
    the row that is farthest from all starts so far, so that no random number decides.
    """
    if count <= 1 or len(rows) <= 1:
        return np.zeros(len(rows), dtype=np.int32)
    centres = rows[_starts(rows, min(count, len(rows)))]
    owners = np.full(len(rows), -1, dtype=np.int64)
    for _ in range(ROUNDS):
        moved = (rows @ centres.T).argmax(axis=1)
        if (moved == owners).all():
            break
        owners = moved
        sums = np.zeros_like(centres)
        np.add.at(sums, owners, rows)
        centres = np.where(sums.any(axis=1, keepdims=True), unit(sums), centres)
    return np.unique(owners, return_inverse=True)[1].astype(np.int32)


def _starts(rows: Floats, count: int) -> list[int]:
    starts = [int((rows @ rows.mean(axis=0)).argmax())]
    nearest = rows @ rows[starts[0]]
    while len(starts) < count:
        starts.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, rows @ rows[starts[-1]])
    return starts
