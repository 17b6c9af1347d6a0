"""The laws of even parts can be broken: more than a part, a pool that does not owe it, one that lends while it owes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.sim.checked import CheckedAuthority
from tests.sim.even_book import EvenBook, EvenGrant
from tests.sim.laws import Laws
from tests.sim.loop import VirtualLoop
from tests.sim.lua_store import LuaStore
from tests.sim.network import Trip
from tests.sim.pool_book import PoolBook
from tests.sim.quota_book import OwingMeter, QuotaBook
from tests.sim.share_book import PoolCall
from tests.sim.world import DAY_STARTS_S

from trunkline_admission.even_parts import EvenParts
from trunkline_admission.pools import PoolShares
from trunkline_admission.quota import Limits, TenantQuota
from trunkline_admission.redis_quota import RedisQuota
from trunkline_lease.charge import Charge
from trunkline_tiers import TierFile, default_tiers

PART = 100
"""Of 550 free tenants: their pool's day is 55,000."""
TIERS = default_tiers().model_copy(update={"pool_burst_s": 600.0})
BURST = 55_000 * 600 / 86_400
NO_LIMITS = Limits(None, None)


def book(laws: Laws, clock: Callable[[], float] = lambda: 0.0) -> EvenBook:
    return EvenBook("us", TIERS, {"free": 550}, laws, clock)


def drawn(taken: int = 0, owed: int = 0, tier: str = "free") -> PoolCall:
    return PoolCall(tier, {"free": taken}, {}, owed)


@pytest.mark.parametrize(("today", "broken"), [(PART, 0), (PART + 1, 1)])
def test_a_tenant_has_its_part_of_a_dry_pool_and_no_more(today: int, broken: int) -> None:
    """The grant that goes beyond the part is told."""
    laws = Laws()
    evens = book(laws)
    evens.saw(EvenGrant("t", 5))
    assert evens.granted("other", "free", PART + 1) == 0
    assert evens.granted("t", "free", today) == 5
    assert evens.granted("t", "free", PART + 1) == 0
    assert laws.counts["over_even"] == broken


@pytest.mark.parametrize(("owed", "broken"), [(5, 0), (4, 1), (6, 1)])
def test_a_pool_owes_what_it_granted_so(owed: int, broken: int) -> None:
    """With its next call, exactly; a call that was under way may not know it yet."""
    laws, now_s = Laws(), [0.0]
    evens = book(laws, lambda: now_s[0])
    evens.saw(EvenGrant("t", 5))
    evens.granted("t", "free", 5)
    evens.drew(drawn())
    assert laws.total == 0
    now_s[0] += 1.0
    evens.drew(drawn(owed=owed))
    assert laws.counts["unowed"] == broken


def test_a_pool_that_was_never_told_is_found_at_the_end() -> None:
    """Whatever a dry pool granted last must be told before the end, too."""
    laws = Laws()
    evens = book(laws)
    evens.saw(EvenGrant("t", 1))
    evens.granted("t", "free", 1)
    evens.close()
    assert laws.counts["unowed"] == 1


def test_who_draws_from_a_pool_that_owes_is_told() -> None:
    """What it owes flows in first: for at most one burst, which is all that it can owe."""
    laws, now_s, rate = Laws(), [0.0], TIERS.tiers["free"].pool.requests_per_s
    evens = book(laws, lambda: now_s[0])
    for requests in (int(BURST), 3 * int(BURST)):
        evens.saw(EvenGrant("t", requests))
        evens.granted("t", "free", 1)
    evens.drew(drawn(taken=int(BURST)))
    evens.drew(drawn(owed=4 * int(BURST)))
    assert evens.owes_until_s("free") == pytest.approx(600.0)
    now_s[0] += 1.0
    evens.drew(drawn(tier="pro"))
    now_s[0] += 600.0
    evens.drew(drawn(taken=int(rate), tier="pro"))
    assert laws.total == 0, laws.examples
    evens.drew(drawn(taken=3))
    assert laws.counts["over_pool"] == 1


def test_a_debt_stays_until_it_has_flowed_in() -> None:
    """What is taken beyond a level is forgiven, what is owed is not."""
    meter = OwingMeter(1.0, 10.0, 0.0)
    assert meter.take(15.0, 0.0) == -5.0
    meter.owe(4.0)
    assert meter.take(0.0, 1.0) == -3.0
    assert meter.take(1.0, 2.0) == -3.0
    assert meter.room(6.0) == 2.0


class Generous(EvenParts):
    """Grants ten times what is a tenant's."""

    def of(self, tenant_id: str, tier: str) -> int:
        return 10 * super().of(tenant_id, tier)


async def asked_of(loop: VirtualLoop, tiers: TierFile) -> Laws:
    """Let six tenants of ten empty their pool of 100 at once and go on asking, an hour long."""

    def unix_s() -> float:
        return DAY_STARTS_S + loop.time()

    laws, trip = Laws(), Trip(LuaStore(unix_s), loop)
    quotas = RedisQuota(trip, tiers, key_prefix="t", clock=loop.time, wall_clock=unix_s, tenants_of=lambda _tier: 10)
    homes = {f"t{number}": ("free", "UTC") for number in range(10)}
    trip.pools = PoolBook("us", tiers, tenants={"free": 10}, slack=200.0, reclaim_bound_s=4.0, laws=laws, clock=unix_s)
    authority = CheckedAuthority(quotas, QuotaBook(tiers, homes, laws, unix_s), trip.pools)
    for round_ in range(60):
        for name in list(homes)[: 6 if round_ < 30 else 10]:
            await authority.take(TenantQuota(name, "free", 0, NO_LIMITS, 0.5), Charge(4, 20))
        await loop.sleep(60.0)
    await quotas.aclose()
    trip.pools.close()
    return laws


@pytest.mark.parametrize(("fault", "kind"), [("", None), ("generous", "over_even"), ("forgets", "unowed")])
def test_a_broken_authority_is_told_from_a_sound_one(
    monkeypatch: pytest.MonkeyPatch, fault: str, kind: str | None
) -> None:
    """The very authority keeps every law; one that grants more than parts, or forgets what a pool owes, does not."""
    if fault == "generous":
        monkeypatch.setattr("trunkline_admission.redis_quota.EvenParts", Generous)
    if fault == "forgets":
        monkeypatch.setattr(PoolShares, "overdraw", lambda *_: None)
    free = default_tiers().tiers["free"]
    pool = free.pool.model_copy(update={"requests_per_day": 200})
    share = free.tenant.model_copy(update={"requests_per_day": 10_000, "requests_per_minute": 600})
    scarce = {**default_tiers().tiers, "free": free.model_copy(update={"pool": pool, "tenant": share})}
    tiers = default_tiers().model_copy(update={"tiers": scarce, "pool_burst_s": 43_200.0})
    loop = VirtualLoop()
    try:
        laws = loop.run_until_complete(asked_of(loop, tiers))
    finally:
        loop.close()
    broken = {name for name, count in laws.counts.items() if count}
    assert (kind in broken) if kind else not broken, laws.examples
