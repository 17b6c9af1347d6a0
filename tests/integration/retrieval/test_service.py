"""The service over real gRPC: what it does, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from tests.integration.retrieval.service import (
    EAST,
    NORTH,
    RetrievalService,
    embedded,
    ids,
    query,
    refusal_of,
    search,
    start_service,
    upsert,
)

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline_map.testing import collection, static_map
from trunkline_retrieval.policy import POLICY

Value = document_pb.FieldValue
INVALID = grpc.StatusCode.INVALID_ARGUMENT
DENIED = grpc.StatusCode.PERMISSION_DENIED
MISSING = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RetrievalService]:
    """Give a service that the module's tests share; those that write use documents of their own."""
    async with AsyncExitStack() as stack:
        yield await start_service(stack, tmp_path_factory.mktemp("service"))


@pytest.fixture
async def fresh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RetrievalService]:
    """Give an empty service."""
    async with AsyncExitStack() as stack:
        yield await start_service(stack, tmp_path_factory.mktemp("fresh"))


async def test_written_documents_are_found(fresh: RetrievalService) -> None:
    """A document is found by words and by vector, whole, with what its score is."""
    fields = {"source": Value(string_value="x"), "page": Value(int_value=3), "on": Value(bool_value=False)}
    written = await fresh.call("Upsert", upsert(embedded("a", text="memory leak", fields=fields), embedded("b", NORTH)))
    assert written.written_count == 2

    response = await fresh.call("Search", search(text="leak"))

    (result,) = response.results
    assert result.collection == "docs"
    assert (result.mode, result.score_kind) == (
        retrieval_pb.RETRIEVAL_MODE_HYBRID,
        options_pb.SCORE_KIND_RRF,
    )
    assert ids(response) == [["a", "b"]]
    assert json_format.MessageToDict(result.hits[0].document.fields["on"]) == {"boolValue": False}
    assert result.hits[0].document == embedded("a", text="memory leak", fields=fields).document
    assert result.hits[0].score == pytest.approx(2 / 61)


@pytest.mark.parametrize(
    ("changes", "mode", "kind"),
    [
        ({"text": ""}, retrieval_pb.RETRIEVAL_MODE_DENSE, options_pb.SCORE_KIND_COSINE),
        ({"vectors": []}, retrieval_pb.RETRIEVAL_MODE_SPARSE, options_pb.SCORE_KIND_BM25),
        ({}, retrieval_pb.RETRIEVAL_MODE_HYBRID, options_pb.SCORE_KIND_RRF),
    ],
)
async def test_mode_and_score_kind_are_told(
    service: RetrievalService,
    changes: dict[str, Any],
    mode: retrieval_pb.RetrievalMode.ValueType,
    kind: options_pb.ScoreKind.ValueType,
) -> None:
    """An answer says how it was found and what its scores are."""
    response = await service.call("Search", search(**changes))

    assert [(result.mode, result.score_kind) for result in response.results] == [(mode, kind)]


async def test_search_of_several_collections_keeps_their_order(fresh: RetrievalService) -> None:
    """Collections of two spaces, one of them never written, answer in the request's order."""
    await fresh.call("Upsert", upsert(embedded("a")))
    await fresh.call("Upsert", upsert(embedded("w", [1.0] * 8), collection="wide", space_id="wide"))

    response = await fresh.call(
        "Search", search(collections=["wide", "notes", "docs"], vectors=[query(), query([1.0] * 8, "wide")])
    )

    assert [result.collection for result in response.results] == ["wide", "notes", "docs"]
    assert ids(response) == [["w"], [], ["a"]]


async def test_filter_fields_and_minimum_reach_the_store(fresh: RetrievalService) -> None:
    """Filter, minimum score, limit and included fields do what they say over the wire."""
    fields = {"n": Value(int_value=1), "s": Value(string_value="x")}
    await fresh.call("Upsert", upsert(embedded("a", fields=fields), embedded("b", NORTH, fields=fields), embedded("c")))
    wanted = document_pb.Filter(must=[document_pb.Condition(field="n", equals_int=1)])

    response = await fresh.call("Search", search(filter=wanted, min_score=0.5, include_fields=["s"], limit=2))

    assert ids(response) == [["a"]]
    assert set(response.results[0].hits[0].document.fields) == {"s"}


async def test_tenants_share_a_shard_and_see_only_their_own(fresh: RetrievalService) -> None:
    """Two tenants with the same collection and document names in one shard never meet."""
    await fresh.call("Upsert", upsert(embedded("same", text="secret of acme")))
    await fresh.call("Upsert", upsert(embedded("same", text="secret of globex")), tenant="globex")

    for tenant_id in ("acme", "globex"):
        response = await fresh.call("Search", search(text="secret"), tenant=tenant_id)
        assert [hit.document.text for hit in response.results[0].hits] == [f"secret of {tenant_id}"]
        exported = await fresh.export(retrieval_pb.ExportRequest(collection="docs"), tenant=tenant_id)
        assert [item.document.text for page in exported for item in page.documents] == [f"secret of {tenant_id}"]

    await fresh.call("Delete", retrieval_pb.DeleteRequest(collection="docs", document_ids=["same"]), tenant="globex")
    assert ids(await fresh.call("Search", search(text="secret"))) == [["same"]]


