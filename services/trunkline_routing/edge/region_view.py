"""What this router knows of the regions: do they answer, how far and how busy are they, who wants to be left alone.

Fed by `region_probe` and by real calls; asked by failover. It does no I/O and knows no tenant's data. One event loop
owns it.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry
from trunkline_mesh import metrics
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.logs import get_logger
from trunkline_routing.edge.distance import Distance
from trunkline_routing.edge.left_alone import LeftAlone
from trunkline_routing.edge.ramps import Ramps

SILENT_AFTER: Final = 2
"""Checks in a row without an answer that mean silence. One may be lost to a busy machine."""
HIGH_PRESSURE: Final = 0.9
"""A region as busy as this takes no traffic that another one could not serve: its last tenth is its own."""
PRESSURE_AGE_S: Final = 5.0
"""Older reports of pressure say nothing."""
PRESSURE_EVERY_S: Final = 0.25
"""Answers tell their pressure at most so often: reading trailing metadata costs each call a little."""
Outcome: TypeAlias = trail_pb.AttemptOutcome.ValueType

log = get_logger("regions")

_USABLE = metrics.gauge("region_usable", "1 while a region's retrieval answers and serves, else 0.", ("region",))


@dataclass(slots=True)
class RegionStatus:
    """What is known of one region."""

    out: bool = False
    """True while it says that it does not serve, or is silent."""
    heard: bool = False
    """True once it has answered anything."""
    misses: int = 0
    pressure: float | None = None
    pressure_at_s: float = -math.inf
    distance: Distance | None = None


class RegionView:
    """The state of every region, as far as it is known. Unknown regions count as usable."""

    def __init__(
        self,
        *,
        clock: Clock = MONOTONIC,
        wall_clock: Callable[[], float] = time.time,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Know nothing. `wall_clock` tells Unix time; `rng` numbers in [0, 1)."""
        self._clock: Final = clock
        self._statuses: dict[str, RegionStatus] = {}
        self._left_alone: Final = LeftAlone(clock, rng)
        self._ramps: Final = Ramps(clock, wall_clock)

    def answered(self, region_id: str, *, serving: bool, took_s: float | None = None) -> None:
        """Learn that a region answered, and what it says of itself; one answer ends a silence.

        `took_s` is the round trip of a check, if it was one.
        """
        status = self._status(region_id)
        cold, status.heard, status.misses = not status.heard, True, 0
        if took_s is not None and not cold:  # the first one also made the connection
            if status.distance is None:
                status.distance = Distance(took_s)
            else:
                status.distance.add(took_s)
        self._set_out(region_id, status, not serving)

    def missed(self, region_id: str) -> None:
        """Learn that a check was not answered in time."""
        status = self._status(region_id)
        status.misses += 1
        if status.misses >= SILENT_AFTER:
            self._set_out(region_id, status, True)

    def broke(self, region_id: str) -> None:
        """Learn that the stream on which a region tells its health broke, or could not be opened."""
        self._set_out(region_id, self._status(region_id), True)

    def pressed(self, region_id: str, pressure: float | None) -> None:
        """Learn what an answer told of the region's pressure, if it told anything."""
        if pressure is not None:
            status = self._status(region_id)
            status.pressure, status.pressure_at_s = pressure, self._clock()

    def overloaded(self, dependency: str, region_id: str, tenant_id: str, delay_s: float | None) -> None:
        """Learn that a region asked to be left alone for a while; an empty tenant means: by everybody.

        Kept by tenant, so that a tenant that floods its own queue moves nobody else's traffic.
        """
        self._left_alone.ask(dependency, region_id, tenant_id, delay_s)

    def forget_others(self, kept: Iterable[str]) -> None:
        """Forget every region but those of `kept`: the others are not probed any more, and nothing would renew it."""
        known = set(kept)
        for region_id in [name for name in self._statuses if name not in known]:
            del self._statuses[region_id]
            with contextlib.suppress(KeyError):  # another view of this process may have removed it
                _USABLE.remove(region_id)
        self._ramps.forget_others(known)

    def heard(self, region_id: str) -> bool:
        """Return True once the region has answered anything."""
        status = self._statuses.get(region_id)
        return status is not None and status.heard

    def is_out(self, region_id: str) -> bool:
        """Return True while the region's health, or its silence, says that it does not serve."""
        status = self._statuses.get(region_id)
        return status is not None and status.out

    def is_away(self, dependency: str, region_id: str, tenant_id: str) -> bool:
        """Return True while the region asked to be left alone by the tenant, or by everybody."""
        return self._left_alone.asked(dependency, region_id, tenant_id)

    def pressure(self, region_id: str) -> float | None:
        """Return the region's last reported pressure, 1 at capacity; None if it is not known or too old."""
        status = self._statuses.get(region_id)
        if status is None or self._clock() - status.pressure_at_s > PRESSURE_AGE_S:
            return None
        return status.pressure

    def wants_pressure(self, region_id: str) -> bool:
        """Return True if it is time to read the region's pressure from an answer again."""
        status = self._statuses.get(region_id)
        return status is None or self._clock() - status.pressure_at_s > PRESSURE_EVERY_S

    def round_trip_s(self, region_id: str) -> float | None:
        """Return the mean round trip to the region in seconds; None if it was not measured."""
        status = self._statuses.get(region_id)
        return status.distance.mean_s if status is not None and status.distance is not None else None

    def tier(self, region_id: str) -> int | None:
        """Return how far the region is, in steps that do not flap (see `Distance`); None if that is not known."""
        status = self._statuses.get(region_id)
        return status.distance.tier if status is not None and status.distance is not None else None

    def share(self, region: RegionEntry) -> float:
        """Return the share of its traffic that a region takes, RAMP_FLOOR to 1: it grows linearly over `ramp_s`."""
        return self._ramps.share(region)

    def soft_skip(self, region: RegionEntry, *, moved: bool, draw: float) -> Outcome:
        """Return why a request should rather go elsewhere; unspecified if there is no reason.

        `moved` says that another region should have served it; `draw`, in [0, 1), is the request's lot in ramps.
        """
        status = self._statuses.get(region.region_id)
        if status is not None and status.out:
            return trail_pb.ATTEMPT_OUTCOME_SKIPPED_HEALTH
        if region.ramp_s > 0 and draw >= self.share(region):
            return trail_pb.ATTEMPT_OUTCOME_SKIPPED_RAMP
        if moved and status is not None and (self.pressure(region.region_id) or 0.0) >= HIGH_PRESSURE:
            return trail_pb.ATTEMPT_OUTCOME_SKIPPED_PRESSURE
        return trail_pb.ATTEMPT_OUTCOME_UNSPECIFIED

    def _status(self, region_id: str) -> RegionStatus:
        status = self._statuses.get(region_id)
        if status is None:
            status = self._statuses[region_id] = RegionStatus()
            _USABLE.labels(region_id).set(1)
        return status

    def _set_out(self, region_id: str, status: RegionStatus, out: bool) -> None:
        if status.out is out:
            return
        status.out = out
        _USABLE.labels(region_id).set(0 if out else 1)
        log.warning("region health changed", name=region_id, state="out" if out else "in")
