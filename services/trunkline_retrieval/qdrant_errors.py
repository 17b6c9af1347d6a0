"""What a Qdrant server's failures mean to callers. No text of Qdrant passes through into a message."""

from __future__ import annotations

from typing import Final

import grpc
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from trunkline_mesh.errors import (
    BackendTimeout,
    BackendUnavailable,
    DomainError,
    Internal,
    Overloaded,
    SpaceMismatch,
    StorageFull,
)

_STATUS: Final[dict[grpc.StatusCode, type[DomainError]]] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: BackendTimeout,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    # A request that Qdrant calls wrong is a defect of this adapter: use cases have checked everything by then.
    grpc.StatusCode.INVALID_ARGUMENT: Internal,
}


def of_qdrant(exc: Exception) -> DomainError:
    """Return what callers get for an exception of qdrant-client, of its local mode or of the network below it."""
    text = _text_of(exc)
    if "Vector dimension error" in text or "Not existing vector name" in text:
        return SpaceMismatch()  # made anew with other vectors since the adapter looked
    if "No space left on device" in text:
        return StorageFull()
    if isinstance(exc, ResourceExhaustedResponse):
        return Overloaded(retry_delay_s=float(exc.retry_after_s))
    if isinstance(exc, grpc.aio.AioRpcError):
        return _STATUS.get(exc.code(), BackendUnavailable)()
    if isinstance(exc, (ApiException, OSError)):
        return BackendUnavailable()
    return Internal()


def is_missing_collection(exc: Exception) -> bool:
    """Return True if Qdrant says that the physical collection does not exist."""
    if isinstance(exc, grpc.aio.AioRpcError):
        return exc.code() is grpc.StatusCode.NOT_FOUND
    if isinstance(exc, UnexpectedResponse):
        return exc.status_code == 404  # HTTP knows no such collection
    return isinstance(exc, ValueError) and "not found" in str(exc)


def _text_of(exc: Exception) -> str:
    if isinstance(exc, grpc.aio.AioRpcError):
        return exc.details() or ""
    return str(exc)
