"""One breaker for each dependency, region and method, and never more than a stated number of them."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from trunkline_mesh.breaker import Breaker, BreakerState, Transition, ignore_transition
from trunkline_mesh.breaker_policy import BreakerPolicy
from trunkline_mesh.clock import MONOTONIC, Clock

MAX_BREAKERS: Final = 1024
"""Default bound: some dependencies times regions times methods, with room to spare."""


class BreakerRegistry:
    """Hands out breakers by name and keeps the `capacity` most recently used.

    When it is full, the least recently used closed breaker is forgotten first, because forgetting an open one would
    send calls to a dependency that is known to fail. Not thread-safe; one event loop owns it.
    """

    def __init__(
        self,
        *,
        capacity: int = MAX_BREAKERS,
        clock: Clock = MONOTONIC,
        rng: Callable[[], float] = random.random,
        on_transition: Callable[[Transition], None] = ignore_transition,
    ) -> None:
        """Keep at most `capacity` breakers, at least 1; the other arguments go to each of them."""
        if capacity < 1:
            raise ValueError("a registry must have room for one breaker")
        self._capacity: Final = capacity
        self._clock: Final = clock
        self._rng: Final = rng
        self._on_transition: Final = on_transition
        self._breakers: OrderedDict[tuple[str, str, str], Breaker] = OrderedDict()

    def get(self, dependency: str, region: str, method: str, policy: BreakerPolicy) -> Breaker:
        """Return the breaker `dependency/region/method`, made on first use.

        Raises ValueError if it exists with another policy: two callers would disagree on what is broken.
        """
        key = (dependency, region, method)
        breaker = self._breakers.get(key)
        if breaker is None:
            return self._add(key, policy)
        if breaker.policy is not policy and breaker.policy != policy:
            raise ValueError(f"breaker {breaker.name} already has another policy")
        self._breakers.move_to_end(key)
        return breaker

    def breakers(self) -> Sequence[Breaker]:
        """Return the breakers held now, least recently used first."""
        return tuple(self._breakers.values())

    def open_names(self) -> Sequence[str]:
        """Return the names of the breakers that refuse calls now."""
        return tuple(str(breaker.name) for breaker in self._breakers.values() if breaker.is_open())

    def __len__(self) -> int:
        return len(self._breakers)

    def _add(self, key: tuple[str, str, str], policy: BreakerPolicy) -> Breaker:
        if len(self._breakers) >= self._capacity:
            self._forget_one()
        breaker = Breaker("/".join(key), policy, clock=self._clock, rng=self._rng, on_transition=self._on_transition)
        self._breakers[key] = breaker
        return breaker

    def _forget_one(self) -> None:
        closed = (key for key, breaker in self._breakers.items() if breaker.state is BreakerState.CLOSED)
        victim = next(closed, None)
        if victim is None:
            self._breakers.popitem(last=False)
        else:
            del self._breakers[victim]
