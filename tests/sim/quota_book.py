"""Independent account of quota: what was granted, spent and given back, against the tier file's numbers.

Nothing here reads the state of the code under test: it sees what goes into an authority and what comes out, and what
callers were let do, and keeps buckets and counts of its own. Limits come from the tier file, not from `TenantQuotas`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from tests.sim.laws import Laws
from trunkline_tiers import Tier, TierFile

SKEW_S: Final = 0.05
"""What is granted is noted up to so much later than the authority counted it: the simulated round trip."""


class Meter:
    """A bucket that never refuses: it tells how far it was overdrawn."""

    __slots__ = ("_at_s", "_burst", "_level", "_rate")

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._level = burst
        self._at_s = now_s

    def take(self, amount: float, now_s: float, put_back: float = 0.0) -> float:
        """Put back, take, and return what is left: negative is what was too much. What was too much is forgiven."""
        burst, level = self._burst, self._level + (now_s - self._at_s) * self._rate
        level = (level if level < burst else burst) + put_back
        level = (level if level < burst else burst) - amount
        self._at_s = now_s
        self._level = level if level > 0.0 else 0.0
        return level

    def owe(self, amount: float) -> None:
        """Take off what was spent before it was granted; as deep as a burst at most."""
        self._level = max(-self._burst, self._level - amount)

    def room(self, now_s: float) -> float:
        """Return what could be taken."""
        return min(self._burst, self._level + (now_s - self._at_s) * self._rate)


class OwingMeter(Meter):
    """One that keeps what it owes until that has flowed in."""

    __slots__ = ()

    def take(self, amount: float, now_s: float, put_back: float = 0.0) -> float:
        """As `Meter.take`; a debt stays."""
        before = self.room(now_s) + put_back
        left = super().take(amount, now_s, put_back)
        if before < 0.0:
            self._level = before
        return left


@dataclass(slots=True)
class Account:
    """One tenant's."""

    requests: Meter
    tokens: Meter
    limit_per_day: int
    borrows: bool
    zone: ZoneInfo
    day_ends_s: float
    today: int = 0
    """Granted in the local day, less what came back."""
    granted: int = 0
    """Requests in all, less what came back."""
    advance: int = 0
    """Requests that may be out in advance of any grant."""
    spent: int = 0
    """Requests in all, less refunds."""
    spent_today: int = 0
    carried: int = 0
    """Granted before the day began and not spent by then: it counts for the day before."""

    def begin_day(self, now_s: float) -> None:
        """Count a new local day."""
        self.day_ends_s = _day_end(self.zone, now_s)
        self.today = self.spent_today = 0
        self.carried = max(0, self.granted - self.spent)


class QuotaBook:
    """Accounts of all tenants and of every region's pools."""

    def __init__(
        self, tiers: TierFile, homes: Mapping[str, tuple[str, str]], laws: Laws, clock: Callable[[], float]
    ) -> None:
        """`homes`: tier and IANA time zone by tenant. `clock` tells Unix time."""
        self._tiers = tiers
        self._homes = homes
        self._laws = laws
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def granted(
        self, tenant_id: str, granted: tuple[int, int], returned: tuple[int, int], advanced: tuple[int, int]
    ) -> int:
        """Note one answer of a tenant's authority: requests and tokens of each kind. Return its day's requests."""
        now_s = self._clock()
        account = self.account(tenant_id)
        if now_s >= account.day_ends_s:
            account.begin_day(now_s)
        for meter, advance in ((account.requests, advanced[0]), (account.tokens, advanced[1])):
            if advance:
                meter.owe(advance)
        left_r = account.requests.take(granted[0], now_s, returned[0])
        left_t = account.tokens.take(granted[1], now_s, returned[1])
        if (granted[0] and left_r < -0.001) or (granted[1] and left_t < -0.001):
            text = f"{tenant_id}: {granted} granted, {min(left_r, left_t):.3f} too much"
            self._laws.broken("over_grant", now_s, text)
        self._count_day(tenant_id, account, granted[0] + advanced[0], returned[0], now_s)
        account.granted += granted[0] - returned[0] + advanced[0]
        return account.today

    def spent(self, tenant_id: str, requests: int) -> None:
        """Note that a caller was let go on: it must have been granted, or be an advance."""
        account, now_s = self.account(tenant_id), self._clock()
        if now_s >= account.day_ends_s:
            account.begin_day(now_s)
        account.spent += requests
        account.spent_today += requests
        allowed = account.limit_per_day + account.advance + account.carried
        if account.spent_today > allowed and not account.borrows:
            self._laws.broken("over_day", now_s, f"{tenant_id}: {account.spent_today} requests served of {allowed}")
        if account.spent > account.granted + account.advance:
            text = f"{tenant_id}: {account.spent} spent of {account.granted} granted and {account.advance} in advance"
            self._laws.broken("unpaid", now_s, text)

    def refunded(self, tenant_id: str, requests: int) -> None:
        """Note that a caller's request was given back."""
        account = self.account(tenant_id)
        account.spent -= requests
        account.spent_today -= requests

    def account(self, tenant_id: str) -> Account:
        """Return a tenant's account."""
        account = self._accounts.get(tenant_id)
        if account is None:
            tier, zone = self._homes[tenant_id]
            account = self._accounts[tenant_id] = _open(self._tiers.tiers[tier], zone, self._clock())
        return account

    def allow_advance(self, tenant_id: str, requests: int) -> None:
        """Set how many requests may be out in advance of a grant, in all regions together."""
        self.account(tenant_id).advance = requests

    def _count_day(self, tenant_id: str, account: Account, granted: int, returned: int, now_s: float) -> None:
        account.today = max(0, account.today - returned) + granted
        if granted and account.today > account.limit_per_day + account.advance and not account.borrows:
            text = (
                f"{tenant_id}: {account.today} requests granted of {account.limit_per_day} and "
                f"{account.advance} in advance in its day"
            )
            self._laws.broken("over_day", now_s, text)


def _open(tier: Tier, zone: str, now_s: float) -> Account:
    share = tier.tenant
    rate, burst = share.requests_per_s, share.burst_requests
    slack = 1.0 + rate * SKEW_S
    return Account(
        Meter(rate, burst + slack, now_s),
        Meter(rate * share.tokens_per_request, (burst + slack) * share.tokens_per_request, now_s),
        share.requests_per_day,
        share.borrows_above_day,
        ZoneInfo(zone),
        _day_end(ZoneInfo(zone), now_s),
    )


def _day_end(zone: ZoneInfo, now_s: float) -> float:
    """Return when the local day ends; no clock changes on the simulated day."""
    local = datetime.fromtimestamp(now_s, tz=zone)
    passed_s = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
    return now_s - passed_s + 86_400.0
