"""Which router to ask: the nearest that works."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from typing import Final

import grpc

from trunkline_client.channel import open_channel
from trunkline_client.router import Router, RouterAddress
from trunkline_client.settings import ClientSettings
from trunkline_client.signals import SILENT, Signals

MAX_ROUTERS: Final = 64
# A later router is preferred to an earlier one only if it is this much quicker: an order that flips with every
# wobble of a time would spread one caller's warm caches over all regions.
_CLEARLY_QUICKER: Final = 0.5
# From here on a router is no place to move other routers' traffic to, as long as it said so not too long ago.
_BUSY: Final = 0.95
_PRESSURE_FRESH_S: Final = 10.0
# So many of a region's routers in a row, and it is the region that is gone.
_REGION_LOST: Final = 2


class Reluctance(IntEnum):
    """Why a router is asked later than its rank says, the lesser reason first."""

    NONE = 0
    DRAINING = 1
    """It serves, and asks to prefer another."""
    BUSY = 2
    """It asked for less, or would be driven over its capacity by what fails elsewhere."""
    FAILING = 3
    """The last call failed and no connection stands."""
    RESTING = 4


def _nothing(_router: Router) -> None:
    pass


class RouterPool:
    """The routers of one client, in the order in which their owner calls them near.

    That order holds until measurements say otherwise: a router whose usual time for the method is less than half of an
    earlier one's goes before it. Behind all of them, by `Reluctance`, go routers that drain, are busy or fail. A region
    of which two routers fail in a row is taken for lost, and all of its routers rest.

    `on_leave` is told of each router that nothing but a health check brings back.
    """

    def __init__(
        self,
        addresses: Sequence[RouterAddress],
        settings: ClientSettings,
        credentials: grpc.ChannelCredentials | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        connect: Callable[[str], grpc.aio.Channel] | None = None,
    ) -> None:
        unique = list({address.target: address for address in addresses}.values())
        if not 1 <= len(unique) <= MAX_ROUTERS:
            raise ValueError(f"a client needs 1 to {MAX_ROUTERS} routers, got {len(unique)}")
        self._settings = settings
        self._connect = connect or partial(
            open_channel, max_message_bytes=settings.max_message_bytes, credentials=credentials
        )
        self.clock: Final = clock
        self.on_leave: Callable[[Router], None] = _nothing
        self._silent: dict[str, set[Router]] = {}
        self._rng = rng or random.Random()  # noqa: S311  # spreads load, guards nothing
        self._routers: dict[str, Router] = {}
        for address in unique:
            self.add(address)

    def add(self, address: RouterAddress) -> Router | None:
        """Take a router in, or return the one of that target; None if the pool is full."""
        known = self._routers.get(address.target)
        if known is not None or len(self._routers) >= MAX_ROUTERS:
            return known
        router = Router(address, self._connect, len(self._routers))
        self._routers[address.target] = router
        return router

    def warm(self) -> None:
        """Begin to connect to all routers, so that a failover finds an open connection."""
        for router in self._routers.values():
            router.channel.get_state(try_to_connect=True)

    async def close(self) -> None:
        """Close every connection; calls under way are cancelled."""
        await asyncio.gather(*(router.close() for router in self._routers.values()))

    def all(self) -> Sequence[Router]:
        """Return the routers in the order given."""
        return tuple(self._routers.values())

    def ordered(self, method_name: str, among: Iterable[Router] | None = None) -> list[Router]:
        """Return the routers to ask, best first; those that rest come last, as a last resort."""
        ranked: list[Router] = []
        for router in sorted(self._routers.values() if among is None else among, key=lambda item: item.position):
            place = len(ranked)
            while place and self._clearly_quicker(router, ranked[place - 1], method_name):
                place -= 1
            ranked.insert(place, router)
        home = ranked[0] if ranked else None
        return sorted(ranked, key=lambda router: self._reluctance(router, home))  # stable: equals keep their rank

    def neighbours(self, router: Router) -> list[Router]:
        """Return the other routers of its region; none where the region is not known."""
        region = router.address.region
        return [each for each in self._routers.values() if each is not router and region == each.address.region != ""]

    def left(self, router: Router) -> bool:
        """Return whether only a health check can bring it back: at rest and not proved to serve, or draining."""
        return router.draining or (router.rest_until_s is not None and not router.proved)

    def _reluctance(self, router: Router, home: Router | None) -> Reluctance:
        now = self.clock()
        if router.rest_until_s is not None:
            # Only a health check ends a rest, and a standing connection, so a router that is frozen costs no caller's
            # time; and only one call at a time may be the probe.
            may_probe = now >= router.rest_until_s and router.proved and not router.probing and router.ready
            return Reluctance.NONE if may_probe else Reluctance.RESTING
        if router.failures and not router.ready:
            return Reluctance.FAILING
        told_busy = router.pressure >= _BUSY and now - router.pressure_s <= _PRESSURE_FRESH_S
        if now < router.avoid_until_s or (told_busy and router is not home):
            return Reluctance.BUSY
        return Reluctance.DRAINING if router.draining else Reluctance.NONE

    def begin(self, router: Router) -> bool:
        """Note that a call goes to this router. True if the call is the probe of a rest that is over."""
        if router.rest_until_s is None or router.probing:
            return False
        router.probing = True
        return True

    def end_probe(self, router: Router) -> None:
        """Give up the probe, whatever came of it."""
        router.probing = False

    def answered(self, router: Router, signals: Signals = SILENT) -> None:
        """Note that the router answered a call, if only to refuse: it is alive."""
        router.failures = 0
        router.rests = 0
        router.rest_until_s = None
        self.heard(router, signals)

    def heard(self, router: Router, signals: Signals) -> None:
        """Note what the router says of itself; that it speaks does not end a rest."""
        now = router.heard_s = self.clock()
        self._silent.pop(router.address.region, None)
        if signals.pressure is not None:
            router.pressure, router.pressure_s = signals.pressure, now
        if signals.told and signals.draining is not router.draining:
            router.draining = signals.draining
            if router.draining:
                self.on_leave(router)

    def prove(self, router: Router, *, draining: bool) -> None:
        """Note that a health check says that it serves; the next call may be the probe that ends its rest."""
        router.proved = router.rest_until_s is not None
        router.draining = draining

    def suspend(self, router: Router) -> None:
        """Note that the router left a call and a health check without a word: it rests at once."""
        router.failures = max(router.failures + 1, self._settings.failures_to_rest)
        self._rest(router)
        self._count_silent(router)

    def failed(self, router: Router) -> None:
        """Note a transport failure; enough of them in a row begin a rest, one after a rest begins a longer one.

        Calls that were under way when the rest began fail too; they tell nothing new and do not lengthen it.
        """
        router.failures += 1
        if router.failures >= self._settings.failures_to_rest or router.rest_until_s is not None:
            self._rest(router)
        self._count_silent(router)

    def _count_silent(self, router: Router) -> None:
        region = router.address.region
        if not region:
            return
        silent = self._silent.setdefault(region, set())
        silent.add(router)
        if len(silent) >= _REGION_LOST:
            for each in (router, *self.neighbours(router)):
                self._rest(each)

    def _rest(self, router: Router) -> None:
        now = self.clock()
        if router.rest_until_s is not None and not (router.proved and now >= router.rest_until_s):
            return
        longest_s = min(self._settings.max_rest_s, self._settings.rest_s * 2.0 ** min(router.rests, 16))
        router.rests += 1
        router.proved = False
        router.rest_until_s = now + longest_s * self._rng.uniform(0.5, 1.0)
        router.latencies.clear()  # of another time, when it comes back
        self.on_leave(router)

    def avoid(self, router: Router, for_s: float) -> None:
        """Prefer others for a while: the router asked for less."""
        bounded_s = min(for_s, self._settings.max_rest_s)
        router.avoid_until_s = max(router.avoid_until_s, self.clock() + bounded_s)

    def _clearly_quicker(self, router: Router, other: Router, method_name: str) -> bool:
        mine, theirs, now = router.latency(method_name), other.latency(method_name), self.clock()
        return mine.trusted(now) and theirs.trusted(now) and mine.usual_s < theirs.usual_s * _CLEARLY_QUICKER
