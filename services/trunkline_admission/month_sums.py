"""What tenants' months have cost, as far as one replica knows: what the store has counted, and what it has not yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

MAX_MONTHS: Final = 20_000
"""Months of tenants that are remembered; the one that nothing was heard of longest makes room, and is read anew."""


@dataclass(frozen=True, slots=True)
class MonthSum:
    """One tenant's month."""

    tenant_id: str
    month: str
    """Its label."""
    micros: int


@dataclass(slots=True)
class _Month:
    """A month never becomes cheaper, so that of two words the higher one is right."""

    known: int = 0
    """The most that the store has said, or should say."""
    settled: int = 0
    """The most that it said when it counted costs of ours: all of them but what is pending."""
    pending: int = 0
    """Costs that wait for being counted."""

    @property
    def spent(self) -> int:
        return max(self.known, self.settled + self.pending)


class MonthSums:
    """Sums by tenant and month; notes which of them the store has lost. Not thread-safe. MAX_MONTHS at most."""

    def __init__(self) -> None:
        """Know of nothing yet."""
        self._months: OrderedDict[tuple[str, str], _Month] = OrderedDict()
        self._lost: dict[tuple[str, str], None] = {}

    def __len__(self) -> int:
        """Return how many months are remembered."""
        return len(self._months)

    def spent(self, tenant_id: str, month: str) -> int:
        """Return the micros of a month as far as they are known here; 0 for one that is not."""
        found = self._months.get((tenant_id, month))
        return 0 if found is None else found.spent

    def add(self, tenant_id: str, month: str, cost_micros: int) -> None:
        """Add a cost that the store has not counted yet."""
        self._month(tenant_id, month).pending += cost_micros

    def learn(self, tenant_id: str, month: str, spent_micros: int) -> None:
        """Hear what the store says of a month. Less than before means that it has lost something."""
        found = self._month(tenant_id, month)
        if spent_micros < found.known:
            self._lost[tenant_id, month] = None
        found.known = max(found.known, spent_micros)

    def settle(self, tenant_id: str, month: str, cost_micros: int, spent_micros: int, *, counted: bool) -> None:
        """Hear what the store says after it has dealt with a cost that was added.

        Not `counted` is what it had counted before, in a report that came by another replica.
        """
        found = self._month(tenant_id, month)
        found.pending = max(0, found.pending - cost_micros)
        if counted and spent_micros < found.known:
            # The store began anew before it counted this: it belongs on top of what was lost.
            found.known += cost_micros
        self.learn(tenant_id, month, spent_micros)
        found.settled = found.known

    def lose_all(self) -> None:
        """Learn that the store is another one, or has lost everything."""
        self._lost = dict.fromkeys(key for key, found in self._months.items() if found.known)

    def lost(self, most: int) -> Sequence[MonthSum]:
        """Return some of the sums that the store is to be given back, at most `most`."""
        return [MonthSum(*key, self._months[key].known) for key in islice(self._lost, most)]

    def given_back(self, sums: Sequence[MonthSum]) -> None:
        """Learn that the store has these again."""
        for each in sums:
            self._lost.pop((each.tenant_id, each.month), None)

    def _month(self, tenant_id: str, month: str) -> _Month:
        key = (tenant_id, month)
        found = self._months.get(key)
        if found is None:
            found = self._months[key] = _Month()
            if len(self._months) > MAX_MONTHS:
                oldest, _ = self._months.popitem(last=False)
                self._lost.pop(oldest, None)
        else:
            self._months.move_to_end(key)
        return found
