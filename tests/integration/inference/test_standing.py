"""Tenants that call inference by themselves: as the region's real admission service says of them, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final

import grpc
import pytest
from tests.integration.inference.service import PATIENT_S, Inference, common_settings, error_of

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline_admission.app import open_over
from trunkline_admission.settings import AdmissionSettings
from trunkline_inference.app import open_app
from trunkline_inference.settings import InferenceSettings
from trunkline_local.identity import DevIdentity
from trunkline_map.testing import StaticMap, static_map, tenant
from trunkline_mesh.errors import TenantSuspended, TenantUnknown
from trunkline_mesh.hop_ticket import HopTickets
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.request import HOP_KEY, RANK_KEY
from trunkline_mesh.serving import start

KEY: Final = "hop-key-of-these-tests"
LOST: Final = "127.0.0.1:1"
"""Where nobody listens."""


@dataclass
class Served:
    """A running inference service before an admission service, whose map a test holds in its hand."""

    inference: Inference
    source: StaticMap
    ranks: list[int] = field(default_factory=list)
    """Of the calls that asked for a slot."""

    async def ask(self, tenant_id: str, *metadata: tuple[str, str]) -> type[Exception] | None:
        """Call as a tenant does; return which error refused it."""
        head = self.inference.as_tenant(tenant_id).metadata
        try:
            await self.inference.stub.ListModels(
                inference_pb.ListModelsRequest(), timeout=PATIENT_S, metadata=(*head, *metadata)
            )
        except grpc.aio.AioRpcError as exc:
            return error_of(exc)
        return None

    async def rank_of(self, tenant_id: str, *metadata: tuple[str, str]) -> int:
        """Return the rank that a tenant's call had."""
        assert await self.ask(tenant_id, *metadata) is None
        return self.ranks[-1]


Start = Callable[..., Awaitable[Served]]


@pytest.fixture
def served(
    stack: AsyncExitStack,
    identity: DevIdentity,
    triton_endpoint: str,
    valkey_url: str,
    cache_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Start:
    """Start both; the answer of admission is waited for as long as a busy machine may take."""
    monkeypatch.setattr("trunkline_lease.standing.ASK_S", 10.0)

    async def start_both(**changes: Any) -> Served:
        source = static_map(tenant("acme", "eu", tier="pro"), tenant("poor", "eu", tier="free"))
        admitting = AdmissionSettings(
            redis_url=valkey_url, redis_timeout_s=1.0, key_prefix=cache_prefix, **common_settings(identity)
        )
        admission = await start(await stack.enter_async_context(open_over(admitting, source)), admitting, stack)
        settings = InferenceSettings(
            **(
                common_settings(identity)
                | {"triton_endpoint": triton_endpoint, "hop_keys": KEY}
                | {"admission_endpoints": f"127.0.0.1:{admission.port}"}
                | changes
            )
        )
        ranks: list[int] = []

        def listen(limiter: CapacityLimiter) -> None:
            slot = limiter.slot

            def noting(**asked: Any) -> Any:
                ranks.append(asked["rank"])
                return slot(**asked)

            monkeypatch.setattr(limiter, "slot", noting)

        app = await stack.enter_async_context(open_app(settings))
        running = await start(replace(app, on_limiter=listen), settings, stack)
        address = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        stub = inference_grpc.InferenceServiceStub(channel)
        return Served(Inference(address, stub, identity), source, ranks)

    return start_both


async def until(served: Served, tenant_id: str, error: type[Exception] | None) -> None:
    """Ask again and again until the answer is as it must be: half a second and a little, on a machine at rest."""
    async with asyncio.timeout(20):
        while await served.ask(tenant_id) is not error:  # noqa: ASYNC110 - what is remembered ends without an event
            await asyncio.sleep(0.02)


async def test_a_suspended_tenant_is_refused_and_a_resumed_one_is_served(served: Start) -> None:
    """With the same credential; nobody else is touched."""
    ours = await served()
    assert await ours.ask("acme") is None
    ours.source.put(tenant("acme", "eu", tier="pro", suspended=True))
    await until(ours, "acme", TenantSuspended)
    assert await ours.ask("poor") is None
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ours.inference.embed("a query of its own")
    assert error_of(caught.value) is TenantSuspended
    ours.source.put(tenant("acme", "eu", tier="pro"))
    await until(ours, "acme", None)


async def test_an_unknown_tenant_is_refused(served: Start) -> None:
    """A good credential of a tenant that was removed."""
    ours = await served()
    assert await ours.ask("removed") is TenantUnknown


async def test_a_claimed_rank_is_worth_what_the_tier_is(served: Start) -> None:
    """Who comes directly has its tier's rank, whatever it says; who comes with a ticket has the ticket's."""
    ours = await served()
    ticket = (HOP_KEY, HopTickets([KEY]).issue("poor", 2))
    assert await ours.rank_of("acme") == 1
    assert await ours.rank_of("poor", (RANK_KEY, "2")) == 0
    assert await ours.rank_of("poor", (RANK_KEY, "2"), (HOP_KEY, HopTickets(["x" * 16]).issue("poor", 2))) == 0
    assert await ours.rank_of("acme", (RANK_KEY, "2"), ticket) == 1
    assert await ours.rank_of("poor", (RANK_KEY, "2"), ticket) == 2


@pytest.mark.parametrize("endpoints", [LOST, ""])
async def test_without_admission_everybody_is_of_the_lowest_rank(served: Start, endpoints: str) -> None:
    """And served: a caller's own vectors do not hang on admission."""
    ours = await served(admission_endpoints=endpoints)
    assert await ours.rank_of("acme", (RANK_KEY, "2")) == 0
    assert (await ours.inference.embed("a query of its own")).shape == (1, 384)
