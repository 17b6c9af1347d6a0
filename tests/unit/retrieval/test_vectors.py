"""Checks of vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trunkline_mesh.errors import FieldInvalid, SpaceMismatch
from trunkline_retrieval.model import CollectionRef, Scope, Vector
from trunkline_retrieval.vectors import is_finite, require_vector

REF = CollectionRef(Scope("acme", "docs"), "c_acme_docs", "minilm", 3)


@settings(deadline=None)  # time decides nothing here
@given(arrays(np.float32, st.integers(1, 8), elements=st.floats(width=32)))
def test_finite_is_what_numpy_says(vector: Vector) -> None:
    """The quick test agrees with the thorough one, also where squares overflow."""
    with np.errstate(all="ignore"):
        assert is_finite(vector) == bool(np.isfinite(vector).all())


def test_vector_of_the_collection_passes() -> None:
    """A finite vector of the collection's dimension is taken, the zero vector and huge numbers too."""
    for numbers in ([1, 2, 3], [0, 0, 0], [3e38, -3e38, 3e38]):
        require_vector(REF, np.array(numbers, dtype=np.float32), "values")


@pytest.mark.parametrize("dimension", [0, 2, 4])
def test_another_dimension_is_refused(dimension: int) -> None:
    """A vector of another length belongs to another space."""
    with pytest.raises(SpaceMismatch):
        require_vector(REF, np.zeros(dimension, dtype=np.float32), "values")


def test_refusal_names_the_field() -> None:
    """A number that is not finite is the fault of a field."""
    with pytest.raises(FieldInvalid) as caught:
        require_vector(REF, np.array([1, np.nan, 3], dtype=np.float32), "documents[3].values")

    assert [violation.field for violation in caught.value.violations] == ["documents[3].values"]
