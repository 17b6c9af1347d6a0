"""Peers that freeze, vanish or share a port."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from tests.fixtures.proxy import TcpProxy
from tests.integration.mesh.caller import Caller
from tests.integration.mesh.conftest import Serve, Spawn
from tests.integration.mesh.credentials import Issuer
from tests.integration.mesh.probe import SERVICE, Text

from trunkline_local.readiness import tcp_open, wait_ready
from trunkline_mesh import calls
from trunkline_mesh.breaker import Breaker, BreakerState
from trunkline_mesh.breaker_policy import REGION_POLICY
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, CircuitOpen

READY_WITHIN_S = 20.0
NOTICED_WITHIN_S = 4.0


async def test_a_frozen_peer_is_noticed_where_a_plain_channel_waits(
    spawn: Spawn, issuer: Issuer, stack: AsyncExitStack
) -> None:
    """SIGSTOP: the port stays open and nothing answers. Our channels give the call up within 4 s, and find it again."""
    peer = await spawn()
    await wait_ready(peer.child, lambda: tcp_open(peer.address), within_s=READY_WITHIN_S)
    pool = await stack.enter_async_context(ChannelPool())
    plain = await stack.enter_async_context(grpc.aio.insecure_channel(peer.address))
    ours, naive = Caller(pool.get(peer.address), issuer.token()), Caller(plain, issuer.token())
    assert {(await caller.call()).code for caller in (ours, naive)} == {grpc.StatusCode.OK}
    peer.child.pause()
    waiting = asyncio.create_task(naive.call(timeout_s=60.0))
    answer = await ours.call(timeout_s=60.0)
    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert answer.took_s <= NOTICED_WITHIN_S
    assert not waiting.done()
    waiting.cancel()
    peer.child.resume()
    async with asyncio.timeout(10.0):
        while (await ours.call(timeout_s=1.0)).code is not grpc.StatusCode.OK:
            pass  # each try waits for the peer, or for the reconnect


async def test_a_second_server_on_the_port_is_refused(serve: Serve, serve_naive: Serve) -> None:
    """gRPC's default lets a stale process share the port in silence and take part of the calls."""
    first = await serve_naive()
    second = await serve_naive(port=int(first.address.rpartition(":")[2]))
    assert first.address == second.address
    ours = await serve()
    with pytest.raises(RuntimeError):
        await serve(listen=ours.address)
    assert (await ours.caller.call()).code is grpc.StatusCode.OK


async def test_a_second_process_on_the_port_ends_with_an_error(spawn: Spawn) -> None:
    """It says so and exits 1, instead of serving old code beside the new."""
    first = await spawn()
    await wait_ready(first.child, lambda: tcp_open(first.address), within_s=READY_WITHIN_S)
    second = await spawn(port=int(first.address.rpartition(":")[2]))
    async with asyncio.timeout(READY_WITHIN_S):
        assert await second.child.wait() == 1
    assert first.child.poll() is None


def method_of(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary(
        f"/{SERVICE}/Unary", request_serializer=Text.SerializeToString, response_deserializer=Text.FromString
    )


async def test_a_region_behind_a_black_hole_is_left_alone_and_found_again(
    serve: Serve, issuer: Issuer, stack: AsyncExitStack
) -> None:
    """Five silent calls open the breaker, the next cost nothing, and of 200 callers after the rest one is the probe."""
    region = await serve()
    proxy = await stack.enter_async_context(TcpProxy(region.address))
    pool = await stack.enter_async_context(ChannelPool())
    method = method_of(pool.get(proxy.address))
    metadata = (("authorization", f"Bearer {issuer.token()}"),)
    skipped_s = 0.0
    breaker = Breaker("probe/region/Unary", REGION_POLICY, clock=lambda: time.monotonic() + skipped_s)

    async def ask(within_s: float = 0.15) -> Any:
        deadline = Deadline.after(within_s)
        return await breaker.call(lambda: calls.call(method, Text(value="hi"), deadline=deadline, metadata=metadata))

    def state() -> BreakerState:
        return breaker.state

    assert (await ask(5.0)).value == "hi"
    proxy.open_hole()
    for _ in range(5):
        with pytest.raises((BackendTimeout, BackendUnavailable)):
            await ask()
    assert state() is BreakerState.OPEN
    with pytest.raises(CircuitOpen):
        await ask()
    await proxy.cut()  # or the requests that the hole held back would arrive now
    proxy.heal()
    began = len(region.servicer.began)
    skipped_s = 40.0
    answers = await asyncio.gather(*(ask(5.0) for _ in range(200)), return_exceptions=True)
    assert sum(isinstance(answer, CircuitOpen) for answer in answers) == 199
    assert len(region.servicer.began) - began <= 1
    async with asyncio.timeout(10.0):
        while state() is not BreakerState.CLOSED:
            skipped_s += 40.0
            await asyncio.gather(ask(1.0), return_exceptions=True)
    assert (await ask(5.0)).value == "hi"
