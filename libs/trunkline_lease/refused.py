"""Why quota was refused, in plain terms and as the error that callers get."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease.charge import Charge
from trunkline_mesh.errors import QuotaExhausted


@dataclass(frozen=True, slots=True)
class Refused:
    """Whose limit refused, and when to come back. Unspecified where it is not known."""

    retry_delay_s: float | None
    """When all that was wanted is there; None if that is never or not known."""
    scope: quota_pb.LimitScope.ValueType = quota_pb.LIMIT_SCOPE_UNSPECIFIED
    period: quota_pb.LimitPeriod.ValueType = quota_pb.LIMIT_PERIOD_UNSPECIFIED
    unit: quota_pb.LimitUnit.ValueType = quota_pb.LIMIT_UNIT_UNSPECIFIED
    most: int | None = None
    """The most that the limit ever has room for, where that is known."""

    @property
    def refills(self) -> bool:
        """True if less comes back sooner: of a rate. A day's or month's limit is refused until its end."""
        return self.period in (quota_pb.LIMIT_PERIOD_UNSPECIFIED, quota_pb.LIMIT_PERIOD_RATE)

    def after(self, retry_delay_s: float | None) -> Refused:
        """Return the same refusal with another delay."""
        return Refused(retry_delay_s, self.scope, self.period, self.unit, self.most)

    def of(self, charge: Charge) -> Refused:
        """Return it as it concerns one who wants all of `charge`: what exceeds the limit's room is never there."""
        if self.most is None or amount_of(charge, self.unit) <= self.most:
            return self
        return self.after(None)

    def error(self) -> QuotaExhausted:
        """Return what callers are told: the delay, and `scope`, `period`, `unit` as metadata where they are known.

        Where waiting does not help there is no delay, and `limit` is the most that may be asked for at once, if known.
        """
        known = {}
        if self.retry_delay_s is None and self.most is not None:
            known["limit"] = str(self.most)
        if self.scope in _SCOPES:  # a later version may know more
            known["scope"] = _SCOPES[self.scope]
        if self.period in _PERIODS:
            known["period"] = _PERIODS[self.period]
        if self.unit in _UNITS:
            known["unit"] = _UNITS[self.unit]
        return QuotaExhausted(retry_delay_s=self.retry_delay_s, metadata=known)


def amount_of(charge: Charge, unit: quota_pb.LimitUnit.ValueType) -> int:
    """Return what a charge has of a unit."""
    if unit == quota_pb.LIMIT_UNIT_REQUESTS:
        return charge.requests
    return charge.tokens if unit == quota_pb.LIMIT_UNIT_TOKENS else 0


def _words(names: Iterable[tuple[str, int]], prefix: str) -> dict[int, str]:
    return {value: name.removeprefix(prefix).lower() for name, value in names if value}


_SCOPES: Final = _words(quota_pb.LimitScope.items(), "LIMIT_SCOPE_")
_PERIODS: Final = _words(quota_pb.LimitPeriod.items(), "LIMIT_PERIOD_")
_UNITS: Final = _words(quota_pb.LimitUnit.items(), "LIMIT_UNIT_")
