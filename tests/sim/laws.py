"""What must never happen, counted. Each kind of violation keeps a few examples, so that one can be looked into."""

from __future__ import annotations

from collections import Counter
from typing import Final

KINDS: Final = (
    "over_grant",
    "over_day",
    "over_pool",
    "over_even",
    "unowed",
    "unpaid",
    "lender_floor",
    "late_share",
    "over_slots",
    "starved",
    "idle_slot",
    "lost_slot",
)
"""Tenant's bucket; tenant's day; pools and what may be lent of them; a tenant's even part of a dry
pool; granted by a dry pool that does not owe it; spent without a grant; a lender refused what it
keeps for itself, or what nobody borrows any more; drawn from a pool, not used, and not given back in time; more at once
than there are slots; a rank that waits and gets less than half of its share; a free slot while somebody waits; a slot
that nobody gave back."""
_MAX_EXAMPLES: Final = 20


class Laws:
    """Counts violations by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self.examples: list[str] = []

    def broken(self, kind: str, at_s: float, what: str) -> None:
        """Note one violation."""
        assert kind in KINDS
        self.counts[kind] += 1
        if self.counts[kind] <= _MAX_EXAMPLES:
            self.examples.append(f"{at_s:.3f} s: {kind}: {what}")

    def summary(self) -> str:
        """Return what was broken so far, with the latest example."""
        broken = [f"{count} {kind}" for kind, count in self.counts.items() if count]
        return f"{', '.join(broken)} (such as {self.examples[-1]})" if broken else "none"

    @property
    def total(self) -> int:
        """Violations of all kinds."""
        return sum(self.counts.values())
