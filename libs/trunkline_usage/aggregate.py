"""What a request counts for: which of its records, on which day, under which headings. Exact integers only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trunkline_usage.records import OK, UsageRecord, line_of

_QUARTER_S: Final = 900
"""Days begin at whole quarters of an hour in every time zone of our time, so a quarter lies in one day."""


@dataclass(frozen=True, slots=True, order=True)
class Heading:
    """What amounts are told apart by."""

    tenant_id: str
    day: str
    """`YYYY-MM-DD` in the tenant's time zone."""
    stage: str
    collection: str
    label_value: str
    price_version: str


@dataclass(slots=True)
class Amount:
    """What was used under one heading."""

    count: int = 0
    tokens: int = 0
    cost_micros: int = 0

    def add(self, count: int, tokens: int, cost_micros: int) -> None:
        """Add to it."""
        self.count += count
        self.tokens += tokens
        self.cost_micros += cost_micros


def repeat_key(record: UsageRecord) -> tuple[str, str, str, str]:
    """Return what records that repeat each other have in common: tenant, request id, kind, and digest.

    An id alone does not do: it is the caller's, who could put many dear requests behind a free one.
    """
    return record.tenant_id, record.request_id, record.kind, record.digest


def winner(one: UsageRecord, other: UsageRecord) -> UsageRecord:
    """Return the record that counts of two repeats: an answered one, of these the dearest, of these the first.

    The order is total, so of any number of records, read in any order and however often, the same one counts.
    """
    return min(one, other, key=_claim)


def _claim(record: UsageRecord) -> tuple[bool, int, int, float, bytes]:
    micros = sum(use.cost_micros for use in record.stages)
    tokens = sum(use.tokens for use in record.stages)
    return record.outcome != OK, -micros, -tokens, record.at_s, line_of(record, 0)


def day_of(at_s: float, time_zone: str) -> str:
    """Return the day of a Unix time in a time zone; in UTC for a name that this machine does not know."""
    return _day_of_quarter(int(at_s // _QUARTER_S), time_zone)


def days_between(first: str, last: str) -> int:
    """Return how many days there are from one to another, both included. Raises ValueError for what is no day."""
    return (datetime.fromisoformat(last).date() - datetime.fromisoformat(first).date()).days + 1


def reach(first: str, last: str) -> tuple[float, float]:
    """Return the Unix times between which records may matter for some days, repeats on the day before or after too.

    Raises ValueError for what is no day.
    """
    # A day begins up to 14 hours before it does in UTC, and ends up to 12 hours after.
    begin = datetime.fromisoformat(first).replace(tzinfo=UTC) - timedelta(hours=14 + 24)
    end = datetime.fromisoformat(last).replace(tzinfo=UTC) + timedelta(hours=24 + 12 + 24)
    return begin.timestamp(), end.timestamp()


def amounts(record: UsageRecord, label: str) -> Iterator[tuple[Heading, tuple[int, int, int]]]:
    """Yield what a record adds under each heading; `label` names the label to tell apart by, empty for none."""
    day = day_of(record.at_s, record.time_zone)
    value = dict(record.labels).get(label, "") if label else ""
    for use in record.stages:
        heading = Heading(record.tenant_id, day, use.stage, use.collection, value, record.price_version)
        yield heading, (use.count, use.tokens, use.cost_micros)


@lru_cache(maxsize=65_536)
def _day_of_quarter(quarter: int, time_zone: str) -> str:
    return datetime.fromtimestamp(quarter * _QUARTER_S, _zone(time_zone)).date().isoformat()


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
