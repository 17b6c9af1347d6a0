"""When who asks for what: arrivals of a minute at a time, drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.sim.world import REGIONS, UTC_OFFSET_H, World

MINUTE_S: Final = 60.0
PEAK_HOUR: Final = 14.0
"""Local time of the day's peak."""
SWING: Final = 0.6
"""The peak is 1 + this many times the mean, the night 1 - this."""
VIRAL_FACTOR: Final = 10.0
SWARM_FACTOR: Final = 40.0
SWARM_TENANTS: Final = 500
STORE_MS: Final = 35.0
MODEL_MS: Final = 110.0
"""Medians of a search in a vector store, and of embedding and rerank together in a GPU's slot."""
NOISE: Final = 0.25
"""Sigma of the lognormal service times: their p95 is half as much again as their median."""
WITHOUT_MODELS: Final = 0.15
"""Part of the searches whose vector is remembered and that want no rerank."""
HANG_UP: Final = 0.005
"""Part of the callers who leave before the answer."""


class EventKind(Enum):
    """What happens out of turn."""

    VIRAL = "viral"
    """An enterprise customer asks for ten times its baseline."""
    SWARM = "swarm"
    """Five hundred free tenants ask for forty times theirs."""
    CRUNCH = "crunch"
    """A region loses every spot GPU, and no new ones come."""


@dataclass(frozen=True, slots=True)
class Event:
    """One such thing."""

    kind: EventKind
    start_s: float
    end_s: float
    tenants: tuple[int, ...] = ()
    region: str = ""

    def holds(self, at_s: float) -> bool:
        """Return True while it goes on."""
        return self.start_s <= at_s < self.end_s


@dataclass(slots=True)
class Arrivals:
    """The arrivals of a span in their order, as lists: plain numbers are quicker to walk than arrays."""

    at_s: list[float]
    tenant: list[int]
    region: list[int]
    store_s: list[float]
    model_s: list[float]
    """0 where no model is needed."""
    leaves_after_s: list[float]
    """When the caller hangs up; infinite for nearly all."""


def diurnal(region: str, at_s: float) -> float:
    """Return the traffic of a region relative to its mean, `at_s` seconds into the day (UTC)."""
    local_h = at_s / 3600 + UTC_OFFSET_H[region]
    return 1.0 + SWING * math.cos(2 * math.pi * (local_h - PEAK_HOUR) / 24)


def busy_slots(world: World, region: str, at_s: float) -> float:
    """Return how many GPU slots a region's traffic keeps busy on the mean, `at_s` seconds into the day."""
    rps = float(world.pairs.rps[world.pairs.region == REGIONS.index(region)].sum()) * diurnal(region, at_s)
    return rps * (1 - WITHOUT_MODELS) * MODEL_MS / 1000 * math.exp(NOISE**2 / 2)


def plan_events(world: World, start_s: float, length_s: float, seed: int) -> tuple[Event, ...]:
    """Return the events of a run: four viral customers, a swarm and a crunch in a day; in less, what fits."""
    rng = np.random.default_rng([seed, 2])
    enterprise = sorted(
        (index for index, tenant in enumerate(world.tenants) if tenant.tier == "enterprise"),
        key=lambda index: -world.tenants[index].requests_per_day,
    )
    free = [index for index, tenant in enumerate(world.tenants) if tenant.tier == "free"]
    busy = enterprise[len(enterprise) // 20 : len(enterprise) // 4] or enterprise
    lasts_s = min(1800.0, length_s / 5)

    def at(part: float) -> tuple[float, float]:
        begins_s = start_s + part * length_s
        return begins_s, begins_s + lasts_s

    viral = [Event(EventKind.VIRAL, *at(part), (int(rng.choice(busy)),)) for part in (0.15, 0.35, 0.55, 0.75)]
    swarm_of = tuple(int(one) for one in rng.choice(free, min(SWARM_TENANTS, len(free)), replace=False))
    # The crunch comes at the peak of the region that it hits: 14:00 in Europe is 13:00 UTC.
    return (
        *viral,
        Event(EventKind.SWARM, *at(0.42), swarm_of),
        Event(EventKind.CRUNCH, *at(0.54), region="eu"),
    )


class Traffic:
    """Draws arrivals. Equal worlds, events and seeds give equal arrivals."""

    def __init__(self, world: World, events: Sequence[Event], seed: int) -> None:
        self._pairs = world.pairs
        self._events = events
        self._rng = np.random.default_rng([seed, 3])

    def spans(self, start_s: float, length_s: float) -> Iterator[Arrivals]:
        """Yield the arrivals of each minute of a run."""
        minutes = math.ceil(length_s / MINUTE_S)
        for minute in range(minutes):
            begins_s = start_s + minute * MINUTE_S
            yield self._span(begins_s, min(MINUTE_S, start_s + length_s - begins_s))

    def _span(self, start_s: float, length_s: float) -> Arrivals:
        rng, pairs = self._rng, self._pairs
        counts = rng.poisson(self._rates(start_s) * length_s)
        pair = np.repeat(np.arange(len(counts)), counts)
        at_s = start_s + rng.random(len(pair)) * length_s
        order = np.argsort(at_s, kind="stable")
        pair, size = pair[order], len(pair)
        model_s = MODEL_MS / 1000 * rng.lognormal(0.0, NOISE, size)
        model_s[rng.random(size) < WITHOUT_MODELS] = 0.0
        leaves = np.where(rng.random(size) < HANG_UP, 0.02 + 0.3 * rng.random(size), np.inf)
        return Arrivals(
            at_s[order].tolist(),
            pairs.tenant[pair].tolist(),
            pairs.region[pair].tolist(),
            (STORE_MS / 1000 * rng.lognormal(0.0, NOISE, size)).tolist(),
            model_s.tolist(),
            leaves.tolist(),
        )

    def _rates(self, at_s: float) -> NDArray[np.float64]:
        """Return each pair's rate in requests a second."""
        by_region = np.array([diurnal(name, at_s) for name in REGIONS])
        rates: NDArray[np.float64] = self._pairs.rps * by_region[self._pairs.region]
        for event in self._events:
            if event.tenants and event.holds(at_s):
                factor = VIRAL_FACTOR if event.kind is EventKind.VIRAL else SWARM_FACTOR
                rates[np.isin(self._pairs.tenant, event.tenants)] *= factor
        return rates
