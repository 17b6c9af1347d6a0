"""Every reason of the contracts has one exception, and survives the way over the wire."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_mesh import errors
from trunkline_mesh.errors import ERROR_OF_REASON, REASON_SPECS, DomainError, FieldViolation, reason_name
from trunkline_mesh.status import ERROR_DOMAIN, MAX_DETAILS_BYTES, code_of, from_rpc_error, to_proto, to_trailers

REASONS = [value.number for value in reasons_pb.ErrorReason.DESCRIPTOR.values if value.number]
LEAVES = [leaf for leaf in vars(errors).values() if isinstance(leaf, type) and issubclass(leaf, DomainError)]
LEAVES.remove(DomainError)


def over_the_wire(error: DomainError) -> DomainError | None:
    """Return what a caller's side makes of an error's trailers."""
    code, message, trailers = to_trailers(error)
    metadata = grpc.aio.Metadata(*trailers)
    return from_rpc_error(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details=message))


def test_every_reason_has_exactly_one_exception() -> None:
    """A reason without one could not be raised, two for one could not be told apart."""
    assert sorted(leaf.reason for leaf in LEAVES) == sorted(REASONS)
    assert set(ERROR_OF_REASON) == set(REASONS)
    assert len({leaf.text for leaf in LEAVES}) == len(LEAVES)


@pytest.mark.parametrize("number", REASONS, ids=reason_name)
def test_every_reason_says_what_it_means(number: int) -> None:
    """A real status, a fault, and no repeat of what cannot succeed."""
    spec = REASON_SPECS[number]
    code = grpc.StatusCode[spec.status]
    assert code not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
    assert spec.fault != reasons_pb.FAULT_UNSPECIFIED
    if spec.fault == reasons_pb.FAULT_CALLER:
        assert not spec.retryable, "the same request would fail again"
    if spec.retryable:
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert (code is grpc.StatusCode.INTERNAL) == (number == reasons_pb.ERROR_REASON_INTERNAL)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_error_round_trips(leaf: type[DomainError]) -> None:
    """Reason, message, delay, metadata and violations arrive as they were sent."""
    sent = leaf("told", retry_delay_s=1.25, metadata={"aKey": "a value"}, violations=[FieldViolation("top_k", "no")])
    received = over_the_wire(sent)
    assert type(received) is leaf
    assert received.message == "told"
    assert received.retry_delay_s == 1.25
    assert dict(received.metadata) == {"aKey": "a value"}
    assert received.violations == (FieldViolation("top_k", "no"),)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_status_has_one_error_info_and_only_what_applies(leaf: type[DomainError]) -> None:
    """RetryInfo and BadRequest appear only where there is something to say."""
    proto = to_proto(leaf())
    assert [detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR) for detail in proto.details] == [True]
    info = error_details_pb2.ErrorInfo()
    proto.details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason_name(leaf.reason), ERROR_DOMAIN)
    assert proto.code == code_of(leaf()).value[0]


@given(
    message=st.text(max_size=3000),
    metadata=st.dictionaries(st.text(max_size=40), st.text(max_size=2000), max_size=12),
    violations=st.lists(st.tuples(st.text(max_size=300), st.text(max_size=600)), max_size=40),
)
def test_details_stay_small_and_keep_the_reason(
    message: str, metadata: dict[str, str], violations: list[tuple[str, str]]
) -> None:
    """gRPC rejects larger trailers at random; whatever is cut, the reason is not."""
    error = errors.FieldInvalid(message, metadata=metadata, violations=[FieldViolation(*one) for one in violations])
    proto = to_proto(error)
    assert proto.ByteSize() <= MAX_DETAILS_BYTES
    received = over_the_wire(error)
    assert isinstance(received, errors.FieldInvalid)


@given(
    leaf=st.sampled_from(LEAVES),
    message=st.text(max_size=700),
    metadata=st.dictionaries(st.text(max_size=40), st.text(max_size=1100), max_size=6),
    retry_delay_s=st.none() | st.floats(0, 1000),
    violations=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=2),
)
def test_trailers_say_what_the_status_says(
    leaf: type[DomainError],
    message: str,
    metadata: dict[str, str],
    retry_delay_s: float | None,
    violations: list[tuple[str, str]],
) -> None:
    """However the bytes came about, kept from before or not, they read as the error's status."""
    told = [FieldViolation(*one) for one in violations]
    error = leaf(message, retry_delay_s=retry_delay_s, metadata=metadata, violations=told)
    code, text, ((_, details),) = to_trailers(error)
    assert status_pb2.Status.FromString(details) == to_proto(error)
    assert (code, text) == (code_of(error), to_proto(error).message)


@pytest.mark.parametrize(
    "details",
    [
        b"",
        b"\xff\xff",
        status_pb2.Status(code=14, message="bare").SerializeToString(),
        status_pb2.Status(code=3, message="another code than the call's").SerializeToString(),
    ],
    ids=["empty", "garbage", "no details", "contradicting"],
)
def test_foreign_details_are_no_reason_of_ours(details: bytes) -> None:
    """A proxy's or an older peer's answer is judged by its bare status."""
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", details))
    received = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), metadata, details="bare")
    assert from_rpc_error(received) is None


def test_an_unknown_reason_is_none_of_ours() -> None:
    """A newer peer's reason must not be mistaken for another one."""
    status = status_pb2.Status(code=14, message="new")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="FROM_THE_FUTURE", domain=ERROR_DOMAIN))
    foreign = status_pb2.Status(code=14, message="new")
    foreign.details.add().Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="example.com"))
    for proto in (status, foreign):
        metadata = grpc.aio.Metadata(("grpc-status-details-bin", proto.SerializeToString()))
        error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), metadata, details="new")
        assert from_rpc_error(error) is None


def test_the_domain_error_in_a_group_is_found() -> None:
    """TaskGroups wrap what their tasks raise, several times if need be."""
    wanted = errors.Overloaded()
    group = ExceptionGroup("outer", [ValueError("x"), ExceptionGroup("inner", [wanted])])
    assert errors.first_domain_error(group) is wanted
    assert errors.first_domain_error(ValueError("x")) is None


def test_errors_are_told_by_their_reason() -> None:
    """Breakers and failover read fault and retryability, which come from the contracts."""
    assert errors.StaleMap().fault == reasons_pb.FAULT_LOAD
    assert errors.StaleMap().retryable
    assert errors.invalid_field("top_k", "no").violations == (FieldViolation("top_k", "no"),)
