"""Permits: once for each request id, settled once, and what nobody settles comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.admission.quota_world import QuotaWorld, quota_world, settle
from tests.unit.lease.memory_service import eventually

from trunkline_admission.permit_table import MIN_TENANT_PERMITS, Permit, PermitTable
from trunkline_admission.permits import AdmitWish, Permits
from trunkline_admission.quota import Period, Unit
from trunkline_lease import Charge, LeaseHolder, Spent, TokenSource
from trunkline_map.entries import KeyLimit, TenantEntry, TenantLimits
from trunkline_map.testing import static_map, tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    DomainError,
    FieldInvalid,
    PermitExpired,
    PermitUnknown,
    QuotaExhausted,
    RequestIdReused,
    ResidencyRouterOutside,
    TenantSuspended,
    TenantUnknown,
)

SMALL = TenantEntry("small", "pro", frozenset({"us"}), limits=TenantLimits(requests_per_minute=6), revision=1)
"""Bursts of 12 requests and 600 tokens."""
BURST = Charge(12, 600)
ENTRIES = (
    SMALL,
    tenant("acme", "us", tier="enterprise"),
    tenant("gone", "us", suspended=True),
    tenant("gdpr", "eu"),
    replace(SMALL, tenant_id="keyed", key_limits=(KeyLimit("robot", 1, 3),)),
)


class Desk:
    """A replica: its permits, the leases they come from, and the world around."""

    def __init__(self, world: QuotaWorld, permits: Permits, holder: LeaseHolder) -> None:
        self.world = world
        self.permits = permits
        self.holder = holder

    async def admit(
        self, request_id: str, tokens: int = 5, *, tenant_id: str = "small", requests: int = 1, subject: str = "caller"
    ) -> Permit:
        wish = AdmitWish(tenant_id, request_id, Charge(requests, tokens), subject)
        return self.permits.admit_now(wish) or await self.permits.admit(wish, Deadline.after(30))

    async def day(self) -> int:
        """Return the requests that are counted in the day of `small`."""
        await settle()
        states = await self.world.authorities["us"].states(self.world.tenants.now("small"))
        return next(state.used for state in states if state.period is Period.DAY)

    async def in_use(self) -> Charge:
        """Return what is charged to `small` or reserved by it: missing in its buckets, and not held as a lease."""
        await settle()
        states = await self.world.authorities["us"].states(self.world.tenants.now("small"))
        requests, tokens = (
            next(state.used for state in states if state.unit is unit and state.period is Period.RATE)
            for unit in (Unit.REQUESTS, Unit.TOKENS)
        )
        return Charge(requests, tokens).less(self.holder.held("small"))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with quota_world(lambda: QuotaWorld(*ENTRIES)) as world:
        holder = world.holder("us")
        yield Desk(world, world.permits("us", holder, max_permits=8), holder)


async def test_a_permit_tells_what_was_reserved(desk: Desk) -> None:
    """Charge, rank, tier and when it ends, by the wall clock."""
    permit = await desk.admit("r1", 7, requests=2)

    assert (permit.charge, permit.spent.rank, permit.tier) == (Charge(2, 7), 1, "pro")
    assert permit.expires_at_s == desk.world.now_s + 60.0


async def test_an_admission_from_a_lease_at_hand_does_not_wait(desk: Desk) -> None:
    """The second request of a tenant is decided without giving up the turn, and without the store."""
    await desk.admit("r1")
    asked = desk.world.stores["us"].calls

    permit = desk.permits.admit_now(AdmitWish("small", "r2", Charge(1, 5), "caller"))

    assert permit is not None
    assert desk.world.stores["us"].calls == asked


async def test_one_request_id_is_one_permit(desk: Desk) -> None:
    """Repeats, also concurrent ones, get the same permit; other contents are refused; other tenants have their own."""
    permits = await asyncio.gather(*(desk.admit("r1", 30) for _ in range(6)))

    assert {permit.permit_id for permit in permits} == {permits[0].permit_id}
    assert (await desk.admit("r1", 30)).permit_id == permits[0].permit_id
    assert await desk.in_use() == Charge(1, 30)
    for tokens, requests in ((31, 1), (30, 2)):
        with pytest.raises(RequestIdReused):
            await desk.admit("r1", tokens, requests=requests)
    assert (await desk.admit("r1", 30, tenant_id="acme")).permit_id != permits[0].permit_id


async def test_a_refused_request_may_come_again(desk: Desk) -> None:
    """A refusal keeps nothing: the same request id is decided anew."""
    await desk.admit("r1", 600)
    with pytest.raises(QuotaExhausted) as refusal:
        await desk.admit("r2", 60)

    desk.world.now_s += (refusal.value.retry_delay_s or 0) + 2.0
    assert (await desk.admit("r2", 60)).charge == Charge(1, 60)


async def test_a_cancelled_caller_does_not_hold_its_request_up(desk: Desk) -> None:
    """Whoever repeats the request goes on where the first one left."""
    wish = AdmitWish("small", "r1", Charge(1, 5), "caller")
    leaving = asyncio.ensure_future(desk.permits.admit(wish, Deadline.after(30)))
    await asyncio.sleep(0)
    staying = asyncio.ensure_future(desk.permits.admit(wish, Deadline.after(30)))
    await asyncio.sleep(0)

    leaving.cancel()
    permit = await staying

    assert permit.request_id == "r1"
    assert await desk.in_use() == Charge(1, 5)


async def test_settling_gives_the_rest_back_once(desk: Desk) -> None:
    """The same end again changes nothing; another end, another tenant and other ids are unknown."""
    permit = await desk.admit("r1", 30)

    assert [desk.permits.settle("small", permit.permit_id, 10) for _ in range(3)] == [20, 20, 20]
    assert await desk.in_use() == Charge(1, 10)
    for tenant_id, permit_id, charged, cancelled in (
        ("small", permit.permit_id, 11, False),
        ("small", permit.permit_id, 10, True),
        ("acme", permit.permit_id, 10, False),
        ("small", "", 10, False),
        ("small", f"{permit.permit_id}0", 10, False),
    ):
        with pytest.raises(PermitUnknown):
            desk.permits.settle(tenant_id, permit_id, charged, cancelled=cancelled)


async def test_cancelled_work_gives_its_request_back(desk: Desk) -> None:
    """What was not begun costs nothing; what was cut off costs its tokens alone."""
    first, second = await desk.admit("r1", 30), await desk.admit("r2", 30)

    assert desk.permits.settle("small", first.permit_id, 0, cancelled=True) == 30
    assert desk.permits.settle("small", second.permit_id, 20, cancelled=True) == 10

    assert await desk.in_use() == Charge(0, 20)


async def test_more_than_was_reserved_cannot_be_charged(desk: Desk) -> None:
    """The field is named, and the permit stays open."""
    permit = await desk.admit("r1", 5)

    with pytest.raises(FieldInvalid) as refusal:
        desk.permits.settle("small", permit.permit_id, 6)

    assert [violation.field for violation in refusal.value.violations] == ["charged_tokens"]
    assert desk.permits.settle("small", permit.permit_id, 5) == 0


async def test_what_nobody_settles_comes_back(desk: Desk) -> None:
    """An orphan expires, returns all that it reserved, to the store if its lease is void, and is told apart."""
    permit, settled = await desk.admit("r1", 300, requests=6), await desk.admit("r2", 10)
    desk.permits.settle("small", settled.permit_id, 10)
    desk.world.now_s += 4.5
    await eventually(lambda: not desk.holder.held("small"))  # what idles goes back before it is void
    desk.world.now_s += 60.0
    before = await desk.day()

    assert desk.permits.expire() == 1

    assert len(desk.permits) == 0
    assert (before, await desk.day()) == (7, 1)
    with pytest.raises(PermitExpired):
        desk.permits.settle("small", permit.permit_id, 0)
    with pytest.raises(PermitUnknown):
        desk.permits.settle("acme", permit.permit_id, 0)
    with pytest.raises(PermitUnknown):
        desk.permits.settle("small", settled.permit_id, 10)
    assert (await desk.admit("r1", 5)).permit_id != permit.permit_id


async def test_a_permit_past_its_time_is_not_settled_though_nobody_looked(desk: Desk) -> None:
    """Settling in the very instant of the end is too late, whenever the table was last swept."""
    permit = await desk.admit("r1", 5)
    desk.world.now_s += 60.0

    with pytest.raises(PermitExpired):
        desk.permits.settle("small", permit.permit_id, 5)


async def test_permits_are_bounded(desk: Desk) -> None:
    """The oldest makes room and counts as spent: its reservation may be in use, so it does not come back."""
    permits = [await desk.admit(f"r{number}", 1, tenant_id="acme") for number in range(20)]

    assert len(desk.permits) == 8
    with pytest.raises(PermitUnknown):
        desk.permits.settle("acme", permits[0].permit_id, 0)
    assert desk.permits.settle("acme", permits[-1].permit_id, 0) == 1


async def test_a_tenant_that_admits_and_cancels_takes_nobodys_permit(desk: Desk) -> None:
    """A loop of admissions and cancellations, longer than the table, leaves the others' refunds and repeats alone."""
    permits = desk.world.permits("us", desk.holder, max_permits=1000)
    busy = Desk(desk.world, permits, desk.holder)
    victim = await busy.admit("victim", 9, tenant_id="acme")
    for number in range(1200):
        permit = await busy.admit(f"r{number}", 1)
        permits.settle("small", permit.permit_id, 0, cancelled=True)

    assert len(permits) == 1 + MIN_TENANT_PERMITS
    assert (await busy.admit("victim", 9, tenant_id="acme")).permit_id == victim.permit_id
    assert permits.settle("acme", victim.permit_id, 1) == 8


