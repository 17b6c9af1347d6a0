"""Bad input over real gRPC: each case gets its code and reason, nothing crashes, hangs or logs a traceback."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import Message
from tests.integration.routing.conftest import OpenFrontDoor
from tests.integration.routing.front_door import AP, TENANT, FrontDoor

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_map.token import encode
from trunkline_mesh.errors import ModelUnknown

SECRET = "hunter2"
"""Planted in queries and credentials; must not show in any refusal or log."""

INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
MALFORMED = (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED")
MISMATCH = (grpc.StatusCode.INVALID_ARGUMENT, "SPACE_MISMATCH")
FOREIGN = (grpc.StatusCode.PERMISSION_DENIED, "TENANT_MISMATCH")
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")
UNKNOWN = (grpc.StatusCode.NOT_FOUND, "COLLECTION_UNKNOWN")
BAD_MAP_TOKEN = (grpc.StatusCode.FAILED_PRECONDITION, "MAP_TOKEN_INVALID")
BAD_TOKEN = (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
METHODS = ("Search", "SearchBatch", "Route", "Upsert", "Delete")


@dataclass(frozen=True)
class Case:
    """One bad request."""

    name: str
    method: str
    request: Message | bytes
    expected: tuple[grpc.StatusCode, str]
    fields: tuple[str, ...] = ()


def search(**changes: Any) -> routing_pb.SearchRequest:
    given: dict[str, Any] = {"text": f"a leak of {SECRET}", "top_k": 5} | changes
    return routing_pb.SearchRequest(**given)


def by_vector(values: list[float], space: str = "minilm", collection: str = "both") -> routing_pb.SearchRequest:
    vector = vector_pb.QueryVector(space_id=space, values=values)
    return routing_pb.SearchRequest(vector=vector, top_k=5, collections=[collection])


def upsert(collection: str = "both", **document: Any) -> routing_pb.UpsertRequest:
    given: dict[str, Any] = {"document_id": "d1", "text": "text"} | document
    return routing_pb.UpsertRequest(collection=collection, documents=[document_pb.Document(**given)])


def batch(*queries: routing_pb.SearchRequest, **changes: Any) -> routing_pb.SearchBatchRequest:
    return routing_pb.SearchBatchRequest(queries=queries, **changes)


def delete(collection: str = "both") -> routing_pb.DeleteRequest:
    return routing_pb.DeleteRequest(collection=collection, document_ids=["d1"])


BROKEN_UTF8 = {
    "Search": b"\x12\x04\xff\xfe\xfd\xfc\x20\x05",  # text, then top_k
    "Route": b"\x12\x04\xff\xfe\xfd\xfc",  # text
    "SearchBatch": b"\x0a\x06\x12\x04\xff\xfe\xfd\xfc",  # the first query's text
    "Upsert": b"\x1a\x04\x12\x02\xff\xfe",  # the first document's text
    "Delete": b"\x1a\x02\xff\xfe",  # the first id
}

CASES = [
    Case("empty query", "Search", search(text=""), INVALID, ("text",)),
    Case("white space", "Search", search(text=" \n\t "), INVALID, ("text",)),
    Case("oversized query", "Search", search(text="x" * 4097), INVALID, ("text",)),
    Case("huge query", "Search", search(text="x" * 4_000_000), INVALID, ("text",)),
    Case("no query", "Search", routing_pb.SearchRequest(top_k=5), INVALID, ("query", "text")),
    Case("top_k 0", "Search", search(top_k=0), INVALID, ("top_k",)),
    Case("top_k of a million", "Search", search(top_k=1_000_000), INVALID, ("top_k",)),
    Case("top_k -1", "Search", search(top_k=-1), INVALID, ("top_k",)),
    Case("NaN vector", "Search", by_vector([math.nan] * 4), INVALID, ("vector.values",)),
    Case("infinite vector", "Search", by_vector([math.inf] * 4), INVALID, ("vector.values",)),
    Case("empty vector", "Search", by_vector([]), INVALID, ("vector.values",)),
    Case("wrong dimension", "Search", by_vector([1.0] * 3), MISMATCH),
    Case("vector of an unknown space", "Search", by_vector([1.0] * 4, space="who"), MISMATCH),
    Case("vector of 500,000", "Search", by_vector([1.0] * 500_000), INVALID, ("vector.values",)),
    Case("NaN minimum score", "Search", search(min_score=math.nan), INVALID, ("min_score",)),
    Case("unknown collection", "Search", search(collections=["nothing"]), UNKNOWN),
    Case("another tenant's collection", "Search", search(collections=["private"]), UNKNOWN),
    Case("collection that is a path", "Search", search(collections=["../../etc"]), INVALID, ("collections",)),
    Case("another tenant's name", "Search", search(tenant_id="globex"), FOREIGN),
    Case("a tenant's name with a space", "Search", search(tenant_id=f"{TENANT} "), FOREIGN),
    Case("malformed map token", "Search", search(map_token=b"\xff\xff"), BAD_MAP_TOKEN),
    Case("map token of another epoch", "Search", search(map_token=encode(b"another!", 1)), BAD_MAP_TOKEN),
    Case("oversized map token", "Search", search(map_token=b"x" * 65), INVALID, ("map_token",)),
    Case("empty batch", "SearchBatch", batch(), INVALID, ("queries",)),
    Case("batch of 17", "SearchBatch", batch(*[search()] * 17), INVALID, ("queries",)),
    Case("bad query in a batch", "SearchBatch", batch(search(), search(top_k=0)), INVALID, ("queries[1].top_k",)),
    Case("unknown collection in a batch", "SearchBatch", batch(search(), search(collections=["nothing"])), UNKNOWN),
    Case("another tenant's batch", "SearchBatch", batch(search(), tenant_id="globex"), FOREIGN),
    Case("empty route", "Route", routing_pb.RouteRequest(), INVALID, ("text",)),
    Case("oversized route", "Route", routing_pb.RouteRequest(text="x" * 4097), INVALID, ("text",)),
    Case("route of an unknown collection", "Route", routing_pb.RouteRequest(text="x", collections=["no"]), UNKNOWN),
    Case("another tenant's route", "Route", routing_pb.RouteRequest(text="x", tenant_id="globex"), FOREIGN),
    Case("no documents", "Upsert", routing_pb.UpsertRequest(collection="both"), INVALID, ("documents",)),
    Case("blank document", "Upsert", upsert(text=" "), INVALID, ("documents[0].text",)),
    Case("oversized document", "Upsert", upsert(text="x" * 32769), INVALID, ("documents[0].text",)),
    Case("upsert to an unknown collection", "Upsert", upsert("nothing"), UNKNOWN),
    Case("upsert to another tenant's collection", "Upsert", upsert("private"), UNKNOWN),
    Case("no ids", "Delete", routing_pb.DeleteRequest(collection="both"), INVALID, ("document_ids",)),
    Case("delete from an unknown collection", "Delete", delete("nothing"), UNKNOWN),
    *(Case(f"broken UTF-8 to {name}", name, BROKEN_UTF8[name], MALFORMED) for name in METHODS),
    *(Case(f"malformed message to {name}", name, b"\xff\xff\xff\xff", MALFORMED) for name in METHODS),
    *(Case(f"truncated message to {name}", name, b"\x0a\x7fabc", MALFORMED) for name in METHODS),
    Case("groups nested without end", "Search", b"\x2b" * 20_000, MALFORMED),
    Case("empty message", "Search", b"", INVALID, ("query", "text", "top_k")),
]


def assert_quiet(logged: list[MutableMapping[str, Any]]) -> None:
    """No traceback, no error, and nothing that a caller planted."""
    for event in logged:
        assert not event.get("exc_info"), event
        assert event["log_level"] not in ("error", "critical"), event
        assert SECRET not in str(event)


async def assert_alive(front_door: FrontDoor) -> None:
    """A good request is answered."""
    answer = await front_door.search()
    assert answer.code is grpc.StatusCode.OK, answer
    assert len(answer.response.hits) == 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_requests_are_the_callers_fault(
    front_door: FrontDoor, logged: list[MutableMapping[str, Any]], capfd: pytest.CaptureFixture[str], case: Case
) -> None:
    """Told by code, reason and field, at once; the next request is answered."""
    answer = await front_door.call(case.method, case.request)
    assert (answer.code, answer.reason) == case.expected
    assert tuple(answer.fields) == case.fields
    assert SECRET not in answer.everything
    await assert_alive(front_door)
    assert_quiet(logged)
    assert "Traceback" not in capfd.readouterr().err


def foreign_token(issuer: str = ISSUER, **changes: Any) -> str:
    """Sign with a key that nobody here knows."""
    claims = {"iss": issuer, "aud": AUDIENCE, "sub": SECRET, "tenant": TENANT, "exp": time.time() + 600} | changes
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": "foreign"})


def another_issuers(identity: DevIdentity) -> str:
    """Sign with our key in another's name."""
    claims = {"iss": "elsewhere", "aud": AUDIENCE, "sub": "x", "tenant": TENANT, "exp": time.time() + 600}
    return jwt.encode(claims, identity.key, algorithm="ES256", headers={"kid": identity.key_id})


