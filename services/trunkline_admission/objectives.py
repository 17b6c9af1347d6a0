"""What was promised and what became of it: error budgets and burn rates. Pure; no I/O.

The rules are those of Google's "The Site Reliability Workbook" (2018): an error budget is what an objective leaves
over, `(1 - availability) * calls` (chapter 2); a burn rate is how many times faster than that it is used up, told over
several windows because a short one forgets soon and a long one reacts late (chapter 5, "Alerting on SLOs", multiwindow
burn rates); and what is done about a spent budget is agreed beforehand (appendix B, "Error Budget Policy").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from trunkline_tiers.error_budget import Action, action_of, spent_part

HOUR_S: Final = 3600
DAY_S: Final = 86_400
WINDOW_DAYS: Final = 30
WINDOW_S: Final = WINDOW_DAYS * DAY_S
SILENT_S: Final = 60.0
"""Routers report once a second, with or without traffic; a region whose routers are silent for longer is out."""
MAX_OUTAGE_S: Final = float(DAY_S)
"""More of one outage is not charged: by then somebody has decided that the region is gone."""
RATE_HOURS: Final = 24
"""A region's usual traffic is the mean of so many hours before."""
MIN_RATE_SPAN_S: Final = 600.0
"""A region that is younger than this has no usual traffic yet: what it had counts as that of so long a time."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Calls of an hour, a day or a window."""

    calls: int = 0
    errors: int = 0
    slow: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(self.calls + other.calls, self.errors + other.errors, self.slow + other.slow)


NO_CALLS: Final = Tally()


@dataclass(frozen=True, slots=True)
class Account:
    """What became of one tier's or tenant's calls."""

    hours: Mapping[int, Tally] = field(default_factory=lambda: MappingProxyType({}))
    """By hours since 1970."""
    days: Mapping[int, Tally] = field(default_factory=lambda: MappingProxyType({}))
    """By days since 1970, where hours are not kept over the whole window; else empty."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a region was out. Unix times."""

    from_s: float
    to_s: float
    served: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Calls by tier that were answered all the same."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a promise was kept in the window."""

    total: Tally
    spent_part: float
    """Of the error budget, 0 and more."""
    burn_rate_1h: float
    burn_rate_6h: float
    burn_rate_3d: float
    action: Action
    in_time: float
    """Part of the answers that were in time, of those that succeeded."""


def judge(account: Account, availability: float, now_s: float) -> Judgement:
    """Judge an account at Unix time `now_s` against the part of the calls that is to succeed, above 0 and below 1."""
    total = _window_total(account, now_s)
    answered = total.calls - total.errors
    spent = spent_part(total.calls, total.errors, availability)
    return Judgement(
        total=total,
        spent_part=spent,
        burn_rate_1h=_burn(account, availability, now_s, 1),
        burn_rate_6h=_burn(account, availability, now_s, 6),
        burn_rate_3d=_burn(account, availability, now_s, 72),
        action=action_of(spent, total.errors),
        in_time=1.0 - total.slow / answered if answered > 0 else 1.0,
    )


def with_outages(tier: str, account: Account, outages: Iterable[Outage]) -> Account:
    """Return a tier's account with the calls that an outage kept from every router, as failed ones.

    They are the tier's usual traffic of the region, the mean of the RATE_HOURS before, over the time of the outage,
    less those that were answered all the same. No more than MAX_OUTAGE_S of an outage count.
    """
    hours = dict(account.hours)
    for outage in outages:
        start_s = max(outage.from_s, outage.to_s - MAX_OUTAGE_S)
        usual = _usual_per_s(account, outage.from_s) * (outage.to_s - start_s)
        missing = max(0, round(usual) - outage.served.get(tier, 0))
        for hour, calls in _spread(missing, start_s, outage.to_s):
            hours[hour] = hours.get(hour, NO_CALLS) + Tally(calls, calls)
    return Account(hours, account.days)


def _usual_per_s(account: Account, before_s: float) -> float:
    last = int(before_s // HOUR_S)
    recent = [hour for hour in range(last - RATE_HOURS + 1, last + 1) if hour in account.hours]
    if not recent:
        return 0.0
    span_s = max(MIN_RATE_SPAN_S, before_s - recent[0] * HOUR_S)
    return sum(account.hours[hour].calls for hour in recent) / span_s


def _spread(count: int, from_s: float, to_s: float) -> Iterable[tuple[int, int]]:
    """Spread `count` evenly over a time, by hours; the parts sum up to it exactly."""
    if count <= 0 or to_s <= from_s:
        return
    given = 0
    for hour in range(int(from_s // HOUR_S), int(to_s // HOUR_S) + 1):
        passed = (min((hour + 1) * HOUR_S, to_s) - from_s) / (to_s - from_s)
        upto = round(count * passed)
        yield hour, upto - given
        given = upto


def _window_total(account: Account, now_s: float) -> Tally:
    """Sum up the last 30 days: by hours where those are kept so long, else by days of UTC; the present one is in it."""
    length_s, kept = (DAY_S, account.days) if account.days else (HOUR_S, account.hours)
    last = int(now_s // length_s)
    first = last - WINDOW_S // length_s + 1
    return _sum(tally for index, tally in kept.items() if first <= index <= last)


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = NO_CALLS
    for tally in tallies:
        total = total + tally
    return total


def _burn(account: Account, availability: float, now_s: float, hours: int) -> float:
    """Return the burn rate of the last `hours`; of the oldest hour only the part within the window counts."""
    last = int(now_s // HOUR_S)
    oldest_part = 1 - (now_s / HOUR_S - last)
    calls = errors = 0.0
    for hour in range(last - hours, last + 1):
        tally, part = account.hours.get(hour, NO_CALLS), oldest_part if hour == last - hours else 1.0
        calls += part * tally.calls
        errors += part * tally.errors
    return spent_part(calls, errors, availability)
