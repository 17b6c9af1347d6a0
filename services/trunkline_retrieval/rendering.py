"""Results to responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline_retrieval.model import Document, ScrollPage, SearchMode
from trunkline_retrieval.search import CollectionHits

_KINDS: Final = {
    SearchMode.HYBRID: (options_pb.SCORE_KIND_RRF, retrieval_pb.RETRIEVAL_MODE_HYBRID),
    SearchMode.DENSE: (options_pb.SCORE_KIND_COSINE, retrieval_pb.RETRIEVAL_MODE_DENSE),
    SearchMode.SPARSE: (options_pb.SCORE_KIND_BM25, retrieval_pb.RETRIEVAL_MODE_SPARSE),
}


def render_search(results: Iterable[CollectionHits]) -> retrieval_pb.SearchResponse:
    """Return the response of a search."""
    response = retrieval_pb.SearchResponse()
    for result in results:
        score_kind, mode = _KINDS[result.mode]
        rendered = response.results.add(collection=result.collection_id, score_kind=score_kind, mode=mode)
        if result.error is not None:
            rendered.error = result.error.reason
        for found in result.hits:
            hit = rendered.hits.add(score=found.score)
            _fill(hit.document, found.document)
    return response


def render_page(page: ScrollPage) -> retrieval_pb.ExportResponse:
    """Return one response of an export."""
    response = retrieval_pb.ExportResponse(next_cursor=str(page.next_cursor) if page.next_cursor is not None else "")
    for embedded in page.documents:
        rendered = response.documents.add()
        _fill(rendered.document, embedded.document)
        rendered.values.extend(embedded.vector.tolist())
    return response


def _fill(message: document_pb.Document, document: Document) -> None:
    message.document_id = document.document_id
    message.text = document.text
    fields = message.fields
    for name, value in document.fields.items():
        # bool before int: in Python the one is a kind of the other
        if isinstance(value, str):
            fields[name].string_value = value
        elif isinstance(value, bool):
            fields[name].bool_value = value
        elif isinstance(value, int):
            fields[name].int_value = value
        else:
            fields[name].double_value = value
