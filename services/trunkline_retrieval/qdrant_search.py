"""Searches in Qdrant's terms: dense, BM25 and their fusion in one call."""

from __future__ import annotations

from collections.abc import Sequence

from qdrant_client import AsyncQdrantClient, models

from trunkline_retrieval.fusion import QDRANT_RRF_K, TIE_SLACK, candidates_per_list, tie_crosses_end
from trunkline_retrieval.model import CollectionRef, SearchMode, StoreQuery
from trunkline_retrieval.qdrant_points import KEYWORDS, corpus, keyword_query, to_filter
from trunkline_retrieval.scoping import scoped


class QdrantSearch:
    """One search, as requests to Qdrant."""

    def __init__(self, client: AsyncQdrantClient, ref: CollectionRef, query: StoreQuery) -> None:
        """Ask nothing yet."""
        self._client = client
        self._ref = ref
        self._query = query
        self._scoped = scoped(ref.scope, query.filter)
        self._filter = to_filter(self._scoped)
        self._candidates = candidates_per_list(query.limit)

    async def run(self) -> Sequence[models.ScoredPoint]:
        """Return the best points with payload, enough of them that no tie is cut by chance."""
        query, most = self._query, 2 * self._candidates
        if query.min_score is not None and query.mode is not SearchMode.DENSE:
            ranked, passed = await self._ask(self._ranking(most), self._similar(most, query.min_score))
            passed_ids = {point.id for point in passed}
            return [point for point in ranked if point.id in passed_ids]
        asked = query.limit + TIE_SLACK
        (points,) = await self._ask(self._ranking(asked))
        if asked < most and tie_crosses_end([point.score for point in points], query.limit, asked):
            (points,) = await self._ask(self._ranking(most))
        return points

    async def _ask(self, *requests: models.QueryRequest) -> Sequence[Sequence[models.ScoredPoint]]:
        answers = await self._client.query_batch_points(self._ref.physical_name, requests)
        return [answer.points for answer in answers]

    def _similar(self, limit: int, min_score: float) -> models.QueryRequest:
        """Return a query that scores the candidates by cosine similarity and leaves out what is too far."""
        return models.QueryRequest(
            prefetch=self._prefetches(),
            query=self._dense(),
            using=self._ref.space_id,
            score_threshold=min_score,
            limit=limit,
        )

    def _ranking(self, limit: int) -> models.QueryRequest:
        if self._query.mode is SearchMode.HYBRID:
            return models.QueryRequest(
                prefetch=self._prefetches(),
                query=models.RrfQuery(rrf=models.Rrf(k=QDRANT_RRF_K)),
                limit=limit,
                with_payload=True,
            )
        if self._query.mode is SearchMode.DENSE:
            return models.QueryRequest(
                query=self._dense(),
                using=self._ref.space_id,
                filter=self._filter,
                score_threshold=self._query.min_score,
                limit=limit,
                with_payload=True,
            )
        return models.QueryRequest(
            query=keyword_query(self._query.text),
            using=KEYWORDS,
            filter=self._filter,
            params=corpus(self._scoped),
            limit=limit,
            with_payload=True,
        )

    def _prefetches(self) -> list[models.Prefetch]:
        keywords = models.Prefetch(
            query=keyword_query(self._query.text),
            using=KEYWORDS,
            filter=self._filter,
            params=corpus(self._scoped),
            limit=self._candidates,
        )
        if self._query.mode is SearchMode.SPARSE:
            return [keywords]
        dense = models.Prefetch(
            query=self._dense(), using=self._ref.space_id, filter=self._filter, limit=self._candidates
        )
        return [dense, keywords]

    def _dense(self) -> list[float]:
        assert self._query.vector is not None, "StoreQuery sees to it"
        return [float(number) for number in self._query.vector]
