"""What reports told that the store could not take: added up, so that an outage may last as long as it likes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from trunkline_admission.report_parts import KnownReport, TenantRow
from trunkline_admission.seen import TenantSeen, TierSeen
from trunkline_mesh.clock import MONOTONIC, Clock

MAX_ROWS: Final = 100_000
"""Lines in one sum, a tenant's month each: some 30 MB. Further tenants' are dropped."""
MAX_AGE_S: Final = 600.0
"""Calls made longer ago are not told any more, because accounts go by the hour of counting. Costs are, always."""
LATE_PREFIX: Final = "late."
"""Begins the names that replicas report such sums under."""


@dataclass(slots=True)
class _Sum:
    """One tenant's month."""

    calls: int = 0
    errors: int = 0
    slow: int = 0
    cost_micros: int = 0


class LateReports:
    """Adds up by tier and tenant, and tells it as one report of this replica's own, with a name and numbers of its own.

    Routers spread their reports over the replicas, and the store takes a router's only in their order: after an outage
    each replica would have every second one, and the slower replica's would come too late. Under a name of its own
    nothing of it does. The price: a report that reached two replicas, because the first one's answer was lost while the
    store was away too, is counted twice. Not thread-safe; bounded by MAX_ROWS.
    """

    def __init__(self, clock: Clock = MONOTONIC) -> None:
        """Hold nothing yet."""
        self._clock = clock
        self._name = LATE_PREFIX + secrets.token_hex(12)
        self._sequence = 0
        self._tiers: dict[str, TierSeen] = {}
        self._rows: dict[tuple[str, str, str], _Sum] = {}
        self._calls_since_s = clock()
        self.reports = 0
        """Reports that are in the sum."""

    def __len__(self) -> int:
        """Return how many lines of tiers and tenants are held."""
        return len(self._tiers) + len(self._rows)

    def add(self, known: KnownReport) -> bool:
        """Add a report; return False if some of its tenants found no room."""
        self._forget_old_calls()
        self.reports += 1
        for seen in known.tiers:
            before = self._tiers.get(seen.tier)
            self._tiers[seen.tier] = seen if before is None else before.with_more(seen)
        found_room = [self._add(row) for row in known.rows]
        return all(found_room)

    def take(self) -> KnownReport | None:
        """Return what was added up as a report, and begin anew; None for nothing."""
        if not len(self):
            return None
        self._forget_old_calls()
        self._sequence += 1
        self.reports = 0
        rows = tuple(
            TenantRow(TenantSeen(tenant_id, sums.calls, sums.errors, sums.slow, sums.cost_micros), month, home)
            for (tenant_id, month, home), sums in self._rows.items()
        )
        tiers, self._tiers, self._rows = tuple(self._tiers.values()), {}, {}
        return KnownReport(self._name, self._sequence, tiers, rows, fronts=False, down=False, planned=False)

    def _add(self, row: TenantRow) -> bool:
        key = (row.seen.tenant_id, row.month, row.home)
        found = self._rows.get(key)
        if found is None:
            if len(self._rows) >= MAX_ROWS:
                return False
            found = self._rows[key] = _Sum()
        found.calls += row.seen.calls
        found.errors += row.seen.errors
        found.slow += row.seen.slow
        found.cost_micros += row.seen.cost_micros
        return True

    def _forget_old_calls(self) -> None:
        now_s = self._clock()
        if not len(self):
            self._calls_since_s = now_s
        elif now_s - self._calls_since_s > MAX_AGE_S:
            self._calls_since_s = now_s
            self._tiers = {}
            costs = ((key, sums.cost_micros) for key, sums in self._rows.items())
            self._rows = {key: _Sum(cost_micros=micros) for key, micros in costs if micros}
