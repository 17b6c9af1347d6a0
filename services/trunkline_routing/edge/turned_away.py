"""Notes refusals that nobody else sees: of calls that were turned away before their method was reached."""

from __future__ import annotations

import time

from trunkline_map.source import MapSource
from trunkline_mesh.clock import Clock
from trunkline_mesh.errors import DomainError, reason_name
from trunkline_mesh.request import current_request
from trunkline_routing.edge.audited import Audit
from trunkline_routing.edge.note_bounds import NoteBounds


class TurnedAway:
    """Hears of every refusal of the server, and notes those that no account of calls has taken upon itself."""

    def __init__(self, source: MapSource, audit: Audit, region_id: str, clock: Clock = time.monotonic) -> None:
        """Note in `audit` what the router of `region_id` refuses."""
        self._source = source
        self._audit = audit
        self._region_id = region_id
        self._bounds = NoteBounds(clock=clock)

    def __call__(self, error: DomainError) -> None:
        """Note one refusal of the current request; raises nothing."""
        scope = current_request()
        if scope.noted:
            return
        principal = scope.principal
        tenant_id = (principal.tenant_id or "") if principal is not None else ""
        # An operator is of no tenant, and yet no stranger: what anybody can cause must not hide its refusals.
        who = tenant_id or (f"subject {principal.subject}" if principal is not None else "")
        if not self._bounds.may_note(who):
            return
        region = self._source.snapshot.region(self._region_id) if self._source.ready() else None
        self._audit.note(
            tenant_id=tenant_id,
            caller=principal.subject if principal is not None else "",
            query=None,
            collections=(),
            region=self._region_id,
            outcome=reason_name(error.reason),
            request_id=scope.request_id,
            jurisdiction=region.jurisdiction if region is not None else "",
        )
