"""Searches in Qdrant's terms: dense, BM25 and their fusion in one call."""

from __future__ import annotations

from collections.abc import Sequence

from qdrant_client import AsyncQdrantClient, models

from trunkline_retrieval.fusion import QDRANT_RRF_K, TIE_SLACK, candidates_per_list, tie_crosses_end
from trunkline_retrieval.model import CollectionRef, SearchMode, StoreQuery
from trunkline_retrieval.qdrant_points import KEYWORDS, corpus, keyword_query, to_filter
from trunkline_retrieval.scoping import scoped


async def search_all(
    client: AsyncQdrantClient, physical_name: str, searches: Sequence[QdrantSearch]
) -> Sequence[Sequence[models.ScoredPoint]]:
    """Return each search's best points with payload, enough of them that no tie is cut by chance.

    One round trip, and a second one for those whose last points tie.
    """
    requests = [search.requests() for search in searches]
    answers = await client.query_batch_points(physical_name, [one for part in requests for one in part])
    points = iter([answer.points for answer in answers])
    found = [search.points([next(points) for _ in part]) for search, part in zip(searches, requests, strict=True)]
    cut = [index for index, search in enumerate(searches) if search.is_cut(found[index])]
    if cut:
        more = await client.query_batch_points(physical_name, [searches[index].wider() for index in cut])
        for index, answer in zip(cut, more, strict=True):
            found[index] = answer.points
    return found


class QdrantSearch:
    """One search, as requests to Qdrant."""

    def __init__(self, ref: CollectionRef, query: StoreQuery) -> None:
        """Plan it."""
        self._ref = ref
        self._query = query
        self._scoped = scoped(ref.scope, query.filter)
        self._filter = to_filter(self._scoped)
        self._candidates = candidates_per_list(query.limit)
        self._most = 2 * self._candidates
        self._asked = query.limit + TIE_SLACK
        self._min_score = query.min_score if query.mode is not SearchMode.DENSE else None

    def requests(self) -> Sequence[models.QueryRequest]:
        """Return what to ask: the ranking, and what is similar enough where that is a second question."""
        if self._min_score is not None:
            return self._ranking(self._most), self._similar(self._most, self._min_score)
        return (self._ranking(self._asked),)

    def points(self, answers: Sequence[Sequence[models.ScoredPoint]]) -> Sequence[models.ScoredPoint]:
        """Return the points that the answers to `requests` leave, best first."""
        if len(answers) == 1:
            return answers[0]
        ranked, passed = answers
        passed_ids = {point.id for point in passed}
        return [point for point in ranked if point.id in passed_ids]

    def is_cut(self, points: Sequence[models.ScoredPoint]) -> bool:
        """Return True if more points than were asked for may tie with the last one wanted."""
        if self._min_score is not None or self._asked >= self._most:
            return False
        return tie_crosses_end([point.score for point in points], self._query.limit, self._asked)

    def wider(self) -> models.QueryRequest:
        """Return the ranking of all candidates."""
        return self._ranking(self._most)

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
