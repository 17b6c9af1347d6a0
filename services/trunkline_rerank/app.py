"""Composition of the rerank service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline.rerank.v1 import rerank_service_pb2_grpc as rerank_grpc
from trunkline_lease.standing import open_standing
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import INFERENCE_POLICY
from trunkline_mesh.channels import ChannelPool
from trunkline_rerank.inference_scorer import InferenceScorer
from trunkline_rerank.pace import Pace
from trunkline_rerank.policy import POLICY, SERVICE
from trunkline_rerank.rerank_candidates import RerankCandidates
from trunkline_rerank.servicer import RerankServicer
from trunkline_rerank.settings import RerankSettings
from trunkline_usage.refusal_account import open_refusal_account


@asynccontextmanager
async def open_app(settings: RerankSettings) -> AsyncIterator[MeshApp]:
    """Open the way to inference, yield the application, close. Does not wait for a connection."""
    endpoints = ",".join(endpoint.strip() for endpoint in settings.inference_endpoints.split(",") if endpoint.strip())
    async with (
        ChannelPool(max_channels=settings.max_channels) as channels,
        open_standing(settings.admission_endpoints, channels) as standing,
        open_refusal_account(settings, "rerank", region=settings.region) as refusals,
    ):
        scorer = InferenceScorer(channels, endpoints, Breaker(f"inference/{settings.region}/score", INFERENCE_POLICY))
        rerank = RerankCandidates(scorer, pace=Pace(settings.initial_pace_s), reserve_s=settings.reserve_s)
        binding = ServiceBinding(
            service=SERVICE,
            servicer=RerankServicer(rerank, default_model_id=settings.model_id),
            register=rerank_grpc.add_RerankServiceServicer_to_server,
            policy=POLICY,
        )
        yield MeshApp(
            name="rerank",
            bindings=(binding,),
            checks={"inference": scorer.reachable},
            soft_checks=refusals.soft_checks,
            rank_use="gpu",
            standing_of=None if standing is None else standing.rank_of,
            on_refusal=refusals.on_refusal,
        )
