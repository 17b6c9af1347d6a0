"""Quota of one request: taken before its work, settled with what the work used, billed before the answer leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_lease.charge import Charge
from trunkline_lease.spent import Spent, TokenSource
from trunkline_map.entries import TenantEntry
from trunkline_mesh.errors import Preempted, first_domain_error
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge import content_digest
from trunkline_routing.edge.audited import outcome_of
from trunkline_routing.edge.metering import Meter, Tariff, Use
from trunkline_routing.edge.model import Gate, Query
from trunkline_routing.edge.ports import Quota
from trunkline_routing.edge.trail import TrailRecorder
from trunkline_usage.records import OK


@dataclass(frozen=True, slots=True)
class Item:
    """One query of a search, an explained one, or a write."""

    trail: TrailRecorder
    reserved_tokens: int
    uses: Callable[[], Sequence[Use]]
    """What it has used by the time that it is asked."""


class Spending:
    """Makes the bills of requests."""

    def __init__(
        self, quota: Quota, tariff: Tariff, meter: Meter, costs: Callable[[str, int], None], *, budget_s: float
    ) -> None:
        """Spend from `quota`; tell `costs` what each request of a tenant cost, in micros.

        `budget_s` is the stage budget of admission, for the trail.
        """
        self.quota: Final = quota
        self.tariff: Final = tariff
        self.meter: Final = meter
        self.costs: Final = costs
        self.budget_s: Final = budget_s

    def of_search(
        self, gate: Gate, scope: RequestScope, queries: Sequence[Query], trails: Sequence[TrailRecorder]
    ) -> Bill:
        """Return the bill of a search: a request for each query, and the tokens of all stages that it may take."""
        tariff = self.tariff
        items = [
            Item(trail, tariff.estimate(query, gate.terms), partial(tariff.of_search, trail))
            for query, trail in zip(queries, trails, strict=True)
        ]
        digest = partial(content_digest.of_search, scope.request_id, queries)
        return Bill(self, gate, scope, "search", items, digest)

    def of_route(self, gate: Gate, scope: RequestScope, query: Query, trail: TrailRecorder) -> Bill:
        """Return the bill of a search that is only explained: a request, if deciding asked anybody, and its tokens."""
        tariff = self.tariff
        item = Item(trail, tariff.estimate_route(gate.terms), partial(tariff.of_route, trail))
        digest = partial(content_digest.of_search, scope.request_id, (query,))
        return Bill(self, gate, scope, "route", (item,), digest, idle_is_free=True)

    def of_write(
        self,
        gate: Gate,
        scope: RequestScope,
        collection: str,
        documents: int,
        trail: TrailRecorder,
        digest: Callable[[], str],
    ) -> Bill:
        """Return the bill of a write, of that `digest`: one request, and the tokens of what was embedded or written."""
        tariff = self.tariff
        item = Item(trail, tariff.estimate_write(documents), partial(tariff.of_write, trail, collection, documents))
        return Bill(self, gate, scope, "write", (item,), digest)


class Bill:
    """One request's quota, from reserving to the record; a context manager around its work, used once.

    However the work ends, what it did not use goes back. The request itself (of a batch, each query's) goes back, too,
    if it ended before anything was used, also where its caller gave it up: a rate that cancelling took back would hold
    nobody back who asks and hangs up. Work that had to make room for others costs nothing
    at all.
    """

    def __init__(
        self,
        spending: Spending,
        gate: Gate,
        scope: RequestScope,
        kind: str,
        items: Sequence[Item],
        digest: Callable[[], str],
        *,
        idle_is_free: bool = False,
    ) -> None:
        """See `Spending`. With `idle_is_free` an answer for which nothing was used counts as no request."""
        self._spending: Final = spending
        self._gate: Final = gate
        self._scope: Final = scope
        self._kind: Final = kind
        self._items: Final = items
        self._digest: Final = digest
        self._idle_is_free: Final = idle_is_free
        self._key: Final = _limited_key(gate.tenant, scope)
        self._reserved: Final = Charge(len(items), sum(item.reserved_tokens for item in items))
        self._spent: Spent | None = None

    async def __aenter__(self) -> Self:
        """Spend all that the request may cost, and tell in its trails. Raises QuotaExhausted, Overloaded."""
        began_s = time.perf_counter()
        spending, scope = self._spending, self._scope
        self._spent = spent = await spending.quota.spend(
            self._gate.tenant.tenant_id, self._reserved, scope.deadline, key=self._key
        )
        took_s = time.perf_counter() - began_s
        for item in self._items:
            item.trail.admission(scope.queue_wait_s, took_s, spending.budget_s)
            item.trail.terms(self._gate.terms, spent.notes)
            if spent.source is TokenSource.LOCAL:
                item.trail.degrade(trail_pb.DEGRADATION_REASON_QUOTA_LOCAL)
        return self

    async def __aexit__(self, _type: object, exc: BaseException | None, _traceback: object) -> None:
        """Settle now, before an answer can leave; of work that was cancelled, once it is known by whom."""
        task = asyncio.current_task()
        if isinstance(exc, asyncio.CancelledError) and task is not None and not self._scope.deadline.expired():
            task.add_done_callback(partial(self._cancelled, exc))
        else:
            self._scope.settle()
            self._settle(exc, free=exc is not None and isinstance(first_domain_error(exc), Preempted))
            await self._spending.meter.written()

    def _cancelled(self, exc: asyncio.CancelledError, task: asyncio.Task[Any]) -> None:
        """Settle when the call's task has ended. A cancellation that was taken back was this server's own: its limiter
        gave the slot to whom it is promised, and the caller is told PREEMPTED.
        """
        self._settle(exc, free=not task.cancelling())

    def _settle(self, exc: BaseException | None, *, free: bool) -> None:
        """Refund, tell in the trails, and keep the record; `free` for what is not to be paid whatever it used."""
        spending, tenant = self._spending, self._gate.tenant
        uses = [() if free else tuple(item.uses()) for item in self._items]
        unused = self._reserved.less(self._charged(exc, uses))
        if unused:
            spending.quota.refund(tenant.tenant_id, unused, key=self._key, spent=self._spent)
        prices = spending.meter.prices()
        for item, used in zip(self._items, uses, strict=True):
            item.trail.cost(
                item.reserved_tokens,
                sum(use.tokens for use in used),
                micros=sum(prices.cost_micros(use.stage, use.count) for use in used),
                price_version=prices.version,
            )
        everything = [use for used in uses for use in used]
        outcome = OK if exc is None else outcome_of(exc)
        request_id = self._scope.request_id
        micros = spending.meter.keep(tenant, request_id, self._kind, everything, outcome, prices, digest=self._digest)
        if micros:
            spending.costs(tenant.tenant_id, micros)

    def _charged(self, exc: BaseException | None, uses: Sequence[Sequence[Use]]) -> Charge:
        """Return what is charged for work that ended with `exc`, and for each query used what `uses` has."""
        requests = len(uses) if exc is None and not self._idle_is_free else sum(map(bool, uses))
        return Charge(requests, sum(use.tokens for used in uses for use in used)).at_most(self._reserved)


def _limited_key(tenant: TenantEntry, scope: RequestScope) -> str:
    """Return the credential's subject where the tenant limits that one; else nothing, so that leases are shared."""
    if not tenant.key_limits or scope.principal is None:
        return ""
    subject = scope.principal.subject
    return subject if any(limit.subject == subject for limit in tenant.key_limits) else ""
