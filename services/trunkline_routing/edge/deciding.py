"""Wires everything that decides."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_routing.edge.choosers import Chooser, GuardedChooser
from trunkline_routing.edge.decide import Decider
from trunkline_routing.edge.decide_policy import PolicyDecider
from trunkline_routing.edge.decision_budget import DecisionBudget
from trunkline_routing.edge.decision_cache import DecisionCache
from trunkline_routing.edge.decision_cascade import Cascade
from trunkline_routing.edge.decision_outside import OutsideStep
from trunkline_routing.edge.decision_shadow import Shadows
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.head_book import HeadBook
from trunkline_routing.edge.lanes import Lanes
from trunkline_routing.edge.policy_book import BlobReader, PolicyBook
from trunkline_routing.edge.query_vectors import QueryVectors
from trunkline_routing.edge.receipts import Receipts
from trunkline_routing.feedback.journal import FeedbackStore
from trunkline_routing.settings import RoutingSettings


@dataclass(frozen=True, slots=True)
class Deciding:
    """What decides, and what its neighbours share with it."""

    decider: Decider
    by_policy: PolicyDecider
    vectors: QueryVectors
    receipts: Receipts
    store: FeedbackStore
    policies: PolicyBook
    heads: HeadBook
    lanes: Lanes
    cache: DecisionCache
    shadows: Shadows

    async def close(self) -> None:
        """Stop whatever still goes on in the background."""
        await self.shadows.close()
        await self.heads.close()
        await self.policies.close()


def build_deciding(
    blobs: BlobReader,
    embedding: Embedding,
    breakers: BreakerRegistry,
    settings: RoutingSettings,
    receipts: Receipts,
    store: FeedbackStore,
    *,
    own_router: Chooser | None = None,
    classifier: Chooser | None = None,
) -> Deciding:
    """Wire the parts over ports; no I/O. Choosers are those that an operator has set up."""
    vectors = QueryVectors(embedding, capacity=settings.decision_cache_size)
    policies = PolicyBook(blobs, capacity=settings.policy_cache_size)
    heads = HeadBook(blobs, embedding, max_bytes=settings.head_cache_bytes)
    lanes = Lanes(policies, heads, capacity=settings.policy_cache_size)
    cascade = Cascade(
        heads,
        vectors,
        DecisionBudget(),
        OutsideStep(
            GuardedChooser(own_router, "own-router", breakers) if own_router is not None else None,
            trail_pb.DECISION_STAGE_OWN_ROUTER,
            trail_pb.STRATEGY_OWN_ROUTER,
            trail_pb.DEGRADATION_REASON_OWN_ROUTER_UNAVAILABLE,
        ),
        OutsideStep(
            GuardedChooser(classifier, "classifier", breakers) if classifier is not None else None,
            trail_pb.DECISION_STAGE_CLASSIFIER,
            trail_pb.STRATEGY_CLASSIFIER,
            trail_pb.DEGRADATION_REASON_CLASSIFIER_UNAVAILABLE,
        ),
    )
    cache = DecisionCache(size=settings.decision_cache_size)
    shadows = Shadows(store, concurrency=settings.shadow_concurrency, region_id=settings.region)
    by_policy = PolicyDecider(lanes, cascade, cache, shadows, receipts)
    return Deciding(
        decider=Decider(by_policy, receipts),
        by_policy=by_policy,
        vectors=vectors,
        receipts=receipts,
        store=store,
        policies=policies,
        heads=heads,
        lanes=lanes,
        cache=cache,
        shadows=shadows,
    )
