"""The lease holder over a service in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest
import structlog
from tests.unit.lease.memory_service import ManualClock, MemoryService, eventually, refused, settle

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_lease import LeaseHolder, LeaseOptions, Spent, TokenSource
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Overloaded, QuotaExhausted

OPTIONS = LeaseOptions(backoff_first_s=0.01, backoff_max_s=0.02, sweep_interval_s=0.01, refill_timeout_s=5.0)
FULL = Spent(2, TokenSource.AUTHORITY)


def soon() -> Deadline:
    return Deadline.after(30.0)


@asynccontextmanager
async def holding(service: MemoryService, options: LeaseOptions = OPTIONS) -> AsyncIterator[LeaseHolder]:
    """Run a holder on the service's clock."""
    holder = LeaseHolder(service.open_call, options, service.clock)
    running = asyncio.ensure_future(holder.run())
    try:
        yield holder
        holder.return_all()
        async with asyncio.timeout(10):
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def service(clock: ManualClock) -> MemoryService:
    return MemoryService(clock)


async def test_the_first_spend_waits_for_one_refill(service: MemoryService) -> None:
    """A tenant that is new costs one ask, and gets the rank of the answer."""
    async with holding(service) as holder:
        assert await holder.spend("acme", 3, soon()) == FULL

        assert holder.held_tokens("acme") == OPTIONS.first_ask_tokens - 3
        assert [request.wanted_tokens for request in service.requests] == [OPTIONS.first_ask_tokens]


async def test_a_spend_from_tokens_at_hand_does_not_wait(service: MemoryService) -> None:
    """The usual spend ends without giving up its turn of the event loop."""
    async with holding(service) as holder:
        await holder.spend("acme", 1, soon())

        spending = holder.spend("acme", 1, soon())
        with pytest.raises(StopIteration) as ended:
            spending.send(None)

        assert ended.value.value == FULL


