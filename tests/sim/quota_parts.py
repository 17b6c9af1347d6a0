"""The quota side of the simulation: the product's own parts, from the routers' lease holders to the stores' scripts.

What is simulated is only what lies between processes (`tests/sim/network.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from tests.sim.checked import CheckedAuthority
from tests.sim.laws import Laws
from tests.sim.loop import VirtualLoop
from tests.sim.lua_store import LuaStore
from tests.sim.network import Far, Trip
from tests.sim.pool_book import PoolBook
from tests.sim.quota_book import QuotaBook
from tests.sim.world import REGIONS, World, kept_in
from trunkline_admission.authority_asks import AuthorityAsks
from trunkline_admission.even_parts import TierSizes
from trunkline_admission.home import HomeQuota, Homes, OwnTenantsQuota
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.redis_quota import RedisQuota
from trunkline_admission.region_leases import region_options
from trunkline_admission.remote_quota import RemoteQuota
from trunkline_admission.tenants import TenantQuotas
from trunkline_lease.asks import AskKeeper
from trunkline_lease.holder import LeaseHolder
from trunkline_lease.options import LeaseOptions

FAR_WORKERS: Final = 64
"""Asks to another region under way at once; the stream between regions has no such bound."""
POOL_SHARE_PART: Final = 1 / 64
"""A replica holds at most this part of a pool's burst ahead, and at least `POOL_SHARE_LEAST` requests; twice, as a
share has two generations."""
POOL_SHARE_LEAST: Final = 16
ADVANCE: Final = 20
"""Requests that a region may let a tenant have before its home has answered, at most a tenth of the tenant's day."""


@dataclass(frozen=True)
class QuotaTimes:
    """Times of leases and pool shares; by default those of the services."""

    valid_s: float = 5.0
    horizon_s: float = 0.5
    sweep_interval_s: float = 0.25
    recheck_s: float = 2.0
    region_valid_s: float = 30.0
    share_valid_s: float = 2.0


@dataclass
class QuotaParts:
    """What a run works with."""

    holders: list[LeaseHolder]
    """By region, those of its routers."""
    pools: list[PoolBook]
    stores: list[LuaStore]


