"""Decisions remembered in this router, each made once however many ask for it at the same time."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import CollectionEntry, SpaceEntry
from trunkline_mesh import metrics
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_routing.edge.model import Decision

JITTER: Final = 0.1
"""A decision is kept for its time, more or less by up to this part: those made together do not all end together."""
SAME_TIME_S: Final = 0.1
"""A degraded decision is shared with those who have no more time than its maker, give or take this."""

Collections: TypeAlias = tuple[CollectionEntry, ...]

_CACHE = metrics.counter("decision_cache", "Look-ups of remembered decisions.", ("outcome",))
_HITS, _MISSES, _JOINED = _CACHE.labels("hit"), _CACHE.labels("miss"), _CACHE.labels("joined")


class Key(NamedTuple):
    """What a decision is remembered by."""

    tenant_id: str
    lane: str
    """Digests of policy and head, and the arms of comparisons."""
    text: str
    """Normalised."""
    caller: object = None
    """What the policy's rules see of the caller; None where they look at nobody."""
    semantics: bool = True
    """False while semantics are switched off, and what they once decided is not used."""


class Basis(NamedTuple):
    """What a decision rests on in the map; it holds as long as these are the very same objects."""

    collections: Collections
    space: SpaceEntry | None


@dataclass(frozen=True, slots=True)
class Made:
    """A decision, and what there is to tell of how it was made."""

    decision: Decision
    ttl_s: float = 0.0
    """How long to remember it; 0 for not at all."""
    degradations: tuple[tuple[trail_pb.DegradationReason.ValueType, str], ...] = ()
    """Of a decision that is less than it should be; such a one is never remembered."""


class _Kept(NamedTuple):
    at_s: float
    lasts_s: float
    basis: Basis
    decision: Decision


class _Flight:
    __slots__ = ("at_s", "landed")

    def __init__(self, deadline: Deadline) -> None:
        self.at_s = deadline.at_s
        self.landed: asyncio.Future[Made | None] = asyncio.get_running_loop().create_future()


class DecisionCache:
    """Decisions by tenant, policy, text and caller; bounded, for the time that their policy gives them.

    After any change of the tenant's part of the map a decision is made anew, so that nobody who brings a map token is
    answered from an older map.
    """

    def __init__(self, *, size: int, clock: Clock = MONOTONIC, rng: random.Random | None = None) -> None:
        """Keep at most `size` decisions; `rng` spreads the ends of their times."""
        self._size = size
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._flying: dict[tuple[Key, int, int], _Flight] = {}

    def get(self, key: Key, basis: Basis, *, stretch: float = 1.0) -> Decision | None:
        """Return the decision remembered for this state of the map; None once its time, `stretch` times over, ended."""
        kept = self._kept.get(key)
        # A snapshot returns the same objects until the tenant's part of the map changes, so identity is enough.
        if kept is None or kept.basis[0] is not basis[0] or kept.basis[1] is not basis[1]:
            return None
        if kept.at_s + kept.lasts_s * stretch < self._clock():
            return None
        self._kept.move_to_end(key)
        _HITS.inc()
        return kept.decision

    def put(self, key: Key, basis: Basis, decision: Decision, ttl_s: float) -> None:
        """Remember a decision for `ttl_s`, more or less by up to a tenth."""
        lasts_s = ttl_s * self._rng.uniform(1 - JITTER, 1 + JITTER)
        self._kept[key] = _Kept(self._clock(), lasts_s, basis, replace(decision, cached=True))
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    async def make(
        self, key: Key, basis: Basis, deadline: Deadline, make: Callable[[], Awaitable[Made]]
    ) -> tuple[Made, bool]:
        """Return the decision of whoever is making it already, or make it; the second is True for another's.

        Another's costs nothing here, as a remembered one.

        Who waits does so to its own deadline and then makes its own. If the maker fails or is cancelled, the next one
        who waits takes over. Raises what `make` raises.
        """
        flying = (key, id(basis.collections), id(basis.space))
        waited = False
        while (flight := self._flying.get(flying)) is not None and not deadline.expired():
            waited = True
            await asyncio.wait((flight.landed,), timeout=deadline.remaining_s())
            made = flight.landed.result() if flight.landed.done() else None
            if made is not None and (not made.degradations or deadline.at_s <= flight.at_s + SAME_TIME_S):
                _JOINED.inc()
                return replace(made, decision=replace(made.decision, cached=True)), True
        kept = self.get(key, basis) if waited else None
        if kept is not None:
            return Made(kept), True
        _MISSES.inc()
        return await self._lead(flying, basis, deadline, make), False

    async def _lead(
        self,
        flying: tuple[Key, int, int],
        basis: Basis,
        deadline: Deadline,
        make: Callable[[], Awaitable[Made]],
    ) -> Made:
        flight, made = _Flight(deadline), None
        self._flying[flying] = flight
        try:
            made = await make()
            if made.ttl_s > 0 and not made.degradations:
                self.put(flying[0], basis, made.decision, made.ttl_s)
            return made
        finally:
            if self._flying.get(flying) is flight:  # else somebody whose time ended has begun anew
                del self._flying[flying]
            flight.landed.set_result(made)
