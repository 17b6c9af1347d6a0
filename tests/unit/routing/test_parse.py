"""Bounds of the front door's requests: field, value, and what the caller is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_mesh.errors import FieldInvalid
from trunkline_routing.edge.parse import check_delete, check_upsert, parse_batch, parse_route, parse_search

Condition = document_pb.Condition


def search(**changes: Any) -> routing_pb.SearchRequest:
    """Return a good search, with changes."""
    given: dict[str, Any] = {"text": "how", "top_k": 5} | changes
    return routing_pb.SearchRequest(**given)


def vector_search(values: list[float], space: str = "minilm", **changes: Any) -> routing_pb.SearchRequest:
    vector = vector_pb.QueryVector(space_id=space, values=values)
    given: dict[str, Any] = {"vector": vector, "top_k": 5, "collections": ["a"]} | changes
    return routing_pb.SearchRequest(**given)


def filtered(*must: Condition, **changes: Any) -> routing_pb.SearchRequest:
    return search(filter=document_pb.Filter(must=must), **changes)


def violated(check: Callable[[], Any]) -> set[str]:
    """Return the fields that a check complains of; none if it does not."""
    try:
        check()
    except FieldInvalid as exc:
        return {one.field for one in exc.violations}
    return set()


def searched(request: routing_pb.SearchRequest) -> set[str]:
    return violated(lambda: parse_search(request, default_depth=20))


SEARCHES: list[tuple[str, routing_pb.SearchRequest, set[str]]] = [
    ("good", search(), set()),
    ("nothing to look for", routing_pb.SearchRequest(top_k=5), {"query", "text"}),
    ("empty text", search(text=""), {"text"}),
    ("white space", search(text=" \t\n\u2003"), {"text"}),
    ("text of 4096 bytes", search(text="x" * 4096), set()),
    ("text of 4097 bytes", search(text="x" * 4097), {"text"}),
    ("4096 bytes of 2048 letters", search(text="é" * 2048), set()),
    ("4098 bytes of 2049 letters", search(text="é" * 2049), {"text"}),
    ("top_k 0", search(top_k=0), {"top_k"}),
    ("top_k -1", search(top_k=-1), {"top_k"}),
    ("top_k 1", search(top_k=1), set()),
    ("top_k 100", search(top_k=100), set()),
    ("top_k 101", search(top_k=101), {"top_k"}),
    ("top_k of a million", search(top_k=1_000_000), {"top_k"}),
    ("min_score NaN", search(min_score=math.nan), {"min_score"}),
    ("min_score infinite", search(min_score=-math.inf), {"min_score"}),
    ("min_score 0", search(min_score=0.0), set()),
    ("64 collections", search(collections=[f"c{n}" for n in range(64)]), set()),
    ("65 collections", search(collections=[f"c{n}" for n in range(65)]), {"collections"}),
    ("all collections", search(all_collections=True), set()),
    ("all and named", search(all_collections=True, collections=["a"]), {"all_collections"}),
    ("collection name", search(collections=["../etc"]), {"collections"}),
    ("collection of 64 letters", search(collections=["c" * 64]), {"collections"}),
    ("32 fields", search(include_fields=[f"f{n}" for n in range(32)]), set()),
    ("33 fields", search(include_fields=[f"f{n}" for n in range(33)]), {"include_fields"}),
    ("field name", search(include_fields=["Title"]), {"include_fields"}),
    ("rerank depth -1", search(rerank=routing_pb.RerankOptions(depth=-1)), {"rerank.depth"}),
    ("rerank depth 101", search(rerank=routing_pb.RerankOptions(depth=101)), {"rerank.depth"}),
    ("map token of 64 bytes", search(map_token=b"x" * 64), set()),
    ("map token of 65 bytes", search(map_token=b"x" * 65), {"map_token"}),
    ("consistency of the future", search(consistency=99), {"consistency"}),
    ("good vector", vector_search([0.5]), set()),
    ("vector without collections", vector_search([0.5], collections=[]), {"collections"}),
    ("vector without space", vector_search([0.5], space=""), {"vector.space_id"}),
    ("empty vector", vector_search([]), {"vector.values"}),
    ("NaN in a vector", vector_search([0.5, math.nan]), {"vector.values"}),
    ("infinity in a vector", vector_search([math.inf]), {"vector.values"}),
    ("vector of 4096", vector_search([0.5] * 4096), set()),
    ("vector of 4097", vector_search([0.5] * 4097), {"vector.values"}),
    ("good filter", filtered(Condition(field="topic", equals_string="x")), set()),
    ("filter without field", filtered(Condition(equals_int=1)), {"filter.must[0].field"}),
    ("filter without test", filtered(Condition(field="topic")), {"filter.must[0]"}),
    ("17 conditions", filtered(*[Condition(field="f", equals_int=1)] * 17), {"filter.must"}),
    ("any of nothing", filtered(Condition(field="f", any_of=document_pb.StringList())), {"filter.must[0].any_of"}),
    (
        "any of 65",
        filtered(Condition(field="f", any_of=document_pb.StringList(values=["x"] * 65))),
        {"filter.must[0].any_of"},
    ),
    (
        "any of a long text",
        filtered(Condition(field="f", any_of=document_pb.StringList(values=["é" * 129]))),
        {"filter.must[0].any_of"},
    ),
    (
        "equal to a huge text",
        filtered(Condition(field="f", equals_string="x" * 8193)),
        {"filter.must[0].equals_string"},
    ),
    ("range without bound", filtered(Condition(field="f", range=document_pb.NumberRange())), {"filter.must[0].range"}),
    (
        "range of NaN",
        filtered(Condition(field="f", range=document_pb.NumberRange(gte=0, lte=math.nan))),
        {"filter.must[0].range"},
    ),
    (
        "must_not is checked too",
        search(filter=document_pb.Filter(must_not=[Condition(field="f")])),
        {"filter.must_not[0]"},
    ),
    ("everything at once", search(text="", top_k=0, collections=["A"]), {"text", "top_k", "collections"}),
]


@pytest.mark.parametrize(("request_", "fields"), [row[1:] for row in SEARCHES], ids=[row[0] for row in SEARCHES])
def test_a_search_is_checked_field_by_field(request_: routing_pb.SearchRequest, fields: set[str]) -> None:
    """Everything that is wrong is told at once, by the contract's names."""
    assert searched(request_) == fields


