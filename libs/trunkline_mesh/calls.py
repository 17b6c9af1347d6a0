"""One call to another service: forwarded identity, what is left of the deadline, and errors as domain errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import grpc

from trunkline_mesh import tracing
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    BackendTimeout,
    BackendUnavailable,
    DeadlineExceeded,
    DomainError,
    Internal,
    Overloaded,
    StepCancelled,
)
from trunkline_mesh.request import (
    ATTEMPT_KEY,
    AUTHORIZATION_KEY,
    HOP_KEY,
    RANK_KEY,
    REQUEST_ID_KEY,
    TIMEOUT_KEY,
    current_request,
)
from trunkline_mesh.status import from_rpc_error
from trunkline_mesh.trailers import PeerState, peer_state

MIN_TIMEOUT_S: Final = 0.001
"""With less than this left, a call is not worth starting."""

Metadata = tuple[tuple[str, str], ...]
ResponseT = TypeVar("ResponseT")

_TRANSPORT_ERRORS: Final[dict[grpc.StatusCode, type[DomainError]]] = {
    grpc.StatusCode.UNAVAILABLE: BackendUnavailable,
    grpc.StatusCode.CANCELLED: BackendUnavailable,  # what a server that stops sends for calls not yet handled
    grpc.StatusCode.DEADLINE_EXCEEDED: BackendTimeout,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,  # gRPC's own limits
    grpc.StatusCode.UNIMPLEMENTED: BackendUnavailable,  # an older peer
    grpc.StatusCode.INTERNAL: BackendUnavailable,  # a stream that was reset; our services' own INTERNAL has a reason
}


def forwarded_metadata(authorization: str | None = None) -> Metadata:
    """Return what travels with every hop of the current request; `authorization` replaces the caller's credential."""
    scope = current_request()
    if authorization is None:
        authorization = f"Bearer {scope.principal.token}" if scope.principal is not None else ""
    head = ((AUTHORIZATION_KEY, authorization),) if authorization else ()
    traced = tracing.outgoing_metadata()
    if scope.rank is not None:
        head = (*head, (RANK_KEY, str(scope.rank)))
        if scope.hop:
            head = (*head, (HOP_KEY, scope.hop))
    return (*head, (REQUEST_ID_KEY, scope.request_id), (ATTEMPT_KEY, str(scope.attempt)), *traced)


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[Any, ResponseT],
    request: Any,
    *,
    deadline: Deadline,
    metadata: Metadata | None = None,
    listener: Callable[[PeerState], None] | None = None,
) -> ResponseT:
    """Call another service within `deadline`, for the current request.

    `listener` is told what the answer, or the refusal, says of the server that sent it, unless it says nothing. It must
    be quick and must not raise.

    Raises the domain error that the service answered with; BackendTimeout if it did not answer within `deadline`;
    DeadlineExceeded if our caller's own time is gone; BackendUnavailable for transport errors.
    """
    timeout_s = deadline.remaining_s()
    if timeout_s < MIN_TIMEOUT_S:
        raise DeadlineExceeded
    head = forwarded_metadata() if metadata is None else metadata
    pending = method(request, timeout=timeout_s, metadata=(*head, (TIMEOUT_KEY, str(int(timeout_s * 1_000_000)))))
    try:
        response = await pending
        if listener is not None:
            _tell(listener, await pending.trailing_metadata())
    except grpc.aio.AioRpcError as exc:
        if listener is not None:
            _tell(listener, exc.trailing_metadata())
        raise translate(exc) from exc
    return response


def _tell(listener: Callable[[PeerState], None], trailing: Any) -> None:
    state = peer_state(trailing)
    if state.is_told:
        listener(state)


def translate(exc: grpc.aio.AioRpcError) -> DomainError:
    """Turn a gRPC error into a domain error: by its reason, or for transport errors by its bare status."""
    error = from_rpc_error(exc)
    if error is not None:
        return _theirs_to_ours(error)
    leaf = _TRANSPORT_ERRORS.get(exc.code(), Internal)
    if leaf is BackendTimeout and _caller_is_out_of_time():
        return DeadlineExceeded()
    return leaf()


def _theirs_to_ours(error: DomainError) -> DomainError:
    """A callee's expiry is our caller's only if our caller's time is gone too; its defects stay its own."""
    if isinstance(error, DeadlineExceeded) and not _caller_is_out_of_time():
        return BackendTimeout()
    if isinstance(error, StepCancelled):
        return BackendUnavailable()
    return error


def _caller_is_out_of_time() -> bool:
    try:
        return current_request().deadline.remaining_s() < MIN_TIMEOUT_S
    except LookupError:
        return False
