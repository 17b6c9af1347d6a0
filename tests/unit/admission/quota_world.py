"""Regions of admission in one process: real authorities over real scripts, a map in the hand, and time that is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tests.sim.lua_store import LuaStore

from trunkline_admission.authority_asks import AuthorityAsks
from trunkline_admission.fitting import bounds_of
from trunkline_admission.granting import Tenants
from trunkline_admission.home import HomeQuota, Homes, OwnTenantsQuota
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.permits import Permits
from trunkline_admission.quota import QuotaAuthority
from trunkline_admission.redis_quota import RedisQuota
from trunkline_admission.region_leases import region_options
from trunkline_admission.remote_quota import AdvancePolicy, RemoteQuota
from trunkline_admission.tenants import TenantQuotas
from trunkline_lease import Answer, Ask, AskKeeper, LeaseHolder, LeaseOptions
from trunkline_map.entries import TenantEntry
from trunkline_map.testing import region, static_map
from trunkline_tiers import default_tiers

NOON_S = 1_781_524_800.0
"""Unix time at which a world begins: a Monday, 12:00 UTC."""
VALID_S = 30.0


class FaultyAsks(AuthorityAsks):
    """Asks on a line that can be cut, and that can lose asks or swallow answers."""

    def __init__(self, keeper: AskKeeper, tenants: Tenants, quotas: QuotaAuthority, world: QuotaWorld) -> None:
        super().__init__(_Swallowing(keeper, world), tenants, quotas, valid_s=VALID_S)
        self._world = world
        self._losing_to = keeper

    @property
    def healthy(self) -> bool:
        return self._world.line_up and super().healthy

    @property
    def connected(self) -> bool:
        return self._world.line_up and super().connected

    def send(self, ask: Ask) -> bool:
        if self._world.line_up and self._world.losing:
            asyncio.get_running_loop().call_soon(self._losing_to.lost, (ask,))
            return True
        return self._world.line_up and super().send(ask)


class _Swallowing:
    def __init__(self, keeper: AskKeeper, world: QuotaWorld) -> None:
        self._keeper = keeper
        self._world = world

    def answered(self, ask: Ask, answer: Answer) -> None:
        if self._world.swallowing:
            self._keeper.lost((ask,))
        else:
            self._keeper.answered(ask, answer)

    def lost(self, asks: Sequence[Ask]) -> None:
        self._keeper.lost(asks)


class QuotaWorld:
    """As many regions as named, each in a jurisdiction of its own name, with its own store."""

    def __init__(self, *entries: TenantEntry, regions: tuple[str, ...] = ("us",), advance: int = 20) -> None:
        self.now_s = NOON_S
        self.line_up = True
        self.swallowing = False
        self.losing = False
        self.advances = AdvancePolicy(advance)
        self.source = static_map(*(region(name, name, admission=f"{name}:1") for name in regions), *entries)
        self.tiers = default_tiers()
        self.tenants = TenantQuotas(self.source, self.tiers, self.clock)
        self.homes = {name: Homes(name, self.source) for name in regions}
        self.stores = {name: LuaStore(self.clock) for name in regions}
        self.authorities = {
            name: RedisQuota(store, self.tiers, key_prefix="test", clock=self.clock, wall_clock=self.clock)
            for name, store in self.stores.items()
        }
        self.local = {name: LocalQuota(replicas=1, max_tenants=100, clock=self.clock) for name in regions}
        self.far: dict[tuple[str, str], LeaseHolder] = {}
        self.quotas = {name: self._home_quota(name) for name in regions}
        self.tasks: list[asyncio.Future[None]] = []

    def clock(self) -> float:
        return self.now_s

    def holder(self, name: str, options: LeaseOptions | None = None) -> LeaseHolder:
        """Return a replica's own holder in a region."""
        options = options or LeaseOptions(sweep_interval_s=0.01, refill_timeout_s=10.0)
        return self._running(
            LeaseHolder(
                lambda keeper: AuthorityAsks(keeper, self.tenants, self.quotas[name], valid_s=5.0),
                options,
                self.clock,
                bounds_of=bounds_of(self.tenants),
            )
        )

    def permits(self, name: str, holder: LeaseHolder, *, max_permits: int = 1000, ttl_s: float = 60.0) -> Permits:
        """Return the permits of a replica."""
        return Permits(
            self.tenants,
            holder,
            require_inside=self.homes[name].require_inside,
            ttl_s=ttl_s,
            max_permits=max_permits,
            clock=self.clock,
            wall_clock=self.clock,
        )

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for authority in self.authorities.values():
            await authority.aclose()

    def _home_quota(self, name: str) -> HomeQuota:
        away: dict[str, RemoteQuota] = {}

        def at(home: str) -> RemoteQuota:
            if home not in away:
                self.far[name, home] = self._running(self._far_holder(home))
                away[home] = RemoteQuota(
                    home, self.far[name, home], self.authorities[name], self.homes[name].regions_of, self.advances
                )
            return away[home]

        return HomeQuota(self.homes[name], self.authorities[name], at)

    def _far_holder(self, home: str) -> LeaseHolder:
        own = OwnTenantsQuota(self.homes[home], self.authorities[home])
        return LeaseHolder(
            lambda keeper: FaultyAsks(keeper, self.tenants, own, self), region_options(VALID_S), self.clock
        )

    def _running(self, holder: LeaseHolder) -> LeaseHolder:
        self.tasks.append(asyncio.ensure_future(holder.run()))
        return holder


@asynccontextmanager
async def quota_world(make: Callable[[], QuotaWorld]) -> AsyncIterator[QuotaWorld]:
    """Make a world and close it."""
    world = make()
    try:
        yield world
    finally:
        await world.close()


async def settle(turns: int = 30) -> None:
    """Let everything that is ready run."""
    for _ in range(turns):
        await asyncio.sleep(0)
