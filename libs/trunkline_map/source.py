"""Where services read the map from: the surface that the watcher and the static map of tests share."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from trunkline_map.snapshot import MapSnapshot
from trunkline_map.token import MapToken, decode
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapNotReady, MapTokenInvalid, StaleMap
from trunkline_mesh.parking import parked

RETRY_DELAY_S: Final = 0.2
"""Told to callers of a map that is behind or not loaded: most catch up sooner."""

FIRST_LOAD_WAIT_S: Final = 5.0
"""A map that was never loaded is awaited so long: loading 100,000 collections takes up to 3 s."""

FIRST_LOAD_SHARE: Final = 0.5
"""And at most for this share of a caller's time, so that it can still ask another process."""

REFUSAL_RESERVE_S: Final = 0.01
"""Kept back from the wait for a token, so that the refusal reaches the caller before its deadline."""

EPOCH_GRACE_S: Final = 0.25
"""A token of another epoch may be newer than what a healthy watch has delivered yet; it gets so long to arrive."""


class MapSource(Protocol):
    """What routing, retrieval and admission need of the map."""

    @property
    def snapshot(self) -> MapSnapshot:
        """The map as last seen; raises MapNotReady before the first load."""

    def age_s(self) -> float:
        """Return the seconds since the control store last confirmed the map; infinite before the first load."""

    def ready(self) -> bool:
        """Return True once a map with an epoch is loaded; stays True when the control store is lost."""

    async def at_least(self, map_token: bytes, deadline: Deadline) -> MapSnapshot:
        """Return a map that reflects the token, waiting for it within the deadline; `b""` asks for the current one.

        A call that waits gives its slot of the server back meanwhile (`trunkline_mesh.parking`), and may be refused it
        afterwards. The first load is awaited for FIRST_LOAD_WAIT_S, within FIRST_LOAD_SHARE of the time that is left.
        Raises MapNotReady, MapTokenInvalid for garbage and for a token of another epoch, and StaleMap at the deadline.
        """


class MapHolder:
    """Holds the current snapshot and wakes those who wait for a later one."""

    def __init__(self, snapshot: MapSnapshot | None = None) -> None:
        """Start with `snapshot`, or not ready."""
        self._current: MapSnapshot | None = None
        self._changed = asyncio.Event()
        if snapshot is not None:
            self.publish(snapshot)

    @property
    def snapshot(self) -> MapSnapshot:
        """The current map; raises MapNotReady before the first one with an epoch."""
        if self._current is None:
            raise MapNotReady(retry_delay_s=RETRY_DELAY_S)
        return self._current

    def ready(self) -> bool:
        """Return True once there is a map."""
        return self._current is not None

    async def wait_ready(self, timeout_s: float) -> bool:
        """Wait for the first map; return False if it did not come in time."""
        limit = Deadline.after(timeout_s)
        while self._current is None and not limit.expired():
            await self._next_change(limit)
        return self._current is not None

    def publish(self, snapshot: MapSnapshot) -> None:
        """Make `snapshot` the current map. One without an epoch belongs to an etcd that control has not set up yet."""
        if snapshot.epoch:
            self._current = snapshot
            self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def at_least(self, map_token: bytes, deadline: Deadline) -> MapSnapshot:
        """As `MapSource.at_least`."""
        wanted = decode(map_token) if map_token else None
        current = self._current
        if current is not None and (wanted is None or _reflects(current, wanted)):
            return current
        async with parked():
            return await self._awaited(wanted, deadline)

    async def _awaited(self, wanted: MapToken | None, deadline: Deadline) -> MapSnapshot:
        if self._current is None:
            await self.wait_ready(min(FIRST_LOAD_WAIT_S, deadline.remaining_s() * FIRST_LOAD_SHARE))
        current = self.snapshot
        if wanted is None or _reflects(current, wanted):
            return current
        deadline = deadline.within(deadline.remaining_s(), reserve_s=REFUSAL_RESERVE_S)
        grace = deadline.within(EPOCH_GRACE_S)
        while True:
            current = self.snapshot
            if _reflects(current, wanted):
                return current
            foreign = current.epoch != wanted.epoch and self.connected()
            limit = grace if foreign else deadline
            if limit.expired():
                raise MapTokenInvalid if foreign else _stale(current, wanted)
            self.missing(wanted)
            await self._next_change(limit)

    def connected(self) -> bool:
        """Return True while the map is known to be fed; only then is a token of another epoch known to be wrong."""
        return True

    def missing(self, wanted: MapToken) -> None:
        """Learn that somebody waits for `wanted`. The watcher uses it to ask the store."""

    async def _next_change(self, limit: Deadline) -> None:
        changed = self._changed
        try:
            async with asyncio.timeout(limit.remaining_s()):
                await changed.wait()
        except TimeoutError:
            return


def _reflects(snapshot: MapSnapshot, wanted: MapToken) -> bool:
    return snapshot.epoch == wanted.epoch and snapshot.revision >= wanted.revision


def _stale(snapshot: MapSnapshot, wanted: MapToken) -> StaleMap:
    return StaleMap(
        retry_delay_s=RETRY_DELAY_S,
        metadata={"mapRevision": str(snapshot.revision), "wantedRevision": str(wanted.revision)},
    )
