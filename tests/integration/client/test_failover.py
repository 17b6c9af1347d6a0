"""Routers that die, freeze, come back, or may not be asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2
from tests.integration.client.fake_router import Cut, FakeRouter, Hang, Refuse, running, start_server
from tests.integration.client.router_process import RouterProcess, router_processes

from trunkline_client import ClientSettings, ResidencyRefused, TrunklineClient, Unavailable
from trunkline_client.channel import open_channel
from trunkline_client.health import check_health

_SERVICE = "trunkline.routing.v1.RoutingService"


@asynccontextmanager
async def nearest_in_a_process(
    settings: ClientSettings | None = None,
) -> AsyncIterator[tuple[TrunklineClient, RouterProcess]]:
    """Run a router in a process and a second one here, with a client that prefers the first."""
    async with (
        running("far") as (far,),
        router_processes("child") as (child,),
        TrunklineClient([child.address, far.address], token="jwt", settings=settings) as client,
    ):
        yield client, child


async def test_a_killed_router_is_left_and_used_again_after_it_is_back() -> None:
    """No call fails when the nearest router dies, later calls do not try it, and it is used once it is back."""
    settings = ClientSettings(rest_s=0.2, max_rest_s=0.4)
    async with nearest_in_a_process(settings) as (client, child):
        assert (await client.search("text")).router == child.address
        await child.kill()
        results = [await client.search("text", deadline_s=5.0) for _ in range(20)]
        assert {item.router.region for item in results} == {"far"}
        # Nothing is sent to a router that cannot be connected, and most calls do not even try.
        assert sum(len(item.attempts) > 1 for item in results) <= 5

        await child.start()
        async with asyncio.timeout(30):
            while (await client.search("text")).router != child.address:
                pass


async def test_calls_under_way_when_a_router_dies_are_answered_elsewhere() -> None:
    """A connection that breaks under a call costs one repeat, not the call."""
    async with nearest_in_a_process() as (client, child):
        await client.search("text")
        child.pause()  # so that the call is surely under way
        call = asyncio.ensure_future(client.search("text", deadline_s=10.0))
        await asyncio.sleep(0.1)
        await child.kill()

        result = await call

    assert result.router.region == "far"
    assert [item.outcome for item in result.attempts][-1] == "OK"


async def test_a_frozen_router_takes_one_share_and_is_then_left() -> None:
    """SIGSTOP: every call is answered within its deadline, and soon none waits for the frozen router."""
    async with nearest_in_a_process() as (client, child):
        await client.search("text")
        child.pause()
        results = [await client.search("text", deadline_s=1.0) for _ in range(6)]
        child.resume()

    assert {item.router.region for item in results} == {"far"}
    waited = [item for item in results if len(item.attempts) > 1]
    assert 1 <= len(waited) <= 3
    assert all(item.attempts[0].elapsed_s < 0.9 for item in waited)
    assert len(results[-1].attempts) == 1


async def test_behind_a_frozen_router_another_region_is_asked() -> None:
    """Its neighbours may be frozen too, and no attempt would be left for the far region."""
    async with running("near", "near", "near", "far") as routers:
        for near in routers[:3]:
            near.act = lambda _: Hang()
        async with TrunklineClient([each.address for each in routers], token="jwt") as client:
            result = await client.search("text", deadline_s=2.0)

    assert [(item.region, item.outcome) for item in result.attempts] == [("near", "DEADLINE_EXCEEDED"), ("far", "OK")]


async def test_a_router_is_used_again_when_it_says_that_it_serves() -> None:
    """That it speaks is not enough: one that has no map yet says NOT_SERVING and would refuse."""
    settings = ClientSettings(failures_to_rest=1, rest_s=0.02, max_rest_s=0.02, probe_interval_s=0.02)
    async with (
        running("near", "far") as (near, far),
        TrunklineClient([near.address, far.address], token="jwt", settings=settings) as client,
    ):
        near.health.set(_SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
        near.script = [Cut()]
        assert [(await client.search("text")).router.region for _ in range(200)] == ["far"] * 200

        near.health.set(_SERVICE, health_pb2.HealthCheckResponse.SERVING)
        async with asyncio.timeout(30):
            while (await client.search("text")).router.region != "near":
                pass


async def test_a_server_without_health_counts_as_a_router_when_it_speaks() -> None:
    """A server of another kind, or an old one, cannot be asked for more."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}", 1 << 20) as channel:
            found = await check_health(channel, 10.0)
    finally:
        await server.stop(None)
        async with open_channel(f"127.0.0.1:{port}", 1 << 20) as channel:
            gone = await check_health(channel, 10.0)

    assert (found.speaks, found.serves) == (True, True)
    assert (gone.speaks, gone.serves) == (False, False)


async def test_a_router_that_accepts_and_never_speaks_costs_the_connect_time() -> None:
    """A listener that holds connections without HTTP/2 is passed over, nothing is sent to it."""
    silent = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    settings = ClientSettings(connect_timeout_s=0.2)
    try:
        async with (
            running("far") as (far,),
            TrunklineClient([f"127.0.0.1:{port}", far.address], token="jwt", settings=settings) as client,
        ):
            result = await client.search("text", deadline_s=5.0)
    finally:
        silent.close()

    assert [(item.outcome, item.sent) for item in result.attempts] == [("UNREACHABLE", False), ("OK", True)]
    assert far.seen[0].attempt == "1"


