"""Refusals of the inference service, and what Triton's failures mean to callers.

`tritonclient` hands on a gRPC status as text and Triton says more in words than in codes, so both are read here, once.
No word of it passes through into a message.
"""

from __future__ import annotations

from typing import Final

from trunkline_mesh.errors import (
    BackendUnavailable,
    DomainError,
    Internal,
    ModelNotReady,
    Overloaded,
)

QUEUE_FULL_DELAY_S: Final = 0.1
"""RetryInfo for a full queue of the model server: about what a few passages take."""
LOADING_DELAY_S: Final = 1.0
"""RetryInfo for a model that is being loaded."""


class TritonExpiredError(Exception):
    """The time that a call to Triton was given is over, in its queue or while it ran."""


def of_triton(status: str | None, message: str | None) -> DomainError | TritonExpiredError:
    """Return what a failed call means; `status` is like `StatusCode.UNAVAILABLE`, or None if the call never left."""
    code = (status or "").removeprefix("StatusCode.")
    words = (message or "").lower()
    if code == "DEADLINE_EXCEEDED" or "timeout expired" in words:
        return TritonExpiredError()
    if "maximum queue size" in words:
        return Overloaded(retry_delay_s=QUEUE_FULL_DELAY_S)
    if code == "NOT_FOUND" or "unknown model" in words or "not ready" in words:
        return ModelNotReady(retry_delay_s=LOADING_DELAY_S)
    if code in ("UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN"):
        # INTERNAL is what a model's process that died answers with until Triton has started another one.
        return BackendUnavailable("the model server cannot be reached or failed")
    return Internal()  # INVALID_ARGUMENT and the like: what we sent does not fit the model


def malformed_output() -> Internal:
    """Return the error for an answer of a model that has the wrong shape, or numbers that are none."""
    return Internal()
