"""The client: one credential, several routers, one budget of repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_client import methods
from trunkline_client.context import Answer
from trunkline_client.documents import Document, document_to_proto
from trunkline_client.filters import Filter
from trunkline_client.methods import Method, RequestT, ResponseT
from trunkline_client.requests import (
    ConsistencyName,
    Query,
    Vector,
    checked_deadline,
    consistency_value,
    representable,
    search_request,
)
from trunkline_client.residency import scope_of
from trunkline_client.results import RouteResult, SearchResult, WriteResult, route_result, search_result, write_result
from trunkline_client.teaching import TeachingSession

# No collection can be called so.
_ALL: Final = ("*",)


class TrunklineClient(TeachingSession):
    """Asks Trunkline's routers for one tenant.

    `routers`: nearest first, as `RouterAddress`, `"host:port"` or `"region=host:port"`. `token`: a JWT, or a callable
    (plain or async) that returns the current one. `credentials`: for TLS; without them the connection is plaintext.

    Every call has a deadline in seconds for all of its attempts together, and raises a `TrunklineError` whose class
    names the family of the reason. Use it as an async context manager, in one event loop.
    """

    async def search(
        self,
        text: str | Vector,
        *,
        top_k: int = 5,
        collections: Sequence[str] = (),
        all_collections: bool = False,
        filter: Filter | None = None,  # noqa: A002  # the contract's own word
        min_score: float | None = None,
        include_fields: Sequence[str] = (),
        consistency: ConsistencyName = "any",
        allow_partial: bool = False,
        explain: bool = False,
        rerank: bool = True,
        rerank_depth: int = 0,
        previous_decision_id: str = "",
        expand_template: bool = False,
        map_token: bytes | None = None,
        deadline_s: float | None = None,
        request_id: str | None = None,
    ) -> SearchResult:
        """Find the best hits for one query; see `Query` for the bounds. Raises TrunklineError."""
        query = Query(
            text=text,
            top_k=top_k,
            collections=collections,
            all_collections=all_collections,
            filter=filter,
            min_score=min_score,
            include_fields=include_fields,
            consistency=consistency,
            allow_partial=allow_partial,
            explain=explain,
            rerank=rerank,
            rerank_depth=rerank_depth,
            previous_decision_id=previous_decision_id,
            expand_template=expand_template,
        )
        return await self.search_query(query, map_token=map_token, deadline_s=deadline_s, request_id=request_id)

    async def search_query(
        self,
        query: Query,
        *,
        map_token: bytes | None = None,
        deadline_s: float | None = None,
        request_id: str | None = None,
    ) -> SearchResult:
        """Find the best hits for a query that was put together before. Raises TrunklineError."""
        request = search_request(query, self._token(map_token))
        answer = await self._read(methods.SEARCH, request, deadline_s, request_id, _scope([request]))
        return search_result(answer.response, answer.router, answer.attempts)

    async def search_batch(
        self,
        queries: Sequence[Query | str],
        *,
        map_token: bytes | None = None,
        deadline_s: float | None = None,
        request_id: str | None = None,
    ) -> list[SearchResult]:
        """Find the best hits for 1 to 16 queries under one permit; one failure fails all. Raises TrunklineError."""
        items = [search_request(Query(text=item) if isinstance(item, str) else item) for item in queries]
        request = routing_pb.SearchBatchRequest(queries=items, map_token=self._token(map_token))
        answer = await self._read(methods.SEARCH_BATCH, request, deadline_s, request_id, _scope(items))
        return [search_result(item, answer.router, answer.attempts) for item in answer.response.responses]

    async def route(
        self,
        text: str,
        *,
        collections: Sequence[str] = (),
        all_collections: bool = False,
        consistency: ConsistencyName = "any",
        explain: bool = True,
        previous_decision_id: str = "",
        expand_template: bool = False,
        map_token: bytes | None = None,
        deadline_s: float | None = None,
        request_id: str | None = None,
    ) -> RouteResult:
        """Return the decision that a search would make; nothing is executed or charged. Raises TrunklineError."""
        with representable():
            request = routing_pb.RouteRequest(
                text=text,
                collections=collections,
                all_collections=all_collections,
                consistency=consistency_value(consistency),
                map_token=self._token(map_token),
                explain=explain,
                previous_decision_id=previous_decision_id,
                expand_template=expand_template,
            )
        answer = await self._read(methods.ROUTE, request, deadline_s, request_id, _route_scope(request))
        return route_result(answer)

    async def upsert(
        self,
        collection: str,
        documents: Sequence[Document],
        *,
        map_token: bytes | None = None,
        deadline_s: float | None = None,
        request_id: str | None = None,
    ) -> WriteResult:
        """Write 1 to 64 documents, 1 MiB together, to every region of the collection. Raises TrunklineError.

        The same ids overwrite. Attempts of one call share its request id; pass the same one to repeat it later.
        """
        with representable():
            request = routing_pb.UpsertRequest(
                collection=collection,
                documents=[document_to_proto(item) for item in documents],
                map_token=self._token(map_token),
            )
        answer = await self._write(methods.UPSERT, request, deadline_s, request_id, collection)
        return write_result(answer)

    async def delete(
        self,
        collection: str,
        document_ids: Sequence[str],
        *,
        map_token: bytes | None = None,
        deadline_s: float | None = None,
        request_id: str | None = None,
    ) -> WriteResult:
        """Delete 1 to 256 documents by id in every region of the collection. Raises TrunklineError."""
        with representable():
            request = routing_pb.DeleteRequest(
                collection=collection, document_ids=document_ids, map_token=self._token(map_token)
            )
        answer = await self._write(methods.DELETE, request, deadline_s, request_id, collection)
        return write_result(answer)

    async def _read(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        deadline_s: float | None,
        request_id: str | None,
        scope: str,
    ) -> Answer[ResponseT]:
        checked_s = checked_deadline(deadline_s, self._settings.default_deadline_s)
        return await self._call(method, request, checked_s, request_id, scope)

    async def _write(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        deadline_s: float | None,
        request_id: str | None,
        collection: str,
    ) -> Answer[ResponseT]:
        checked_s = checked_deadline(deadline_s, self._settings.default_write_deadline_s)
        return await self._call(method, request, checked_s, request_id, scope_of([collection]))


def _scope(items: Sequence[routing_pb.SearchRequest]) -> str:
    """Return for which searches a refusal of these may be remembered; see `scope_of`.

    A policy decides where collections are left out, so one such query makes the whole batch of that kind. A query that
    takes partial answers is marked: it is answered where the same one without that is refused.
    """
    marks = ["?" if item.allow_partial else "" for item in items]
    named = {name + mark for item, mark in zip(items, marks, strict=True) for name in _named(item)}
    if not all(_named(item) for item in items):
        named = set()
    return scope_of(named, *(mark + item.text for item, mark in zip(items, marks, strict=True)))


def _route_scope(item: routing_pb.RouteRequest) -> str:
    return scope_of(_named(item), item.text)


def _named(item: routing_pb.SearchRequest | routing_pb.RouteRequest) -> Sequence[str]:
    """Return the collections that the caller chose; "all" is a choice too, whatever the text."""
    return _ALL if item.all_collections else item.collections
