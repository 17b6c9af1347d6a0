"""Every law can be broken: a broken limiter, authority or pool is told, and a sound one is not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.sim.checked import CheckedAuthority
from tests.sim.laws import KINDS, Laws
from tests.sim.loop import VirtualLoop
from tests.sim.lua_store import LuaStore
from tests.sim.pool_book import PoolBook
from tests.sim.quota_book import QuotaBook
from tests.sim.server import Server
from tests.sim.share_book import PoolCall, ShareBook
from tests.sim.slot_book import SlotBook
from tests.sim.virtual_deadline import VirtualDeadline

from trunkline_admission.pool_config import PoolConfig
from trunkline_admission.pool_share import Piece
from trunkline_admission.quota import Grant, Limits, Period, QuotaSource, Refusal, Scope, TenantQuota, Unit
from trunkline_lease.charge import NOTHING, Charge
from trunkline_mesh.clock import Clock
from trunkline_mesh.errors import DomainError
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_tiers import default_tiers, rank_table

TIERS = default_tiers()
TABLE = rank_table(TIERS, "gpu")


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.close()


class KeepingLimiter(CapacityLimiter):
    """Tells that a slot is held when none is."""

    @property
    def slots_in_use(self) -> float:
        return 1.0


def limiter_with(fault: str, clock: Clock) -> CapacityLimiter:
    """Return a limiter of two slots that lets everybody in, or nobody who has to wait, or keeps what comes back."""
    kind = KeepingLimiter if fault == "keeps" else CapacityLimiter
    limiter = kind(max_concurrency=2, max_queue=64, max_queue_per_tenant=64, table=TABLE, clock=clock)
    if fault == "all":
        limiter._pool.fits = lambda *_: True  # type: ignore[method-assign]  # that is the fault
    if fault == "deaf":
        limiter.room.dispatch = lambda: None  # type: ignore[method-assign]  # that is the fault
    return limiter


def served(loop: VirtualLoop, calls: Callable[[Server], Awaitable[None]], fault: str) -> Laws:
    """Run calls against a server of two slots whose limiter has a fault."""
    laws, dirty = Laws(), dict[Server, None]()
    server = Server("s", 2, TABLE, laws, loop, dirty, random.Random(1), limiter_with(fault, loop.time))

    def look() -> None:
        for each in dirty:
            each.look()
        dirty.clear()

    loop.before_jump = look
    loop.run_until_complete(calls(server))
    server.close()
    return laws


async def crowd(server: Server) -> None:
    """Twelve calls of all ranks at once, with time for all of them."""

    async def one(number: int) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        try:
            await server.work(f"t{number}", number % 3, VirtualDeadline(loop.time() + 10.0, loop), 0.05)
        except DomainError:
            return

    await asyncio.gather(*(one(number) for number in range(12)))


@pytest.mark.parametrize(
    ("fault", "kind"), [("", None), ("all", "over_slots"), ("deaf", "idle_slot"), ("keeps", "lost_slot")]
)
def test_a_broken_limiter_is_told_from_a_sound_one(loop: VirtualLoop, fault: str, kind: str | None) -> None:
    """More at once than slots, free slots while somebody waits, and slots that nobody gave back are violations."""
    laws = served(loop, crowd, fault)
    broken = {name for name in KINDS if laws.counts[name]}
    assert (kind in broken) if kind else not broken, laws.examples


def book_of_waits(laws: Laws, starts: Callable[[int], int]) -> None:
    """Tell a book that ranks 0 and 2 wait without a pause for one slot while `starts` says who is served."""
    now_s, running = [0.0], 2
    server_book = SlotBook("s", 1, TABLE, laws, lambda: now_s[0])
    server_book.asks(running)
    server_book.starts(running, 0.0, promised=False)
    for rank in (0, 2):
        for _ in range(400):
            server_book.asks(rank)
    for number in range(300):
        now_s[0] += 0.05
        server_book.ends(running)
        running = starts(number)
        server_book.starts(running, 0.05, promised=False)


def test_a_rank_that_waits_and_gets_next_to_nothing_starves() -> None:
    """Serving the highest rank alone breaks the law; serving by weight, 1 to 15, does not."""
    unfair, fair = Laws(), Laws()
    book_of_waits(unfair, lambda number: 2)
    book_of_waits(fair, lambda number: 0 if number % 16 == 0 else 2)
    assert unfair.counts["starved"] > 0
    assert fair.total == 0


class FixedAuthority:
    """Grants what it is told to grant, whoever asks: every law's broken authority."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        return self.grant

    async def states(self, quota: TenantQuota, key: str = "") -> tuple[()]:
        return ()


class Books:
    """A checked authority with its books, at a clock of its own."""

    def __init__(self, grant: Grant, tier: str = "free") -> None:
        self.laws = Laws()
        self.now_s = 1_773_878_400.0 + 3600
        self.book = QuotaBook(TIERS, {"t": (tier, "UTC")}, self.laws, lambda: self.now_s)
        self.pools = PoolBook(
            "us", TIERS, tenants={"free": 550}, slack=0, reclaim_bound_s=4.0, laws=self.laws, clock=lambda: self.now_s
        )
        self.authority = CheckedAuthority(FixedAuthority(grant), self.book, self.pools)
        self.quota = TenantQuota("t", tier, TIERS.tiers[tier].rank, Limits(None, None), 0.2)

    async def take(self, times: int, every_s: float) -> None:
        for _ in range(times):
            await self.authority.take(self.quota, Charge(1, 5))
            self.now_s += every_s


def granted(requests: int) -> Grant:
    return Grant(Charge(requests, requests * 5), QuotaSource.AUTHORITY)


