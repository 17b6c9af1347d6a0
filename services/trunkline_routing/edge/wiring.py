"""Puts the front door's use cases together over ports; no I/O."""

from __future__ import annotations

from trunkline_map.source import MapSource
from trunkline_mesh.breaker_policy import BULK_INFERENCE_POLICY, INFERENCE_POLICY, REGION_POLICY
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.retry_budget import RetryBudget
from trunkline_routing.edge.audited import Watch
from trunkline_routing.edge.books import Books, build_books
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.edge.deciding import Deciding
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.feedback import Feedback
from trunkline_routing.edge.feedback_limits import FeedbackLimits
from trunkline_routing.edge.hedging import Hedges
from trunkline_routing.edge.ports import Inference, Quota, Rerank, Retrieval
from trunkline_routing.edge.region_view import RegionView
from trunkline_routing.edge.reranking import Reranking
from trunkline_routing.edge.retrieving import Retrieving
from trunkline_routing.edge.route import Route
from trunkline_routing.edge.sample import SAMPLE_POLICY, SampleReader, Samples
from trunkline_routing.edge.search import Search, SearchParts
from trunkline_routing.edge.servicer import RoutingServicer
from trunkline_routing.edge.spending import Spending
from trunkline_routing.edge.write import Write
from trunkline_routing.settings import RoutingSettings
from trunkline_tiers import default_tiers
from trunkline_usage.prices import default_prices


def build_servicer(
    source: MapSource,
    deciding: Deciding,
    embedding: Embedding,
    retrieval: Retrieval,
    rerank: Rerank,
    samples: SampleReader,
    quota: Quota,
    breakers: BreakerRegistry,
    settings: RoutingSettings,
    view: RegionView | None = None,
    books: Books | None = None,
) -> RoutingServicer:
    """Wire use cases over ports; no I/O. Tests and benches give their own ports.

    `view` is what is known of the regions; without one they are known only by how calls to them end. Without `books`
    tiers and prices are the packages' own, and nothing is kept.
    """
    view = view or RegionView()
    books = books or build_books(settings, default_tiers(), default_prices(), view)
    budget = RetryBudget()
    budgets = StageBudgets.of(settings)
    spending = Spending(quota, books.tariff, books.meter, books.sums.cost, budget_s=settings.admission_budget_s)
    decider, vectors = deciding.decider, deciding.vectors
    hedges = Hedges(settings.hedge_share)
    searching = Failover("retrieval", "Search", REGION_POLICY, breakers, budget, view=view, probed=True, hedges=hedges)
    reordering = Failover("rerank", "Rerank", REGION_POLICY, breakers, budget, view=view)
    reading = Failover("retrieval", "Export", SAMPLE_POLICY, breakers, budget, view=view)
    parts = SearchParts(
        source=source,
        decider=decider,
        vectors=vectors,
        retrieving=Retrieving(vectors, retrieval, searching, budgets),
        reranking=Reranking(rerank, reordering, budgets, min_s=settings.rerank_min_s),
        terms_of=books.terms.of,
        in_flight=books.in_flight,
        spending=spending,
        budgets=budgets,
        settings=settings,
    )
    return RoutingServicer(
        Search(parts),
        Route(source, decider, searching, budgets, settings, books.terms.of, books.in_flight, spending),
        Write(source, embedding, retrieval, books.terms.of, books.in_flight, spending, breakers, settings, view.is_out),
        Feedback(
            source,
            deciding.receipts,
            deciding.store,
            deciding.by_policy.learning,
            FeedbackLimits(),
            region_id=settings.region,
        ),
        Samples(source, samples, reading, region_id=settings.region),
        Watch(source, books.sums, books.audit, region_id=settings.region),
        rerank_depth=settings.rerank_depth,
    )


def build_embedding(inference: Inference, breakers: BreakerRegistry, view: RegionView | None = None) -> Embedding:
    """Wire embeddings with failover behind the wall."""
    view = view or RegionView()
    return Embedding(
        inference,
        queries=Failover("inference", "EmbedQueries", INFERENCE_POLICY, breakers, RetryBudget(), view=view),
        passages=Failover("inference", "EmbedPassages", BULK_INFERENCE_POLICY, breakers, RetryBudget(), view=view),
    )
