"""Who lives in the simulation: tenants with their tiers, homes and appetite, and the regions that serve them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.sim.scale import scaled_tiers
from trunkline_map.entries import TenantEntry
from trunkline_map.home_region import home_region
from trunkline_map.testing import StaticMap, region, static_map
from trunkline_tiers import TierFile, default_tiers

REGIONS: Final = ("us", "eu", "apac")
UTC_OFFSET_H: Final = {"us": -6, "eu": 1, "apac": 8}
"""Hours between UTC and the regions' own time on the simulated day."""
TIME_ZONES: Final = {"us": "America/Chicago", "eu": "Europe/Berlin", "apac": "Asia/Singapore"}
MIX: Final = {"free": 550, "pro": 400, "enterprise": 50}
"""Tenants of each tier in a thousand."""
RPS_PER_REGION: Final = 1000.0
"""Mean of a day at full rate."""
APPETITE: Final = {"free": 1.5, "pro": 0.5, "enterprise": 1.25}
"""What a tier's tenants ask for in the mean, in their own days: free ones half as much again as they may have."""
SPREAD: Final = {"free": 1.2, "pro": 1.2, "enterprise": 1.0}
"""Sigma of the lognormal appetites: a tenth of the tenants asks for about half of everything."""
MOST: Final = 8.0
"""The hungriest tenant asks for at most this many times its tier's mean."""
DAY_STARTS_S: Final = 1_773_878_400.0
"""Unix time at which the simulated day begins, 2026-03-19T00:00Z: no clock of `TIME_ZONES` changes in it."""
DAY_S: Final = 86_400.0
_ALLOWED: Final = (0.5, 0.3, 0.2)
"""Part of the tenants that may be served in one, two and three of the regions."""
_AT_HOME: Final = 0.7
"""Part of a tenant's traffic that comes in its first region, where it has more than one."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant."""

    tenant_id: str
    tier: str
    regions: tuple[str, ...]
    """Where it may be served; its users are nearest to the first."""
    requests_per_day: float
    """What it asks for on the mean."""


@dataclass(frozen=True)
class Pairs:
    """Tenants by region, flat: what traffic is drawn for."""

    tenant: NDArray[np.int32]
    region: NDArray[np.int32]
    rps: NDArray[np.float64]
    """Mean over the day."""


@dataclass(frozen=True)
class World:
    """Everything that stays as it is for a run."""

    scale: float
    tiers: TierFile
    tenants: tuple[Tenant, ...]
    pairs: Pairs
    source: StaticMap

    @staticmethod
    def time_zone(tenant: Tenant) -> str:
        """Return where the tenant's days begin, an IANA name."""
        return TIME_ZONES[tenant.regions[0]]


def make_world(count: int, scale: float, seed: int) -> World:
    """Return `count` tenants at `scale` of the full rate; equal arguments give an equal world."""
    rng = np.random.default_rng([seed, 1])
    tiers = scaled_tiers(default_tiers(), scale, count / len(REGIONS))
    names = _tier_names(count)
    allowed = [_allowed_regions(rng) for _ in names]
    demand = _demand(names, tiers, RPS_PER_REGION * scale * len(REGIONS) * DAY_S * count / 10_000, rng)
    tenants = tuple(
        Tenant(f"{tier[:3]}-{index:05d}", tier, regions, float(demand[index]))
        for index, (tier, regions) in enumerate(zip(names, allowed, strict=True))
    )
    return World(scale, tiers, tenants, _pairs(tenants), _map_of(tenants))


def kept_in(world: World, region_id: str) -> Counter[str]:
    """Return how many tenants of each tier have their quota, and with it their part of the pool, kept in a region."""
    snapshot = world.source.snapshot
    return Counter(entry.tier for entry in snapshot.tenants() if home_region(snapshot, entry) == region_id)


def _tier_names(count: int) -> list[str]:
    names = [tier for tier, share in MIX.items() for _ in range(share * count // 1000)]
    return names + ["free"] * (count - len(names))


def _allowed_regions(rng: np.random.Generator) -> tuple[str, ...]:
    number = int(rng.choice(3, p=_ALLOWED)) + 1
    return tuple(REGIONS[place] for place in rng.permutation(len(REGIONS))[:number])


def _demand(names: list[str], tiers: TierFile, total: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return requests a day by tenant, heavy-tailed, that add up to `total`."""
    demand = np.zeros(len(names))
    for tier in MIX:
        chosen = np.array([name == tier for name in names])
        appetite = rng.lognormal(0.0, SPREAD[tier], int(chosen.sum()))
        appetite = np.minimum(appetite / appetite.mean(), MOST)
        demand[chosen] = appetite / appetite.mean() * APPETITE[tier] * tiers.tiers[tier].tenant.requests_per_day
    scaled: NDArray[np.float64] = demand * (total / demand.sum())
    return scaled


def _pairs(tenants: tuple[Tenant, ...]) -> Pairs:
    rows: list[tuple[int, int, float]] = []
    for index, tenant in enumerate(tenants):
        others = len(tenant.regions) - 1
        for place, name in enumerate(tenant.regions):
            part = 1.0 if not others else _AT_HOME if place == 0 else (1 - _AT_HOME) / others
            rows.append((index, REGIONS.index(name), tenant.requests_per_day * part / DAY_S))
    owner, place_of, rps = zip(*rows, strict=True)
    return Pairs(np.array(owner, dtype=np.int32), np.array(place_of, dtype=np.int32), np.array(rps))


def _map_of(tenants: tuple[Tenant, ...]) -> StaticMap:
    regions = [region(name, name, admission=f"admission.{name}:7000") for name in REGIONS]
    entries = [
        TenantEntry(
            tenant.tenant_id,
            tenant.tier,
            jurisdictions=frozenset(tenant.regions),
            time_zone=World.time_zone(tenant),
            revision=1,
        )
        for tenant in tenants
    ]
    return static_map(*regions, *entries)
