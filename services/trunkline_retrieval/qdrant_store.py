"""The storage port on a Qdrant server or cluster, 1.18 or newer: what the embedded engine is outgrown to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final, Self
from uuid import UUID

from qdrant_client import AsyncQdrantClient, models

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, DomainError, Overloaded, SpaceMismatch
from trunkline_retrieval.errors import LOAD_DELAY_S
from trunkline_retrieval.model import (
    CollectionRef,
    EmbeddedDocument,
    Filter,
    FoundDocument,
    ScrollPage,
    StoreQuery,
    require_one_shelf,
)
from trunkline_retrieval.qdrant_errors import is_missing_collection, of_qdrant
from trunkline_retrieval.qdrant_points import KEYWORDS, SCOPE, to_filter, to_hit, to_point, to_scrolled
from trunkline_retrieval.qdrant_search import QdrantSearch, search_all
from trunkline_retrieval.scoping import own_points, scoped
from trunkline_retrieval.store import StoreUsage
from trunkline_retrieval.vectors import require_vector

GRPC_OPTIONS: Final[Mapping[str, int]] = MappingProxyType(
    {
        # A frozen server is noticed by unanswered pings; the ping timeout is what counts, its default is a minute.
        # Qdrant's own minimum between pings is not known to be lower than 5 s.
        "grpc.keepalive_time_ms": 5_000,
        "grpc.keepalive_timeout_ms": 2_000,
        "grpc.http2.ping_timeout_ms": 2_000,
        "grpc.http2.max_pings_without_data": 0,
        "grpc.max_reconnect_backoff_ms": 2_000,
        # The client's own default is no limit, both ways.
        "grpc.max_receive_message_length": 64 << 20,
        "grpc.max_send_message_length": 16 << 20,
    }
)

_SILENT_TIMEOUT_S: Final = 60
"""The client takes whole seconds only; every call has its own, shorter limit here."""

_ORDERING: Final = models.WriteOrdering.MEDIUM
"""Writes of a point go through one replica at a time, so that none brings back what another deleted."""

_PROBE_EVERY_S: Final = 2.0
_PROBE_TIMEOUT_S: Final = 1.0
_MAX_KNOWN: Final = 10_000


class QdrantStore:
    """A VectorStore on qdrant-client. Use `open`, and `close` at the end."""

    def __init__(self, client: AsyncQdrantClient, *, max_requests: int = 256) -> None:
        """Own `client` from now on. At most `max_requests` calls are under way at once."""
        self._client = client
        self._max_requests = max_requests
        self._under_way = 0
        self._dimensions: dict[str, Mapping[str, int]] = {}
        """What each known physical collection holds: space to dimension."""
        self._reachable = False
        self._prober: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, url: str, *, grpc_port: int = 6334, api_key: str | None = None, max_requests: int = 256
    ) -> Self:
        """Connect to the server whose HTTP address is `url`; its gRPC is at `grpc_port` of the same host."""
        client = AsyncQdrantClient(
            url=url,
            grpc_port=grpc_port,
            api_key=api_key,
            prefer_grpc=True,
            timeout=_SILENT_TIMEOUT_S,
            grpc_options=dict(GRPC_OPTIONS),
            check_compatibility=False,  # that would be a blocking call at construction
        )
        return await cls.over(client, max_requests=max_requests)

    @classmethod
    def at(cls, host: str, grpc_port: int, *, api_key: str | None, tls: bool, max_requests: int) -> Self:
        """Connect to the gRPC interface of the server at `host:grpc_port`, without waiting for its answer.

        One connection: all calls share it.
        """
        client = AsyncQdrantClient(
            host=host,
            grpc_port=grpc_port,
            https=tls,
            api_key=api_key,
            prefer_grpc=True,
            timeout=_SILENT_TIMEOUT_S,
            grpc_options=dict(GRPC_OPTIONS),
            check_compatibility=False,
            pool_size=1,
        )
        store = cls(client, max_requests=max_requests)
        store._prober = asyncio.create_task(store._keep_probing(), name="retrieval-qdrant-probe")
        return store

    @classmethod
    async def over(cls, client: AsyncQdrantClient, *, max_requests: int = 256) -> Self:
        """Use a client that the caller made; the store closes it."""
        store = cls(client, max_requests=max_requests)
        await store._probe()  # so that `ready` is right from the start
        store._prober = asyncio.create_task(store._keep_probing(), name="retrieval-qdrant-probe")
        return store

    async def ensure_collection(self, ref: CollectionRef, deadline: Deadline) -> None:
        """See VectorStore."""
        async with self._call(deadline):
            if ref.physical_name not in self._dimensions and not await self._client.collection_exists(
                ref.physical_name
            ):
                await self._create(ref)
            await self._require_space(ref)

    async def upsert(self, ref: CollectionRef, documents: Sequence[EmbeddedDocument], deadline: Deadline) -> None:
        """See VectorStore."""
        for index, embedded in enumerate(documents):
            require_vector(ref, embedded.vector, f"documents[{index}].values")
        async with self._call(deadline):
            await self._require_space(ref)
            points = [to_point(ref, embedded) for embedded in documents]
            await self._client.upsert(ref.physical_name, points, wait=True, ordering=_ORDERING)

    async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
        """See VectorStore."""
        (hits,) = await self.search_many((ref,), query, deadline)
        return hits

    async def search_many(
        self, refs: Sequence[CollectionRef], query: StoreQuery, deadline: Deadline
    ) -> Sequence[Sequence[FoundDocument]]:
        """See VectorStore."""
        first = require_one_shelf(refs)
        if query.vector is not None:
            require_vector(first, query.vector, "values")
        found: Sequence[Sequence[models.ScoredPoint]] = [()] * len(refs)
        async with self._call(deadline, missing_is_empty=True):
            await self._require_space(first)
            found = await search_all(self._client, first.physical_name, [QdrantSearch(ref, query) for ref in refs])
        return [_best(ref, query, points) for ref, points in zip(refs, found, strict=True)]

    async def delete(self, ref: CollectionRef, document_ids: Sequence[str], deadline: Deadline) -> None:
        """See VectorStore."""
        ids: list[models.ExtendedPointId] = [str(ref.scope.point_id(document_id)) for document_id in document_ids]
        async with self._call(deadline, missing_is_empty=True):
            await self._require_space(ref)
            await self._client.delete(ref.physical_name, models.PointIdsList(points=ids), wait=True, ordering=_ORDERING)

    async def scroll(self, ref: CollectionRef, cursor: UUID | None, limit: int, deadline: Deadline) -> ScrollPage:
        """See VectorStore."""
        records: Sequence[models.Record] = ()
        next_id: object = None
        async with self._call(deadline, missing_is_empty=True):
            await self._require_space(ref)
            records, next_id = await self._client.scroll(
                ref.physical_name,
                scroll_filter=to_filter(scoped(ref.scope)),
                limit=limit,
                offset=str(cursor) if cursor is not None else None,
                with_payload=True,
                with_vectors=[ref.space_id],
            )
        documents = own_points(ref.scope, (to_scrolled(record, ref.space_id) for record in records))
        return ScrollPage(tuple(documents), UUID(str(next_id)) if next_id is not None else None)

    async def count(self, ref: CollectionRef, deadline: Deadline, wanted: Filter | None = None) -> int:
        """See VectorStore."""
        async with self._call(deadline, missing_is_empty=True):
            await self._require_space(ref)
            answer = await self._client.count(
                ref.physical_name, count_filter=to_filter(scoped(ref.scope, wanted)), exact=True
            )
            return answer.count
        return 0

    def ready(self) -> bool:
        """See VectorStore."""
        return self._reachable

    def usage(self) -> StoreUsage:
        """See VectorStore. Qdrant does not tell how full its disks are."""
        return StoreUsage(free_bytes=None, pressure=min(1.0, self._under_way / self._max_requests))

    async def close(self) -> None:
        """See VectorStore."""
        prober, self._prober = self._prober, None
        if prober is not None:
            prober.cancel()
            await asyncio.gather(prober, return_exceptions=True)
        await self._client.close()

    async def _require_space(self, ref: CollectionRef) -> None:
        """Refuse a reference to other vectors than the physical collection holds; learns once what it holds."""
        dimensions = self._dimensions.get(ref.physical_name)
        if dimensions is None:
            info = await self._client.get_collection(ref.physical_name)
            vectors = info.config.params.vectors
            named = vectors if isinstance(vectors, dict) else {}
            dimensions = {space_id: params.size for space_id, params in named.items()}
            if len(self._dimensions) >= _MAX_KNOWN:
                self._dimensions.clear()
            self._dimensions[ref.physical_name] = dimensions
        if dimensions.get(ref.space_id) != ref.dimension:
            raise SpaceMismatch

    async def _create(self, ref: CollectionRef) -> None:
        """Create the collection; whoever comes second finds it there."""
        try:
            await self._client.create_collection(
                ref.physical_name,
                vectors_config={ref.space_id: models.VectorParams(size=ref.dimension, distance=models.Distance.COSINE)},
                sparse_vectors_config={KEYWORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
        except Exception:
            if not await self._client.collection_exists(ref.physical_name):
                raise
        await self._client.create_payload_index(
            ref.physical_name,
            SCOPE,
            models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
            wait=True,
        )

    @asynccontextmanager
    async def _call(self, deadline: Deadline, *, missing_is_empty: bool = False) -> AsyncIterator[None]:
        """Bound a call in number and time, and turn what goes wrong into domain errors.

        With `missing_is_empty`, the body ends quietly where the physical collection does not exist.
        """
        if self._under_way >= self._max_requests:
            raise Overloaded("the store has too much under way", retry_delay_s=LOAD_DELAY_S)
        self._under_way += 1
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                yield
        except TimeoutError as exc:
            raise BackendTimeout from exc
        except DomainError:
            raise
        except Exception as exc:  # qdrant-client raises a dozen unrelated kinds, see `qdrant_errors`
            if not is_missing_collection(exc):
                raise of_qdrant(exc) from exc
            self._dimensions.clear()  # somebody dropped it; the next write makes it again
            if not missing_is_empty:
                raise BackendUnavailable("the store lost a collection") from exc
        finally:
            self._under_way -= 1

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await self._client.get_collections()
        except Exception:  # noqa: BLE001 - whatever it is, the server did not answer
            self._reachable = False
        else:
            self._reachable = True

    async def _keep_probing(self) -> None:
        while True:
            await self._probe()
            await asyncio.sleep(_PROBE_EVERY_S)


def _best(ref: CollectionRef, query: StoreQuery, points: Sequence[models.ScoredPoint]) -> Sequence[FoundDocument]:
    hits = own_points(ref.scope, (to_hit(point, query.include_fields) for point in points))
    return sorted(hits, key=lambda hit: (-hit.score, hit.document.document_id))[: query.limit]
