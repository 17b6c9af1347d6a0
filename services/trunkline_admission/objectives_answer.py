"""What operators and tenants are told of promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.duration_pb2 import Duration

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline_admission.errors import AUTHORITY_AWAY
from trunkline_admission.objectives import (
    SILENT_S,
    WINDOW_S,
    Judgement,
    Outage,
    judge,
    with_outages,
)
from trunkline_admission.promise_metrics import BUDGET_SPENT, BURN_RATE
from trunkline_admission.promise_records import MAX_TROUBLED, Accounts
from trunkline_admission.promise_store import PromiseStore
from trunkline_map.entries import RegionState
from trunkline_map.source import MapSource
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import TenantUnknown
from trunkline_tiers import Objective as Promise
from trunkline_tiers import TierFile
from trunkline_tiers.error_budget import Action

FRESH_S: Final = 5.0
"""The account of all tiers is made anew after so long."""
STALE_S: Final = 600.0
"""While the store is away, one of up to this age is told."""
MAX_TOLD: Final = 100
"""Tenants in the account of all, those with the largest spent part."""
TENANTS_AT_ONCE: Final = 50
"""Accounts of tenants that one call to the store brings."""

_WINDOW: Final = Duration(seconds=WINDOW_S)


class ObjectivesAnswer:
    """Answers from the region's accounts; without the store from the last answer, else not at all."""

    def __init__(
        self, store: PromiseStore, tiers: TierFile, source: MapSource, region: str, clock: Clock = MONOTONIC
    ) -> None:
        """Tell what `store` keeps of `region`."""
        self._store = store
        self._tiers = tiers
        self._source = source
        self._region = region
        self._clock = clock
        self._last: usage_pb.GetObjectivesResponse | None = None
        self._made_at_s = 0.0

    async def answer(self, tenant_id: str) -> usage_pb.GetObjectivesResponse:
        """Return one tenant's promise; for an empty id those of all tiers, and of tenants with an action.

        Raises TenantUnknown; BackendUnavailable, BackendTimeout or CircuitOpen without the store.
        """
        if tenant_id:
            return usage_pb.GetObjectivesResponse(objectives=await self._tenants((tenant_id,), told=True))
        age_s = self._clock() - self._made_at_s
        if self._last is not None and age_s < FRESH_S:
            return self._last
        try:
            self._last = await self._all()
            self._made_at_s = self._clock()
        except AUTHORITY_AWAY:
            if self._last is None or age_s > STALE_S:
                raise
        return self._last

    async def _all(self) -> usage_pb.GetObjectivesResponse:
        names = self._tiers.by_rank
        found = await self._store.accounts(tiers=names, troubled=MAX_TROUBLED)
        outages = [*found.outages, *self._running_outage(found)]
        told = []
        for name, account in zip(names, found.accounts, strict=True):
            promise = self._tiers.tiers[name].objective
            judged = judge(with_outages(name, account, outages), promise.availability, found.now_s)
            _show(name, judged)
            told.append(_message(name, promise, judged, tier=True))
        known = [name for name in found.troubled if self._source.snapshot.tenant(name) is not None]
        troubled = await self._tenants(known, told=False)
        troubled.sort(key=lambda each: -each.spent_part)
        return usage_pb.GetObjectivesResponse(objectives=[*told, *troubled[:MAX_TOLD]])

    async def _tenants(self, names: Sequence[str], *, told: bool) -> list[usage_pb.Objective]:
        """Return the promises of tenants, without `told` only of those with an action."""
        snapshot, found = self._source.snapshot, []
        for first in range(0, len(names), TENANTS_AT_ONCE):
            some = names[first : first + TENANTS_AT_ONCE]
            entries = [snapshot.tenant(name) for name in some]
            if None in entries:
                raise TenantUnknown
            kept = await self._store.accounts(tenants=some)
            for entry, account in zip(entries, kept.accounts, strict=True):
                assert entry is not None
                promise = self._tiers.named(entry.tier)[1].objective
                judged = judge(account, promise.availability, kept.now_s)
                if told or judged.action is not Action.NONE:
                    found.append(_message(entry.tenant_id, promise, judged, tier=False))
        return found

    def _running_outage(self, found: Accounts) -> Sequence[Outage]:
        """Return the outage that may be under way: until a router reports again, nobody knows better."""
        here = self._source.snapshot.region(self._region)
        planned = here is not None and here.state is RegionState.DRAINING
        if found.heard_at_s is None or planned or found.now_s - found.heard_at_s <= SILENT_S:
            return ()
        return (Outage(found.heard_at_s, found.now_s, found.served),)


def _show(tier: str, judged: Judgement) -> None:
    BUDGET_SPENT.labels(tier).set(judged.spent_part)
    for window, rate in (("1h", judged.burn_rate_1h), ("6h", judged.burn_rate_6h), ("3d", judged.burn_rate_3d)):
        BURN_RATE.labels(tier, window).set(rate)


def _message(name: str, promise: Promise, judged: Judgement, *, tier: bool) -> usage_pb.Objective:
    p95 = Duration()
    p95.FromMicroseconds(round(promise.p95_ms * 1000))
    return usage_pb.Objective(
        name=name,
        tier=tier,
        p95=p95,
        availability=promise.availability,
        window=_WINDOW,
        calls=judged.total.calls,
        errors=judged.total.errors,
        slow=judged.total.slow,
        spent_part=judged.spent_part,
        burn_rate_1h=judged.burn_rate_1h,
        burn_rate_6h=judged.burn_rate_6h,
        burn_rate_3d=judged.burn_rate_3d,
        action=usage_pb.BudgetAction.ValueType(int(judged.action)),
        in_time=judged.in_time,
    )
