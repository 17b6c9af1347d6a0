"""When who asks for what: arrivals of a minute at a time, drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.sim.events import Event
from tests.sim.world import REGIONS, UTC_OFFSET_H, World

MINUTE_S: Final = 60.0
PEAK_HOUR: Final = 14.0
"""Local time of the day's peak."""
SWING: Final = 0.6
"""The peak is 1 + this many times the mean, the night 1 - this."""
STORE_MS: Final = 35.0
MODEL_MS: Final = 110.0
"""Medians of a search in a vector store, and of embedding and rerank together in a GPU's slot."""
NOISE: Final = 0.25
"""Sigma of the lognormal service times: their p95 is half as much again as their median."""
WITHOUT_MODELS: Final = 0.15
"""Part of the searches whose vector is remembered and that want no rerank."""
HANG_UP: Final = 0.005
"""Part of the callers who leave before the answer."""


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
                whose = np.isin(self._pairs.tenant, event.tenants)
                if event.region:
                    whose &= self._pairs.region == REGIONS.index(event.region)
                rates[whose] = rates[whose] * event.factor + event.plus_rps
        return rates
