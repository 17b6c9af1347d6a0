"""What arrives at a router, and how refusals come back, over real connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from tests.integration.client.fake_router import Cut, FakeRouter, Hang, Refuse, running

from trunkline_client import (
    ClientSettings,
    DeadlineExceeded,
    Document,
    Query,
    QuotaExhausted,
    TrunklineClient,
    TrunklineError,
    Unauthenticated,
    Unavailable,
)
from trunkline_client.errors import error_class
from trunkline_client.reasons import REASONS

# The wire carries a deadline in at most eight digits of a coarse unit, rounded up.
_ROUNDING = 1.05


@pytest.fixture
async def routers() -> AsyncIterator[list[FakeRouter]]:
    async with running("near", "far") as started:
        yield started


@pytest.fixture
async def client(routers: list[FakeRouter]) -> AsyncIterator[TrunklineClient]:
    async with TrunklineClient([router.address for router in routers], token="jwt") as connected:
        yield connected


async def test_every_method_arrives_with_its_metadata(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """Credential, request id and attempt number travel with every call, and the nearest router is asked."""
    await client.search("text", request_id="req-1")
    await client.search_batch(["a", Query(text="b")], request_id="req-2")
    await client.route("text", request_id="req-3")
    await client.upsert("files", [Document("d", "t")], request_id="req-4")
    await client.delete("files", ["d"], request_id="req-5")

    near, far = routers
    assert [item.method for item in near.seen] == ["Search", "SearchBatch", "Route", "Upsert", "Delete"]
    assert [item.request_id for item in near.seen] == ["req-1", "req-2", "req-3", "req-4", "req-5"]
    assert {(item.attempt, item.authorization) for item in near.seen} == {("1", "Bearer jwt")}
    assert far.seen == []


async def test_the_deadline_arrives_as_a_share_that_leaves_time_for_another(
    client: TrunklineClient, routers: list[FakeRouter]
) -> None:
    """Of two seconds the first attempt gets one; the last one gets all that is left."""
    near, far = routers
    near.script = [Refuse("BACKEND_UNAVAILABLE")]
    far.script = [Refuse("BACKEND_UNAVAILABLE")]

    result = await client.search("text", deadline_s=4.0)

    first, third = near.seen
    (second,) = far.seen
    assert [item.outcome for item in result.attempts] == ["BACKEND_UNAVAILABLE", "BACKEND_UNAVAILABLE", "OK"]
    assert [first.attempt, second.attempt, third.attempt] == ["1", "2", "3"]
    assert 1.0 < first.deadline_s <= 2.0 * _ROUNDING
    assert 1.0 < second.deadline_s <= 2.0 * _ROUNDING
    assert 2.0 < third.deadline_s <= 4.0 * _ROUNDING
    assert len({first.request_id, second.request_id, third.request_id}) == 1
    # gRPC rounds up what it sends; the exact share travels beside it.
    assert 1_000_000 < int(second.timeout_us) <= 2_000_000


async def test_one_router_alone_gets_the_whole_deadline(routers: list[FakeRouter]) -> None:
    """Nothing is held back for another attempt where there is nowhere to make it."""
    async with TrunklineClient([routers[0].address], token="jwt") as client:
        await client.search("text", deadline_s=4.0)

    assert 2.5 < routers[0].seen[0].deadline_s <= 4.0 * _ROUNDING


@pytest.mark.parametrize("reason", [name for name, spec in REASONS.items() if name != "UNSPECIFIED"])
async def test_each_reason_comes_back_as_its_class(routers: list[FakeRouter], reason: str) -> None:
    """Every reason round-trips over a real connection, with its metadata, and is repeated only if it may be."""
    for router in routers:
        router.act = lambda _: Refuse(reason, metadata={"allowedRegions": "nowhere"})

    async with TrunklineClient([router.address for router in routers], token="jwt") as client:
        with pytest.raises(TrunklineError) as caught:
            await client.search("text", deadline_s=2.0, request_id="req")

    error, spec = caught.value, REASONS[reason]
    assert type(error) is error_class(reason, spec.status)
    assert (error.reason, error.status, error.request_id) == (reason, spec.status, "req")
    assert error.metadata["allowedRegions"] == "nowhere"
    sent = sum(len(router.seen) for router in routers)
    deadline_was_a_share = reason in ("DEADLINE_EXCEEDED", "DEADLINE_UNREACHABLE")
    assert sent == (3 if spec.retryable else 2 if deadline_was_a_share else 1)
    assert len(error.attempts) == sent


async def test_retry_info_is_waited_for_within_the_deadline(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """A spent quota is not asked for elsewhere; the call goes back when the server said, if there is time."""
    near, far = routers
    near.script = [Refuse("QUOTA_EXHAUSTED", retry_delay_s=0.3)]
    far.script = [Refuse("QUOTA_EXHAUSTED", retry_delay_s=0.3)]
    began_s = time.monotonic()

    await client.search("text", deadline_s=5.0)

    assert time.monotonic() - began_s >= 0.3

    near.act = far.act = lambda _: Refuse("QUOTA_EXHAUSTED", retry_delay_s=30.0)
    began_s = time.monotonic()
    with pytest.raises(QuotaExhausted) as caught:
        await client.search("text", deadline_s=5.0)
    assert caught.value.retry_delay_s == 30.0
    assert time.monotonic() - began_s < 4.0


async def test_a_write_is_repeated_with_the_same_request_id(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """An incomplete write goes again under the id that makes the repeat harmless."""
    routers[0].script = [Refuse("WRITE_INCOMPLETE", retry_delay_s=0.05)]

    result = await client.upsert("files", [Document("d", "t")])

    seen = [item for router in routers for item in router.seen]
    assert len(seen) == 2
    assert len({item.request_id for item in seen}) == 1
    assert result.regions


async def test_the_retry_budget_bounds_repeats(routers: list[FakeRouter]) -> None:
    """Forty failing calls send at most a fifth more than forty requests, and never fewer than the floor allows."""
    for router in routers:
        router.act = lambda _: Refuse("BACKEND_UNAVAILABLE")
    settings = ClientSettings(backoff_s=0.001, retry_floor=3)
    async with TrunklineClient([router.address for router in routers], token="jwt", settings=settings) as client:
        for _ in range(40):
            with pytest.raises(Unavailable):
                await client.search("text")

    sent = sum(len(router.seen) for router in routers)
    assert 43 <= sent <= 48


async def test_a_status_without_details_is_taken_as_a_lost_router(
    client: TrunklineClient, routers: list[FakeRouter]
) -> None:
    """UNAVAILABLE from a proxy, and CANCELLED that nobody here asked for, are asked again elsewhere."""
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        routers[0].script = [Cut(code)]
        result = await client.search("text")
        assert [item.outcome for item in result.attempts] == [code.name, "OK"]
        assert result.router.region == "far"


async def test_a_hanging_call_takes_no_more_than_its_share(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """A router that holds one call costs half of the deadline, the other answers in the rest."""
    routers[0].script = [Hang()]

    result = await client.search("text", deadline_s=2.0)

    assert [item.outcome for item in result.attempts] == ["DEADLINE_EXCEEDED", "OK"]
    assert 0.5 < result.attempts[0].elapsed_s < 1.8


async def test_the_caller_s_deadline_ends_everything(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """If nobody answers, the call ends with its deadline and says so."""
    for router in routers:
        router.act = lambda _: Hang()
    began_s = time.monotonic()

    with pytest.raises(DeadlineExceeded):
        await client.search("text", deadline_s=0.5)

    assert time.monotonic() - began_s < 5.0


async def test_a_server_that_missed_its_share_is_followed_by_all_the_rest(
    client: TrunklineClient, routers: list[FakeRouter]
) -> None:
    """DEADLINE_UNREACHABLE speaks of the share; the next attempt gets the whole of what is left."""
    routers[0].script = [Refuse("DEADLINE_UNREACHABLE")]

    await client.search("text", deadline_s=4.0)

    assert routers[0].seen[0].deadline_s <= 2.0 * _ROUNDING
    assert routers[1].seen[0].deadline_s > 2.0


async def test_cancelling_the_caller_reaches_the_router(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """A cancelled call is cancelled at the server and is not repeated."""
    routers[0].script = [Hang()]
    call = asyncio.ensure_future(client.search("text", deadline_s=30.0))
    await asyncio.wait_for(routers[0].called.wait(), 10)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert routers[1].seen == []


async def test_an_expired_token_is_renewed_once(routers: list[FakeRouter]) -> None:
    """A callable is asked again after CREDENTIAL_EXPIRED; a fixed token is not tried twice."""
    tokens = iter(["old", "new", "newer"])
    near = routers[0]
    near.act = lambda seen: Refuse("CREDENTIAL_EXPIRED") if seen.authorization == "Bearer old" else None
    routers[1].act = near.act
    async with TrunklineClient([near.address, routers[1].address], token=lambda: next(tokens)) as client:
        await client.search("text")
    async with TrunklineClient([near.address], token="old") as client:
        with pytest.raises(Unauthenticated):
            await client.search("text")

    assert [item.authorization for item in near.seen][-1] == "Bearer old"
    assert sum(item.authorization == "Bearer old" for router in routers for item in router.seen) == 2


async def test_map_tokens_are_carried_until_forgotten(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """`read_after` stands for every later call, an argument for one."""
    client.read_after(b"after-my-change")
    await client.search("text")
    await client.upsert("files", [Document("d", "t")])
    await client.search("text", map_token=b"other")
    client.read_after(b"")
    await client.route("text")

    tokens = [item.request.map_token for item in routers[0].seen]
    assert tokens == [b"after-my-change", b"after-my-change", b"other", b""]


async def test_an_overloaded_router_is_relieved(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """After OVERLOADED the traffic goes to the other router for as long as was asked."""
    near, far = routers
    near.script = [Refuse("OVERLOADED", retry_delay_s=30.0)]

    for _ in range(3):
        await client.search("text")

    assert len(near.seen) == 1
    assert len(far.seen) == 3


def test_a_client_may_be_made_before_its_event_loop() -> None:
    """Nothing belongs to a loop until the first call, so a client can be put together at start-up."""
    client = TrunklineClient(["127.0.0.1:1"], token="jwt")

    async def use() -> None:
        async with client:
            await client.search("text", deadline_s=1.0)

    with pytest.raises(Unavailable):
        asyncio.run(use())


async def test_no_time_to_connect_is_a_deadline_not_a_dead_router(routers: list[FakeRouter]) -> None:
    """A deadline too short even for a connection says so, and does not make the router rest."""
    async with TrunklineClient([routers[0].address], token="jwt") as client:
        for _ in range(4):
            with pytest.raises(DeadlineExceeded):
                await client.search("text", deadline_s=0.0001)

        assert client._context.pool.all()[0].rest_until_s is None


async def test_an_attempt_without_time_hides_no_reason_that_was_told(
    client: TrunklineClient, routers: list[FakeRouter]
) -> None:
    """A router that waited long before it refused leaves too little for the next one; its reason is what is raised."""
    near, far = routers
    near.delay_s, near.script = 0.25, [Refuse("STALE_MAP", retry_delay_s=0.01)]
    far.script = [Hang()]
    settings = ClientSettings(share=0.9)
    async with TrunklineClient([near.address, far.address], token="jwt", settings=settings) as patient:
        with pytest.raises(TrunklineError) as raised:
            await patient.search("text", deadline_s=0.33)
    assert raised.value.reason == "STALE_MAP"
