"""A part of a tier's tenants, each within its own limits, takes nothing from the others that they are promised."""

from __future__ import annotations

from tests.contract.quota_subject import NOON_S
from tests.sim.lua_store import LuaStore

from trunkline_admission.redis_quota import RedisQuota
from trunkline_admission.tenants import TenantQuotas
from trunkline_lease import Charge
from trunkline_map.testing import static_map, tenant
from trunkline_tiers import TierFile, default_tiers

LOUD, QUIET = 110, 440
SEARCH = Charge(1, 5)


class Region:
    """The free tenants that the default pool is sized for, and the very authority in virtual time."""

    def __init__(self, tiers: TierFile) -> None:
        self.now_s = float(NOON_S)
        self.names = [f"free-{index}" for index in range(LOUD + QUIET)]
        source = static_map(*(tenant(name, "eu", tier="free") for name in self.names))
        self.tenants = TenantQuotas(source, tiers, self.clock)
        self.quotas = RedisQuota(LuaStore(self.clock), tiers, key_prefix="t", clock=self.clock, wall_clock=self.clock)

    def clock(self) -> float:
        return self.now_s

    async def asks(self, name: str, charge: Charge = SEARCH) -> int:
        """Ask once; return the requests that were granted."""
        return (await self.quotas.take(self.tenants.now(name), charge)).granted.requests

    async def minority_uses_its_days(self) -> int:
        """Let 110 tenants use up their own 100 requests within four minutes; return what they got."""
        got = 0
        for _ in range(8):
            for name in self.names[:LOUD]:
                got += await self.asks(name, Charge(40, 200))
            self.now_s += 30.0
        return got


async def test_a_minority_that_uses_its_own_days_leaves_the_others_theirs() -> None:
    """110 of 550 use up their day in four minutes; the other 440 ask once a minute and get all of it."""
    region = Region(default_tiers())
    assert await region.minority_uses_its_days() == LOUD * 100

    refused = 0
    for _ in range(15):
        for name in region.names[LOUD:]:
            refused += 1 - await region.asks(name)
        region.now_s += 60.0
    assert refused == 0
    assert await region.asks(region.names[0]) == 0
    await region.quotas.aclose()
