"""The lease holder over a service in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import grpc
import pytest
import structlog
from tests.unit.lease.memory_service import (
    ManualClock,
    MemoryService,
    eventually,
    one,
    only,
    refused,
    settle,
)

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease import (
    NOTHING,
    Charge,
    Drawn,
    LeaseHolder,
    LeaseOptions,
    SafeLimits,
    SafeOf,
    SafeRate,
    Spent,
    TokenSource,
)
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Overloaded, QuotaExhausted

OPTIONS = LeaseOptions(backoff_first_s=0.01, backoff_max_s=0.02, sweep_interval_s=0.01, refill_timeout_s=5.0)
FULL = Spent(2, TokenSource.AUTHORITY)


def soon() -> Deadline:
    return Deadline.after(30.0)


@asynccontextmanager
async def holding(
    service: MemoryService, options: LeaseOptions = OPTIONS, safe_of: SafeOf | None = None
) -> AsyncIterator[LeaseHolder]:
    """Run a holder on the service's clock."""
    holder = service.holder(options, safe_of)
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
        assert await holder.spend("acme", one(3), soon()) == FULL

        assert holder.held("acme").tokens == OPTIONS.first_ask_tokens - 3
        assert [request.wanted_tokens for request in service.requests] == [OPTIONS.first_ask_tokens]


async def test_a_spend_from_tokens_at_hand_does_not_wait(service: MemoryService) -> None:
    """The usual spend ends without giving up its turn of the event loop."""
    async with holding(service) as holder:
        await holder.spend("acme", one(1), soon())

        spending = holder.spend("acme", one(1), soon())
        with pytest.raises(StopIteration) as ended:
            spending.send(None)

        assert ended.value.value == FULL


