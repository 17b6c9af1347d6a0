"""Sees how each search ends, allowed or refused: for the audit, and for the account that admission gets."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_map.source import MapSource
from trunkline_mesh.errors import (
    BudgetSpent,
    DeadlineExceeded,
    InFlightLimit,
    Preempted,
    QuotaExhausted,
    ResidencyRouterOutside,
    StageDisabled,
    StaleMap,
    first_domain_error,
    reason_name,
)
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge.bounds import MAX_COLLECTIONS, MAX_VECTOR, NAME
from trunkline_routing.edge.model import Answer
from trunkline_routing.edge.report_sums import Sums
from trunkline_routing.edge.terms import LeftOut
from trunkline_usage.note_bounds import NoteBounds

ALLOWED: Final = "allowed"
CANCELLED: Final = "CANCELLED"

_OWN_LIMITS: Final = (InFlightLimit, BudgetSpent, StageDisabled)
"""Refusals that say nothing of how well the region serves: the tenant's own limits, and what an operator wanted."""
_OWN_SCOPES: Final = frozenset({"tenant", "key"})
"""Whose exhausted quota is its own doing; its tier's pool, or the service's, may have been emptied by others."""


class Audit(Protocol):
    """Keeps who searched what; trunkline_usage.SearchAudit. Never a query's text."""

    @property
    def healthy(self) -> bool:
        """False while the disk takes no lines."""

    def note(
        self,
        *,
        tenant_id: str,
        caller: str,
        query: str | bytes | None,
        collections: Sequence[str],
        region: str,
        outcome: str,
        request_id: str,
        jurisdiction: str,
    ) -> None:
        """Note one search; raises nothing."""

    async def written(self) -> None:
        """Wait until the notes so far survive this process, within some ten milliseconds; usually they do."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One query as its caller sent it, before anybody has looked whether it is one."""

    text: str
    collections: Sequence[str]
    vector: Sequence[float] = ()
    space_id: str = ""
    """Of the vector."""

    def to_hash(self) -> str | bytes | None:
        """Return what tells the query from others: its text, else its vector's space and numbers; None for neither."""
        if self.text:
            return self.text
        values = self.vector[:MAX_VECTOR]
        return self.space_id.encode() + b"\0" + struct.pack(f"<{len(values)}f", *values) if values else None


class Watch:
    """Makes a `Watched` for each request."""

    def __init__(self, source: MapSource, sums: Sums, audit: Audit | None, *, region_id: str) -> None:
        """Add to `sums`; note in `audit`, if there is one."""
        self.source: Final = source
        self.sums: Final = sums
        self.audit: Final = audit
        self.region_id: Final = region_id
        self.bounds: Final = NoteBounds()
        """What one tenant may have noted of refusals, which cost it nothing; what is answered is always noted."""

    def search(self, scope: RequestScope, queries: Sequence[Asked]) -> Watched:
        """Watch a search of one or several queries."""
        return Watched(self, scope, queries, counts=True)

    def route(self, scope: RequestScope, query: Asked) -> Watched:
        """Watch a search that is only explained: noted, and not counted."""
        return Watched(self, scope, (query,), counts=False)


_NOTHING: Final = Asked("", ())
"""Stands for the queries of a batch that has none."""


