"""Tells admission about once a second what this router saw, and takes the levels and spent budgets from the answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from trunkline_mesh import metrics
from trunkline_mesh.background import goes_on
from trunkline_mesh.errors import DomainError, FieldInvalid
from trunkline_mesh.logs import get_logger
from trunkline_routing.edge.report_sums import Span, Sums
from trunkline_routing.edge.standing import Standing, Told
from trunkline_routing.edge.utilisation import Utilisation

LOOKS: Final = 10
"""Looks at the utilisation in one span: a single one would tell more of chance than of load."""
_JITTER: Final = 0.1

Send: TypeAlias = Callable[[Span], Awaitable[Told]]
"""Sends a report and returns the answer; raises domain errors, OSError where there is no credential."""

_REPORTS = metrics.counter("region_reports", "Reports to admission, by how sending them ended.", ("outcome",))
_SENT, _FAILED, _REFUSED = (_REPORTS.labels(each) for each in ("sent", "failed", "refused"))

log = get_logger("levels")


class RegionReporter:
    """Sends reports for as long as `run` runs.

    A report that was not acknowledged may have been counted all the same. It is sent again as it was, under its number,
    until it is acknowledged, so that it is counted once; what happens meanwhile is added up for the one behind it.
    """

    def __init__(
        self,
        send: Send,
        sums: Sums,
        standing: Standing,
        utilisation: Utilisation,
        *,
        every_s: float,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Send one about every `every_s`; `rng` returns numbers in [0, 1) and spreads the routers' reports."""
        self._send: Final = send
        self._sums: Final = sums
        self._standing: Final = standing
        self._utilisation: Final = utilisation
        self._every_s: Final = every_s
        self._rng: Final = rng
        self._pending: Span | None = None
        self.healthy = True
        """False while reports are not answered."""

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            for _ in range(LOOKS):
                await asyncio.sleep(self._every_s / LOOKS * (1 + _JITTER * (2 * self._rng() - 1)))
                self.look()
            with goes_on("reports"):
                await self.report()

    def look(self) -> None:
        """Note how much of the servers each tier uses now, and what was refused before its tenant was known here."""
        for tier, part in self._utilisation.by_tier():
            self._sums.used(tier, part)
        for tier, count in self._utilisation.newly_refused():
            self._sums.shed(tier, count)

    async def report(self) -> None:
        """Send what is not acknowledged yet, else what was added up; a failure is counted, and nothing is lost."""
        if self._pending is None:
            self._pending = self._sums.take()
        span = self._pending
        try:
            told = await self._send(span)
        except FieldInvalid as exc:  # sent again it would be refused again, and stop all that come behind it
            _REFUSED.inc()
            log.warning("a report was refused", name=",".join(one.field for one in exc.violations)[:256])
            self._pending = None
            return
        except (DomainError, OSError) as exc:
            _FAILED.inc()
            if self.healthy:
                log.warning("reports are not answered", error_type=type(exc).__name__)
            self.healthy = False
            return
        _SENT.inc()
        if not self.healthy:
            log.info("reports are answered again")
        self.healthy = True
        self._pending = None
        self._standing.told(span.tenants, told)
