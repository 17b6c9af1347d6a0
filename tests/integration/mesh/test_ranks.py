"""Ranks over real connections: promised slots come back from who borrowed them, and everybody is told what happened."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.mesh.caller import Answer, Caller, eventually
from tests.integration.mesh.conftest import Serve, settings_of
from tests.integration.mesh.credentials import Issuer
from tests.integration.mesh.probe import SERVICE, SHAPES, ProbeServicer, Text, probe_app

from trunkline_mesh import calls
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import TenantSuspended
from trunkline_mesh.hop_ticket import HopTickets
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.request import HOP_KEY, RANK_KEY
from trunkline_mesh.serving import start
from trunkline_tiers import TierFileError, default_tiers_text

KEY = "hop-key-of-these-tests"
SLOTS = 4
"""Of these, 2.5 are promised to the highest of the default tiers."""


class Gate:
    """Calls that say `low` wait until it opens; others are answered at once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def behave(self, text: str, _context: Any) -> str:
        if text.startswith("low"):
            await self.open.wait()
        return text


def told(rank: int) -> tuple[tuple[str, str], ...]:
    return ((RANK_KEY, str(rank)),)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_that_is_ended_for_others_says_so(serve: Serve, shape: str) -> None:
    """UNAVAILABLE, PREEMPTED, when to come back; the newest of the lowest rank, whatever its shape. Nothing hangs."""
    gate = Gate()
    ours = await serve(gate.behave, max_concurrency=SLOTS)
    low: list[asyncio.Task[Answer]] = []
    for number in range(SLOTS):
        low.append(asyncio.create_task(ours.caller.call(f"low-{number}", shape=shape, metadata=told(0))))
        await eventually(lambda: len(ours.servicer.began) == len(low))
    high = await ours.caller.call("high", shape=shape, metadata=told(2))
    assert high.code is grpc.StatusCode.OK
    ended = await low[-1]
    assert (ended.code, ended.reason, ended.infos) == (grpc.StatusCode.UNAVAILABLE, "PREEMPTED", 1)
    assert ended.retry_delay_s > 0
    assert not any(task.done() for task in low[:-1])
    gate.open.set()
    assert {answer.code for answer in await asyncio.gather(*low[:-1])} == {grpc.StatusCode.OK}
    await eventually(lambda: ours.servicer.cancelled == [f"low-{SLOTS - 1}"])


async def test_who_tells_no_rank_is_of_the_lowest(serve: Serve) -> None:
    """And what is no rank counts as none told."""
    gate = Gate()
    ours = await serve(gate.behave, max_concurrency=SLOTS)
    metadata: list[Any] = [(), ((RANK_KEY, "-1"),), ((RANK_KEY, "high"),), ((RANK_KEY, "99999999"),)]
    low = [asyncio.create_task(ours.caller.call("low", metadata=each)) for each in metadata]
    await eventually(lambda: len(ours.servicer.began) == SLOTS)
    assert (await ours.caller.call("high", metadata=told(2))).code is grpc.StatusCode.OK
    gate.open.set()
    answers = await asyncio.gather(*low)
    assert sorted(answer.reason for answer in answers) == ["", "", "", "PREEMPTED"]


async def test_a_flood_that_forges_its_rank_does_not_outrank(serve: Serve) -> None:
    """Where there are keys a rank without its ticket is worth nothing, and one with it takes its promise back."""
    gate = Gate()
    ours = await serve(gate.behave, max_concurrency=SLOTS, hop_keys=KEY)
    forged = [(), ((HOP_KEY, "1.x"),), ((HOP_KEY, HopTickets([KEY]).issue("rival", 2)),), ((HOP_KEY, "~"),)]
    low = [asyncio.create_task(ours.caller.call("low", metadata=(*told(2), *each))) for each in forged]
    await eventually(lambda: len(ours.servicer.began) == SLOTS)
    ticket = ((HOP_KEY, HopTickets([KEY]).issue("acme", 2)),)
    assert (await ours.caller.call("high", metadata=(*told(2), *ticket))).code is grpc.StatusCode.OK
    gate.open.set()
    answers = await asyncio.gather(*low)
    assert sorted(answer.reason for answer in answers) == ["", "", "", "PREEMPTED"]


