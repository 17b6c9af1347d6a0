"""Which router to ask: the nearest that works."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import grpc

from trunkline_client.channel import open_channel
from trunkline_client.router import Router, RouterAddress
from trunkline_client.settings import ClientSettings

MAX_ROUTERS: Final = 64
# A later router is preferred to an earlier one only if it is this much quicker: an order that flips with every
# wobble of the mean would spread one caller's warm caches over all regions.
_CLEARLY_QUICKER: Final = 0.5


class RouterPool:
    """The routers of one client, in the order in which their owner calls them near.

    That order holds until measurements say otherwise: a router whose mean time for the method is less than half of an
    earlier one's goes before it. Routers that rest after transport failures, or asked for less traffic, go last.
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
        self._clock = clock
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
            while place and _clearly_quicker(router, ranked[place - 1], method_name):
                place -= 1
            ranked.insert(place, router)
        return sorted(ranked, key=self._reluctance)  # stable: equals keep their rank

    def _reluctance(self, router: Router) -> int:
        now = self._clock()
        if router.rest_until_s is not None:
            # Only a standing connection ends a rest, so probing a frozen router costs no caller's time, and only one
            # call at a time may be the probe.
            may_probe = now >= router.rest_until_s and not router.probing and router.ready
            return 0 if may_probe else 3
        if router.failures and not router.ready:
            return 2
        return 1 if now < router.avoid_until_s else 0

    def begin(self, router: Router) -> bool:
        """Note that a call goes to this router. True if the call is the probe of a rest that is over."""
        if router.rest_until_s is None or router.probing:
            return False
        router.probing = True
        return True

    def end_probe(self, router: Router) -> None:
        """Give up the probe, whatever came of it."""
        router.probing = False

    def answered(self, router: Router) -> None:
        """Note that the router spoke, if only to refuse: it is alive."""
        router.failures = 0
        router.rests = 0
        router.rest_until_s = None

    def failed(self, router: Router) -> None:
        """Note a transport failure; enough of them in a row begin a rest, one after a rest begins a longer one.

        Calls that were under way when the rest began fail too; they tell nothing new and do not lengthen it.
        """
        now = self._clock()
        router.failures += 1
        if router.failures < self._settings.failures_to_rest and router.rest_until_s is None:
            return
        if router.rest_until_s is not None and now < router.rest_until_s:
            return
        longest_s = min(self._settings.max_rest_s, self._settings.rest_s * 2.0 ** min(router.rests, 16))
        router.rests += 1
        router.rest_until_s = now + longest_s * self._rng.uniform(0.5, 1.0)

    def avoid(self, router: Router, for_s: float) -> None:
        """Prefer others for a while: the router asked for less."""
        bounded_s = min(for_s, self._settings.max_rest_s)
        router.avoid_until_s = max(router.avoid_until_s, self._clock() + bounded_s)


def _clearly_quicker(router: Router, other: Router, method_name: str) -> bool:
    mine, theirs = router.latency(method_name), other.latency(method_name)
    return mine.trusted and theirs.trusted and mine.mean_s < theirs.mean_s * _CLEARLY_QUICKER