class Watched:
    """One request from before it is parsed to its end; an async context manager, used once."""

    __slots__ = ("_began_s", "_counts", "_queries", "_scope", "_watch", "answers")

    def __init__(self, watch: Watch, scope: RequestScope, queries: Sequence[Asked], *, counts: bool) -> None:
        """See `Watch`."""
        self._watch = watch
        self._scope = scope
        self._queries = queries
        self._counts = counts
        self._began_s = time.perf_counter()
        self.answers: Sequence[Answer] = ()
        """To be set to what was answered: one for each query."""

    async def __aenter__(self) -> Self:
        """Begin."""
        self._scope.noted = True  # allowed or refused, this one tells it
        return self

    async def __aexit__(self, _type: object, exc: BaseException | None, _traceback: object) -> None:
        """Count and note how it ended, before an answer can leave."""
        if not isinstance(exc, asyncio.CancelledError):
            self._scope.settle()
        tenant_id = (self._scope.principal.tenant_id if self._scope.principal is not None else None) or ""
        if self._counts:
            self._count(tenant_id, exc)
        if self._watch.audit is not None:
            self._note(self._watch.audit, tenant_id, exc)
            if not isinstance(exc, asyncio.CancelledError):
                await self._watch.audit.written()

    def _count(self, tenant_id: str, exc: BaseException | None) -> None:
        """Count what the map's tenants ask for. Of a batch no time is told: what is promised is one search's."""
        source, sums = self._watch.source, self._watch.sums
        tenant = source.snapshot.tenant(tenant_id) if source.ready() else None
        if tenant is None:
            return
        elapsed_s = time.perf_counter() - self._began_s + self._scope.queue_wait_s
        if exc is None:
            sums.answered(tenant_id, tenant.tier, elapsed_s if len(self._queries) == 1 else None)
        elif _is_ours(exc, late=len(self._queries) == 1 and elapsed_s >= sums.promised_s(tenant.tier)):
            sums.failed(tenant_id, tenant.tier, by_limit=isinstance(first_domain_error(exc), QuotaExhausted | LeftOut))
        else:
            sums.asked(tenant_id)

    def _note(self, audit: Audit, tenant_id: str, exc: BaseException | None) -> None:
        """Note each query. Of one that may not be looked at here not even a hash is kept."""
        watch, scope = self._watch, self._scope
        if exc is not None and not watch.bounds.may_note(tenant_id):
            return
        region = watch.source.snapshot.region(watch.region_id) if watch.source.ready() else None
        outside = exc is not None and isinstance(first_domain_error(exc), ResidencyRouterOutside)
        for index, query in enumerate(self._queries or (_NOTHING,)):
            if index < len(self.answers):
                collections = [choice.entry.collection_id for choice in self.answers[index].decision.choices]
            else:  # what is no name may be anything, also a part of the query
                collections = [name for name in query.collections[:MAX_COLLECTIONS] if NAME.fullmatch(name)]
            audit.note(
                tenant_id=tenant_id,
                caller=scope.principal.subject if scope.principal is not None else "",
                query=None if outside else query.to_hash(),
                collections=() if outside else collections,
                region=watch.region_id,
                outcome=outcome_of(exc),
                request_id=scope.request_id,
                jurisdiction=region.jurisdiction if region is not None else "",
            )


def outcome_of(exc: BaseException | None) -> str:
    """Return how a request ended: `allowed`, or why it was refused or failed."""
    if exc is None:
        return ALLOWED
    error = first_domain_error(exc)
    if error is not None:
        return reason_name(error.reason)
    return CANCELLED if isinstance(exc, asyncio.CancelledError) else "INTERNAL"


def _is_ours(exc: BaseException, *, late: bool) -> bool:
    """Return True for a failure that is neither its caller's nor of the tenant's own limits.

    Who gives up, whose deadline passes, or who had to make room for others, after the time that its tier is promised
    was not served as promised; of a batch no time is promised. Before that time none of them is a failure: what has to
    make room was borrowed, costs nothing, and may be repeated at once.
    """
    error = first_domain_error(exc)
    if isinstance(error, DeadlineExceeded | Preempted) or isinstance(exc, asyncio.CancelledError):
        return late
    if isinstance(error, StaleMap):
        return False  # the caller's token asks for it, and anybody can write one of the far future
    if error is None:
        return True
    if error.counted:
        return False  # by the limiter, for its rank
    if isinstance(error, QuotaExhausted):
        return error.metadata.get("scope") not in _OWN_SCOPES
    return error.fault != reasons_pb.FAULT_CALLER and not isinstance(error, _OWN_LIMITS)
