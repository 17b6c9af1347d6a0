"""Takes routers' reports, and tells them what holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission.budgets import Budgets, month_of
from trunkline_admission.level_keeper import LevelKeeper
from trunkline_admission.promise_metrics import REPORTS
from trunkline_admission.promise_records import Counted
from trunkline_admission.promise_store import StoreClock
from trunkline_admission.report_messages import parse_report, report_response
from trunkline_admission.report_parts import KnownReport, Part, TenantRow
from trunkline_admission.report_queue import ReportQueue
from trunkline_admission.seen import Report, TierSeen
from trunkline_admission.windows import ReportWindows
from trunkline_map.entries import RegionState, TenantEntry
from trunkline_map.home_region import home_region
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_tiers import TierFile

STORE_WAIT_S: Final = 0.2
"""An answer waits so long for its report to be counted; without the store it goes out all the same."""
COSTS_PREFIX: Final = "costs."
"""Begins the names of those that report another region's costs: they serve nobody here."""


class CostSink(Protocol):
    """Where the costs go of tenants whose budget another region keeps."""

    def add(self, region_id: str, tenant_id: str, cost_micros: int) -> None:
        """Take a cost. Must not wait and not raise."""


class ReportDesk:
    """Report: counted once, judged once a second, answered with levels and budgets.

    Tenants that the map does not have, or whose data may not be in this region, are left out, so nobody can fill the
    store with names. A tier that the tier file does not have counts as the lowest, as everywhere.
    """

    def __init__(
        self,
        source: MapSource,
        tiers: TierFile,
        region: str,
        keeper: LevelKeeper,
        windows: ReportWindows,
        budgets: Budgets,
        clock: StoreClock,
        costs: CostSink | None = None,
    ) -> None:
        """Serve `region`. `costs` takes what tenants of other home regions have spent here; None keeps it here alone.

        `bind` must be called before the first report.
        """
        self._source = source
        self._tiers = tiers
        self._region = region
        self._keeper = keeper
        self._windows = windows
        self._budgets = budgets
        self._clock = clock
        self._costs = costs
        self._queue: ReportQueue | None = None

    def bind(self, queue: ReportQueue) -> None:
        """Bring reports to the store through `queue`, which tells `counted` of them."""
        self._queue = queue

    async def take(self, request: admission_pb.ReportRequest) -> admission_pb.ReportResponse:
        """Take one report; waits for the store STORE_WAIT_S at most.

        Raises FieldInvalid, and MapNotReady before the first map.
        """
        report, snapshot, now_s = parse_report(request), self._source.snapshot, self._clock.now_s()
        entries = self._known(report, snapshot)
        if self._windows.is_new(report.router, report.sequence, now_s, fronts=_fronts(report)):
            known = self._placed(report, entries, snapshot, now_s)
            if known.fronts:
                self._windows.add(known.tiers, now_s)
            for row, entry in zip(known.rows, entries, strict=True):
                self._budgets.sums.add(entry.tenant_id, row.month, row.seen.cost_micros)
            assert self._queue is not None
            await asyncio.wait((self._queue.put(known),), timeout=STORE_WAIT_S)
        else:
            REPORTS.labels("repeated").inc()
        return report_response(self._keeper.states, self._budgets.standing(entries, now_s))

    def counted(self, part: Part, counted: Counted) -> None:
        """Learn what the store has made of a part."""
        for row, spent_micros in zip(part.tenants, counted.spent_micros, strict=True):
            tenant_id, costs = row.seen.tenant_id, row.seen.cost_micros
            self._budgets.sums.settle(tenant_id, row.month, costs, spent_micros, counted=counted.counted)
            if self._costs is not None and row.home and costs and counted.counted:
                self._costs.add(row.home, tenant_id, costs)

    def _known(self, report: Report, snapshot: MapSnapshot) -> list[TenantEntry]:
        """Return the entries of the report's tenants that may be counted here, in its order."""
        here = snapshot.region(self._region)
        found = (snapshot.tenant(seen.tenant_id) for seen in report.tenants)
        return [
            entry for entry in found if entry is not None and (here is None or here.jurisdiction in entry.jurisdictions)
        ]

    def _placed(
        self, report: Report, entries: Sequence[TenantEntry], snapshot: MapSnapshot, now_s: float
    ) -> KnownReport:
        """Return the report by what the map says of its tiers, its tenants and this region."""
        seen_of = {seen.tenant_id: seen for seen in report.tenants}
        here = snapshot.region(self._region)
        fronts = _fronts(report)
        rows = []
        for entry in entries:
            # What another region told of its costs goes no further: maps that disagree would send it in a circle.
            home = home_region(snapshot, entry) if fronts else None
            away = home if home != self._region and home is not None else ""
            month = month_of(entry.time_zone, now_s).label
            rows.append(TenantRow(seen_of[entry.tenant_id], month, away))
        return KnownReport(
            router=report.router,
            sequence=report.sequence,
            tiers=self._known_tiers(report.tiers),
            rows=tuple(rows),
            fronts=fronts,
            down=here is not None and here.state is RegionState.DOWN,
            planned=here is not None and here.state is RegionState.DRAINING,
        )

    def _known_tiers(self, tiers: Sequence[TierSeen]) -> tuple[TierSeen, ...]:
        merged: dict[str, TierSeen] = {}
        for seen in tiers:
            name, _ = self._tiers.named(seen.tier)
            merged[name] = merged[name].with_more(seen) if name in merged else replace(seen, tier=name)
        return tuple(merged.values())


def _fronts(report: Report) -> bool:
    """Return True for a router's report; False for another region's costs."""
    return not report.router.startswith(COSTS_PREFIX)