class Shelf:
    """A table of permits alone, named by tenant and number."""

    def __init__(self, max_permits: int) -> None:
        self.table = PermitTable(max_permits)

    def add(self, name: str, *, settled: bool = False, ends_at_s: float = 10.0) -> None:
        spent = Spent(1, TokenSource.AUTHORITY)
        tenant_id = name.rstrip("0123456789")
        permit = self.table.add(Permit(name, tenant_id, name, "", "pro", Charge(1, 1), spent, ends_at_s, ends_at_s))
        if settled:
            self.table.settle(permit, 1, cancelled=False)

    def has(self, *names: str) -> list[bool]:
        return [self.table.get(name) is not None for name in names]


def test_settled_permits_make_room_first() -> None:
    """Whosever they are, the one that was settled first goes first; only then the oldest open one."""
    shelf = Shelf(4)
    for name, settled in (("a1", False), ("b1", True), ("b2", False), ("a2", True)):
        shelf.add(name, settled=settled)
    shelf.add("c1")
    assert shelf.has("a1", "b1", "b2", "a2", "c1") == [True, False, True, True, True]
    shelf.add("c2")
    assert shelf.has("a1", "b2", "a2", "c1", "c2") == [True, True, False, True, True]
    shelf.add("c3")
    assert shelf.has("a1", "b2", "c1", "c2", "c3") == [False, True, True, True, True]