async def test_deleted_documents_are_gone(fresh: RetrievalService) -> None:
    """Deleting says how many ids were asked for, known or not."""
    await fresh.call("Upsert", upsert(embedded("a"), embedded("b")))

    deleted = await fresh.call("Delete", retrieval_pb.DeleteRequest(collection="docs", document_ids=["a", "never"]))

    assert deleted.requested_count == 2
    assert ids(await fresh.call("Search", search())) == [["b"]]


async def test_export_resumes_from_any_page(fresh: RetrievalService) -> None:
    """Pages hold every document once with its vector, and each cursor goes on behind its page."""
    for start in range(0, 90, 45):
        await fresh.call("Upsert", upsert(*(embedded(f"d{number}") for number in range(start, start + 45))))

    pages = await fresh.export(retrieval_pb.ExportRequest(collection="docs", page_size=40))

    assert [len(page.documents) for page in pages] == [40, 40, 10]
    documents = [item for page in pages for item in page.documents]
    assert {item.document.document_id for item in documents} == {f"d{number}" for number in range(90)}
    assert all(list(item.values) == list(EAST) for item in documents)
    rest = await fresh.export(retrieval_pb.ExportRequest(collection="docs", page_size=100, cursor=pages[0].next_cursor))
    assert [item for page in rest for item in page.documents] == documents[40:]
    assert rest[-1].next_cursor == ""


async def test_large_documents_are_exported_in_messages_that_callers_take(fresh: RetrievalService) -> None:
    """Pages are split by size: a default client (4 MiB) reads a collection of the largest documents."""
    large = {f"f{number}": Value(string_value="ü" * 4_000) for number in range(20)}
    for start in range(0, 60, 20):
        documents = [embedded(f"d{number}", text="x" * 30_000, fields=large) for number in range(start, start + 20)]
        await fresh.call("Upsert", upsert(*documents))

    pages = await fresh.export(retrieval_pb.ExportRequest(collection="docs", page_size=256))

    assert len(pages) > 1
    assert sum(len(page.documents) for page in pages) == 60


async def test_own_change_of_the_map_is_seen(fresh: RetrievalService) -> None:
    """A call that carries the token of a change is answered by that change."""
    before = await fresh.refused("Search", search(collections=["late"]))
    token = fresh.the_map.put(collection("acme", "late", ["eu-west"], ["eu"]))

    response = await fresh.call("Search", search(collections=["late"], map_token=token))

    assert before.reason == "COLLECTION_UNKNOWN"
    assert ids(response) == [[]]


