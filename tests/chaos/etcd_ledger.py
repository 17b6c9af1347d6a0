"""What was asked of the map, what was acknowledged, and what is known of the rest."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """What became of one attempt to change an entry."""

    DONE = "done"
    """Acknowledged, with a token."""
    REFUSED = "refused"
    """Refused by the contract as not done."""
    UNKNOWN = "unknown"
    """Neither: it is read back before the entry is touched again."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to change an entry."""

    at_s: float
    """When it ended, by the monotonic clock."""
    outcome: Outcome
    reason: str = ""


@dataclass
class Ledger:
    """The history of every collection that is moved about, and all attempts to move one."""

    attempts: list[Attempt] = field(default_factory=list)
    history: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """Collection to (revision, region), ascending: acknowledged changes, and those that were found by reading back."""
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    """(collection, revision) of every change that was confirmed to its caller."""
    map_token: bytes = b""
    """Of the latest acknowledged change."""
    latest: int = 0
    """Its revision."""
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def done(self, collection: str, revision: int, region: str, map_token: bytes) -> None:
        """Note an acknowledged change."""
        self.attempts.append(Attempt(time.monotonic(), Outcome.DONE))
        self.acknowledged.append((collection, revision))
        self.found(collection, revision, region)
        if revision > self.latest:
            self.latest, self.map_token = revision, map_token
        self._more.set()

    async def wait_done(self, count: int, *, since_s: float, within_s: float) -> bool:
        """Wait until so many changes were acknowledged since a moment; False if they were not in time."""
        try:
            async with asyncio.timeout(within_s):
                while self.count(Outcome.DONE, since_s) < count:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            return False
        return True

    def failed(self, outcome: Outcome, reason: str) -> None:
        """Note a change that was not acknowledged."""
        self.attempts.append(Attempt(time.monotonic(), outcome, reason))

    def found(self, collection: str, revision: int, region: str) -> None:
        """Note a state of a collection, once."""
        states = self.history.setdefault(collection, [])
        if (revision, region) not in states:
            states.append((revision, region))
            states.sort()

    def region_at(self, collection: str, revision: int) -> str | None:
        """Return where a collection was at a revision of the map; None before its first known state."""
        states = self.history.get(collection, [])
        index = bisect_right(states, revision, key=lambda state: state[0])
        return states[index - 1][1] if index else None

    def count(self, outcome: Outcome, start_s: float = 0.0, end_s: float = float("inf")) -> int:
        """Return how many attempts ended so in a span of time."""
        return sum(each.outcome is outcome and start_s <= each.at_s < end_s for each in self.attempts)

    def reasons(self, start_s: float, end_s: float) -> dict[str, int]:
        """Return the reasons of what was not acknowledged in a span of time."""
        return dict(Counter(each.reason for each in self.attempts if each.reason and start_s <= each.at_s < end_s))
