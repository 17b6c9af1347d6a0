"""Notes refusals that no other account of a server tells, in the audit of searches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from trunkline_map.source import MapSource
from trunkline_mesh.clock import Clock
from trunkline_mesh.errors import DomainError, reason_name
from trunkline_mesh.request import current_request
from trunkline_usage.note_bounds import NoteBounds


class Notes(Protocol):
    """Takes a line; `SearchAudit` does."""

    def note(
        self,
        *,
        tenant_id: str,
        caller: str,
        query: None,
        collections: Sequence[str],
        region: str,
        jurisdiction: str,
        outcome: str,
        request_id: str,
    ) -> None:
        """Note one refusal; raises nothing."""


class TurnedAway:
    """Hears of every refusal of a server, and notes those that no account of calls has taken upon itself.

    Who was refused, where and why: of what was asked it knows nothing. Bounded as `NoteBounds` is.
    """

    def __init__(
        self, audit: Notes, region_id: str, jurisdiction_of: Callable[[], str], clock: Clock = time.monotonic
    ) -> None:
        """Note in `audit` what a server of `region_id` refuses; `jurisdiction_of` tells that of the region."""
        self._audit = audit
        self._region_id = region_id
        self._jurisdiction_of = jurisdiction_of
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
        self._audit.note(
            tenant_id=tenant_id,
            caller=principal.subject if principal is not None else "",
            query=None,
            collections=(),
            region=self._region_id,
            jurisdiction=self._jurisdiction_of(),
            outcome=reason_name(error.reason),
            request_id=scope.request_id,
        )


def jurisdiction_by_map(source: MapSource, region_id: str) -> Callable[[], str]:
    """Return what tells a region's jurisdiction by the map at hand; empty where it is not there (yet)."""

    def told() -> str:
        region = source.snapshot.region(region_id) if source.ready() else None
        return region.jurisdiction if region is not None else ""

    return told