def test_a_tenant_beyond_its_part_makes_room_itself() -> None:
    """A tenth of the table is each one's; beyond it its own settled permits go, then its own oldest."""
    shelf = Shelf(2000)
    shelf.add("other0", settled=True)
    for number in range(200):
        shelf.add(f"a{number}", settled=number == 150)
    shelf.add("a200")
    assert shelf.has("other0", "a0", "a150", "a200") == [True, True, False, True]
    shelf.add("a201")
    assert shelf.has("other0", "a0", "a1", "a201") == [True, False, True, True]
    assert len(shelf.table) == 201


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 2)), max_size=60))
def test_the_table_is_bounded_and_forgets_all_in_time(adds: list[tuple[str, bool, int]]) -> None:
    """Over any order of tenants and settlements: never more than it holds, and nothing is left after the last end."""
    shelf, now_s = Shelf(7), 0.0
    for number, (tenant_id, settled, passes) in enumerate(adds):
        now_s += passes
        shelf.table.expire(now_s)
        shelf.add(f"{tenant_id}{number}", settled=settled, ends_at_s=now_s + 10.0)
        assert len(shelf.table) <= 7
        assert shelf.has(f"{tenant_id}{number}") == [True]
    shelf.table.expire(now_s + 10.0)
    assert len(shelf.table) == 0
    assert shelf.table.of_request("a", "a0") is None


def test_expired_ids_are_remembered_within_bounds() -> None:
    """A flood of orphans does not grow the memory without end; settled ones are not remembered at all."""
    table, spent = PermitTable(100, max_remembered=3), Spent(1, TokenSource.AUTHORITY)
    for number in range(8):
        table.add(Permit(f"p{number}", "acme", f"r{number}", "", "pro", Charge(1, 1), spent, 10.0, 10.0))
    settled = table.get("p7")
    assert settled is not None
    table.settle(settled, 1, cancelled=False)

    assert len(table.expire(10.0)) == 7

    assert [table.expired_lately(f"p{number}", "acme") for number in range(8)] == [False] * 4 + [True] * 3 + [False]
    assert not table.expired_lately("p6", "other")


@pytest.mark.parametrize(
    ("tenant_id", "error"),
    [("nobody", TenantUnknown), ("gone", TenantSuspended), ("gdpr", ResidencyRouterOutside)],
)
async def test_who_may_not_spend_here_leaves_no_trace(desk: Desk, tenant_id: str, error: type[DomainError]) -> None:
    """Unknown and suspended tenants, and those of elsewhere, cost neither memory nor the store."""
    for number in range(1000):
        with pytest.raises(error):
            await desk.admit(f"r{number}", tenant_id=tenant_id)

    assert len(desk.permits) == 0
    assert desk.holder.stats.asks == 0
    assert desk.world.stores["us"].calls == 0