async def test_no_router_at_all_is_told_at_once_with_all_addresses() -> None:
    """If nothing can be connected the error lists each address, long before the deadline."""
    targets = ["127.0.0.1:1", "127.0.0.1:2"]
    began_s = time.monotonic()
    async with TrunklineClient(targets, token="jwt") as client:
        with pytest.raises(Unavailable) as caught:
            await client.search("text", deadline_s=20.0)

    assert time.monotonic() - began_s < 10.0
    assert sorted(item.target for item in caught.value.attempts) == targets
    assert not any(item.sent for item in caught.value.attempts)


def _outside(*, regions: str = "", endpoints: str = "") -> Refuse:
    return Refuse("RESIDENCY_ROUTER_OUTSIDE", metadata={"allowedRegions": regions, "allowedEndpoints": endpoints})


async def test_a_residency_refusal_leads_to_the_named_router() -> None:
    """The call goes to the allowed router; later calls of those collections go there straight away."""
    async with running("us-east", "ap-south", "eu-west") as (us, ap, eu):
        us.act = lambda seen: _outside(regions="eu-west") if "private" in seen.request.collections else None
        async with TrunklineClient([us.address, ap.address, eu.address], token="jwt") as client:
            first = await client.search("text", collections=["private"])
            second = await client.search("text", collections=["private"])
            public = await client.search("text", collections=["public"])

    assert [item.outcome for item in first.attempts] == ["RESIDENCY_ROUTER_OUTSIDE", "OK"]
    assert [item.outcome for item in second.attempts] == ["OK"]
    assert (first.router.region, second.router.region, public.router.region) == ("eu-west", "eu-west", "us-east")
    assert (len(us.seen), len(ap.seen), len(eu.seen)) == (2, 0, 2)


async def test_a_refusal_of_one_text_does_not_move_others() -> None:
    """Where the policy decides, only the refused question is sent to the allowed router straight away."""
    async with running("us-east", "eu-west") as (us, eu):
        us.act = lambda seen: _outside(regions="eu-west") if seen.request.text == "private" else None
        async with TrunklineClient([us.address, eu.address], token="jwt") as client:
            results = [await client.search(text) for text in ("private", "public", "private")]

    assert [item.router.region for item in results] == ["eu-west", "us-east", "eu-west"]
    assert [seen.request.text for seen in us.seen] == ["private", "public"]


async def test_an_address_is_as_good_as_a_region() -> None:
    """`allowedEndpoints` finds the router too."""
    async with running("us-east", "") as (us, eu):
        us.act = lambda _: _outside(endpoints=f"10.1.2.3:7101,{eu.target}")
        async with TrunklineClient([us.address, eu.target], token="jwt") as client:
            result = await client.search("text")

    assert result.router.target == eu.target


async def test_the_text_goes_nowhere_else_when_the_allowed_router_is_gone() -> None:
    """If no allowed router answers, the refusal comes back with the attempts; the third router sees nothing."""
    async with running("us-east", "ap-south") as (us, ap):
        us.act = lambda _: _outside(regions="eu-west")
        routers = [us.address, ap.address, "eu-west=127.0.0.1:1"]
        async with TrunklineClient(routers, token="jwt") as client:
            with pytest.raises(ResidencyRefused) as caught:
                await client.search("text", collections=["private"], deadline_s=3.0)
            with pytest.raises(ResidencyRefused):
                await client.search("text", collections=["private"], deadline_s=3.0)

    assert caught.value.reason == "RESIDENCY_ROUTER_OUTSIDE"
    assert [item.outcome for item in caught.value.attempts] == ["RESIDENCY_ROUTER_OUTSIDE", "UNREACHABLE"]
    assert ap.seen == []
    assert len(us.seen) == 1


async def test_what_an_allowed_router_said_counts_more_than_a_later_refusal() -> None:
    """A busy allowed router is the reason, also if the client then met a router outside: the caller may repeat."""
    async with running("us-east", "eu-west") as (us, eu):
        us.act = lambda _: Refuse("CIRCUIT_OPEN", retry_delay_s=30.0)
        eu.act = lambda _: _outside(regions="us-east")
        async with TrunklineClient([us.address, eu.address], token="jwt") as client:
            with pytest.raises(Unavailable) as caught:
                await client.search("text")

    assert caught.value.reason == "CIRCUIT_OPEN"
    assert caught.value.retryable
    assert [item.outcome for item in caught.value.attempts] == ["CIRCUIT_OPEN", "RESIDENCY_ROUTER_OUTSIDE"]


async def test_an_unknown_endpoint_is_followed_only_if_allowed() -> None:
    """A credential does not go to an address that only a server named, unless the owner trusts the network."""
    async with running("us-east") as (us,):
        hidden = FakeRouter("eu-west")
        server = await start_server(hidden)
        us.act = lambda _: _outside(endpoints=f"nonsense,{hidden.target}")
        try:
            async with TrunklineClient([us.address], token="jwt") as client:
                with pytest.raises(ResidencyRefused):
                    await client.search("text")
            assert hidden.seen == []

            settings = ClientSettings(follow_named_routers=True)
            async with TrunklineClient([us.address], token="jwt", settings=settings) as client:
                assert (await client.search("text")).router.target == hidden.target
        finally:
            await server.stop(None)