class QuotaBuilder:
    """Wires one run's parts."""

    def __init__(
        self,
        world: World,
        times: QuotaTimes,
        book: QuotaBook,
        laws: Laws,
        loop: VirtualLoop,
        unix_s: Callable[[], float],
    ) -> None:
        self._world = world
        self._times = times
        self._book = book
        self._laws = laws
        self._loop = loop
        self._unix_s = unix_s
        self._tenants = TenantQuotas(world.source, world.tiers, unix_s)
        self._stores = [LuaStore(unix_s) for _ in REGIONS]

    def authority(self, number: int) -> tuple[RedisQuota, PoolBook]:
        """Return the authority of a region, over its own store, and the book of its pools."""
        trip = Trip(self._stores[number], self._loop)
        authority = RedisQuota(
            trip,
            self._world.tiers,
            key_prefix="sim",
            share_valid_s=self._times.share_valid_s,
            clock=self._loop.time,
            wall_clock=self._unix_s,
            tenants_of=TierSizes(self._world.source, self._world.tiers, REGIONS[number], self._loop.time).of,
        )
        trip.pools = self.pools(number, authority)
        return authority, trip.pools

    def pools(self, number: int, authority: RedisQuota) -> PoolBook:
        """Return the book of a region's pools."""
        tiers = self._world.tiers
        slack = sum(
            2 * max(POOL_SHARE_LEAST, POOL_SHARE_PART * tier.pool.requests_per_s * tiers.pool_burst_s)
            for tier in tiers.tiers.values()
        )
        return PoolBook(
            REGIONS[number],
            tiers,
            tenants=kept_in(self._world, REGIONS[number]),
            slack=slack,
            reclaim_bound_s=authority.pools.reclaim_bound_s,
            laws=self._laws,
            clock=self._unix_s,
        )

    def holder(self, number: int, authorities: Sequence[CheckedAuthority], far: dict[str, RemoteQuota]) -> LeaseHolder:
        """Return the lease holder of a region's router: its asks are answered at home, or from a region's lease."""
        quota = HomeQuota(Homes(REGIONS[number], self._world.source), authorities[number], far.__getitem__)
        options = LeaseOptions(
            horizon_s=self._times.horizon_s,
            sweep_interval_s=self._times.sweep_interval_s,
            recheck_s=self._times.recheck_s,
            return_margin_s=max(0.75, self._times.sweep_interval_s),
        )

        def asks(keeper: AskKeeper) -> AuthorityAsks:
            return AuthorityAsks(keeper, self._tenants, quota, valid_s=self._times.valid_s, workers=FAR_WORKERS)

        return LeaseHolder(asks, options, self._loop.time)

    def far_holder(self, home: int, authorities: Sequence[CheckedAuthority]) -> LeaseHolder:
        """Return a region's lease holder at the region of number `home`."""
        own = OwnTenantsQuota(Homes(REGIONS[home], self._world.source), authorities[home])

        def asks(keeper: AskKeeper) -> AuthorityAsks:
            return AuthorityAsks(
                keeper, self._tenants, Far(own, self._loop), valid_s=self._times.region_valid_s, workers=FAR_WORKERS
            )

        options = replace(region_options(self._times.region_valid_s), sweep_interval_s=self._times.sweep_interval_s)
        return LeaseHolder(asks, options, self._loop.time)

    def remote(self, home: str, holder: LeaseHolder) -> RemoteQuota:
        """Return what answers for a home that is another region."""
        regions = {tenant.tenant_id: len(tenant.regions) for tenant in self._world.tenants}
        local = LocalQuota(replicas=1, max_tenants=len(regions), clock=self._loop.time)
        return RemoteQuota(home, holder, local, regions.__getitem__)

    def allow_advances(self) -> None:
        """Tell the book what each tenant's regions may hand out before its home answers."""
        for tenant in self._world.tenants:
            day = self._world.tiers.tiers[tenant.tier].tenant.requests_per_day
            others = len(tenant.regions) - 1
            self._book.allow_advance(tenant.tenant_id, others * min(ADVANCE, max(1, day // 10)))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[QuotaParts]:
        """Run every holder; at the end everything that is held goes back."""
        self.allow_advances()
        inner = [self.authority(number) for number in range(len(REGIONS))]
        authorities = [CheckedAuthority(authority, self._book, pools) for authority, pools in inner]
        holders: list[LeaseHolder] = []
        async with AsyncExitStack() as stack:
            for authority, _ in inner:
                stack.push_async_callback(authority.aclose)
            for number in range(len(REGIONS)):
                far: dict[str, RemoteQuota] = {}
                for home, name in enumerate(REGIONS):
                    if home != number:
                        between = self.far_holder(home, authorities)
                        await stack.enter_async_context(_running(between))
                        far[name] = self.remote(name, between)
                holders.append(self.holder(number, authorities, far))
            for holder in holders:
                await stack.enter_async_context(_running(holder))
            yield QuotaParts(holders, [pools for _, pools in inner], self._stores)


@asynccontextmanager
async def _running(holder: LeaseHolder) -> AsyncIterator[None]:
    task = asyncio.ensure_future(holder.run())
    try:
        yield
    finally:
        holder.return_all()
        await task


@asynccontextmanager
async def open_quota(
    world: World, times: QuotaTimes, book: QuotaBook, laws: Laws, loop: VirtualLoop, unix_s: Callable[[], float]
) -> AsyncIterator[QuotaParts]:
    """Open the parts of one run."""
    async with QuotaBuilder(world, times, book, laws, loop, unix_s).open() as parts:
        yield parts
