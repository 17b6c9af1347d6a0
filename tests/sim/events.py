"""What happens out of turn in a run: viral customers, a swarm, lost GPUs, and a night in which a pool is lent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from tests.sim.world import World
from trunkline_map.home_region import home_region

VIRAL_FACTOR: Final = 10.0
SWARM_FACTOR: Final = 40.0
SWARM_TENANTS: Final = 500
MORNING_FACTOR: Final = 4.0
NIGHT_REGION: Final = "eu"
DRY_AT: Final = 0.75
"""Part of the night after which the batch has used up its tier's own pool, and goes on with what others lend."""
MOST_OF_TRAFFIC: Final = 0.1
"""A night that takes more than this part of a run's requests is left out: the run is too short to empty a pool."""


class EventKind(Enum):
    """What happens."""

    VIRAL = "viral"
    """An enterprise customer asks for ten times its baseline."""
    SWARM = "swarm"
    """Five hundred free tenants ask for forty times theirs."""
    CRUNCH = "crunch"
    """A region loses every spot GPU, and no new ones come."""
    BATCH = "batch"
    """At night a region's pro customers run jobs: their pool runs dry, and they borrow the free tier's, all of it."""
    ASLEEP = "asleep"
    """Meanwhile its free tenants ask for nothing."""
    MORNING = "morning"
    """They come back with four times their baseline, and want what was lent."""


@dataclass(frozen=True, slots=True)
class Event:
    """One such thing."""

    kind: EventKind
    start_s: float
    end_s: float
    tenants: tuple[int, ...] = ()
    region: str = ""
    """Where it happens; empty for everywhere."""
    factor: float = 1.0
    """Its tenants ask for so many times their baseline,"""
    plus_rps: float = 0.0
    """and for so many requests a second beside, each of them in each region."""

    def holds(self, at_s: float) -> bool:
        """Return True while it goes on."""
        return self.start_s <= at_s < self.end_s


def plan_events(world: World, start_s: float, length_s: float, seed: int) -> tuple[Event, ...]:
    """Return the events of a run: four viral customers, a swarm, a crunch and a night in a day; in less, what fits."""
    rng = np.random.default_rng([seed, 2])
    enterprise = sorted(_of_tier(world, "enterprise"), key=lambda index: -world.tenants[index].requests_per_day)
    free = _of_tier(world, "free")
    busy = enterprise[len(enterprise) // 20 : len(enterprise) // 4] or enterprise
    lasts_s = min(1800.0, length_s / 5)

    def at(part: float) -> tuple[float, float]:
        begins_s = start_s + part * length_s
        return begins_s, begins_s + lasts_s

    viral = [
        Event(EventKind.VIRAL, *at(part), (int(rng.choice(busy)),), factor=VIRAL_FACTOR)
        for part in (0.15, 0.35, 0.55, 0.75)
    ]
    swarm_of = tuple(int(one) for one in rng.choice(free, min(SWARM_TENANTS, len(free)), replace=False))
    # Of a whole day: the crunch comes at the peak of the region that it hits, 14:00 in Europe, which is 13:00 UTC; the
    # night's batch there begins after six in the morning, and its free users come back after seven.
    return (
        *viral,
        Event(EventKind.SWARM, *at(0.42), swarm_of, factor=SWARM_FACTOR),
        Event(EventKind.CRUNCH, *at(0.54), region="eu"),
        *_night(world, start_s + 0.22 * length_s, length_s),
    )


def _night(world: World, begins_s: float, length_s: float) -> tuple[Event, ...]:
    """Return the night of a region in which one tier's pool is lent to another, and the morning after."""
    lasts_s, morning_s = length_s / 24, length_s / 72
    pool = world.tiers.tiers["pro"].pool
    rps = pool.requests_per_s * (1 + world.tiers.pool_burst_s / (DRY_AT * lasts_s))
    if rps * lasts_s > MOST_OF_TRAFFIC * float(world.pairs.rps.sum()) * length_s:
        return ()
    ends_s = begins_s + lasts_s
    borrowers, lenders = (_at_home(world, tier, NIGHT_REGION) for tier in ("pro", "free"))
    return (
        Event(EventKind.BATCH, begins_s, ends_s, borrowers, NIGHT_REGION, plus_rps=rps / len(borrowers)),
        Event(EventKind.ASLEEP, begins_s, ends_s, lenders, factor=0.0),
        Event(EventKind.MORNING, ends_s, ends_s + morning_s, lenders, factor=MORNING_FACTOR),
    )


def _of_tier(world: World, tier: str) -> list[int]:
    return [index for index, tenant in enumerate(world.tenants) if tenant.tier == tier]


def _at_home(world: World, tier: str, region: str) -> tuple[int, ...]:
    """Return a tier's tenants whose quota, and with it their part of the pool, is kept in a region."""
    snapshot = world.source.snapshot

    def home(index: int) -> str | None:
        entry = snapshot.tenant(world.tenants[index].tenant_id)
        assert entry is not None, "the map has every tenant"
        return home_region(snapshot, entry)

    return tuple(index for index in _of_tier(world, tier) if home(index) == region)