async def test_who_knows_the_rank_proves_it_to_the_next(issuer: Issuer, stack: AsyncExitStack) -> None:
    """From a service with a map over one without to a third; only who comes directly is asked about."""
    asked: list[str] = []

    async def standing_of(tenant: str) -> int:
        asked.append(tenant)
        raise TenantSuspended

    async def start_at(behaviour: Any, **changes: Any) -> grpc.aio.Channel:
        app = replace(probe_app(ProbeServicer(behaviour)), **changes)
        running = await start(app, settings_of(issuer, hop_keys=KEY), stack)
        return await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{running.port}"))

    def asking(channel: grpc.aio.Channel) -> Any:
        method: Any = channel.unary_unary(
            f"/{SERVICE}/Unary", request_serializer=Text.SerializeToString, response_deserializer=Text.FromString
        )

        async def forward(text: str, _context: Any) -> str:
            answer = await calls.call(method, Text(value=text), deadline=Deadline.after(5))
            return str(answer.value)

        return forward

    async def tell_rank(_text: str, context: Any) -> str:
        return str(dict(context.invocation_metadata())[RANK_KEY])

    last = await start_at(tell_rank, standing_of=standing_of)
    middle = await start_at(asking(last), standing_of=standing_of)
    first = await start_at(asking(middle), rank_of=lambda _tenant: 1)
    assert (await Caller(first, issuer.token()).call(metadata=told(2))).text == "1"
    assert asked == []
    assert (await Caller(middle, issuer.token()).call(metadata=told(1))).reason == "TENANT_SUSPENDED"
    assert asked == ["acme"]


async def test_a_victim_whose_client_hangs_up_leaves_nothing_behind(serve: Serve) -> None:
    """Over many rounds of both at once: every slot is there for the next round."""
    gate = Gate()
    ours = await serve(gate.behave, max_concurrency=SLOTS)
    for number in range(10):
        low = [asyncio.create_task(ours.caller.call(f"low-{number}", metadata=told(0))) for _ in range(SLOTS)]
        await eventually(lambda: len(ours.servicer.began) % (SLOTS + 1) == SLOTS)
        high = asyncio.create_task(ours.caller.call("high", metadata=told(2)))
        asyncio.get_running_loop().call_later(0.05 + 0.0005 * number, low[-1].cancel)
        assert (await high).code is grpc.StatusCode.OK
        for task in low:
            task.cancel()
        await asyncio.gather(*low, return_exceptions=True)
        await eventually(lambda: len(ours.servicer.cancelled) % SLOTS == 0)
    gate.open.set()
    answers = await asyncio.gather(*(ours.caller.call("low", metadata=told(0)) for _ in range(SLOTS)))
    assert {answer.code for answer in answers} == {grpc.StatusCode.OK}


async def test_an_application_is_shown_its_limiter(issuer: Issuer, stack: AsyncExitStack, tmp_path: Path) -> None:
    """Once, before it serves, with the slots of its settings, and the ranks and weights of the tier file."""
    path = tmp_path / "tiers.yaml"
    path.write_text(default_tiers_text().replace("gpu_weight: 15", "gpu_weight: 5"))
    seen: list[CapacityLimiter] = []
    app = replace(probe_app(ProbeServicer()), on_limiter=seen.append, rank_use="gpu")
    await start(app, settings_of(issuer, max_concurrency=20, tiers_path=path), stack)
    assert [limiter.limit for limiter in seen] == [20]
    assert [lane.promised for lane in seen[0].lanes] == [2000, 8000, 10_000]


async def test_a_tier_file_that_is_none_lets_nothing_start(
    issuer: Issuer, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """Rather than serving with weights that nobody chose."""
    path = tmp_path / "tiers.yaml"
    path.write_text("version: 1")
    with pytest.raises(TierFileError):
        await start(probe_app(ProbeServicer()), settings_of(issuer, tiers_path=path), stack)
