"""Laws of the authority's scripts under any order of events, kept account of beside them."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.contract.quota_subject import DAY_S, NOON_S
from tests.sim.lua_store import LuaStore

from trunkline_admission.periods import Periods
from trunkline_admission.quota import BucketLimit, CountLimit, Limits, Period, TenantQuota, Unit
from trunkline_admission.redis_quota import RedisQuota
from trunkline_lease.charge import NOTHING, Charge
from trunkline_tiers import default_tiers

RATES = Limits(BucketLimit(0.5, 10), BucketLimit(2.0, 30))
DAY_LIMIT, MONTH_LIMIT = 40, 90
COUNTS = Limits(
    None,
    None,
    (
        CountLimit(Period.DAY, Unit.REQUESTS, DAY_LIMIT, 0.8),
        CountLimit(Period.MONTH, Unit.REQUESTS, MONTH_LIMIT, 0.8),
    ),
)
TINY = 1e-6

FULL_DAY = [("take", Charge(15, 0), NOTHING, NOTHING)] * 4
GIVE_BACK = ("take", NOTHING, Charge(15, 0), NOTHING)

charges = st.builds(Charge, st.integers(0, 15), st.integers(0, 40))
steps = st.one_of(
    st.tuples(st.just("take"), charges, charges, charges),
    st.tuples(st.just("wait"), st.floats(0, 20)),
    st.tuples(st.just("jump"), st.sampled_from([-3600.0, 3600.0, -5.0, 43_200.0, 86_400.0, 15.0 * DAY_S])),
)


@dataclass
class Granted:
    """Requests that may come back."""

    at_s: float
    day: int
    month: int
    requests: int


@dataclass
class World:
    """An authority, its time, and who holds what."""

    limits: Limits
    at_s: float = float(NOON_S)
    held: Charge = NOTHING
    """Granted and not returned."""
    quotas: RedisQuota = field(init=False)

    def __post_init__(self) -> None:
        self.store = LuaStore(lambda: self.at_s)
        self.quotas = RedisQuota(
            self.store, default_tiers(), key_prefix="t", clock=lambda: self.at_s, wall_clock=lambda: self.at_s
        )
        self.quota = TenantQuota("acme", "enterprise", 2, self.limits, 0.5)

    async def take(self, wanted: Charge, returned: Charge, advanced: Charge) -> tuple[Charge, Charge]:
        """Return what was granted, and what was put back: at most what is held."""
        back = returned.at_most(self.held)
        grant = await self.quotas.take(self.quota, wanted, back, advanced=advanced)
        self.held = (self.held + grant.granted + advanced).less(back)
        assert grant.granted.within(wanted)
        assert not (wanted.requests and wanted.tokens) or bool(grant.granted.requests) == bool(grant.granted.tokens)
        return grant.granted, back


@settings(max_examples=60)
@given(st.lists(steps, max_size=40))
def test_no_bucket_grants_more_than_its_burst_and_what_flowed_in(history: list[tuple]) -> None:  # type: ignore[type-arg]  # of several shapes
    """Over any history, what is held is within burst + rate * t + what was advanced; leaps ahead are worth a burst."""

    async def run() -> None:
        world, flowed_s, advanced_r, advanced_t = World(RATES), 0.0, 0, 0
        for step in history:
            if step[0] == "take":
                await world.take(*step[1:])
                advanced_r, advanced_t = advanced_r + step[3].requests, advanced_t + step[3].tokens
            else:
                world.at_s += step[1]
                flowed_s += max(0.0, step[1])
            assert world.held.requests <= 10 + 0.5 * flowed_s + advanced_r + TINY
            assert world.held.tokens <= 30 + 2.0 * flowed_s + advanced_t + TINY
        await world.quotas.aclose()

    asyncio.run(run())


@settings(max_examples=60)
@given(st.lists(steps, max_size=40))
@example([("jump", 43_195.0), *FULL_DAY, ("wait", 10.0), *FULL_DAY, GIVE_BACK, *FULL_DAY])
@example([("jump", 43_260.0), *FULL_DAY, ("jump", -3600.0), *FULL_DAY, ("jump", 3600.0), *FULL_DAY])
def test_no_day_and_no_month_grants_more_than_its_number(history: list[tuple]) -> None:  # type: ignore[type-arg]  # of several shapes
    """By the store's clock, put back an hour now and then, each day and month keeps to its limit, advances aside.

    What comes back is of the day in which it was granted; a clock that jumps voids what is held.
    """

    async def run() -> None:
        world, periods = World(COUNTS), Periods()
        day, month = 0, 0
        used: Counter[tuple[str, int]] = Counter()
        grants: list[Granted] = []
        for step in history:
            if step[0] != "take":
                world.at_s += step[1]
                grants = [grant for grant in grants if step[0] == "wait" and world.at_s - grant.at_s < 60]
                world.held = Charge(sum(grant.requests for grant in grants), 0)
                continue
            window = periods.window("UTC", world.at_s)
            # A period that had begun is counted on for the hour that the clock went back.
            day = day if day > window.day_begin_s and day - world.at_s <= 7200 else window.day_begin_s
            month = month if month > window.month_begin_s and month - world.at_s <= 7200 else window.month_begin_s
            granted, back = await world.take(step[1], step[2], NOTHING)
            rest = back.requests
            for grant in grants:  # the oldest comes back first
                part = min(rest, grant.requests)
                grant.requests, rest = grant.requests - part, rest - part
                used["day", grant.day] -= part
                used["month", grant.month] -= part
            grants.append(Granted(world.at_s, day, month, granted.requests))
            used["day", day] += granted.requests
            used["month", month] += granted.requests
            assert used["day", day] <= DAY_LIMIT
            assert used["month", month] <= MONTH_LIMIT
        await world.quotas.aclose()

    asyncio.run(run())


@settings(max_examples=50)
@given(st.lists(st.integers(1, 9), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_wishes_does_not_matter_for_their_sum(wishes: list[int], rng: object) -> None:
    """At one instant, in any order, all wishes together get all that there is or all that they want."""

    async def total(order: list[int]) -> int:
        world = World(RATES)
        for wish in order:
            await world.take(Charge(wish, wish), NOTHING, NOTHING)
        await world.quotas.aclose()
        return world.held.requests

    shuffled = list(wishes)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert asyncio.run(total(wishes)) == asyncio.run(total(shuffled)) == min(10, sum(wishes))