async def test_tokens_are_fetched_before_they_are_needed(service: MemoryService) -> None:
    """When less than half of the last grant is left, the next one is asked for in the background."""
    async with holding(service) as holder:
        for _ in range(OPTIONS.first_ask_tokens // 2 + 1):
            await holder.spend("acme", 1, soon())
        await settle()

        assert len(service.requests) == 2
        assert holder.held_tokens("acme") > OPTIONS.first_ask_tokens / 2


async def test_one_refill_serves_all_who_wait(service: MemoryService) -> None:
    """Concurrent spenders of a tenant share one ask, which is large enough for them all."""
    async with holding(service) as holder:
        spends = await asyncio.gather(*(holder.spend("acme", 2, soon()) for _ in range(20)))

        assert spends == [FULL] * 20
        assert len(service.requests) <= 3


async def test_never_more_is_spent_than_granted(service: MemoryService, clock: ManualClock) -> None:
    """A crowd of spenders of several tenants gets burst + rate * t, each tenant its own."""
    async with holding(service) as holder:
        spent = {"a": 0, "b": 0}

        async def spender(tenant: str) -> None:
            for _ in range(40):
                try:
                    await holder.spend(tenant, 1, soon())
                except QuotaExhausted:
                    clock.now_s += 0.0001
                else:
                    spent[tenant] += 1

        started_s = clock.now_s
        await asyncio.gather(*(spender(tenant) for tenant in ("a", "b") for _ in range(5)))

        for tenant, tokens in spent.items():
            assert service.burst - 1 <= tokens <= service.burst + service.rate * (clock.now_s - started_s)
            assert tokens <= service.granted[tenant]


async def test_a_refusal_says_when_to_come_back(service: MemoryService, clock: ManualClock) -> None:
    """The delay is the time until the missing tokens are back, and coming back then succeeds."""
    service.rate, service.burst = 2.0, 10.0
    async with holding(service) as holder:
        await holder.spend("acme", 10, soon())

        with pytest.raises(QuotaExhausted) as refusal:
            await holder.spend("acme", 3, soon())

        assert refusal.value.retry_delay_s == pytest.approx(1.5, abs=0.01)
        clock.now_s += refusal.value.retry_delay_s or 0.0
        assert await holder.spend("acme", 3, soon()) == FULL


async def test_a_flood_costs_no_calls(service: MemoryService, clock: ManualClock) -> None:
    """After a refusal nothing is asked until it has passed."""
    service.rate, service.burst = 1.0, 10.0
    async with holding(service) as holder:
        await holder.spend("acme", 10, soon())
        with pytest.raises(QuotaExhausted):
            await holder.spend("acme", 1, soon())
        asked = len(service.requests)

        for _ in range(1000):
            with pytest.raises(QuotaExhausted):
                await holder.spend("acme", 1, soon())

        assert len(service.requests) == asked


async def test_a_tenant_far_over_its_quota_gets_all_of_it_for_few_calls(
    service: MemoryService, clock: ManualClock
) -> None:
    """Ten times the quota for two seconds: goodput stays at the quota, and asks are paced."""
    service.rate, service.burst = 500.0, 500.0
    async with holding(service) as holder:
        granted = 0
        for _ in range(2_000):
            clock.now_s += 0.001
            try:
                await holder.spend("acme", 5, soon())
            except QuotaExhausted:
                continue
            granted += 5

        assert 0.95 * 1500 <= granted <= 1500
        assert holder.stats.asks <= 8 * (2.0 / OPTIONS.ask_pace_s)


async def test_a_refusal_of_much_does_not_refuse_little(service: MemoryService, clock: ManualClock) -> None:
    """A large request that has to wait for long leaves the small ones their own, shorter wait."""
    service.rate, service.burst = 10.0, 100.0
    async with holding(service) as holder:
        await holder.spend("acme", 100, soon())
        with pytest.raises(QuotaExhausted):
            await holder.spend("acme", 100, soon())

        clock.now_s += 0.2

        assert await holder.spend("acme", 1, soon()) == FULL


async def test_a_cancelled_spender_leaks_nothing(service: MemoryService) -> None:
    """What was asked for a spender that left is at hand for the next one."""
    async with holding(service) as holder:
        service.answering = False
        leaving = refused(holder.spend("acme", 5, soon()))
        await eventually(lambda: len(service.held_back) == 1)

        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        service.answer_held_back()
        await eventually(lambda: holder.held_tokens("acme") == OPTIONS.first_ask_tokens)

        assert await holder.spend("acme", OPTIONS.first_ask_tokens, soon()) == FULL


async def test_refunds_are_spent_again_and_never_exceed_spends(service: MemoryService) -> None:
    """A refund of more than was spent is cut to it."""
    async with holding(service) as holder:
        await holder.spend("acme", 4, soon())
        held = holder.held_tokens("acme")

        assert holder.refund("acme", 3) == 3
        assert holder.refund("acme", 100) == 1
        assert holder.refund("acme", 1) == 0
        assert holder.refund("stranger", 1) == 0
        assert holder.held_tokens("acme") == held + 4


async def test_unused_tokens_are_returned_at_close(service: MemoryService) -> None:
    """What was granted and neither spent nor void goes back."""
    async with holding(service) as holder:
        await holder.spend("acme", 3, soon())
        await holder.spend("beta", 1, soon())

    assert service.returned == {"acme": OPTIONS.first_ask_tokens - 3, "beta": OPTIONS.first_ask_tokens - 1}


async def test_unused_tokens_are_returned_before_they_are_void(service: MemoryService, clock: ManualClock) -> None:
    """An idle tenant's tokens go back to its quota a little before their end."""
    async with holding(service) as holder:
        await holder.spend("acme", 3, soon())

        clock.now_s += service.valid_s - OPTIONS.return_margin_s
        await eventually(lambda: service.returned["acme"] == OPTIONS.first_ask_tokens - 3)

        assert holder.held_tokens("acme") == 0


async def test_the_least_recently_used_tenant_makes_room_and_gives_back(service: MemoryService) -> None:
    """With room for two tenants, the third one evicts the one that was not used lately."""
    async with holding(service, LeaseOptions(max_tenants=2, refill_timeout_s=5.0)) as holder:
        for tenant in ("a", "b", "a", "c"):
            await holder.spend(tenant, 1, soon())
        await settle()

        assert dict(service.returned) == {"b": LeaseOptions().first_ask_tokens - 1, "a": 0, "c": 0}
        assert holder.held_tokens("b") == 0
        assert holder.stats.evictions == 1


async def test_a_tenant_in_use_is_not_evicted(service: MemoryService) -> None:
    """With every place taken by tenants that wait, one more is refused as overload."""
    async with holding(service, LeaseOptions(max_tenants=1, refill_timeout_s=5.0)) as holder:
        service.answering = False
        waiting = refused(holder.spend("a", 1, soon()))
        await eventually(lambda: len(service.held_back) == 1)

        with pytest.raises(Overloaded):
            await holder.spend("b", 1, soon())

        service.answer_held_back()
        assert await waiting == FULL


async def test_the_number_of_waiters_is_bounded(service: MemoryService) -> None:
    """One spender too many is refused at once instead of queued."""
    async with holding(service, LeaseOptions(max_waiters_per_tenant=3, refill_timeout_s=5.0)) as holder:
        service.answering = False
        waiting = [refused(holder.spend("a", 1, soon())) for _ in range(3)]
        await settle()

        with pytest.raises(Overloaded):
            await holder.spend("a", 1, soon())

        service.answer_held_back()
        assert await asyncio.gather(*waiting) == [FULL] * 3


async def test_local_grants_are_told_as_local(service: MemoryService) -> None:
    """Where the service grants without its store, the spender learns it."""
    service.source = admission_pb.QUOTA_SOURCE_LOCAL
    async with holding(service) as holder:
        assert await holder.spend("acme", 1, soon()) == Spent(2, TokenSource.LOCAL)


async def test_without_the_service_each_tenant_has_the_safe_rate(service: MemoryService, clock: ManualClock) -> None:
    """Safe mode: a small burst, then the configured rate; local, at the safe rank, without a wait for the service."""
    service.up = False
    async with holding(service) as holder:
        await eventually(lambda: not holder.healthy)

        safe = Spent(OPTIONS.safe_rank, TokenSource.LOCAL)
        for _ in range(OPTIONS.safe_burst_tokens):
            assert await holder.spend("acme", 1, soon()) == safe
        with pytest.raises(QuotaExhausted) as refusal:
            await holder.spend("acme", 1, soon())

        assert refusal.value.retry_delay_s == pytest.approx(1 / OPTIONS.safe_rate_tokens_per_s, abs=0.001)
        clock.now_s += 1.0
        assert await holder.spend("acme", int(OPTIONS.safe_rate_tokens_per_s), soon()) == safe


async def test_what_was_granted_is_spent_first_when_the_service_goes(service: MemoryService) -> None:
    """Losing the service costs nothing while tokens are at hand, and keeps the tenant's rank after that."""
    async with holding(service) as holder:
        await holder.spend("acme", 1, soon())
        held = holder.held_tokens("acme")
        service.go_down()
        await eventually(lambda: not holder.healthy)

        assert await holder.spend("acme", held, soon()) == FULL
        assert await holder.spend("acme", 1, soon()) == Spent(2, TokenSource.LOCAL)


@pytest.mark.parametrize(("lived_s", "level"), [(0.0, "warning"), (300.0, "info")])
async def test_an_old_streams_end_is_no_alarm(
    service: MemoryService, clock: ManualClock, lived_s: float, level: str
) -> None:
    """Servers end connections of some minutes so that clients spread anew; only a young stream's end is a warning."""
    with structlog.testing.capture_logs() as lines:
        async with holding(service) as holder:
            await holder.spend("acme", 1, soon())
            clock.now_s += lived_s
            service.calls[0].fail(grpc.StatusCode.UNAVAILABLE)
            await eventually(lambda: len(service.calls) == 2)

    assert [line["log_level"] for line in lines if line["logger_name"] == "trunkline_lease.stream"][:1] == [level]


async def test_the_service_is_used_again_once_it_is_back(service: MemoryService) -> None:
    """The stream is reopened by itself and refills come from it again."""
    service.up = False
    async with holding(service) as holder:
        await eventually(lambda: not holder.healthy)
        await holder.spend("acme", 1, soon())

        service.up = True
        await eventually(lambda: holder.healthy)

        assert await holder.spend("acme", 1, soon()) == FULL


async def test_a_service_that_hangs_costs_one_timeout(service: MemoryService) -> None:
    """The first spender waits its time; the next ones do not wait."""
    options = LeaseOptions(refill_timeout_s=0.05, backoff_first_s=60.0, backoff_max_s=60.0)
    async with holding_only(service, options) as holder:
        service.answering = False

        assert (await holder.spend("acme", 1, soon())).source is TokenSource.LOCAL
        assert not holder.healthy
        spending = holder.spend("acme", 1, soon())
        with pytest.raises(StopIteration) as ended:
            spending.send(None)

        assert ended.value.value.source is TokenSource.LOCAL


@asynccontextmanager
async def holding_only(service: MemoryService, options: LeaseOptions) -> AsyncIterator[LeaseHolder]:
    """Run a holder that is cancelled in the end instead of closed."""
    holder = LeaseHolder(service.open_call, options, service.clock)
    running = asyncio.ensure_future(holder.run())
    try:
        yield holder
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_late_answer_is_not_lost(service: MemoryService) -> None:
    """After a timeout the stream stays: what comes late can be spent, and spenders wait for answers again."""
    async with holding(service, LeaseOptions(refill_timeout_s=0.02)) as holder:
        service.answering = False
        assert (await holder.spend("acme", 1, soon())).source is TokenSource.LOCAL

        service.answer_held_back()
        await eventually(lambda: holder.healthy)

        assert await holder.spend("acme", 1, soon()) == FULL
        assert len(service.calls) == 1


async def test_a_stuck_stream_is_replaced(service: MemoryService, clock: ManualClock) -> None:
    """An ask that nobody answers ends its stream; the next stream works."""
    async with holding(service, replace(OPTIONS, refill_timeout_s=0.02)) as holder:
        service.answering = False
        assert (await holder.spend("acme", 1, soon())).source is TokenSource.LOCAL

        clock.now_s += OPTIONS.stuck_s
        await eventually(lambda: len(service.calls) == 2)
        service.answering = True
        await eventually(lambda: holder.healthy)

        assert await holder.spend("acme", 1, soon()) == FULL


async def test_a_short_deadline_does_not_condemn_the_stream(service: MemoryService) -> None:
    """A spender in a hurry takes the safe share; the stream goes on for the others."""
    async with holding(service) as holder:
        service.answering = False

        assert (await holder.spend("acme", 1, Deadline.after(0.02))).source is TokenSource.LOCAL
        assert holder.healthy
        service.answer_held_back()
        await eventually(lambda: holder.held_tokens("acme") > 0)


async def test_an_answer_that_nobody_asked_for_ends_the_stream(service: MemoryService) -> None:
    """Answers are matched by order; one too many must not be counted for the wrong tenant."""
    async with holding(service) as holder:
        await holder.spend("acme", 1, soon())

        service.calls[-1].put(admission_pb.LeaseResponse(tenant_id="acme", granted_tokens=5))
        await eventually(lambda: len(service.calls) == 2)

        assert holder.held_tokens("acme") == OPTIONS.first_ask_tokens - 1


@pytest.mark.parametrize("tokens", [0, -1])
async def test_a_spend_of_nothing_is_a_mistake(service: MemoryService, tokens: int) -> None:
    """Spends are at least one token; refunds are not negative."""
    async with holding(service) as holder:
        with pytest.raises(ValueError, match="at least one"):
            await holder.spend("acme", tokens, soon())
        with pytest.raises(ValueError, match="not negative"):
            holder.refund("acme", -1)