def test_a_search_becomes_a_query() -> None:
    """Defaults are filled in, repeated collections count once."""
    query = parse_search(search(collections=["b", "a", "b"], explain=True), default_depth=20)
    assert query.collections == ("b", "a")
    assert query.consistency == options_pb.CONSISTENCY_ANY
    assert (query.min_score, query.filter, query.rerank, query.rerank_depth) == (None, None, True, 20)
    assert query.explain


def test_zero_is_a_minimum_score() -> None:
    """It is not the same as none."""
    assert parse_search(search(min_score=0.0), default_depth=20).min_score == 0.0


def test_a_vector_is_not_reranked() -> None:
    """There is no text to compare candidates with."""
    query = parse_search(vector_search([0.5, 0.25]), default_depth=20)
    assert (query.text, query.rerank, dict(query.vectors)) == ("", False, {"minilm": (0.5, 0.25)})


BATCHES: list[tuple[str, routing_pb.SearchBatchRequest, set[str]]] = [
    ("none", routing_pb.SearchBatchRequest(), {"queries"}),
    ("16", routing_pb.SearchBatchRequest(queries=[search()] * 16), set()),
    ("17", routing_pb.SearchBatchRequest(queries=[search()] * 17), {"queries"}),
    (
        "tenant of its own",
        routing_pb.SearchBatchRequest(queries=[search(tenant_id="acme")]),
        {"queries[0].tenant_id"},
    ),
    (
        "map token of its own",
        routing_pb.SearchBatchRequest(queries=[search(), search(map_token=b"x")]),
        {"queries[1].map_token"},
    ),
    ("bad query", routing_pb.SearchBatchRequest(queries=[search(), search(top_k=0)]), {"queries[1].top_k"}),
]


