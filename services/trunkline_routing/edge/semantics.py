"""Semantics: how near a query's vector is to what a policy says of each collection.

A collection's score is the better of two cosine similarities: to the centroid of its examples and description, and to
the single nearest of them. The centroid stands for the topic, the nearest example for a query that was asked before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trunkline_routing.edge.model import Vector
from trunkline_routing.edge.policy_text import RoutingPolicy

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near one collection is."""

    collection: str
    score: float
    """Cosine similarity, cut to 0..1."""


def prototype_texts(policy: RoutingPolicy, descriptions: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return `(collection, text)` of everything that stands for a collection: its examples and its description.

    `descriptions` are the map's own, for collections whose policy gives none.
    """
    texts: list[tuple[str, str]] = []
    for name, rules in policy.collections.items():
        texts.extend((name, example) for example in rules.examples)
        description = rules.description or descriptions.get(name, "")
        if description:
            texts.append((name, description))
    return texts


class Semantics:
    """A policy's prototypes in one embedding space."""

    def __init__(self, owners: Sequence[str], vectors: Sequence[Vector]) -> None:
        """Take one unit-length vector for each owner; an owner with several gives several."""
        self._names = sorted(set(owners))
        index = {name: number for number, name in enumerate(self._names)}
        self._owner = np.array([index[owner] for owner in owners], dtype=np.intp)
        self._prototypes: Matrix = np.asarray(vectors, dtype=np.float32).reshape(len(owners), -1 if owners else 0)
        self._centroids = _centroids(self._prototypes, self._owner, len(self._names))

    def rank(self, vector: Vector) -> list[Nearness]:
        """Return all collections, nearest first; ties by name."""
        if not self._names:
            return []
        query = np.asarray(vector, dtype=np.float32)
        best = self._centroids @ query
        np.maximum.at(best, self._owner, self._prototypes @ query)
        ranked = [Nearness(name, min(1.0, max(0.0, float(best[i])))) for i, name in enumerate(self._names)]
        ranked.sort(key=lambda near: (-near.score, near.collection))
        return ranked


def choose(ranked: Sequence[Nearness], policy: RoutingPolicy) -> list[Nearness]:
    """Return the collections at or above the threshold and within the margin of the best one."""
    if not ranked or ranked[0].score < policy.threshold:
        return []
    least = max(policy.threshold, ranked[0].score - policy.margin)
    return [near for near in ranked if near.score >= least][: policy.max_collections]


def _centroids(prototypes: Matrix, owner: npt.NDArray[np.intp], count: int) -> Matrix:
    sums = np.zeros((count, prototypes.shape[1]), dtype=np.float32)
    np.add.at(sums, owner, prototypes)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    centroids: Matrix = sums / np.where(lengths > 0, lengths, 1)
    return centroids