async def test_tokens_are_fetched_before_they_are_needed(service: MemoryService) -> None:
    """When less than half of the last grant is left, the next one is asked for in the background."""
    async with holding(service) as holder:
        for _ in range(OPTIONS.first_ask_requests // 2 + 1):
            await holder.spend("acme", one(1), soon())
        await settle()

        assert len(service.requests) == 2
        assert holder.held("acme").requests > OPTIONS.first_ask_requests / 2


async def test_one_refill_serves_all_who_wait(service: MemoryService) -> None:
    """Concurrent spenders of a tenant share one ask, which is large enough for them all."""
    async with holding(service) as holder:
        spends = await asyncio.gather(*(holder.spend("acme", one(2), soon()) for _ in range(20)))

        assert spends == [FULL] * 20
        assert len(service.requests) <= 3


async def test_never_more_is_spent_than_granted(service: MemoryService, clock: ManualClock) -> None:
    """A crowd of spenders of several tenants gets burst + rate * t, each tenant its own."""
    async with holding(service) as holder:
        spent = {"a": 0, "b": 0}

        async def spender(tenant: str) -> None:
            for _ in range(40):
                try:
                    await holder.spend(tenant, one(1), soon())
                except QuotaExhausted:
                    clock.now_s += 0.0001
                else:
                    spent[tenant] += 1

        started_s = clock.now_s
        await asyncio.gather(*(spender(tenant) for tenant in ("a", "b") for _ in range(5)))

        for tenant, tokens in spent.items():
            # Up to one for each spender but the last may be held while the others lack what it was asked for with.
            assert service.burst - 5 < tokens <= service.burst + service.rate * (clock.now_s - started_s)
            assert tokens <= service.granted[tenant]


async def test_a_refusal_says_when_to_come_back(service: MemoryService, clock: ManualClock) -> None:
    """The delay is the time until the missing tokens are back, and coming back then succeeds."""
    service.rate, service.burst = 2.0, 10.0
    async with holding(service) as holder:
        await holder.spend("acme", one(10), soon())

        with pytest.raises(QuotaExhausted) as refusal:
            await holder.spend("acme", one(3), soon())

        assert refusal.value.retry_delay_s == pytest.approx(1.5, abs=0.01)
        clock.now_s += refusal.value.retry_delay_s or 0.0
        assert await holder.spend("acme", one(3), soon()) == FULL


async def test_a_flood_costs_no_calls(service: MemoryService, clock: ManualClock) -> None:
    """After a refusal nothing is asked until it has passed."""
    service.rate, service.burst = 1.0, 10.0
    async with holding(service) as holder:
        await holder.spend("acme", one(10), soon())
        with pytest.raises(QuotaExhausted):
            await holder.spend("acme", one(1), soon())
        asked = len(service.requests)

        for _ in range(1000):
            with pytest.raises(QuotaExhausted):
                await holder.spend("acme", one(1), soon())

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
                await holder.spend("acme", one(5), soon())
            except QuotaExhausted:
                continue
            granted += 5

        assert 0.95 * 1500 <= granted <= 1500
        assert holder.stats.asks <= 8 * (2.0 / OPTIONS.ask_pace_s)


async def test_a_refusal_of_much_does_not_refuse_little(service: MemoryService, clock: ManualClock) -> None:
    """A large request that has to wait for long leaves the small ones their own, shorter wait."""
    service.rate, service.burst = 10.0, 100.0
    async with holding(service) as holder:
        await holder.spend("acme", one(100), soon())
        with pytest.raises(QuotaExhausted):
            await holder.spend("acme", one(100), soon())

        clock.now_s += 0.2

        assert await holder.spend("acme", one(1), soon()) == FULL


async def test_a_cancelled_spender_leaks_nothing(service: MemoryService) -> None:
    """What was asked for a spender that left is at hand for the next one."""
    async with holding(service) as holder:
        service.answering = False
        leaving = refused(holder.spend("acme", one(5), soon()))
        await eventually(lambda: len(service.held_back) == 1)

        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        service.answer_held_back()
        await eventually(lambda: holder.held("acme").tokens == OPTIONS.first_ask_tokens)

        assert await holder.spend("acme", one(OPTIONS.first_ask_tokens), soon()) == FULL


async def test_refunds_are_spent_again_and_never_exceed_spends(service: MemoryService) -> None:
    """A refund of more than was spent is cut to it."""
    async with holding(service) as holder:
        await holder.spend("acme", one(4), soon())
        held = holder.held("acme").tokens

        assert holder.refund("acme", only(3)) == only(3)
        assert holder.refund("acme", only(100)) == only(1)
        assert holder.refund("acme", only(1)) == only(0)
        assert holder.refund("stranger", only(1)) == only(0)
        assert holder.held("acme").tokens == held + 4


async def test_unused_tokens_are_returned_at_close(service: MemoryService) -> None:
    """What was granted and neither spent nor void goes back."""
    async with holding(service) as holder:
        await holder.spend("acme", one(3), soon())
        await holder.spend("beta", one(1), soon())

    assert service.returned == {"acme": OPTIONS.first_ask_tokens - 3, "beta": OPTIONS.first_ask_tokens - 1}


async def test_what_is_granted_while_closing_goes_back_too(service: MemoryService) -> None:
    """An ask under way at the end is waited for: its grant would be lost to the tenant's day."""
    async with holding(service) as holder:
        await holder.spend("acme", one(1), soon())
        service.answering = False
        for _ in range(2):
            await holder.spend("acme", one(1), soon())
        await eventually(lambda: len(service.held_back) == 1)
        asyncio.get_running_loop().call_later(0.05, service.answer_held_back)

    assert service.granted["acme"] > OPTIONS.first_ask_tokens
    assert service.returned["acme"] == service.granted["acme"] - 3
    assert service.returned_requests["acme"] == service.granted_requests["acme"] - 3


async def test_unused_tokens_are_returned_before_they_are_void(service: MemoryService, clock: ManualClock) -> None:
    """An idle tenant's tokens go back to its quota a little before their end."""
    async with holding(service) as holder:
        await holder.spend("acme", one(3), soon())

        clock.now_s += service.valid_s - OPTIONS.return_margin_s
        await eventually(lambda: service.returned["acme"] == OPTIONS.first_ask_tokens - 3)

        assert holder.held("acme").tokens == 0


async def test_the_least_recently_used_tenant_makes_room_and_gives_back(service: MemoryService) -> None:
    """With room for two tenants, the third one evicts the one that was not used lately."""
    async with holding(service, LeaseOptions(max_tenants=2, refill_timeout_s=5.0)) as holder:
        for tenant in ("a", "b", "a", "c"):
            await holder.spend(tenant, one(1), soon())
        await settle()

        assert dict(service.returned) == {"b": LeaseOptions().first_ask_tokens - 1, "a": 0, "c": 0}
        assert holder.held("b").tokens == 0
        assert holder.stats.evictions == 1


async def test_a_tenant_in_use_is_not_evicted(service: MemoryService) -> None:
    """With every place taken by tenants that wait, one more is refused as overload."""
    async with holding(service, LeaseOptions(max_tenants=1, refill_timeout_s=5.0)) as holder:
        service.answering = False
        waiting = refused(holder.spend("a", one(1), soon()))
        await eventually(lambda: len(service.held_back) == 1)

        with pytest.raises(Overloaded):
            await holder.spend("b", one(1), soon())

        service.answer_held_back()
        assert await waiting == FULL


async def test_the_number_of_waiters_is_bounded(service: MemoryService) -> None:
    """One spender too many is refused at once instead of queued."""
    async with holding(service, LeaseOptions(max_waiters_per_tenant=3, refill_timeout_s=5.0)) as holder:
        service.answering = False
        waiting = [refused(holder.spend("a", one(1), soon())) for _ in range(3)]
        await settle()

        with pytest.raises(Overloaded):
            await holder.spend("a", one(1), soon())

        service.answer_held_back()
        assert await asyncio.gather(*waiting) == [FULL] * 3


async def test_local_grants_are_told_as_local(service: MemoryService) -> None:
    """Where the service grants without its store, the spender learns it."""
    service.source = admission_pb.QUOTA_SOURCE_LOCAL
    async with holding(service) as holder:
        assert await holder.spend("acme", one(1), soon()) == Spent(2, TokenSource.LOCAL)


async def test_without_the_service_each_tenant_has_the_safe_rate(service: MemoryService, clock: ManualClock) -> None:
    """Safe mode: a small burst, then the configured rate; local, at the safe rank, without a wait for the service.

    What is more is refused as overload: nobody has said that the tenant's quota is used up.
    """
    service.up = False
    async with holding(service) as holder:
        await eventually(lambda: not holder.healthy)

        safe = Spent(OPTIONS.safe_rank, TokenSource.LOCAL, safe=True)
        for _ in range(OPTIONS.safe_burst_requests):
            assert await holder.spend("acme", one(2), soon()) == safe
        with pytest.raises(Overloaded) as refusal:
            await holder.spend("acme", one(1), soon())

        assert refusal.value.retry_delay_s == OPTIONS.refill_timeout_s
        clock.now_s += 1.0
        assert await holder.spend("acme", one(int(OPTIONS.safe_tokens_per_s)), soon()) == safe
        with pytest.raises(Overloaded):
            await holder.spend("acme", one(1), soon())
        assert holder.stats.safe_spends == OPTIONS.safe_burst_requests + 1


async def test_without_the_service_each_tenant_has_its_own_share(service: MemoryService, clock: ManualClock) -> None:
    """All limits of it hold, it may be none, and what it says changes with the map."""
    service.up = False
    day = SafeRate(0.1, 3)
    shares = {
        "large": SafeLimits((SafeRate(2, 10), day), (SafeRate(20, 100),), rank=2),
        "small": SafeLimits((SafeRate(2, 10),), (SafeRate(1, 4),), rank=1),
        "nothing": SafeLimits(),
    }
    async with holding(service, safe_of=lambda tenant_id, _key: shares[tenant_id]) as holder:
        await eventually(lambda: not holder.healthy)

        async def spends(tenant_id: str, count: int, tokens: int = 2) -> int:
            """Return how many of so many spends succeeded."""
            done = 0
            for _ in range(count):
                with suppress(Overloaded):
                    assert await holder.spend(tenant_id, one(tokens), soon()) == Spent(
                        shares[tenant_id].rank, TokenSource.LOCAL, safe=True
                    )
                    done += 1
            return done

        assert [await spends(name, 20) for name in shares] == [3, 2, 0]
        clock.now_s += 10
        assert [await spends(name, 20) for name in shares] == [1, 2, 0]
        shares["nothing"] = shares["small"]
        assert await spends("nothing", 20) == 2
        assert holder.refund("small", Charge(9, 9)) == Charge(4, 8)
        assert await spends("small", 20) == 2


@pytest.mark.parametrize("burst", [0, OPTIONS.safe_burst_requests])
async def test_a_refusal_that_still_holds_is_told_while_the_service_is_away(
    service: MemoryService, clock: ManualClock, burst: int
) -> None:
    """Its own time counts, not that after which it would be looked at again; once that is over it is overload."""
    service.rate, service.burst = 0.01, 10.0
    options = replace(OPTIONS, safe_burst_requests=burst, safe_requests_per_s=0.0)
    async with holding(service, options) as holder:
        await holder.spend("acme", one(10), soon())
        with pytest.raises(QuotaExhausted):
            await holder.spend("acme", one(1), soon())
        service.go_down()
        await eventually(lambda: not holder.healthy)
        clock.now_s += 2 * options.recheck_s
        for _ in range(burst):
            assert (await holder.spend("acme", one(1), soon())).source is TokenSource.LOCAL

        with pytest.raises(QuotaExhausted) as refusal:
            await holder.spend("acme", one(1), soon())

        assert refusal.value.retry_delay_s == pytest.approx(100 - 2 * options.recheck_s, abs=0.1)
        assert refusal.value.metadata["scope"] == "tenant"
        clock.now_s += 100
        with pytest.raises(Overloaded):
            await holder.spend("acme", Charge(burst + 1, 1), soon())


async def test_without_a_safe_mode_spenders_are_refused_as_overload(service: MemoryService) -> None:
    """A holder beside its authority has no share of its own to give."""
    service.up = False
    async with holding(service, replace(OPTIONS, safe_burst_requests=0)) as holder:
        await eventually(lambda: not holder.healthy)

        with pytest.raises(Overloaded):
            await holder.spend("acme", one(1), soon())


async def test_what_was_granted_is_spent_first_when_the_service_goes(service: MemoryService) -> None:
    """Losing the service costs nothing while tokens are at hand, and keeps the tenant's rank after that."""
    async with holding(service) as holder:
        await holder.spend("acme", one(1), soon())
        held = holder.held("acme").tokens
        service.go_down()
        await eventually(lambda: not holder.healthy)

        assert await holder.spend("acme", one(held), soon()) == FULL
        assert await holder.spend("acme", one(1), soon()) == Spent(2, TokenSource.LOCAL, safe=True)


@pytest.mark.parametrize(("lived_s", "level"), [(0.0, "warning"), (300.0, "info")])
async def test_an_old_streams_end_is_no_alarm(
    service: MemoryService, clock: ManualClock, lived_s: float, level: str
) -> None:
    """Servers end connections of some minutes so that clients spread anew; only a young stream's end is a warning."""
    with structlog.testing.capture_logs() as lines:
        async with holding(service) as holder:
            await holder.spend("acme", one(1), soon())
            clock.now_s += lived_s
            service.calls[0].fail(grpc.StatusCode.UNAVAILABLE)
            await eventually(lambda: len(service.calls) == 2)

    assert [line["log_level"] for line in lines if line["logger_name"] == "trunkline_lease.stream"][:1] == [level]


async def test_the_service_is_used_again_once_it_is_back(service: MemoryService) -> None:
    """The stream is reopened by itself and refills come from it again."""
    service.up = False
    async with holding(service) as holder:
        await eventually(lambda: not holder.healthy)
        await holder.spend("acme", one(1), soon())

        service.up = True
        await eventually(lambda: holder.healthy)

        assert await holder.spend("acme", one(1), soon()) == FULL


async def test_a_service_that_hangs_costs_two_timeouts(service: MemoryService) -> None:
    """The first spenders wait their time, those at once count once; after the second time nobody waits."""
    options = LeaseOptions(refill_timeout_s=0.05, stuck_s=60.0, backoff_first_s=60.0, backoff_max_s=60.0)
    async with holding_only(service, options) as holder:
        service.answering = False

        crowd = await asyncio.gather(*(holder.spend(tenant, one(1), soon()) for tenant in "abc" for _ in range(2)))
        assert {spent.source for spent in crowd} == {TokenSource.LOCAL}
        assert holder.healthy
        assert (await holder.spend("acme", one(1), soon())).source is TokenSource.LOCAL
        assert not holder.healthy
        spending = holder.spend("acme", one(1), soon())
        with pytest.raises(StopIteration) as ended:
            spending.send(None)

        assert ended.value.value.source is TokenSource.LOCAL


@asynccontextmanager
async def holding_only(service: MemoryService, options: LeaseOptions) -> AsyncIterator[LeaseHolder]:
    """Run a holder that is cancelled in the end instead of closed."""
    holder = service.holder(options)
    running = asyncio.ensure_future(holder.run())
    try:
        yield holder
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_answer_between_two_timeouts_leaves_the_stream_in_trust(service: MemoryService) -> None:
    """Whosever it is: only silence is a reason not to wait."""
    async with holding(service, LeaseOptions(refill_timeout_s=0.05, stuck_s=60.0)) as holder:
        for tenant in ("a", "b", "c"):
            service.answering = False
            assert (await holder.spend(tenant, one(1), soon())).source is TokenSource.LOCAL
            assert holder.healthy
            service.answer_held_back()
            await eventually(lambda tenant=tenant: holder.held(tenant).tokens > 0)  # type: ignore[misc] # its default


async def test_a_late_answer_is_not_lost(service: MemoryService) -> None:
    """After timeouts the stream stays: what comes late can be spent, and spenders wait for answers again."""
    async with holding(service, LeaseOptions(refill_timeout_s=0.02)) as holder:
        service.answering = False
        for _ in range(2):
            assert (await holder.spend("acme", one(1), soon())).source is TokenSource.LOCAL
        assert not holder.healthy

        service.answer_held_back()
        await eventually(lambda: holder.healthy)

        assert await holder.spend("acme", one(1), soon()) == FULL
        assert len(service.calls) == 1


async def test_a_stuck_stream_is_replaced(service: MemoryService, clock: ManualClock) -> None:
    """An ask that nobody answers ends its stream; the next stream works."""
    async with holding(service, replace(OPTIONS, refill_timeout_s=0.02)) as holder:
        service.answering = False
        assert (await holder.spend("acme", one(1), soon())).source is TokenSource.LOCAL

        clock.now_s += OPTIONS.stuck_s
        await eventually(lambda: len(service.calls) == 2)
        service.answering = True
        await eventually(lambda: holder.healthy)

        assert await holder.spend("acme", one(1), soon()) == FULL


async def test_a_short_deadline_does_not_condemn_the_stream(service: MemoryService) -> None:
    """A spender in a hurry takes the safe share; the stream goes on for the others."""
    async with holding(service) as holder:
        service.answering = False

        assert (await holder.spend("acme", one(1), Deadline.after(0.02))).source is TokenSource.LOCAL
        assert holder.healthy
        service.answer_held_back()
        await eventually(lambda: holder.held("acme").tokens > 0)


async def test_an_answer_that_nobody_asked_for_ends_the_stream(service: MemoryService) -> None:
    """Answers are matched by order; one too many must not be counted for the wrong tenant."""
    async with holding(service) as holder:
        await holder.spend("acme", one(1), soon())

        service.calls[-1].put(admission_pb.LeaseResponse(tenant_id="acme", granted_tokens=5))
        await eventually(lambda: len(service.calls) == 2)

        assert holder.held("acme").tokens == OPTIONS.first_ask_tokens - 1


@pytest.mark.parametrize("charge", [NOTHING, Charge(10_001, 1), Charge(1, 10_001)])
async def test_a_spend_of_nothing_or_too_much_is_a_mistake(service: MemoryService, charge: Charge) -> None:
    """A spend is something, and fits into one ask."""
    async with holding(service) as holder:
        with pytest.raises(ValueError, match="at most 10000"):
            await holder.spend("acme", charge, soon())


async def test_try_spend_uses_what_is_at_hand_and_never_waits(service: MemoryService) -> None:
    """Without a lease, or with too little in it, nothing is spent; nothing is not spent either."""
    async with holding(service) as holder:
        assert holder.try_spend("acme", one(1)) is None
        await holder.spend("acme", one(1), soon())
        held = holder.held("acme")

        assert holder.try_spend("acme", one(held.tokens + 1)) is None
        assert holder.held("acme") == held
        assert holder.try_spend("acme", one(held.tokens)) == FULL
        assert holder.try_spend("stranger", NOTHING) is None


async def test_requests_and_tokens_are_spent_together(service: MemoryService) -> None:
    """A tenant out of requests is refused however many tokens it has, and told which limit it was."""
    service.requests_rate, service.requests_burst, service.burst = 1.0, 2.0, 1_000.0
    async with holding(service) as holder:
        await holder.spend("acme", one(1), soon())
        await holder.spend("acme", one(1), soon())
        with pytest.raises(QuotaExhausted) as refusal:
            await holder.spend("acme", one(1), soon())

        assert refusal.value.retry_delay_s == pytest.approx(1.0, abs=0.01)
        assert refusal.value.metadata == {"scope": "tenant", "period": "rate", "unit": "requests"}
        assert await holder.spend("acme", only(5), soon()) == FULL


async def test_a_credential_with_limits_of_its_own_has_a_lease_of_its_own(service: MemoryService) -> None:
    """Asks name the key, and what is held for it is not the tenant's."""
    async with holding(service) as holder:
        await holder.spend("acme", one(1), soon(), key="robot")

        assert [request.key for request in service.requests] == ["robot"]
        assert holder.held("acme") == NOTHING
        assert holder.try_spend("acme", one(1)) is None
        assert holder.try_spend("acme", one(1), "robot") == FULL
        assert holder.refund("acme", one(1), key="robot") == one(1)


async def test_notes_of_a_grant_come_with_every_spend_of_it(service: MemoryService) -> None:
    """A limit that is nearly used up is told as long as the grant lives, by the same shared object."""
    service.notes = [quota_pb.LimitNote(scope=quota_pb.LIMIT_SCOPE_TENANT, used_part=0.9)]
    async with holding(service) as holder:
        first = await holder.spend("acme", one(1), soon())
        second = holder.try_spend("acme", one(1))

        assert [note.used_part for note in first.notes] == [0.9]
        assert second is first


async def test_a_long_refusal_is_looked_at_again(service: MemoryService, clock: ManualClock) -> None:
    """A day's limit that is raised meanwhile helps within `recheck_s`, though the refusal spoke of hours."""
    service.rate, service.burst = 0.001, 10.0
    async with holding(service) as holder:
        await holder.spend("acme", one(10), soon())
        with pytest.raises(QuotaExhausted) as refusal:
            await holder.spend("acme", one(8), soon())
        assert (refusal.value.retry_delay_s or 0) > 1000
        service.forget("acme")

        clock.now_s += OPTIONS.recheck_s
        assert await holder.spend("acme", one(8), soon()) == FULL


async def test_what_is_refunded_after_its_grant_was_void_goes_back_to_the_service(
    service: MemoryService, clock: ManualClock
) -> None:
    """A permit that ends long after its lease loses nothing for the tenant."""
    async with holding(service) as holder:
        await holder.spend("acme", one(5), soon())
        clock.now_s += service.valid_s + 1
        await settle()
        before = service.returned["acme"]

        assert holder.refund("acme", one(5)) == one(5)
        await settle()

        assert service.returned["acme"] - before == 5
        assert service.returned_requests["acme"] >= 1


async def test_drawing_takes_what_is_there_of_both(service: MemoryService) -> None:
    """What is passed on is at most what is held, and nothing if one of both is missing."""
    async with holding(service) as holder:
        assert holder.draw("acme", one(5)) == Drawn(NOTHING)
        await settle()

        drawn = holder.draw("acme", Charge(1000, 1000))

        assert drawn.spent == FULL
        assert drawn.charge == Charge(1000, service.granted["acme"]).at_most(
            Charge(service.granted_requests["acme"], 1000)
        )
        assert holder.held("acme") == NOTHING


def ahead(holder: LeaseHolder, wanted: Charge, limit: Charge) -> Charge:
    return holder.draw("acme", wanted, advance=limit).charge


async def test_advances_are_booked_once_and_bounded_until_a_grant(service: MemoryService) -> None:
    """At most the limit is out; a grant makes room again; a refusal does not."""
    limit = Charge(10, 50)
    async with holding(service) as holder:
        service.answering = False
        await settle()
        assert ahead(holder, Charge(4, 20), limit) == Charge(4, 20)
        assert ahead(holder, Charge(100, 100), limit) == Charge(6, 30)
        assert ahead(holder, one(1), limit) == NOTHING

        service.answer_held_back()
        await settle()

        assert service.advanced["acme"] == limit
        assert holder.stats.advances == limit.requests
        assert holder.held("acme").requests > 0
        while ahead(holder, Charge(1, 5), NOTHING):
            pass
        # The first ask left with 4 of them, so only those are covered by its grant.
        assert ahead(holder, Charge(100, 100), limit) == Charge(4, 20)


async def test_a_refused_tenant_gets_no_advance(service: MemoryService, clock: ManualClock) -> None:
    """What the service has refused is told, and not given in advance again, until it grants."""
    service.rate, service.burst = 0.1, 0.5
    async with holding(service) as holder:
        assert ahead(holder, one(5), Charge(1, 5)) == one(5)
        told = []
        for _ in range(20):
            clock.now_s += 0.01
            drawn = holder.draw("acme", one(5), advance=Charge(1, 5))
            told += [drawn.refused] if drawn.refused is not None else []
            await settle()

        assert {refused.scope for refused in told} == {quota_pb.LIMIT_SCOPE_TENANT}
        assert holder.stats.advances == 1


async def test_an_advance_whose_booking_was_lost_is_booked_again(service: MemoryService) -> None:
    """A stream that breaks with a booking on it may have it counted twice, and never not at all."""
    async with holding(service) as holder:
        service.answering = False
        await settle()
        assert ahead(holder, one(5), Charge(10, 50)) == one(5)
        await eventually(lambda: len(service.held_back) == 1)

        service.go_down()
        await eventually(lambda: not holder.healthy)
        service.up = service.answering = True
        await eventually(lambda: holder.healthy)
        await holder.spend("acme", one(1), soon())

        assert service.advanced["acme"] == one(5)
