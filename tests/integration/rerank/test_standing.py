"""A tenant that calls rerank by itself: admission says what it is, and inference behind rerank takes rerank's word."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

import grpc
import pytest
from tests.integration.inference.service import common_settings, error_of
from tests.integration.rerank.conftest import Rerank
from tests.integration.rerank.slow_inference import SlowInference

from trunkline.rerank.v1 import rerank_service_pb2_grpc as rerank_grpc
from trunkline_admission.app import open_over
from trunkline_admission.settings import AdmissionSettings
from trunkline_local.identity import DevIdentity
from trunkline_map.testing import static_map, tenant
from trunkline_mesh.errors import MethodNotAllowed, TenantSuspended
from trunkline_mesh.serving import start
from trunkline_mesh.settings import ServiceSettings
from trunkline_rerank.app import open_app
from trunkline_rerank.settings import RerankSettings

KEYS: Final[dict[str, Any]] = {"hop_keys": "hop-key-of-these-tests"}


async def nobody(_tenant: str) -> int:
    """Refuse whoever comes without a ticket."""
    raise MethodNotAllowed


async def test_it_is_asked_about_once_on_its_way(
    stack: AsyncExitStack, identity: DevIdentity, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Served while it is active, with a ticket that inference believes; refused as soon as it is suspended."""
    monkeypatch.setattr("trunkline_lease.standing.ASK_S", 10.0)
    common = common_settings(identity)
    source = static_map(tenant("acme", "eu", tier="pro"))
    admitting = AdmissionSettings(
        redis_url=valkey_url, redis_timeout_s=1.0, key_prefix="test:rerank-standing", **common
    )
    admission = await start(await stack.enter_async_context(open_over(admitting, source)), admitting, stack)
    slow = SlowInference(0.0)
    inference = await start(replace(slow.app(), standing_of=nobody), ServiceSettings(**common, **KEYS), stack)
    settings = RerankSettings(
        inference_endpoints=f"127.0.0.1:{inference.port}",
        admission_endpoints=f"127.0.0.1:{admission.port}",
        **common,
        **KEYS,
    )
    running = await start(await stack.enter_async_context(open_app(settings)), settings, stack)
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{running.port}"))
    rerank = Rerank(rerank_grpc.RerankServiceStub(channel), identity.mint("tester", tenant="acme"))

    response = await rerank.call(["one", "two words"])
    assert [each.candidate_id for each in response.results] == ["c1", "c0"]
    assert slow.batches

    source.put(tenant("acme", "eu", tier="pro", suspended=True))
    async with asyncio.timeout(20):
        while True:
            try:
                await rerank.call(["one", "two words"])
            except grpc.aio.AioRpcError as exc:
                error = error_of(exc)
                break
            await asyncio.sleep(0.02)
    assert error is TenantSuspended
