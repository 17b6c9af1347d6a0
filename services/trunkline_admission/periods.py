"""Days and months of a time zone, as spans of Unix time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MAX_ZONES: Final = 1024
"""Zones whose present window is kept; the tz database has about 600 names."""
UTC: Final = "UTC"


@dataclass(frozen=True, slots=True)
class Window:
    """A day and the month it lies in; whole seconds of Unix time, ends excluded."""

    day_begin_s: int
    day_end_s: int
    month_begin_s: int
    month_end_s: int

    def holds(self, at_s: float) -> bool:
        """Return True if a time lies in the day; then it lies in the month, too."""
        return self.day_begin_s <= at_s < self.day_end_s


class Periods:
    """Tells the day and month of a zone. A day has 23 or 25 hours where the clocks change; some begin at one o'clock.

    A name that the tz database does not have counts as UTC: a mistake in the map must not lift a tenant's limits.
    """

    def __init__(self) -> None:
        """Know no zone yet."""
        self._windows: dict[str, Window] = {}

    def window(self, zone: str, at_s: float) -> Window:
        """Return the day and month of `zone` that hold the Unix time `at_s`.

        Raises ValueError for a time outside the years 2 to 9998.
        """
        known = self._windows.get(zone)
        if known is not None and known.holds(at_s):
            return known
        if len(self._windows) >= MAX_ZONES:
            self._windows.clear()
        window = self._windows[zone] = _window(_zone(zone), at_s)
        return window


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or UTC)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(UTC)


def _window(zone: ZoneInfo, at_s: float) -> Window:
    try:
        local = datetime.fromtimestamp(at_s, zone)
        next_year, next_month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
        tomorrow = datetime.fromordinal(local.toordinal() + 1)
        if not 2 <= local.year <= 9998:
            raise ValueError("outside the calendar")
    except (OverflowError, OSError) as exc:
        raise ValueError("outside the calendar") from exc
    return Window(
        _midnight(zone, local.year, local.month, local.day),
        _midnight(zone, tomorrow.year, tomorrow.month, tomorrow.day),
        _midnight(zone, local.year, local.month, 1),
        _midnight(zone, next_year, next_month, 1),
    )


def _midnight(zone: ZoneInfo, year: int, month: int, day: int) -> int:
    """Return the Unix time at which a date begins.

    `fold=0` is the first of two midnights; for one that the clocks leap over it gives when they leap (PEP 495).
    """
    return round(datetime(year, month, day, tzinfo=zone, fold=0).timestamp())
