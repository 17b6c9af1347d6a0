"""What can be told of the Triton adapter without a Triton."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_inference.errors import TritonExpiredError, of_triton
from trunkline_inference.triton_requests import MAX_BYTES, MAX_TEXTS, chunks
from trunkline_mesh.errors import BackendUnavailable, Internal, ModelNotReady, Overloaded


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        ("StatusCode.DEADLINE_EXCEEDED", "Deadline Exceeded", TritonExpiredError),
        ("StatusCode.UNAVAILABLE", "Request timeout expired", TritonExpiredError),
        ("StatusCode.UNAVAILABLE", "[request id: 1] Exceeds maximum queue size", Overloaded),
        ("StatusCode.NOT_FOUND", "Request for unknown model: 'm' is not found", ModelNotReady),
        ("StatusCode.UNAVAILABLE", "Request for unknown model: 'm' version 1 is not at ready state", ModelNotReady),
        ("StatusCode.UNAVAILABLE", "failed to connect to all addresses", BackendUnavailable),
        ("StatusCode.CANCELLED", "", BackendUnavailable),
        ("StatusCode.INTERNAL", "Stub process 'm_0_0' is not healthy.", BackendUnavailable),
        ("StatusCode.INVALID_ARGUMENT", "unexpected shape for input 'TEXT'", Internal),
        ("StatusCode.SOMETHING_NEW", "what is this", Internal),
        (None, None, Internal),
    ],
)
def test_each_failure_of_triton_means_one_thing(
    status: str | None, message: str | None, expected: type[Exception]
) -> None:
    """Status and words become one error, which quotes neither."""
    error = of_triton(status, message)

    assert type(error) is expected
    assert not message or message not in str(error)


@given(st.lists(st.text(min_size=1, max_size=MAX_BYTES), max_size=64))
def test_requests_to_triton_are_small_and_lose_nothing(texts: list[str]) -> None:
    """Chunks in order are the texts; each is within both bounds, or is one long text alone."""
    parts = chunks(texts)

    assert [text for part in parts for text in part] == texts
    for part in parts:
        size_bytes = sum(len(text.encode()) for text in part)
        assert len(part) <= MAX_TEXTS
        assert size_bytes <= MAX_BYTES or len(part) == 1
