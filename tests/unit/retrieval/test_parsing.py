"""Bounds of requests: what is refused, and what the caller is told."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline_mesh.errors import FieldInvalid
from trunkline_retrieval.model import AnyOf, Equals, Filter, Range, SearchMode
from trunkline_retrieval.parsing import parse_delete, parse_export, parse_search, parse_upsert

Condition = document_pb.Condition


def good_search() -> retrieval_pb.SearchRequest:
    """Return a request that breaks no bound."""
    return retrieval_pb.SearchRequest(
        collections=["docs"],
        text="memory leak",
        vectors=[vector_pb.QueryVector(space_id="minilm", values=[1.0, 0.0])],
        limit=10,
    )


def good_upsert() -> retrieval_pb.UpsertRequest:
    """Return a request that breaks no bound."""
    document = document_pb.Document(document_id="a", text="text", fields={"n": document_pb.FieldValue(int_value=1)})
    return retrieval_pb.UpsertRequest(
        collection="docs",
        space_id="minilm",
        documents=[retrieval_pb.EmbeddedDocument(document=document, values=[1.0, 0.0])],
    )


def with_filter(*must: document_pb.Condition, count: int = 1) -> Callable[[retrieval_pb.SearchRequest], None]:
    """Return a change that sets the filter."""
    return lambda request: request.filter.must.extend(must * count)


def test_search_is_parsed_whole() -> None:
    """Every field of a good request reaches the command, typed."""
    request = good_search()
    request.mode = retrieval_pb.RETRIEVAL_MODE_HYBRID
    request.min_score = 0.0
    request.include_fields.extend(["source", "title"])
    request.map_token = b"token"
    request.filter.must.extend(
        [
            Condition(field="a", equals_int=0),
            Condition(field="b", equals_bool=False),
            Condition(field="c", equals_string=""),
            Condition(field="d", range=document_pb.NumberRange(lte=0.0)),
        ]
    )
    request.filter.must_not.add(field="e", any_of=document_pb.StringList(values=["x", "y"]))

    command = parse_search(request, "acme")

    assert command.filter == Filter(
        (Equals("a", 0), Equals("b", False), Equals("c", ""), Range("d", None, 0.0)), (AnyOf("e", ("x", "y")),)
    )
    assert isinstance(command.filter.must[1].value, bool)  # type: ignore[union-attr] # an Equals, see above
    assert (command.tenant_id, command.mode, command.min_score) == ("acme", SearchMode.HYBRID, 0.0)
    assert (command.include_fields, command.map_token) == (frozenset({"source", "title"}), b"token")
    assert command.vectors["minilm"].dtype == np.float32
    assert command.vectors["minilm"].tolist() == [1.0, 0.0]


BAD_SEARCHES: dict[str, tuple[Callable[[retrieval_pb.SearchRequest], object], str]] = {
    "no collection": (lambda r: r.ClearField("collections"), "collections"),
    "65 collections": (lambda r: r.collections.extend(["x"] * 64), "collections"),
    "collection name": (lambda r: r.collections.append("Docs/"), "collections[1]"),
    "long text": (lambda r: setattr(r, "text", "x" * 4097), "text"),
    "long text in bytes": (lambda r: setattr(r, "text", "ü" * 2049), "text"),
    "5 vectors": (lambda r: r.vectors.extend([r.vectors[0]] * 4), "vectors"),
    "a space twice": (lambda r: r.vectors.append(r.vectors[0]), "vectors.space_id"),
    "space name": (lambda r: setattr(r.vectors[0], "space_id", ""), "vectors[0].space_id"),
    "empty vector": (lambda r: r.vectors[0].ClearField("values"), "vectors[0].values"),
    "4097 dimensions": (lambda r: r.vectors[0].values.extend([0.0] * 4095), "vectors[0].values"),
    "NaN": (lambda r: r.vectors[0].values.append(math.nan), "vectors[0].values"),
    "infinity": (lambda r: r.vectors[0].values.append(math.inf), "vectors[0].values"),
    "limit 0": (lambda r: r.ClearField("limit"), "limit"),
    "limit of a million": (lambda r: setattr(r, "limit", 1_000_000), "limit"),
    "negative limit": (lambda r: setattr(r, "limit", -1), "limit"),
    "mode": (lambda r: setattr(r, "mode", 99), "mode"),
    "NaN as minimum": (lambda r: setattr(r, "min_score", math.nan), "min_score"),
    "33 fields": (lambda r: r.include_fields.extend(["x"] * 33), "include_fields"),
    "field name": (lambda r: r.include_fields.append("a.b"), "include_fields[0]"),
    "map token": (lambda r: setattr(r, "map_token", b"x" * 65), "map_token"),
    "17 conditions": (with_filter(Condition(field="a", equals_int=1), count=17), "filter.must"),
    "17 conditions that must not hold": (
        lambda r: r.filter.must_not.extend([Condition(field="a", equals_int=1)] * 17),
        "filter.must_not",
    ),
    "condition without a test": (with_filter(Condition(field="a")), "filter.must[0]"),
    "condition on no field": (with_filter(Condition(equals_int=1)), "filter.must[0].field"),
    "condition on a path": (with_filter(Condition(field="a.b[]", equals_int=1)), "filter.must[0].field"),
    "long text to equal": (
        with_filter(Condition(field="a", equals_string="x" * 8193)),
        "filter.must[0].equals_string",
    ),
    "any of nothing": (
        with_filter(Condition(field="a", any_of=document_pb.StringList())),
        "filter.must[0].any_of.values",
    ),
    "any of 65": (
        with_filter(Condition(field="a", any_of=document_pb.StringList(values=["x"] * 65))),
        "filter.must[0].any_of.values",
    ),
    "any of a long text": (
        with_filter(Condition(field="a", any_of=document_pb.StringList(values=["x" * 257]))),
        "filter.must[0].any_of.values[0]",
    ),
    "range without bounds": (
        with_filter(Condition(field="a", range=document_pb.NumberRange())),
        "filter.must[0].range",
    ),
    "range to NaN": (
        with_filter(Condition(field="a", range=document_pb.NumberRange(lte=math.nan))),
        "filter.must[0].range.lte",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD_SEARCHES))
def test_bad_search_names_its_field(case: str) -> None:
    """A search out of bounds is refused with the field that is."""
    change, field = BAD_SEARCHES[case]
    request = good_search()
    change(request)

    with pytest.raises(FieldInvalid) as caught:
        parse_search(request, "acme")

    assert [violation.field for violation in caught.value.violations] == [field]


def document_of(request: retrieval_pb.UpsertRequest) -> document_pb.Document:
    """Return the request's first document."""
    return request.documents[0].document


