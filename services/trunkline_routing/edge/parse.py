"""From messages to queries: every bound of the contract is checked here, before any work is done."""

from __future__ import annotations

import math

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_mesh.errors import FieldInvalid, FieldViolation
from trunkline_routing.edge.bounds import (
    DOCUMENT_ID,
    MAX_BATCH,
    MAX_DELETES,
    MAX_DEPTH,
    MAX_DOCUMENTS,
    MAX_DOCUMENTS_BYTES,
    MAX_TOP_K,
    NAME,
    Violations,
    check_all,
    check_consistency,
    check_decision_id,
    check_document,
    check_fields,
    check_filter,
    check_names,
    check_text,
    check_token,
    check_vector,
)
from trunkline_routing.edge.model import Query, Vectors


def parse_search(request: routing_pb.SearchRequest, *, default_depth: int) -> Query:
    """Return the query of a search; raise FieldInvalid naming every field that is out of bounds."""
    found = Violations()
    kind = request.WhichOneof("query")
    found.check(kind is not None, "query", "text or vector must be set")
    vectors: Vectors = {}
    if kind == "vector":
        vectors = check_vector(request, found)
    else:
        check_text(request.text, found)
    found.check(1 <= request.top_k <= MAX_TOP_K, "top_k", f"must be 1 to {MAX_TOP_K}")
    rerank = request.rerank
    found.check(0 <= rerank.depth <= MAX_DEPTH, "rerank.depth", f"must be 0 to {MAX_DEPTH}")
    min_score = request.min_score if request.HasField("min_score") else None
    found.check(min_score is None or math.isfinite(min_score), "min_score", "must be a finite number")
    check_names(request.collections, "collections", found)
    check_all(request.all_collections, request.collections, found)
    check_fields(request.include_fields, found)
    condition = request.filter if request.HasField("filter") else None
    if condition is not None:
        check_filter(condition, found)
    check_consistency(request.consistency, found)
    check_token(request.map_token, found)
    check_decision_id(request.previous_decision_id, found)
    found.settle()
    return Query(
        text=request.text,
        vectors=vectors,
        top_k=request.top_k,
        filter=condition,
        min_score=min_score,
        include_fields=tuple(request.include_fields),
        consistency=request.consistency or options_pb.CONSISTENCY_ANY,
        collections=tuple(dict.fromkeys(request.collections)) if request.collections else (),
        all_collections=request.all_collections,
        allow_partial=request.allow_partial,
        explain=request.explain,
        rerank=not rerank.disabled and kind == "text",
        rerank_depth=rerank.depth or default_depth,
        previous_decision_id=request.previous_decision_id,
        expand_template=request.expand_template,
    )


def parse_batch(request: routing_pb.SearchBatchRequest, *, default_depth: int) -> list[Query]:
    """Return the queries of a batch; raise FieldInvalid."""
    found = Violations()
    found.check(1 <= len(request.queries) <= MAX_BATCH, "queries", f"must be 1 to {MAX_BATCH}")
    check_token(request.map_token, found)
    for index, query in enumerate(request.queries[:MAX_BATCH]):
        found.check(not query.tenant_id, f"queries[{index}].tenant_id", "must be empty in a batch")
        found.check(not query.map_token, f"queries[{index}].map_token", "must be empty in a batch")
    found.settle()
    return [_in_field(f"queries[{index}].", query, default_depth) for index, query in enumerate(request.queries)]


def _in_field(prefix: str, request: routing_pb.SearchRequest, default_depth: int) -> Query:
    try:
        return parse_search(request, default_depth=default_depth)
    except FieldInvalid as exc:
        named = [FieldViolation(prefix + one.field, one.description) for one in exc.violations]
        raise FieldInvalid(violations=named) from None


def parse_route(request: routing_pb.RouteRequest) -> Query:
    """Return the query of a route; raise FieldInvalid."""
    found = Violations()
    check_text(request.text, found)
    check_names(request.collections, "collections", found)
    check_all(request.all_collections, request.collections, found)
    check_consistency(request.consistency, found)
    check_token(request.map_token, found)
    check_decision_id(request.previous_decision_id, found)
    found.settle()
    return Query(
        text=request.text,
        vectors={},
        top_k=1,
        consistency=request.consistency or options_pb.CONSISTENCY_ANY,
        collections=tuple(dict.fromkeys(request.collections)) if request.collections else (),
        all_collections=request.all_collections,
        explain=request.explain,
        previous_decision_id=request.previous_decision_id,
        expand_template=request.expand_template,
    )


def check_upsert(request: routing_pb.UpsertRequest) -> None:
    """Raise FieldInvalid unless the request holds documents that may be written."""
    found = Violations()
    found.check(NAME.fullmatch(request.collection) is not None, "collection", "must be 1 to 63 of [a-z0-9-]")
    count = len(request.documents)
    found.check(1 <= count <= MAX_DOCUMENTS, "documents", f"must be 1 to {MAX_DOCUMENTS}")
    found.check(request.ByteSize() <= MAX_DOCUMENTS_BYTES, "documents", f"must be at most {MAX_DOCUMENTS_BYTES} bytes")
    check_token(request.map_token, found)
    found.settle()  # before anything is looked at one by one
    found.check(
        len({one.document_id for one in request.documents}) == count, "documents", "must have distinct document_id"
    )
    for index, document in enumerate(request.documents):
        check_document(document, f"documents[{index}]", found)
    found.settle()


def check_delete(request: routing_pb.DeleteRequest) -> None:
    """Raise FieldInvalid unless the request names documents."""
    found = Violations()
    found.check(NAME.fullmatch(request.collection) is not None, "collection", "must be 1 to 63 of [a-z0-9-]")
    found.check(1 <= len(request.document_ids) <= MAX_DELETES, "document_ids", f"must be 1 to {MAX_DELETES}")
    ids_fit = all(DOCUMENT_ID.fullmatch(one) for one in request.document_ids[:MAX_DELETES])
    found.check(ids_fit, "document_ids", "must be 1 to 128 of [A-Za-z0-9_.:/#-]")
    check_token(request.map_token, found)
    found.settle()
