"""Everything that a caller can get wrong, as a table: the request, and the code and reason that it must get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from tests.e2e import world
from tests.e2e.place import Place

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline.control.v1 import region_service_pb2 as regions_pb
from trunkline.control.v1 import tenant_service_pb2 as tenants_pb
from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.rerank.v1 import rerank_service_pb2 as rerank_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_local import Service
from trunkline_local.seeding import DIMENSION, MODEL_ID, MODEL_REVISION, SPACE_ID

MARK: Final = "plantedquerytext"
"""Stands in every query and document below, and must stand in no log and in no refusal."""
NAN, INFINITY = float("nan"), float("inf")
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
PRECONDITION, DENIED = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.PERMISSION_DENIED
CONTROL: Final = "control"
FIELD: Final = (INVALID, "FIELD_INVALID")
MALFORMED: Final = (INVALID, "MESSAGE_MALFORMED")


@dataclass(frozen=True)
class Bad:
    """A request, and what it must get."""

    where: str
    """A service, or CONTROL."""
    method: str
    request: Message | bytes
    expected: tuple[grpc.StatusCode, str]
    credential: Callable[[Place], str] = Place.token
    metadata: tuple[tuple[str, str], ...] = ()


def search(**fields: Any) -> Message:
    """Return a good search, with changes."""
    defaults: dict[str, Any] = {"text": MARK, "top_k": 3}
    return routing_pb.SearchRequest(**(defaults | fields))


def _vector(*values: float, space_id: str = SPACE_ID, **fields: Any) -> Message:
    vector = vector_pb.QueryVector(space_id=space_id, values=values)
    defaults: dict[str, Any] = {"vector": vector, "top_k": 3, "collections": ["debugging"]}
    return routing_pb.SearchRequest(**(defaults | fields))


def _batch(*queries: Message, **fields: Any) -> Message:
    return routing_pb.SearchBatchRequest(queries=queries, **fields)  # type: ignore[arg-type]  # they are SearchRequests


def _filter(**test: Any) -> document_pb.Filter:
    return document_pb.Filter(must=[document_pb.Condition(**test)])


def _document(document_id: str = "d", text: str = MARK, **fields: document_pb.FieldValue) -> document_pb.Document:
    return document_pb.Document(document_id=document_id, text=text, fields=fields)


def _upsert(*documents: document_pb.Document, collection: str = "debugging") -> Message:
    return routing_pb.UpsertRequest(collection=collection, documents=documents)


def _collection(**fields: Any) -> Message:
    defaults: dict[str, Any] = {"tenant_id": world.ACME, "collection_id": "bad", "space_id": SPACE_ID}
    defaults["placement"] = [world.EU]
    return collections_pb.PutCollectionRequest(collection=entries_pb.Collection(**(defaults | fields)))


def _policy(yaml: str) -> Message:
    return policies_pb.PutPolicyRequest(policy=policies_pb.Policy(tenant_id=world.GLOBEX, yaml=yaml))


def _embed(*texts: str, model_id: str = MODEL_ID, revision: str = MODEL_REVISION) -> Message:
    return inference_pb.EmbedRequest(model_id=model_id, model_revision=revision, texts=texts)


def _retrieve(**fields: Any) -> Message:
    defaults: dict[str, Any] = {"collections": ["debugging"], "text": MARK, "limit": 3}
    return retrieval_pb.SearchRequest(**(defaults | fields))


def _broken_utf8() -> bytes:
    return search(text=MARK).SerializeToString().replace(MARK.encode(), b"\xff" * len(MARK))


def _a_tenant_that_is_unknown(place: Place) -> str:
    return place.token("nobody")


_NUMBERS = document_pb.FieldValue(double_value=NAN)
_WIDE = retrieval_pb.EmbeddedDocument(document=_document(), values=[1.0] * (DIMENSION + 1))
_RETRIEVAL, _INFERENCE, _RERANK, _ADMISSION = Service.RETRIEVAL, Service.INFERENCE, Service.RERANK, Service.ADMISSION
_ROUTING = Service.ROUTING

CASES: Final[dict[str, Bad]] = {
    # Queries.
    "no query": Bad(_ROUTING, "Search", routing_pb.SearchRequest(top_k=3), FIELD),
    "empty text": Bad(_ROUTING, "Search", search(text=""), FIELD),
    "white space": Bad(_ROUTING, "Search", search(text=" \n\t "), FIELD),
    "oversized text": Bad(_ROUTING, "Search", search(text=MARK * 400), FIELD),
    "oversized text of wide characters": Bad(_ROUTING, "Search", search(text="\U0001f600" * 1025), FIELD),
    "oversized text to explain": Bad(_ROUTING, "Route", routing_pb.RouteRequest(text=MARK * 400), FIELD),
    "top_k 0": Bad(_ROUTING, "Search", search(top_k=0), FIELD),
    "top_k a million": Bad(_ROUTING, "Search", search(top_k=1_000_000), FIELD),
    "top_k negative": Bad(_ROUTING, "Search", search(top_k=-1), FIELD),
    "depth 101": Bad(_ROUTING, "Search", search(rerank=routing_pb.RerankOptions(depth=101)), FIELD),
    "min_score NaN": Bad(_ROUTING, "Search", search(min_score=NAN), FIELD),
    "unknown consistency": Bad(_ROUTING, "Search", search(consistency=99), FIELD),
    "33 fields": Bad(_ROUTING, "Search", search(include_fields=[f"f{n}" for n in range(33)]), FIELD),
    "a field name that is none": Bad(_ROUTING, "Search", search(include_fields=["../x"]), FIELD),
    "a condition without a test": Bad(_ROUTING, "Search", search(filter=_filter(field="topic")), FIELD),
    "an open range": Bad(
        _ROUTING, "Search", search(filter=_filter(field="level", range=document_pb.NumberRange())), FIELD
    ),
    "65 collections": Bad(_ROUTING, "Search", search(collections=[f"c{n}" for n in range(65)]), FIELD),
    "a collection name that is none": Bad(_ROUTING, "Search", search(collections=["Debugging!"]), FIELD),
    "unknown collection": Bad(_ROUTING, "Search", search(collections=["nowhere"]), (NOT_FOUND, "COLLECTION_UNKNOWN")),
    "a foreign tenant's collection": Bad(
        _ROUTING, "Search", search(collections=["notes"]), (NOT_FOUND, "COLLECTION_UNKNOWN")
    ),
    "another tenant": Bad(_ROUTING, "Search", search(tenant_id=world.GLOBEX), (DENIED, "TENANT_MISMATCH")),
    "unknown tenant": Bad(
        _ROUTING, "Search", search(), (NOT_FOUND, "TENANT_UNKNOWN"), credential=_a_tenant_that_is_unknown
    ),
    "oversized map token": Bad(_ROUTING, "Search", search(map_token=b"x" * 65), FIELD),
    "garbage as map token": Bad(_ROUTING, "Search", search(map_token=b"garbage"), (PRECONDITION, "MAP_TOKEN_INVALID")),
    # Vectors.
    "NaN vector": Bad(_ROUTING, "Search", _vector(*[NAN] * DIMENSION), FIELD),
    "infinite vector": Bad(_ROUTING, "Search", _vector(*[INFINITY] * DIMENSION), FIELD),
    "empty vector": Bad(_ROUTING, "Search", _vector(), FIELD),
    "vector of a million": Bad(_ROUTING, "Search", _vector(*[0.5] * 1_000_000), FIELD),
    "vector without collections": Bad(_ROUTING, "Search", _vector(*[0.5] * DIMENSION, collections=[]), FIELD),
    "wrong dimension": Bad(_ROUTING, "Search", _vector(0.5, 0.5), (INVALID, "SPACE_MISMATCH")),
    "another space": Bad(
        _ROUTING, "Search", _vector(*[0.5] * DIMENSION, space_id="other"), (INVALID, "SPACE_MISMATCH")
    ),
    # Bytes.
    "broken UTF-8": Bad(_ROUTING, "Search", _broken_utf8(), MALFORMED),
    "malformed protobuf": Bad(_ROUTING, "Search", b"\x0a\xff\xff\xff\xff\x0f" + MARK.encode(), MALFORMED),
    "a cut message": Bad(_ROUTING, "Search", search(collections=["debugging"]).SerializeToString()[:-3], MALFORMED),
    "noise": Bad(_RETRIEVAL, "Search", bytes(range(255, 0, -1)), MALFORMED),
    "noise for the map": Bad(
        CONTROL, "CollectionMapService/PutCollection", bytes(range(255, 0, -1)), MALFORMED, credential=Place.operator
    ),
    # Batches and writes.
    "empty batch": Bad(_ROUTING, "SearchBatch", _batch(), FIELD),
    "17 queries": Bad(_ROUTING, "SearchBatch", _batch(*[search()] * 17), FIELD),
    "one bad query of two": Bad(_ROUTING, "SearchBatch", _batch(search(), search(top_k=0)), FIELD),
    "tenant inside a batch": Bad(_ROUTING, "SearchBatch", _batch(search(tenant_id=world.ACME)), FIELD),
    "no document": Bad(_ROUTING, "Upsert", _upsert(), FIELD),
    "the same id twice": Bad(_ROUTING, "Upsert", _upsert(_document(), _document()), FIELD),
    "65 documents": Bad(_ROUTING, "Upsert", _upsert(*[_document(f"d{n}") for n in range(65)]), FIELD),
    "a document without text": Bad(_ROUTING, "Upsert", _upsert(_document(text="")), FIELD),
    "a document of 33 KiB": Bad(_ROUTING, "Upsert", _upsert(_document(text="x" * 33_000)), FIELD),
    "a document id that is none": Bad(_ROUTING, "Upsert", _upsert(_document("a b")), FIELD),
    "a NaN field": Bad(_ROUTING, "Upsert", _upsert(_document(weight=_NUMBERS)), FIELD),
    "an unknown collection to write": Bad(
        _ROUTING, "Upsert", _upsert(_document(), collection="nowhere"), (NOT_FOUND, "COLLECTION_UNKNOWN")
    ),
    "no id to delete": Bad(_ROUTING, "Delete", routing_pb.DeleteRequest(collection="debugging"), FIELD),
    # Time.
    "no time left": Bad(
        _ROUTING,
        "Search",
        search(),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        metadata=(("trunkline-timeout-us", "1000"),),
    ),
    # Retrieval, asked past the router.
    "limit 0": Bad(_RETRIEVAL, "Search", _retrieve(limit=0), FIELD),
    "limit 201": Bad(_RETRIEVAL, "Search", _retrieve(limit=201), FIELD),
    "neither text nor vector": Bad(_RETRIEVAL, "Search", _retrieve(text=""), FIELD),
    "a foreign tenant at retrieval": Bad(
        _RETRIEVAL, "Search", _retrieve(tenant_id=world.GLOBEX), (DENIED, "TENANT_MISMATCH")
    ),
    "a collection of another region": Bad(
        _RETRIEVAL, "Search", _retrieve(collections=["far"]), (PRECONDITION, "COLLECTION_NOT_PLACED")
    ),
    "vectors of another dimension": Bad(
        _RETRIEVAL,
        "Upsert",
        retrieval_pb.UpsertRequest(collection="debugging", space_id=SPACE_ID, documents=[_WIDE]),
        (INVALID, "SPACE_MISMATCH"),
    ),
    "a cursor that is none": Bad(
        _RETRIEVAL, "Export", retrieval_pb.ExportRequest(collection="debugging", cursor="garbage"), FIELD
    ),
    # Models.
    "unknown model": Bad(_INFERENCE, "Embed", _embed(MARK, model_id="gpt"), (NOT_FOUND, "MODEL_UNKNOWN")),
    "another revision": Bad(_INFERENCE, "Embed", _embed(MARK, revision="9"), (NOT_FOUND, "MODEL_UNKNOWN")),
    "nothing to embed": Bad(_INFERENCE, "Embed", _embed(), FIELD),
    "65 texts": Bad(_INFERENCE, "Embed", _embed(*[MARK] * 65), FIELD),
    "an empty text to embed": Bad(_INFERENCE, "Embed", _embed(""), FIELD),
    "no passage to score": Bad(_INFERENCE, "Score", inference_pb.ScoreRequest(query=MARK), FIELD),
    "no candidate": Bad(_RERANK, "Rerank", rerank_pb.RerankRequest(query=MARK), FIELD),
    "the same candidate twice": Bad(
        _RERANK,
        "Rerank",
        rerank_pb.RerankRequest(query=MARK, candidates=[rerank_pb.Candidate(candidate_id="a", text=MARK)] * 2),
        FIELD,
    ),
    # Quota.
    "a cost of nothing": Bad(_ADMISSION, "Admit", admission_pb.AdmitRequest(cost_tokens=0), FIELD),
    "a cost of a million": Bad(_ADMISSION, "Admit", admission_pb.AdmitRequest(cost_tokens=1_000_000), FIELD),
    "an unknown permit": Bad(
        _ADMISSION,
        "Settle",
        admission_pb.SettleRequest(permit_id="nothing", charged_tokens=1),
        (NOT_FOUND, "PERMIT_UNKNOWN"),
    ),
    # The map.
    "unknown region": Bad(
        CONTROL,
        "RegionService/GetRegion",
        regions_pb.GetRegionRequest(region_id="mars"),
        (NOT_FOUND, "REGION_UNKNOWN"),
    ),
    "unknown tenant in the map": Bad(
        CONTROL,
        "TenantService/GetTenant",
        tenants_pb.GetTenantRequest(tenant_id="nobody"),
        (NOT_FOUND, "TENANT_UNKNOWN"),
        credential=Place.operator,
    ),
    "a placement on mars": Bad(
        CONTROL,
        "CollectionMapService/PutCollection",
        _collection(placement=["mars"]),
        (NOT_FOUND, "REGION_UNKNOWN"),
        credential=Place.operator,
    ),
    "a space that is none": Bad(
        CONTROL,
        "CollectionMapService/PutCollection",
        _collection(space_id="other"),
        (NOT_FOUND, "SPACE_UNKNOWN"),
        credential=Place.operator,
    ),
    "no placement": Bad(
        CONTROL, "CollectionMapService/PutCollection", _collection(placement=[]), FIELD, credential=Place.operator
    ),
    "a revision that is not current": Bad(
        CONTROL,
        "CollectionMapService/PutCollection",
        _collection(collection_id="debugging", revision=1),
        (grpc.StatusCode.ABORTED, "REVISION_CONFLICT"),
        credential=Place.operator,
    ),
    "a page token that is none": Bad(
        CONTROL,
        "CollectionMapService/ListCollections",
        collections_pb.ListCollectionsRequest(page_token="garbage"),
        FIELD,
    ),
    "a region in use to delete": Bad(
        CONTROL,
        "RegionService/DeleteRegion",
        regions_pb.DeleteRegionRequest(region_id=world.EU),
        (PRECONDITION, "ENTRY_IN_USE"),
        credential=Place.operator,
    ),
    "a policy that is no YAML": Bad(
        CONTROL, "PolicyService/PutPolicy", _policy(f"{MARK}: [1"), FIELD, credential=Place.operator
    ),
    "a policy that is a bomb": Bad(
        CONTROL,
        "PolicyService/PutPolicy",
        _policy("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\nversion: 1\ncollections: {alpha: {}}"),
        FIELD,
        credential=Place.operator,
    ),
    "a policy for a collection that is none": Bad(
        CONTROL,
        "PolicyService/PutPolicy",
        _policy("version: 1\ncollections: {nowhere: {}}"),
        (NOT_FOUND, "COLLECTION_UNKNOWN"),
        credential=Place.operator,
    ),
}