BAD_UPSERTS: dict[str, tuple[Callable[[retrieval_pb.UpsertRequest], object], str]] = {
    "no collection": (lambda r: r.ClearField("collection"), "collection"),
    "no space": (lambda r: r.ClearField("space_id"), "space_id"),
    "no documents": (lambda r: r.ClearField("documents"), "documents"),
    "129 documents": (lambda r: r.documents.extend([r.documents[0]] * 128), "documents"),
    "an id twice": (lambda r: r.documents.append(r.documents[0]), "documents.document_id"),
    "no id": (lambda r: document_of(r).ClearField("document_id"), "documents[0].document.document_id"),
    "long id": (lambda r: setattr(document_of(r), "document_id", "x" * 129), "documents[0].document.document_id"),
    "id with a space": (lambda r: setattr(document_of(r), "document_id", "a b"), "documents[0].document.document_id"),
    "id with a newline": (lambda r: setattr(document_of(r), "document_id", "a\n"), "documents[0].document.document_id"),
    "no text": (lambda r: document_of(r).ClearField("text"), "documents[0].document.text"),
    "long text": (lambda r: setattr(document_of(r), "text", "x" * 32_769), "documents[0].document.text"),
    "33 fields": (
        lambda r: document_of(r).MergeFrom(
            document_pb.Document(fields={f"f{number}": document_pb.FieldValue(int_value=1) for number in range(32)})
        ),
        "documents[0].document.fields",
    ),
    "field name": (lambda r: setattr(document_of(r).fields["A"], "int_value", 1), "documents[0].document.fields"),
    "field without a value": (lambda r: document_of(r).fields["x"].SetInParent(), "documents[0].document.fields"),
    "long field": (
        lambda r: setattr(document_of(r).fields["x"], "string_value", "x" * 8193),
        "documents[0].document.fields",
    ),
    "NaN field": (
        lambda r: setattr(document_of(r).fields["x"], "double_value", math.nan),
        "documents[0].document.fields",
    ),
    "no vector": (lambda r: r.documents[0].ClearField("values"), "documents[0].values"),
    "NaN vector": (lambda r: r.documents[0].values.append(math.nan), "documents[0].values"),
    "map token": (lambda r: setattr(r, "map_token", b"x" * 65), "map_token"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD_UPSERTS))
def test_bad_upsert_names_its_field(case: str) -> None:
    """A write out of bounds is refused with the field that is."""
    change, field = BAD_UPSERTS[case]
    request = good_upsert()
    change(request)

    with pytest.raises(FieldInvalid) as caught:
        parse_upsert(request, "acme")

    assert [violation.field for violation in caught.value.violations] == [field]


def test_documents_are_bounded_together() -> None:
    """Documents that each keep their bounds are refused above 4 MiB together."""
    request = good_upsert()
    for number in range(127):
        added = request.documents.add(values=[1.0, 0.0])
        added.document.document_id, added.document.text = f"d{number}", "x" * 32_768
        for name in "abcdefgh":
            added.document.fields[name].string_value = "x" * 8_000

    with pytest.raises(FieldInvalid) as caught:
        parse_upsert(request, "acme")

    assert [violation.field for violation in caught.value.violations] == ["documents"]


@pytest.mark.parametrize("ids", [[], ["x"] * 257, ["a", ""]], ids=["none", "257", "an empty one"])
def test_bad_delete_is_refused(ids: list[str]) -> None:
    """A deletion needs 1 to 256 ids of the right form."""
    with pytest.raises(FieldInvalid):
        parse_delete(retrieval_pb.DeleteRequest(collection="docs", document_ids=ids), "acme")


@pytest.mark.parametrize(
    "change",
    [
        {"cursor": "garbage"},
        {"cursor": "{00000000-0000-0000-0000-000000000001}"},
        {"page_size": 257},
        {"page_size": -1},
        {"collection": ""},
    ],
    ids=str,
)
def test_bad_export_is_refused(change: dict[str, object]) -> None:
    """An export needs a collection, a cursor that the service made, and a page size within bounds."""
    request = retrieval_pb.ExportRequest(**({"collection": "docs"} | change))  # type: ignore[arg-type] # one field each

    with pytest.raises(FieldInvalid):
        parse_export(request, "acme")


def test_violations_are_told_together_and_bounded() -> None:
    """Several violations come at once, but never more than a status can carry."""
    request = retrieval_pb.SearchRequest(collections=["_"] * 16, limit=0)

    with pytest.raises(FieldInvalid) as caught:
        parse_search(request, "acme")

    assert len(caught.value.violations) == 8
