"""Independent account of what one region's replica holds of the pools: drawn, granted, and given back in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.sim.laws import Laws

_TIERS_AT = 7
_TIER_LENGTH = 8
_TAKEN_AT = 4


@dataclass(frozen=True, slots=True)
class PoolCall:
    """One run of the pool script, as it goes over the wire (`services/trunkline_admission/scripts/pool.lua`)."""

    tier: str
    """Who takes."""
    taken: Mapping[str, int]
    """By the tier whose pool it came from."""
    back: Mapping[str, int]
    """What comes back of an earlier share, the same."""
    owed: int = 0
    """What the one who takes was granted since although its own pool was dry."""

    @classmethod
    def read(cls, args: Sequence[str | int | float], answer: Sequence[int]) -> PoolCall:
        """Return what a call was about."""
        end = _TIERS_AT + int(args[_TIERS_AT - 1]) * _TIER_LENGTH
        rows = range(_TIERS_AT, end, _TIER_LENGTH)
        names = [str(args[row]) for row in rows]
        taken = dict(zip(names, answer[_TAKEN_AT::2], strict=True))
        back = {name: int(args[row + _TIER_LENGTH - 1]) for name, row in zip(names, rows, strict=True)}
        owed = int(args[end]) if len(args) > end else 0
        return cls(names[int(args[2]) - 1], taken, back, owed)


class ShareBook:
    """One law: what a replica draws and does not grant is back in its pool within the authority's bound.

    What is granted or given back is taken to be the oldest that is held. That is the kindest reading: if even by it
    something stayed for too long, something did.
    """

    def __init__(self, region: str, bound_s: float, laws: Laws, clock: Callable[[], float]) -> None:
        self.reclaims_s: list[float] = []
        """How long requests of other tiers' pools were held at most, each time that some came back unused."""
        self._region = region
        self._bound_s = bound_s
        self._laws = laws
        self._clock = clock
        self._held: dict[str, deque[tuple[float, int]]] = {}
        """By tier: since when, and how many."""

    def drew(self, call: PoolCall) -> None:
        """Note a draw, and what came back with it."""
        held = self._held.setdefault(call.tier, deque())
        age_s = self._let_go(held, sum(call.back.values()))
        self._judge(call.tier, age_s)
        if any(requests for name, requests in call.back.items() if name != call.tier):
            self.reclaims_s.append(age_s)
        self._keep(held, sum(call.taken.values()))

    def granted(self, tier: str, requests: int, returned: int) -> None:
        """Note what a tier's tenants got out of the share, and what they had returned to it before."""
        held = self._held.setdefault(tier, deque())
        self._keep(held, returned)
        self._let_go(held, requests)

    def close(self) -> None:
        """Judge the end: whatever is held still must be young."""
        for tier, held in self._held.items():
            if held:
                self._judge(tier, self._clock() - held[0][0])

    def _keep(self, held: deque[tuple[float, int]], requests: int) -> None:
        if requests:
            held.append((self._clock(), requests))

    def _let_go(self, held: deque[tuple[float, int]], requests: int) -> float:
        """Take the oldest out, and return the age of the first of them."""
        age_s = self._clock() - held[0][0] if requests and held else 0.0
        while requests and held:
            since_s, there = held.popleft()
            if there > requests:
                held.appendleft((since_s, there - requests))
            requests -= min(requests, there)
        return age_s

    def _judge(self, tier: str, age_s: float) -> None:
        if age_s > self._bound_s:
            text = f"{self._region}: {tier} held {age_s:.1f} s what it had drawn"
            self._laws.broken("late_share", self._clock(), text)