def expired(identity: DevIdentity) -> str:
    return identity.mint("x", tenant=TENANT, lifetime_s=60, now=lambda: time.time() - 3600)


CREDENTIALS: dict[str, tuple[Callable[[DevIdentity], str], tuple[grpc.StatusCode, str]]] = {
    "none": (lambda _: "", (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")),
    "expired": (expired, (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_EXPIRED")),
    "foreign key": (lambda _: foreign_token(), BAD_TOKEN),
    "foreign issuer": (another_issuers, BAD_TOKEN),
    "garbage": (lambda _: SECRET, BAD_TOKEN),
    "unsigned": (lambda i: ".".join(i.mint("x", tenant=TENANT).split(".")[:2]) + ".", BAD_TOKEN),
    "oversized": (lambda _: foreign_token(padding="x" * 5000), BAD_TOKEN),
    "without a tenant": (lambda i: i.mint("x"), DENIED),
    "an operator's": (lambda i: i.mint("x", roles=["operator", "admin"]), DENIED),
    "a service's that acts for nobody": (lambda i: i.mint("x", roles=["service"]), DENIED),
    "of a tenant that is not in the map": (
        lambda i: i.mint("x", tenant="nobody"),
        (grpc.StatusCode.NOT_FOUND, "TENANT_UNKNOWN"),
    ),
}
GOOD: dict[str, Message] = {
    "Search": search(),
    "SearchBatch": batch(search()),
    "Route": routing_pb.RouteRequest(text="x"),
    "Upsert": upsert(),
    "Delete": delete(),
}


@pytest.mark.parametrize("kind", CREDENTIALS)
async def test_bad_credentials_open_no_method(
    front_door: FrontDoor, logged: list[MutableMapping[str, Any]], kind: str
) -> None:
    """Nor do they reach anything behind the front door."""
    make, expected = CREDENTIALS[kind]
    before = sum(len(region.seen) for region in front_door.regions.values())
    for method, request in GOOD.items():
        answer = await front_door.call(method, request, token=make(front_door.identity))
        assert (answer.code, answer.reason) == expected
        assert SECRET not in answer.everything
    assert sum(len(region.seen) for region in front_door.regions.values()) == before
    await assert_alive(front_door)
    assert_quiet(logged)


@pytest.mark.parametrize("timeout_s", [None, 3600.0, 1e8])
async def test_missing_and_absurd_deadlines_become_the_cap(front_door: FrontDoor, timeout_s: float | None) -> None:
    """And the trail says so; a good one is not told of."""
    answer = await front_door.search(timeout_s=timeout_s)
    assert [one.reason for one in answer.response.trail.degradations] == [1]
    assert answer.response.trail.deadline.seconds <= 10
    assert list((await front_door.search(timeout_s=5.0)).response.trail.degradations) == []


async def test_a_deadline_below_the_floor_is_refused_at_once(front_door: FrontDoor) -> None:
    """Without any work; gRPC may notice first, by the same code."""
    await assert_alive(front_door)
    before = sum(len(region.seen) for region in front_door.regions.values())
    for told_us in ("0", "1", "4000"):
        answer = await front_door.search("another leak", metadata=(("trunkline-timeout-us", told_us),))
        assert (answer.code, answer.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert (await front_door.search("another leak", timeout_s=0.001)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert sum(len(region.seen) for region in front_door.regions.values()) == before
    await assert_alive(front_door)


async def test_a_map_from_the_future_is_waited_for_and_refused(front_door: FrontDoor) -> None:
    """Within the caller's time, as load: come back soon."""
    snapshot = front_door.map.snapshot
    token = encode(snapshot.epoch, snapshot.revision + 1000)
    answer = await front_door.search(map_token=token, metadata=(("trunkline-timeout-us", "200000"),))
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "STALE_MAP")
    assert answer.took_s < 4.0


async def test_a_message_over_the_servers_limit_is_refused_by_grpc(front_door: FrontDoor) -> None:
    """Before it is in memory; that refusal is gRPC's own and has no reason."""
    answer = await front_door.search(text="x" * (9 << 20))
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    await assert_alive(front_door)


@pytest.mark.parametrize("key", ["trunkline-request-id", "trunkline-attempt", "trunkline-timeout-us"])
@pytest.mark.parametrize("value", ["", " ", "x" * 2000, "-1", ";DROP", "9" * 40])
async def test_odd_metadata_is_ignored(front_door: FrontDoor, key: str, value: str) -> None:
    """It neither fails a request nor gets into its trail."""
    answer = await front_door.search(metadata=((key, value),))
    assert answer.code is grpc.StatusCode.OK
    request_id = answer.response.trail.request_id
    assert request_id
    assert request_id != value or key != "trunkline-request-id" or value in ("-1", "9" * 40)


async def test_a_method_that_is_none_is_unimplemented(front_door: FrontDoor) -> None:
    """As gRPC says it."""
    stub: Any = front_door.channel.unary_unary("/trunkline.routing.v1.RoutingService/Drop")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub(b"", timeout=5, metadata=(("authorization", f"Bearer {front_door.token()}"),))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_model_that_the_region_does_not_know_costs_the_vector_alone(fresh: OpenFrontDoor) -> None:
    """The map names one, the region has another: keywords are searched, and the trail says so."""
    front_door = await fresh()
    for region in front_door.regions.values():
        region.refuses = {"Embed": ModelUnknown()}
    answer = await front_door.search(collections=["both"])
    assert answer.code is grpc.StatusCode.OK
    assert [(one.reason, one.subject) for one in answer.response.trail.degradations] == [(8, "minilm")]


async def test_a_model_of_another_dimension_costs_the_vector_alone(fresh: OpenFrontDoor) -> None:
    """Its vectors never meet the space's points."""
    front_door = await fresh()
    for region in front_door.regions.values():
        region.vector = (1.0, 0.0)
    answer = await front_door.search(collections=["both"])
    assert [one.subject for one in answer.response.trail.degradations] == ["minilm"]
    assert all(not seen.request.vectors for seen in front_door.regions["eu-west"].calls("Search"))


async def test_a_router_outside_names_allowed_endpoints_and_does_nothing(
    fresh: OpenFrontDoor, logged: list[MutableMapping[str, Any]]
) -> None:
    """Residency covers the query's text: it is neither logged, embedded nor searched."""
    front_door = await fresh(region=AP)
    for method, request in GOOD.items():
        answer = await front_door.call(method, request)
        assert (answer.code, answer.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESIDENCY_ROUTER_OUTSIDE")
        assert answer.metadata == {
            "allowedRegions": "eu-west,us-east",
            "allowedEndpoints": "eu-west.test:7000,us-east.test:7000",
        }
    assert [region.seen for region in front_door.regions.values()] == [[], [], []]
    assert_quiet(logged)
