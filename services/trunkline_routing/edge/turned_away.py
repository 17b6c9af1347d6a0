"""Notes refusals that nobody else sees: of calls that were turned away before their method was reached."""

from __future__ import annotations

import time
from typing import Final

from trunkline_lease.bucket import TokenBucket
from trunkline_map.source import MapSource
from trunkline_mesh import metrics
from trunkline_mesh.clock import Clock
from trunkline_mesh.errors import DomainError, reason_name
from trunkline_mesh.request import current_request
from trunkline_routing.edge.audited import Audit

STRANGERS_PER_S: Final = 100.0
STRANGERS_BURST: Final = 1000.0
"""Refusals of calls without a verified credential that are noted; anybody can cause these, and the disk is finite."""

_LEFT_OUT = metrics.counter("search_audit_left_out", "Refusals of strangers that were counted and not noted.")


class TurnedAway:
    """Hears of every refusal of the server, and notes those that no account of calls has taken upon itself."""

    def __init__(self, source: MapSource, audit: Audit, region_id: str, clock: Clock = time.monotonic) -> None:
        """Note in `audit` what the router of `region_id` refuses."""
        self._source = source
        self._audit = audit
        self._region_id = region_id
        self._clock = clock
        self._strangers = TokenBucket(STRANGERS_PER_S, STRANGERS_BURST, clock())

    def __call__(self, error: DomainError) -> None:
        """Note one refusal of the current request; raises nothing."""
        scope = current_request()
        if scope.noted:
            return
        principal = scope.principal
        if principal is None and self._strangers.take(1, self._clock()) != 0.0:
            _LEFT_OUT.inc()
            return
        region = self._source.snapshot.region(self._region_id) if self._source.ready() else None
        self._audit.note(
            tenant_id=(principal.tenant_id or "") if principal is not None else "",
            caller=principal.subject if principal is not None else "",
            query=None,
            collections=(),
            region=self._region_id,
            outcome=reason_name(error.reason),
            request_id=scope.request_id,
            jurisdiction=region.jurisdiction if region is not None else "",
        )