SEARCH_REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], grpc.StatusCode, str, tuple[str, ...]]] = {
    "limit 0": ({"limit": 0}, {}, INVALID, "FIELD_INVALID", ("limit",)),
    "limit of a million": ({"limit": 1_000_000}, {}, INVALID, "FIELD_INVALID", ("limit",)),
    "nothing to look for": ({"text": "", "vectors": []}, {}, INVALID, "FIELD_INVALID", ("text",)),
    "oversized text": ({"text": "x" * 4_097}, {}, INVALID, "FIELD_INVALID", ("text",)),
    "NaN": ({"vectors": [query((math.nan, 0, 0, 0))]}, {}, INVALID, "FIELD_INVALID", ("vectors[0].values",)),
    "infinity": ({"vectors": [query((math.inf, 0, 0, 0))]}, {}, INVALID, "FIELD_INVALID", ("vectors[0].values",)),
    "no collection": ({"collections": []}, {}, INVALID, "FIELD_INVALID", ("collections",)),
    "minimum without a vector": ({"vectors": [], "min_score": 0.1}, {}, INVALID, "FIELD_INVALID", ("min_score",)),
    "wrong dimension": ({"vectors": [query((1.0, 0.0))]}, {}, INVALID, "SPACE_MISMATCH", ()),
    "unknown space": ({"vectors": [query(EAST, "none")]}, {}, INVALID, "SPACE_MISMATCH", ()),
    "another space": ({"vectors": [query([1.0] * 8, "wide")]}, {}, INVALID, "SPACE_MISMATCH", ()),
    "another tenant in the body": ({"tenant_id": "globex"}, {}, DENIED, "TENANT_MISMATCH", ()),
    "token without a tenant": ({}, {"tenant": None}, DENIED, "METHOD_NOT_ALLOWED", ()),
    "unknown tenant": ({}, {"tenant": "stranger"}, MISSING, "TENANT_UNKNOWN", ()),
    "suspended tenant": ({}, {"tenant": "gone"}, DENIED, "TENANT_SUSPENDED", ()),
    "expired token": ({}, {"exp": 1}, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_EXPIRED", ()),
    "foreign token": ({}, {"aud": "other"}, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID", ()),
    "unknown collection": ({"collections": ["none"]}, {}, MISSING, "COLLECTION_UNKNOWN", ()),
    "another's collection": ({"collections": ["notes"]}, {"tenant": "globex"}, MISSING, "COLLECTION_UNKNOWN", ()),
    "collection elsewhere": ({"collections": ["far"]}, {}, PRECONDITION, "COLLECTION_NOT_PLACED", ()),
    "outside its jurisdictions": ({"collections": ["outside"]}, {}, PRECONDITION, "RESIDENCY_VIOLATION", ()),
    "one of several elsewhere": ({"collections": ["docs", "far"]}, {}, PRECONDITION, "COLLECTION_NOT_PLACED", ()),
    "garbage as map token": ({"map_token": b"garbage"}, {}, PRECONDITION, "MAP_TOKEN_INVALID", ()),
    "map token of tomorrow": (
        {"map_token": static_map(revision=1_000).snapshot.token},
        {"timeout_s": 1.0},
        grpc.StatusCode.UNAVAILABLE,
        "STALE_MAP",
        (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(SEARCH_REFUSALS))
async def test_bad_search_is_refused(service: RetrievalService, case: str) -> None:
    """Each wrong search gets its own code and reason."""
    changes, options, code, reason, fields = SEARCH_REFUSALS[case]

    refusal = await service.refused("Search", search(**changes), **options)

    assert (refusal.code, refusal.reason, refusal.fields) == (code, reason, fields)


UPSERT_REFUSALS: dict[str, tuple[retrieval_pb.UpsertRequest, grpc.StatusCode, str]] = {
    "no documents": (upsert(), INVALID, "FIELD_INVALID"),
    "an id twice": (upsert(embedded("a"), embedded("a")), INVALID, "FIELD_INVALID"),
    "NaN": (upsert(embedded("a", (math.nan, 0, 0, 0))), INVALID, "FIELD_INVALID"),
    "wrong dimension": (upsert(embedded("a", (1.0,))), INVALID, "SPACE_MISMATCH"),
    "another space": (upsert(embedded("a", [1.0] * 8), space_id="wide"), INVALID, "SPACE_MISMATCH"),
    "unknown collection": (upsert(embedded("a"), collection="none"), MISSING, "COLLECTION_UNKNOWN"),
    "collection elsewhere": (upsert(embedded("a"), collection="far"), PRECONDITION, "COLLECTION_NOT_PLACED"),
    "outside its jurisdictions": (upsert(embedded("a"), collection="outside"), PRECONDITION, "RESIDENCY_VIOLATION"),
    "another tenant in the body": (upsert(embedded("a"), tenant_id="globex"), DENIED, "TENANT_MISMATCH"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(UPSERT_REFUSALS))
async def test_bad_upsert_is_refused(service: RetrievalService, case: str) -> None:
    """Each wrong write gets its own code and reason."""
    request, code, reason = UPSERT_REFUSALS[case]

    refusal = await service.refused("Upsert", request)

    assert (refusal.code, refusal.reason) == (code, reason)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Delete", retrieval_pb.DeleteRequest(collection="far", document_ids=["a"])),
        ("Export", retrieval_pb.ExportRequest(collection="far")),
    ],
)
async def test_delete_and_export_stand_behind_the_same_wall(
    service: RetrievalService, method: str, request_: object
) -> None:
    """What is not placed here is neither deleted nor read."""
    refusal = await service.refused(method, request_)

    assert (refusal.code, refusal.reason) == (PRECONDITION, "COLLECTION_NOT_PLACED")


@pytest.mark.parametrize("method", ["Search", "Upsert", "Delete", "Export"])
async def test_every_method_wants_a_credential(service: RetrievalService, method: str) -> None:
    """A call without a token is refused."""
    request = {
        "Search": search(),
        "Upsert": upsert(embedded("a")),
        "Delete": retrieval_pb.DeleteRequest(),
        "Export": retrieval_pb.ExportRequest(),
    }[method]
    call: Any = getattr(service.stub, method)(request, timeout=5.0)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (call.read() if method == "Export" else call)

    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")


async def test_malformed_bytes_are_refused(service: RetrievalService) -> None:
    """Bytes that are no message, and broken UTF-8, are the caller's fault and told so."""
    bare: Any = service.channel.unary_unary("/trunkline.retrieval.v1.RetrievalService/Search")
    for payload in (b"\xff\xff\xff", b"\x1a\x02\xc3\x28"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await bare(payload, timeout=5.0, metadata=service.credential())
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (INVALID, "MESSAGE_MALFORMED")


async def test_missing_deadline_gets_the_cap(service: RetrievalService) -> None:
    """A call without a deadline is answered, within the method's cap."""
    assert ids(await service.call("Search", search(), timeout_s=None))


def test_every_method_has_a_policy() -> None:
    """The policy table names the contract's methods, all of them and no others."""
    service = retrieval_pb.DESCRIPTOR.services_by_name["RetrievalService"]

    assert set(POLICY) == {f"/{service.full_name}/{method.name}" for method in service.methods}