async def test_a_credential_with_limits_of_its_own_is_held_to_them(desk: Desk) -> None:
    """Three requests a day for the robot; the tenant's other credentials go on."""
    for number in range(2):
        await desk.admit(f"r{number}", tenant_id="keyed", subject="robot")
    with pytest.raises(QuotaExhausted) as refusal:
        await desk.admit("r3", tenant_id="keyed", subject="robot")

    assert refusal.value.metadata["scope"] == "key"
    assert (await desk.admit("r4", tenant_id="keyed")).key == ""


async def test_an_hour_back_changes_nothing(desk: Desk) -> None:
    """Permits end by the monotonic clock: a wall clock that jumps neither ends nor prolongs them."""
    monotonic = desk.world.now_s
    permits = Permits(
        desk.world.tenants,
        desk.holder,
        require_inside=desk.world.homes["us"].require_inside,
        ttl_s=60.0,
        max_permits=8,
        clock=lambda: monotonic,
        wall_clock=desk.world.clock,
    )
    permit = await permits.admit(AdmitWish("small", "r1", Charge(1, 5), "caller"), Deadline.after(30))
    desk.world.now_s -= 3600.0

    assert permits.expire() == 0
    assert permits.settle("small", permit.permit_id, 5) == 0


async def test_a_map_token_is_waited_for(desk: Desk) -> None:
    """What a request has seen in the map holds for it: it is never admitted from an older one."""
    ahead = static_map(revision=desk.world.source.snapshot.revision + 1).snapshot.token
    wish = AdmitWish("new", "r1", Charge(1, 5), "caller", ahead)
    assert desk.permits.admit_now(wish) is None
    waiting = asyncio.ensure_future(desk.permits.admit(wish, Deadline.after(30)))
    await settle()

    desk.world.source.put(tenant("new", "us"))

    assert (await waiting).tenant_id == "new"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), st.integers(0, 12), st.integers(1, 60)),
        st.tuples(st.just("settle"), st.integers(0, 12), st.integers(0, 60)),
        st.tuples(st.just("cancel"), st.integers(0, 12), st.integers(0, 60)),
        st.tuples(st.just("wait"), st.integers(1, 70), st.just(0)),
    ),
    max_size=50,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_what_is_charged_or_reserved_never_exceeds_the_limit(steps: list[tuple[str, int, int]]) -> None:
    """Over any order of admissions, settlements, cancellations and expiries: burst and refill bound what is in use."""
    asyncio.run(_history(steps))


async def _history(steps: list[tuple[str, int, int]]) -> None:
    async with quota_world(lambda: QuotaWorld(*ENTRIES)) as world:
        holder = world.holder("us")
        desk = Desk(world, world.permits("us", holder, max_permits=100), holder)
        begun_s, charged = world.now_s, Charge(0, 0)
        open_: dict[str, Permit] = {}
        for kind, number, tokens in steps:
            name = f"r{number}"
            if kind == "admit":
                try:
                    permit = await desk.admit(name, tokens)
                except (QuotaExhausted, RequestIdReused):
                    continue
                if permit.settled is None:  # else it is a repeat of a request that has ended
                    open_[name] = permit
            elif kind == "wait":
                world.now_s += number
                desk.permits.expire()
                open_ = {name: permit for name, permit in open_.items() if permit.ends_at_s > world.now_s}
            elif name in open_:
                permit, cut = open_.pop(name), kind == "cancel"
                cost = min(tokens, permit.charge.tokens)
                left = desk.permits.settle("small", permit.permit_id, cost, cancelled=cut)
                assert left == permit.charge.tokens - cost
                charged += Charge(0 if cut else permit.charge.requests, cost)
            await settle()
            used = sum((permit.charge for permit in open_.values()), charged)
            elapsed_s = world.now_s - begun_s
            assert used.within(Charge(int(BURST.requests + elapsed_s * 0.1), int(BURST.tokens + elapsed_s * 5)))


async def test_a_cost_above_the_bucket_is_never_told_to_come_back(desk: Desk) -> None:
    """However full the bucket is, and for a credential's own limits, too; what fits is admitted."""
    wishes = (("small", 601, 1, "caller"), ("small", 5, 13, "caller"), ("keyed", 5, 3, "robot"))
    for tenant_id, tokens, requests, subject in wishes:
        for attempt in range(3):
            with pytest.raises(QuotaExhausted) as refusal:
                await desk.admit(f"{tokens}-{attempt}", tokens, tenant_id=tenant_id, requests=requests, subject=subject)
            assert refusal.value.retry_delay_s is None
            told = dict(refusal.value.metadata)
            assert (told["scope"], told["limit"]) == {
                601: ("tenant", "600"),
                5: ("key", "2") if subject == "robot" else ("tenant", "12"),
            }[tokens]
            desk.world.now_s += 30.0
    assert (await desk.admit("fits", 600, requests=12)).charge == BURST
