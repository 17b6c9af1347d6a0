"""Composition of the inference service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline_inference.embed_texts import EmbedTexts
from trunkline_inference.local_vectors import LocalVectors
from trunkline_inference.models import ModelRegistry
from trunkline_inference.policy import POLICY, SERVICE
from trunkline_inference.ports import SharedVectors
from trunkline_inference.redis_store import NoSharedVectors, RedisVectors, open_redis
from trunkline_inference.score_passages import ScorePassages
from trunkline_inference.servicer import InferenceServicer
from trunkline_inference.settings import InferenceSettings
from trunkline_inference.triton_client import ModelProbe, open_probe, open_triton
from trunkline_inference.triton_models import Breakers, Limits, TritonModels
from trunkline_lease.standing import open_standing
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import BULK_INFERENCE_POLICY, INFERENCE_POLICY, QUOTA_POLICY
from trunkline_mesh.channels import ChannelPool
from trunkline_usage.refusal_account import open_refusal_account


@asynccontextmanager
async def open_app(settings: InferenceSettings) -> AsyncIterator[MeshApp]:
    """Open Triton and the shared cache, yield the application, close in reverse. Waits for one probe."""
    models = [model.served() for model in settings.models]
    probing = {"interval_s": settings.probe_interval_s, "timeout_s": settings.probe_timeout_s}
    async with (
        open_triton(settings.triton_endpoint) as client,
        open_probe(client, models, **probing) as probe,
        open_shared_vectors(settings) as shared,
        ChannelPool(max_channels=settings.max_channels) as channels,
        open_standing(settings.admission_endpoints, channels) as standing,
        open_refusal_account(settings, "inference", region=settings.region) as refusals,
    ):
        registry = ModelRegistry(models)
        server = _triton(client, probe, settings)
        embed = EmbedTexts(registry, server, local=LocalVectors(max_bytes=settings.local_cache_bytes), shared=shared)
        servicer = InferenceServicer(embed, ScorePassages(registry, server), registry, server)
        binding = ServiceBinding(
            service=SERVICE,
            servicer=servicer,
            register=inference_grpc.add_InferenceServiceServicer_to_server,
            policy=POLICY,
        )
        try:
            # Without Redis every vector can still be had, so Redis decides nothing about readiness.
            yield MeshApp(
                name="inference",
                bindings=(binding,),
                checks={"triton": probe.all_ready},
                soft_checks={"redis": shared.available, **refusals.soft_checks},
                rank_use="gpu",
                standing_of=None if standing is None else standing.rank_of,
                on_refusal=refusals.on_refusal,
            )
        finally:
            await embed.aclose()


@asynccontextmanager
async def open_shared_vectors(settings: InferenceSettings) -> AsyncIterator[SharedVectors]:
    """Open the shared cache, or none if no address is set."""
    url = settings.redis_url.get_secret_value()
    if not url:
        yield NoSharedVectors()
        return
    async with open_redis(
        url, timeout_s=settings.redis_timeout_s, max_connections=settings.redis_connections
    ) as client:
        # The rules of quotas fit: three lost calls of 50 ms at most, and its return is noticed within seconds.
        breaker = Breaker(f"redis/{settings.region}/vectors", QUOTA_POLICY)
        shared = RedisVectors(client, breaker, prefix=settings.cache_prefix, ttl_s=settings.cache_ttl_s)
        try:
            yield shared
        finally:
            await shared.aclose()


def _triton(client: Any, probe: ModelProbe, settings: InferenceSettings) -> TritonModels:
    return TritonModels(
        client,
        probe,
        breakers=Breakers(
            queries=Breaker(f"triton/{settings.region}/queries", INFERENCE_POLICY),
            passages=Breaker(f"triton/{settings.region}/passages", BULK_INFERENCE_POLICY),
            scores=Breaker(f"triton/{settings.region}/scores", INFERENCE_POLICY),
        ),
        limits=Limits(
            queries_in_flight=settings.queries_in_flight,
            passages_in_flight=settings.passages_in_flight,
            scores_in_flight=settings.scores_in_flight,
            call_timeout_s=settings.call_timeout_s,
            patience_s=settings.patience_s,
        ),
    )
