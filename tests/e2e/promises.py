"""What tenants are held to and billed for: limits on the wire, a bill that survives kill -9, suspension at once."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import grpc
from tests.e2e import world
from tests.e2e.place import LONG_S, Place, undisturbed, until

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline_client import TrunklineClient, TrunklineError
from trunkline_local import Service
from trunkline_mesh.errors import TenantSuspended
from trunkline_mesh.request import RANK_KEY
from trunkline_mesh.status import from_rpc_error
from trunkline_usage.records import OK
from trunkline_usage.scan import Scan

ASKERS = 4
ANSWERS_WITHIN_S = 60.0
ANSWERED_BEFORE = 20
ANSWERED_AFTER = 20
LATE_S = 2.0
"""What a busy machine may add to the answers of two routers and two inference services; the measured second is told by
the demonstration."""


def journals(place: Place) -> list[Path]:
    """Return the roots of all routers' journals."""
    return [place.stack.state.run_dir / "data" / region / "usage" for region in world.REGIONS]


def _billed(place: Place, mark: str) -> Mapping[str, int]:
    """Return how many records each request of ours has with an outcome of OK."""
    counts: dict[str, int] = {}
    for record, _ in Scan(journals(place)).records():
        if record.request_id.startswith(mark) and record.outcome == OK:
            counts[record.request_id] = counts.get(record.request_id, 0) + 1
    return counts


async def test_what_was_answered_is_billed_whatever_is_killed(place: Place) -> None:
    """A region dies with kill -9 under callers: journals have each answered request, and none that nobody asked."""
    mark, answered, asked = f"bill-{secrets.token_hex(4)}-", set[str](), set[str]()
    enough, more = asyncio.Event(), asyncio.Event()

    async def ask(client: TrunklineClient) -> None:
        while not enough.is_set():
            request_id = f"{mark}{len(asked)}"
            asked.add(request_id)
            try:
                await client.search("tables", collections=["formats"], deadline_s=LONG_S, request_id=request_id)
            except TrunklineError:
                continue
            answered.add(request_id)
            more.set()

    async def answers(count: int) -> None:
        goal = len(answered) + count
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            while len(answered) < goal:
                more.clear()
                await more.wait()

    async with place.client() as client, asyncio.TaskGroup() as group:
        for _ in range(ASKERS):
            group.create_task(ask(client))
        try:
            await answers(ANSWERED_BEFORE)
            await place.stack.kill_region(world.REGIONS[0])
            await answers(ANSWERED_AFTER)
            await place.stack.start_region(world.REGIONS[0])
            await answers(ANSWERED_AFTER)
        finally:
            enough.set()
    billed = await asyncio.to_thread(_billed, place, mark)
    assert answered <= billed.keys() <= asked
    assert await place.stack.wait_serving(world.REGIONS[0], within_s=60.0)


async def test_limits_are_told_wherever_they_are_asked_for(place: Place) -> None:
    """One limit over all regions: each names the same home, and what one region used is told by another."""
    async with place.client() as client:
        await undisturbed(partial(client.search, "tables", collections=["formats"], deadline_s=LONG_S))
    told = []
    for region in world.REGIONS:
        async with place.usage(region) as usage:
            told.append(await usage.limits(world.ACME))
    assert len({each.home_region for each in told}) == 1
    for each in told:
        assert (each.tier, each.rank) == ("enterprise", 2)
        [day] = [limit for limit in each.limits if _is_day(limit)]
        assert day.limit == 100_000
        assert day.used > 0


def _is_day(limit: usage_pb.LimitState) -> bool:
    return (limit.scope, limit.period, limit.unit, limit.shadow) == (
        quota_pb.LIMIT_SCOPE_TENANT,
        quota_pb.LIMIT_PERIOD_DAY,
        quota_pb.LIMIT_UNIT_REQUESTS,
        False,
    )


async def test_a_suspended_tenant_is_refused_everywhere_within_a_second(place: Place) -> None:
    """By every router, and by inference, which has no map. The clock runs from the acknowledged change."""
    async with place.control() as control:
        entry = (await control.tenant(world.INITECH)).value
        entry.state = entries_pb.TENANT_STATE_SUSPENDED
        entry = (await control.put_tenant(entry)).value
        suspended_s = time.monotonic()
        try:
            for region in ("us-east", "eu-west"):
                await _refused(place, region)
                await _refused_by_inference(place, region)
            took_s = time.monotonic() - suspended_s
        finally:
            entry.state = entries_pb.TENANT_STATE_ACTIVE
            await control.put_tenant(entry)
    assert took_s < 1.0 + LATE_S
    async with place.client("us-east", tenant=world.INITECH) as client:
        await until(partial(client.search, "anything", deadline_s=LONG_S), lambda _: True)


async def _refused(place: Place, region: str) -> None:
    async with place.client(region, tenant=world.INITECH) as client:

        async def asked() -> str:
            try:
                await client.search("anything", deadline_s=LONG_S)
            except TrunklineError as exc:
                return exc.reason
            return ""

        assert await until(asked, lambda reason: reason == "TENANT_SUSPENDED", every_s=0.01)


async def _refused_by_inference(place: Place, region: str) -> None:
    """Ask with the tenant's own credential and a rank that it claims, as if a router had sent the call."""
    metadata = (("authorization", f"Bearer {place.token(world.INITECH)}"), (RANK_KEY, "2"))
    async with grpc.aio.insecure_channel(place.endpoint(region, Service.INFERENCE)) as channel:
        stub = inference_grpc.InferenceServiceStub(channel)

        async def asked() -> bool:
            try:
                await stub.ListModels(inference_pb.ListModelsRequest(), metadata=metadata, timeout=LONG_S)
            except grpc.aio.AioRpcError as exc:
                return isinstance(from_rpc_error(exc), TenantSuspended)
            return False

        assert await until(asked, bool, every_s=0.01)


async def test_a_disabled_stage_is_left_out_and_told(place: Place) -> None:
    """An operator switches reranking off for a tenant, and on again."""
    async with place.control() as control, place.client() as client:
        search = partial(client.search, "tables", collections=["formats"], deadline_s=LONG_S)
        await undisturbed(search)
        entry = (await control.tenant(world.ACME)).value
        entry.disabled_stages[:] = [trail_pb.STAGE_NAME_RERANK]
        entry = (await control.put_tenant(entry)).value
        try:
            without = await until(
                search, lambda result: "STAGE_DISABLED" in {each.reason for each in result.trail.degradations}
            )
        finally:
            del entry.disabled_stages[:]
            await control.put_tenant(entry)
        await until(search, lambda result: not result.trail.degradations)
    assert without.hits
    assert "RERANK" not in {stage.name for stage in without.trail.stages if not stage.skipped}
