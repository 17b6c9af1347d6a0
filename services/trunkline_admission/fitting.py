"""What never fits into a tenant's limits, whatever time passes: more than a burst, or a day's or month's number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.quota import Limits, Period, Scope, TenantQuota, Unit
from trunkline_lease.limit_bounds import Bound, BoundsOf
from trunkline_mesh.errors import DomainError


class Tenants(Protocol):
    """What the map says of tenants; `TenantQuotas` is one."""

    def now(self, tenant_id: str) -> TenantQuota:
        """Return the tenant's quota by the map at hand. Raises domain errors where there is none."""


def most_of(limits: Limits, period: Period, unit: Unit) -> int | None:
    """Return the most that a limit ever has room for; None where there is no such limit. Of several the smallest."""
    if period is Period.RATE:
        bucket = limits.requests if unit is Unit.REQUESTS else limits.tokens
        return None if bucket is None else math.floor(bucket.burst)
    return min((each.limit for each in limits.counts if (each.period, each.unit) == (period, unit)), default=None)


def bounds_of(tenants: Tenants) -> BoundsOf:
    """Return what tells of each tenant, and of its limited credentials, what never fits; nothing without a quota."""

    def bounds(tenant_id: str, key: str) -> Sequence[Bound]:
        try:
            quota = tenants.now(tenant_id)
        except DomainError:
            return ()
        found = list(_bounds(Scope.TENANT, quota.limits, above_day=quota.borrows_above_day))
        if key in quota.keys:
            found += _bounds(Scope.KEY, quota.keys[key], above_day=False)
        return found

    return bounds


def _bounds(scope: Scope, limits: Limits, *, above_day: bool) -> Iterator[Bound]:
    for period, unit in _KINDS:
        most = most_of(limits, period, unit)
        if most is not None and not (above_day and (period, unit) == (Period.DAY, Unit.REQUESTS)):
            yield Bound(
                most,
                quota_pb.LimitScope.ValueType(scope.value),
                quota_pb.LimitPeriod.ValueType(period.value),
                quota_pb.LimitUnit.ValueType(unit.value),
            )


_KINDS: Final = tuple((period, unit) for period in Period for unit in (Unit.REQUESTS, Unit.TOKENS))
