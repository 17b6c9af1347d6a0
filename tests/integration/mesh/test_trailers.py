"""Every answer of a server tells its pressure, whatever the answer is."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.integration.mesh.caller import eventually
from tests.integration.mesh.conftest import Serve, settings_of
from tests.integration.mesh.credentials import Issuer
from tests.integration.mesh.probe import SERVICE, ProbeServicer, Text, probe_app

from trunkline_mesh.errors import CollectionUnknown
from trunkline_mesh.serving import start
from trunkline_mesh.trailers import PeerState, peer_state


async def state_after(channel: Any, token: str | None, shape: str = "Unary", text: str = "hello") -> PeerState:
    """Call and return what the answer says of the server."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    payload = Text(value=text).SerializeToString()
    call: Any
    if shape == "ServerStream":
        call = channel.unary_stream(f"/{SERVICE}/{shape}")(payload, timeout=5, metadata=metadata)
        assert [answer async for answer in call]
    else:
        call = channel.unary_unary(f"/{SERVICE}/{shape}")(payload, timeout=5, metadata=metadata)
        try:
            await call
        except grpc.aio.AioRpcError as refusal:
            return peer_state(refusal.trailing_metadata())
    return peer_state(await call.trailing_metadata())


@pytest.mark.parametrize("shape", ["Unary", "ServerStream"])
async def test_an_idle_server_says_so(serve: Serve, shape: str) -> None:
    """The call's own slot is given back by then."""
    ours = await serve()
    assert await state_after(ours.caller.channel, ours.caller.token, shape) == PeerState(0.0, draining=False)


async def test_refusals_tell_it_beside_their_reason(serve: Serve) -> None:
    """Also those made before anything ran: no credential, no such method for this caller, the handler's own."""

    async def refuse(_text: str, context: Any) -> str:
        context.set_trailing_metadata((("own", "1"),))
        raise CollectionUnknown

    ours = await serve(refuse)
    channel, token = ours.caller.channel, ours.caller.token
    for credential, method in (("", "Unary"), (token, "Operate"), (token, "Unary")):
        assert await state_after(channel, credential, method) == PeerState(0.0, draining=False)
    assert (await ours.caller.call()).reason == "COLLECTION_UNKNOWN", "the reason is there as before"


async def test_calls_under_way_show_in_the_answers_of_others_and_in_health(serve: Serve) -> None:
    """Three of four slots are held while the fourth call ends."""
    release = asyncio.Event()

    async def act(text: str, _context: Any) -> str:
        if text == "hold":
            await release.wait()
        return text

    ours = await serve(act, max_concurrency=4)
    held = [asyncio.ensure_future(ours.caller.call("hold")) for _ in range(3)]
    await eventually(lambda: len(ours.servicer.began) == 3)
    assert (await state_after(ours.caller.channel, ours.caller.token)).pressure == 0.75
    check: Any = health_pb2_grpc.HealthStub(ours.caller.channel).Check
    for name in (SERVICE, "no.such.Service"):
        call = check(health_pb2.HealthCheckRequest(service=name), timeout=5)
        assert peer_state(await call.trailing_metadata()).pressure == 0.75
    release.set()
    await asyncio.gather(*held)


async def test_a_server_that_wants_to_be_left_says_so_with_every_answer(issuer: Issuer, stack: AsyncExitStack) -> None:
    """Successes, refusals and health alike, for as long as it does."""
    draining = True
    app = replace(probe_app(ProbeServicer()), draining=lambda: draining)
    running = await start(app, settings_of(issuer), stack)
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{running.port}"))
    assert (await state_after(channel, issuer.token())).draining
    assert (await state_after(channel, "")).draining
    check: Any = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert peer_state(await check.trailing_metadata()).draining
    draining = False
    assert await state_after(channel, issuer.token()) == PeerState(0.0, draining=False)