async def test_more_than_burst_and_rate_is_over_granted() -> None:
    """A free tenant's burst is 40: 45 at once are too many, 40 are not."""
    sound, broken = Books(granted(1)), Books(granted(1))
    await sound.take(40, 0.0)
    await broken.take(45, 0.0)
    assert sound.laws.total == 0
    assert broken.laws.counts["over_grant"] > 0


async def test_more_than_the_day_is_told_wherever_it_shows() -> None:
    """A free tenant's day has 100 requests: the 101st breaks the law, granted or served."""
    books = Books(granted(1))
    await books.take(100, 60.0)
    assert books.laws.total == 0
    await books.take(1, 60.0)
    assert books.laws.counts["over_day"] == 1
    for _ in range(101):
        books.book.spent("t", 1)
    assert books.laws.counts["over_day"] == 2


async def test_what_is_served_without_a_grant_is_unpaid() -> None:
    """A request that nothing was granted for is told; an allowed advance is not."""
    books = Books(granted(1))
    books.book.allow_advance("t", 2)
    books.book.spent("t", 1)
    books.book.spent("t", 1)
    assert books.laws.total == 0
    books.book.spent("t", 1)
    assert books.laws.counts["unpaid"] == 1
    books.book.refunded("t", 1)
    books.book.spent("t", 1)
    assert books.laws.counts["unpaid"] == 2


async def test_pools_are_not_overdrawn_nor_lent_too_deep() -> None:
    """A pool's burst is what refills in a time; free tenants may borrow nothing beyond theirs."""
    burst = int(TIERS.tiers["free"].pool.requests_per_s * TIERS.pool_burst_s)
    books = Books(granted(1))
    books.pools.granted("free", burst, 0)
    assert books.laws.total == 0
    books.pools.granted("free", 10, 0)
    assert books.laws.counts["over_pool"] > 0


REFUSED = Grant(NOTHING, QuotaSource.AUTHORITY, Refusal(Scope.TIER, Period.RATE, Unit.REQUESTS, 1.0))


async def test_a_lender_that_does_not_get_its_own_back_is_told() -> None:
    """A pool of pro that lent some must not refuse for longer than the bound; being served in time is a reclaim."""
    books = Books(REFUSED, "pro")
    books.pools.drew(PoolCall("enterprise", {"pro": 5}, {}))
    await books.take(4, 1.0)
    books.pools.granted("pro", 1, 0)
    assert books.laws.total == 0
    assert books.pools.refused_s == [pytest.approx(4.0)]
    await books.take(10, 1.0)
    assert books.laws.counts["lender_floor"] > 0


async def test_a_lender_of_everything_is_not_refused_once_nobody_borrows() -> None:
    """Free lends its whole pool: while others draw from it no refusal breaks a law, and soon after that each one."""
    books = Books(REFUSED)
    for _ in range(20):
        books.pools.drew(PoolCall("pro", {"free": 1}, {}))
        await books.take(1, 1.0)
    assert books.laws.total == 0
    await books.take(8, 1.0)
    assert books.laws.counts["lender_floor"] > 0


def held_for(held_s: float, *, spent: int) -> tuple[Laws, ShareBook]:
    """Tell a book of a draw of 2 of its own and 8 lent ones, and what is left of them `held_s` seconds later."""
    laws, now_s = Laws(), [100.0]
    book = ShareBook("us", 4.0, laws, lambda: now_s[0])
    book.drew(PoolCall("pro", {"pro": 2, "free": 8}, {}))
    book.granted("pro", spent, 0)
    now_s[0] += held_s
    book.drew(PoolCall("pro", {"pro": 0}, {"free": 10 - spent}))
    book.close()
    return laws, book


def test_what_was_drawn_and_not_used_is_back_in_time_or_told() -> None:
    """A share that comes back within the bound is a reclaim, one that comes later breaks the law."""
    in_time, book = held_for(3.0, spent=4)
    assert in_time.total == 0
    assert book.reclaims_s == [pytest.approx(3.0)]
    assert held_for(5.0, spent=4)[0].counts["late_share"] == 1


def test_what_was_used_need_not_come_back() -> None:
    """Requests that a tenant was granted are no part of the share any more."""
    laws, book = held_for(5.0, spent=10)
    assert laws.total == 0
    assert book.reclaims_s == []


def test_a_share_that_never_comes_back_is_told_at_the_end() -> None:
    """Nothing else may happen in a pool: what is held too long is told when the run ends."""
    laws, now_s = Laws(), [0.0]
    book = ShareBook("us", 4.0, laws, lambda: now_s[0])
    book.drew(PoolCall("pro", {"pro": 5}, {}))
    book.granted("pro", 2, 0)
    now_s[0] = 4.5
    book.close()
    assert laws.counts["late_share"] == 1


def test_a_pool_call_is_read_as_it_goes_over_the_wire() -> None:
    """Who takes, from whose pools, and what comes back: as `PoolConfig` writes it and the script answers."""
    config = PoolConfig(TIERS)
    args = config.arguments("take", 0, "pro", 7, Piece(1, {"free": 2}))
    answer = LuaStore(lambda: 1e9).run_now("pool", ["p"], args)
    call = PoolCall.read(args, answer)
    assert call == PoolCall("pro", {"free": 0, "pro": 7, "enterprise": 0}, {"free": 2, "pro": 1, "enterprise": 0})
    owing = config.arguments("take", 0, "pro", 7, Piece(1, {"free": 2}), 3)
    assert PoolCall.read(owing, answer) == PoolCall("pro", call.taken, call.back, 3)
