"""The most that one request may ever cost a tenant: more than a limit's whole room never fits, whatever time passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease.charge import Charge
from trunkline_lease.refused import Refused, amount_of


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that one limit ever has room for: a rate's burst, or the number of a day or month."""

    most: int
    """At least 1."""
    scope: quota_pb.LimitScope.ValueType
    period: quota_pb.LimitPeriod.ValueType
    unit: quota_pb.LimitUnit.ValueType


BoundsOf: TypeAlias = Callable[[str, str], Sequence[Bound]]
"""Returns the bounds of a tenant, and of one of its credentials (its subject, else empty); nothing where they are not
known. Must not raise."""


def no_bounds(_tenant_id: str, _key: str) -> Sequence[Bound]:
    """Know of no bound."""
    return ()


def never_fits(bounds: Sequence[Bound], charge: Charge) -> Refused | None:
    """Return the refusal of a charge that exceeds a bound, by the tightest that it exceeds; None if it fits."""
    exceeded = [bound for bound in bounds if bound.most < amount_of(charge, bound.unit)]
    if not exceeded:
        return None
    told = min(exceeded, key=lambda bound: bound.most)
    return Refused(None, told.scope, told.period, told.unit, told.most)


def within(bounds: Sequence[Bound], wanted: Charge) -> Charge:
    """Return as much of `wanted` as may ever be granted at once."""
    requests, tokens = wanted.requests, wanted.tokens
    for bound in bounds:
        if bound.unit == quota_pb.LIMIT_UNIT_REQUESTS:
            requests = min(requests, bound.most)
        elif bound.unit == quota_pb.LIMIT_UNIT_TOKENS:
            tokens = min(tokens, bound.most)
    return Charge(requests, tokens)
