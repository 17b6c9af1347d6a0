"""The lease holder against a real admission service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import pytest
from tests.integration.admission.conftest import Admission, Serve
from tests.unit.lease.memory_service import eventually

from trunkline_lease import Charge, LeaseHolder, LeaseOptions, Spent, TokenSource, open_lease_holder
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import QuotaExhausted

OPTIONS = LeaseOptions(refill_timeout_s=10.0, backoff_first_s=0.05, backoff_max_s=0.1)
SAFE = Spent(OPTIONS.safe_rank, TokenSource.LOCAL, safe=True)


def soon() -> Deadline:
    return Deadline.after(30.0)


@pytest.fixture
async def admission(serve: Serve, valkey_url: str) -> Admission:
    return await serve(valkey_url)


def one(tokens: int) -> Charge:
    return Charge(1, tokens)


async def test_a_router_spends_the_tenants_quota_and_no_more(admission: Admission) -> None:
    """100 tokens are spent one by one, with rank and source; the next spend is refused with a delay."""
    async with open_lease_holder(admission.channel, credential=admission.as_router, options=OPTIONS) as holder:
        spends = [await holder.spend("acme", one(1), soon()) for _ in range(100)]
        with pytest.raises(QuotaExhausted) as refusal:
            await holder.spend("acme", one(1), soon())

    assert set(spends) == {Spent(1, TokenSource.AUTHORITY)}
    assert refusal.value.retry_delay_s == pytest.approx(100, abs=20)
    assert holder.stats.asks < 60


async def test_two_routers_share_one_quota(admission: Admission) -> None:
    """Concurrent spenders of two holders never get more than there is; what one holds unused goes back at its end."""
    granted = 0

    async def spender(holder: LeaseHolder) -> None:
        nonlocal granted
        for _ in range(20):
            try:
                await holder.spend("acme", one(2), soon())
            except QuotaExhausted:
                return
            granted += 2

    async with (
        open_lease_holder(admission.channel, credential=lambda: admission.as_router("r1"), options=OPTIONS) as first,
        open_lease_holder(admission.channel, credential=lambda: admission.as_router("r2"), options=OPTIONS) as second,
    ):
        await asyncio.gather(*(spender(holder) for holder in (first, second) for _ in range(4)))

    assert granted <= 100
    assert granted + (await admission.left_of("acme")).tokens in (100, 101)


async def test_unused_and_refunded_tokens_go_back_at_close(admission: Admission) -> None:
    """After the router's end the quota lacks exactly what was used."""
    async with open_lease_holder(admission.channel, credential=admission.as_router, options=OPTIONS) as holder:
        for _ in range(10):
            await holder.spend("acme", one(3), soon())
        assert holder.refund("acme", Charge(0, 5)) == Charge(0, 5)

    assert (await admission.left_of("acme")).tokens == 100 - 30 + 5


async def test_a_tenants_credential_cannot_lease(admission: Admission) -> None:
    """The holder lives on in safe mode and does not hammer the service."""
    options = LeaseOptions(backoff_first_s=5.0, backoff_max_s=5.0)
    async with open_lease_holder(
        admission.channel, credential=lambda: admission.as_tenant("acme"), options=options
    ) as holder:
        await eventually(lambda: not holder.healthy)

        assert await holder.spend("acme", one(1), soon()) == SAFE
        assert holder.stats.asks == 0


async def test_without_an_admission_service_routers_go_on_in_safe_mode(pool: ChannelPool) -> None:
    """Nobody listens: a small rate for each tenant, without waiting."""
    async with open_lease_holder(pool.get("127.0.0.1:1"), credential=lambda: (), options=OPTIONS) as holder:
        await eventually(lambda: not holder.healthy)

        assert await holder.spend("acme", one(1), soon()) == SAFE
        assert await holder.spend("rich", one(1), soon()) == SAFE


async def test_a_service_that_accepts_and_never_speaks_is_like_none(pool: ChannelPool) -> None:
    """A frozen process keeps its port open: spenders wait their time twice and then no more."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    options = LeaseOptions(refill_timeout_s=0.1, close_timeout_s=0.1)
    async with server, open_lease_holder(pool.get(address), credential=lambda: (), options=options) as holder:
        for _ in range(2):
            assert await holder.spend("acme", one(1), soon()) == SAFE
        assert not holder.healthy
        assert await holder.spend("acme", one(1), soon()) == SAFE


async def test_the_service_is_used_again_when_it_comes_back(
    serve: Serve, valkey_url: str, pool: ChannelPool, free_port_number: Callable[[], int]
) -> None:
    """Safe mode ends by itself once the service listens."""
    port = free_port_number()
    async with open_lease_holder(
        pool.get(f"127.0.0.1:{port}"), credential=lambda: credential, options=OPTIONS
    ) as holder:
        credential: tuple[tuple[str, str], ...] = ()
        await eventually(lambda: not holder.healthy)
        assert await holder.spend("acme", one(1), soon()) == SAFE

        admission = await serve(valkey_url, listen=f"127.0.0.1:{port}")
        credential = admission.as_router()
        await eventually(lambda: holder.healthy, within_s=20)

        assert await holder.spend("acme", one(1), soon()) == Spent(1, TokenSource.AUTHORITY)


async def test_a_credential_that_cannot_be_read_is_like_no_service(admission: Admission) -> None:
    """It is asked for again with every attempt to connect."""
    tokens: list[tuple[tuple[str, str], ...]] = []

    def credential() -> tuple[tuple[str, str], ...]:
        if not tokens:
            raise FileNotFoundError
        return tokens[0]

    async with open_lease_holder(admission.channel, credential=credential, options=OPTIONS) as holder:
        await eventually(lambda: not holder.healthy)
        tokens.append(admission.as_router())
        await eventually(lambda: holder.healthy)

        assert await holder.spend("acme", one(1), soon()) == Spent(1, TokenSource.AUTHORITY)


async def test_a_closed_channel_is_like_no_service(admission: Admission) -> None:
    """The caller's channel may go before the holder."""
    channel = grpc.aio.insecure_channel(admission.address)
    await channel.close()

    async with open_lease_holder(channel, credential=admission.as_router, options=OPTIONS) as holder:
        await eventually(lambda: not holder.healthy)

        assert await holder.spend("acme", one(1), soon()) == SAFE
