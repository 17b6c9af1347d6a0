"""Days and months of time zones, by the clocks that people live by."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_admission.periods import MAX_ZONES, Periods

ZONES = sorted(available_timezones())
HOUR_S = 3600


def at(text: str) -> float:
    """Return the Unix time of a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("zone", "moment", "hours"),
    [
        ("UTC", "2026-03-29T12:00", 24),
        ("Europe/Berlin", "2026-03-29T12:00", 23),
        ("Europe/Berlin", "2026-10-25T00:30", 25),
        ("Europe/Berlin", "2026-10-25T01:30", 25),
        ("America/New_York", "2026-11-01T05:30", 25),
        ("Australia/Lord_Howe", "2026-04-04T18:00", 24.5),
        ("America/Sao_Paulo", "2018-11-04T12:00", 23),
        ("America/Havana", "2024-11-03T12:00", 25),
        ("Africa/Cairo", "2024-04-26T12:00", 23),
        ("Africa/Cairo", "2024-10-31T20:59", 25),
    ],
)
def test_a_day_is_as_long_as_its_clocks_say(zone: str, moment: str, hours: float) -> None:
    """Days on which the clocks change have more or fewer hours; some begin at one o'clock."""
    window = Periods().window(zone, at(moment))

    assert window.holds(at(moment))
    assert window.day_end_s - window.day_begin_s == hours * HOUR_S


def test_a_month_ends_with_the_year() -> None:
    """December in Tokyo ends nine hours before it does in UTC."""
    window = Periods().window("Asia/Tokyo", at("2026-12-31T14:59:59"))

    assert (window.month_begin_s, window.month_end_s) == (at("2026-11-30T15:00"), at("2026-12-31T15:00"))
    assert window.day_end_s == window.month_end_s


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "America", "x" * 500, "\0", "/UTC"])
def test_a_zone_that_is_none_counts_as_utc(zone: str) -> None:
    """A mistake in the map lifts nobody's limits."""
    assert Periods().window(zone, at("2026-06-15T12:00")) == Periods().window("UTC", at("2026-06-15T12:00"))


@pytest.mark.parametrize("moment", [float("inf"), float("nan"), 1e18, -1e18, -62_135_596_800.0])
def test_a_time_outside_the_calendar_is_refused(moment: float) -> None:
    """A store whose clock says so is not to be believed."""
    with pytest.raises(ValueError):
        Periods().window("UTC", moment)


def test_what_is_kept_is_bounded() -> None:
    """However many names there are."""
    periods = Periods()
    for number in range(2 * MAX_ZONES):
        periods.window(f"zone-{number}", 0.0)

    assert len(periods._windows) <= MAX_ZONES


@given(zone=st.sampled_from(ZONES), at_s=st.integers(int(at("1971-01-01T00:00")), int(at("2090-01-01T00:00"))))
def test_days_follow_each_other_without_gaps(zone: str, at_s: int) -> None:
    """Every moment lies in its day, the day in its month, and the next day begins where it ends."""
    periods = Periods()
    window = periods.window(zone, at_s)

    assert window.holds(at_s)
    assert window.month_begin_s <= window.day_begin_s < window.day_end_s <= window.month_end_s
    assert (
        datetime.fromtimestamp(at_s, ZoneInfo(zone)).date()
        == datetime.fromtimestamp(window.day_end_s - 1, ZoneInfo(zone)).date()
    )
    following = periods.window(zone, window.day_end_s)
    assert following.day_begin_s == window.day_end_s
    assert periods.window(zone, window.day_begin_s) == window