@pytest.mark.parametrize(("request_", "fields"), [row[1:] for row in BATCHES], ids=[row[0] for row in BATCHES])
def test_a_batch_is_checked_query_by_query(request_: routing_pb.SearchBatchRequest, fields: set[str]) -> None:
    """Violations name the query."""
    assert violated(lambda: parse_batch(request_, default_depth=20)) == fields


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (routing_pb.RouteRequest(text="how"), set()),
        (routing_pb.RouteRequest(), {"text"}),
        (routing_pb.RouteRequest(text="how", collections=["A"]), {"collections"}),
        (routing_pb.RouteRequest(text="how", consistency=99), {"consistency"}),  # type: ignore[arg-type]  # unknown is the point
        (routing_pb.RouteRequest(text="how", map_token=b"x" * 65), {"map_token"}),
    ],
)
def test_a_route_is_checked(request_: routing_pb.RouteRequest, fields: set[str]) -> None:
    """As a search is."""
    assert violated(lambda: parse_route(request_)) == fields


def document(**changes: Any) -> document_pb.Document:
    given: dict[str, Any] = {"document_id": "d1", "text": "text"} | changes
    return document_pb.Document(**given)


def with_field(name: str = "topic", **value: Any) -> document_pb.Document:
    return document(fields={name: document_pb.FieldValue(**value)})


def upsert(*documents: document_pb.Document, **changes: Any) -> routing_pb.UpsertRequest:
    given: dict[str, Any] = {"collection": "both", "documents": documents} | changes
    return routing_pb.UpsertRequest(**given)


FIELDS = "documents[0].fields"
UPSERTS: list[tuple[str, routing_pb.UpsertRequest, set[str]]] = [
    ("good", upsert(with_field(string_value="x")), set()),
    ("no collection", upsert(document(), collection=""), {"collection"}),
    ("no documents", upsert(), {"documents"}),
    ("64", upsert(*[document(document_id=f"d{n}") for n in range(64)]), set()),
    ("65", upsert(*[document(document_id=f"d{n}") for n in range(65)]), {"documents"}),
    ("the same id twice", upsert(document(), document()), {"documents"}),
    ("no id", upsert(document(document_id="")), {"documents[0].document_id"}),
    ("id with a space", upsert(document(document_id="a b")), {"documents[0].document_id"}),
    ("id with a line break", upsert(document(document_id="a\n")), {"documents[0].document_id"}),
    ("id of 129", upsert(document(document_id="a" * 129)), {"documents[0].document_id"}),
    ("blank text", upsert(document(text=" \n")), {"documents[0].text"}),
    ("text of 32769 bytes", upsert(document(text="x" * 32769)), {"documents[0].text"}),
    ("33 fields", upsert(document(fields={f"f{n}": document_pb.FieldValue(int_value=1) for n in range(33)})), {FIELDS}),
    ("field name", upsert(with_field("Topic", int_value=1)), {FIELDS}),
    ("field without value", upsert(with_field()), {FIELDS}),
    ("long field", upsert(with_field(string_value="x" * 8193)), {FIELDS}),
    ("NaN field", upsert(with_field(double_value=math.nan)), {FIELDS}),
    ("more than 1 MiB", upsert(*[document(document_id=f"d{n}", text="x" * 32768) for n in range(33)]), {"documents"}),
    ("map token", upsert(document(), map_token=b"x" * 65), {"map_token"}),
]


@pytest.mark.parametrize(("request_", "fields"), [row[1:] for row in UPSERTS], ids=[row[0] for row in UPSERTS])
def test_an_upsert_is_checked(request_: routing_pb.UpsertRequest, fields: set[str]) -> None:
    """Documents are named by their place."""
    assert violated(lambda: check_upsert(request_)) == fields


@pytest.mark.parametrize(
    ("ids", "collection", "fields"),
    [
        (["d1"], "both", set()),
        ([], "both", {"document_ids"}),
        (["d"] * 257, "both", {"document_ids"}),
        (["a b"], "both", {"document_ids"}),
        (["d1"], "Both", {"collection"}),
    ],
)
def test_a_delete_is_checked(ids: list[str], collection: str, fields: set[str]) -> None:
    """Ids as they are written."""
    request = routing_pb.DeleteRequest(collection=collection, document_ids=ids)
    assert violated(lambda: check_delete(request)) == fields


def test_huge_messages_are_refused_before_they_are_walked() -> None:
    """8 MiB of nothing: the count alone refuses them."""
    many = routing_pb.UpsertRequest(collection="both", documents=[document_pb.Document()] * 200_000)
    with pytest.raises(FieldInvalid) as refused:
        check_upsert(many)
    assert [one.field for one in refused.value.violations] == ["documents"]
