"""Stopping: what runs may finish, what does not end is cut, and the process is gone within its grace."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.integration.mesh.caller import Answer, Caller, eventually
from tests.integration.mesh.conftest import Process, Serve, Spawn
from tests.integration.mesh.credentials import Issuer

from trunkline_local.readiness import tcp_open, wait_ready
from trunkline_mesh.channels import ChannelPool

READY_WITHIN_S = 20.0
SETTLE_S = 0.2
GRACE_S = 1.5
EXIT_MARGIN_S = 2.0
"""For closing what was opened and for the interpreter to end, on a busy machine."""


async def terminated_under_load(
    process: Process, issuer: Issuer, stack: AsyncExitStack
) -> tuple[Answer, Answer, int, float]:
    """Return what a short and an endless call got, the exit code, and the seconds from SIGTERM to the exit."""
    await wait_ready(process.child, lambda: tcp_open(process.address), within_s=READY_WITHIN_S)
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(process.address))
    caller = Caller(channel, issuer.token())
    assert (await caller.call()).code is grpc.StatusCode.OK
    short = asyncio.create_task(caller.call("sleep 0.8", timeout_s=4.5))
    endless = asyncio.create_task(caller.call("sleep 60", timeout_s=4.5))
    await caller.call()  # the server has the two before it
    began_s = time.monotonic()
    process.child.terminate()
    code = await process.child.wait()
    took_s = time.monotonic() - began_s
    return await short, await endless, code, took_s


async def test_sigterm_drains_within_the_grace(spawn: Spawn, issuer: Issuer, stack: AsyncExitStack) -> None:
    """The running call gets its answer, the straggler is cut, the exit code is 0."""
    process = await spawn(drain_settle_s=SETTLE_S, drain_grace_s=GRACE_S)
    short, endless, code, took_s = await terminated_under_load(process, issuer, stack)
    assert short.code is grpc.StatusCode.OK
    assert (endless.code, endless.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert code == 0
    assert took_s <= SETTLE_S + GRACE_S + EXIT_MARGIN_S


async def test_a_naive_server_drops_what_runs(spawn: Spawn, issuer: Issuer, stack: AsyncExitStack) -> None:
    """Without signal handling SIGTERM kills it in the middle of every call."""
    short, _, code, _ = await terminated_under_load(await spawn("naive"), issuer, stack)
    assert short.code is grpc.StatusCode.UNAVAILABLE
    assert code != 0


async def test_health_says_so_before_calls_are_refused(serve: Serve) -> None:
    """Balancers look elsewhere while calls still work."""
    ours = await serve(drain_settle_s=0.5)
    assert ours.running is not None
    health = health_pb2_grpc.HealthStub(ours.caller.channel)
    request = health_pb2.HealthCheckRequest(service="")
    assert (await health.Check(request, timeout=5)).status == health_pb2.HealthCheckResponse.SERVING
    draining = asyncio.create_task(ours.running.drain())
    async with asyncio.timeout(5):
        async for state in health.Watch(request):
            if state.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                break
    assert (await ours.caller.call()).code is grpc.StatusCode.OK
    await draining
    assert (await ours.caller.call(timeout_s=2.0)).code is grpc.StatusCode.UNAVAILABLE


async def test_watchers_of_health_do_not_hold_a_drain(serve: Serve) -> None:
    """Who only watches is told and let go: routers watch every region, and each drain would last its whole grace."""
    ours = await serve(drain_settle_s=0.05, drain_grace_s=60.0)
    assert ours.running is not None
    watch = health_pb2_grpc.HealthStub(ours.caller.channel).Watch(health_pb2.HealthCheckRequest(service=""))
    states = [(await watch.read()).status]
    async with asyncio.timeout(30):
        await ours.running.drain()
    states.append((await watch.read()).status)
    assert states == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
    assert await watch.read() is grpc.aio.EOF


async def test_callers_of_several_replicas_notice_nothing(serve: Serve, issuer: Issuer, stack: AsyncExitStack) -> None:
    """Calls go on over the other replica while one drains under load."""
    first, second = await serve(drain_settle_s=0.5), await serve()
    assert first.running is not None
    pool = await stack.enter_async_context(ChannelPool())
    caller = Caller(pool.get(f"{first.address},{second.address}"), issuer.token())
    answers: list[Answer] = []
    stop = asyncio.Event()

    async def keep_asking() -> None:
        while not stop.is_set():
            answers.append(await caller.call())

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(keep_asking())
        await eventually(lambda: bool(first.servicer.ended and second.servicer.ended))
        await first.running.drain()
        seen = len(answers)
        await eventually(lambda: len(answers) >= seen + 100)
        stop.set()
    assert {answer.code for answer in answers} == {grpc.StatusCode.OK}
