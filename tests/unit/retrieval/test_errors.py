"""Failures of stores, renamed for callers: no text of a vendor gets through."""

from __future__ import annotations

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException

from trunkline_mesh.errors import (
    BackendTimeout,
    BackendUnavailable,
    DomainError,
    FieldInvalid,
    Internal,
    Overloaded,
    SpaceMismatch,
    StorageFull,
)
from trunkline_retrieval.engine.faults import EngineError, Fault, fault_of
from trunkline_retrieval.errors import of_engine
from trunkline_retrieval.qdrant_errors import is_missing_collection, of_qdrant

SECRET = "vendor text of /var/data"


def rpc_error(code: grpc.StatusCode, details: str = SECRET) -> AioRpcError:
    """Return what qdrant-client lets through."""
    return AioRpcError(code, Metadata(), Metadata(), details=details)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Vector dimension error: expected dim: 4, got 2", Fault.SPACE_MISMATCH),
        ("Not existing vector name error: other", Fault.SPACE_MISMATCH),
        ("Service runtime error: failed to open WAL x: Can't init WAL: Kind(WouldBlock)", Fault.LOCKED),
        ("IO Error: No space left on device (os error 28)", Fault.STORAGE_FULL),
        ("Service runtime error: Shard is not initialized", Fault.ENGINE_FAILED),
        ("", Fault.ENGINE_FAILED),
    ],
)
def test_engine_texts_become_codes(text: str, fault: Fault) -> None:
    """The engine's bare exceptions are told apart by their text, in one place."""
    assert fault_of(Exception(text)) is fault


def test_own_faults_keep_their_code() -> None:
    """A fault that was named where it happened is not guessed again."""
    assert fault_of(EngineError(Fault.STORAGE_FULL)) is Fault.STORAGE_FULL


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
def test_every_fault_has_a_refusal(fault: Fault) -> None:
    """Each code of a worker becomes one of the contract's reasons."""
    expected: dict[Fault, type[DomainError]] = {
        Fault.SPACE_MISMATCH: SpaceMismatch,
        Fault.STORAGE_FULL: StorageFull,
        Fault.EXPIRED: BackendTimeout,
        Fault.TOO_LARGE: FieldInvalid,
    }

    assert type(of_engine(fault)) is expected.get(fault, BackendUnavailable)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (rpc_error(grpc.StatusCode.UNAVAILABLE), BackendUnavailable),
        (rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED), BackendTimeout),
        (rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED), Overloaded),
        (rpc_error(grpc.StatusCode.INTERNAL), BackendUnavailable),
        (rpc_error(grpc.StatusCode.INVALID_ARGUMENT), Internal),
        (rpc_error(grpc.StatusCode.INVALID_ARGUMENT, "Wrong input: Vector dimension error: 4"), SpaceMismatch),
        (rpc_error(grpc.StatusCode.INTERNAL, "No space left on device"), StorageFull),
        (ResourceExhaustedResponse(SECRET, 3), Overloaded),
        (ResponseHandlingException(OSError(SECRET)), BackendUnavailable),
        (ConnectionRefusedError(SECRET), BackendUnavailable),
        (TypeError(SECRET), Internal),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)[:60]),
)
def test_qdrant_failures_are_renamed(raised: Exception, expected: type[DomainError]) -> None:
    """Whatever qdrant-client raises becomes one of the contract's reasons, without its text."""
    error = of_qdrant(raised)

    assert type(error) is expected
    assert SECRET not in error.message


def test_hint_of_a_rate_limit_is_kept() -> None:
    """Qdrant's own hint when to come back becomes ours."""
    assert of_qdrant(ResourceExhaustedResponse("", 3)).retry_delay_s == 3.0


def test_missing_collection_is_told_apart() -> None:
    """Only a missing physical collection reads as empty."""
    assert is_missing_collection(rpc_error(grpc.StatusCode.NOT_FOUND))
    assert is_missing_collection(ValueError("Collection x not found"))
    assert not is_missing_collection(rpc_error(grpc.StatusCode.UNAVAILABLE))
    assert not is_missing_collection(KeyError("not found"))
