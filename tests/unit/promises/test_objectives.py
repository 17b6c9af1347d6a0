"""Promises: error budgets, burn rates, and outages by each tier's share of the traffic."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_admission.objectives import (
    HOUR_S,
    MAX_OUTAGE_S,
    Account,
    Outage,
    Tally,
    judge,
    with_outages,
)
from trunkline_tiers.error_budget import MIN_ACTION_ERRORS, Action, action_of, spent_part

NOW_H = 500_000
NOW_S = NOW_H * HOUR_S + 1800.0


def steady(calls: int, errors: int = 0, hours: int = 720, slow: int = 0) -> Account:
    """Return an account of so many equal hours up to the present one."""
    return Account({hour: Tally(calls, errors, slow) for hour in range(NOW_H - hours + 1, NOW_H + 1)})


@pytest.mark.parametrize(
    ("errors", "action"),
    [
        (499, Action.NONE),
        (500, Action.REVIEW),
        (750, Action.FREEZE),
        (900, Action.LOCKDOWN),
        (1000, Action.VIOLATED),
        (5000, Action.VIOLATED),
    ],
)
def test_actions_at_their_parts(errors: int, action: Action) -> None:
    """Half, three quarters, nine tenths, all: of 100,000 calls at 99 % a thousand may fail."""
    assert judge(Account({NOW_H: Tally(100_000, errors)}), 0.99, NOW_S).action is action


def test_a_few_errors_move_nobody() -> None:
    """One failed call of ten breaks a promise of 99.9 %, and says nothing."""
    judged = judge(Account({NOW_H: Tally(10, 1)}), 0.999, NOW_S)

    assert judged.spent_part == pytest.approx(100)
    assert judged.action is Action.NONE
    assert action_of(100, MIN_ACTION_ERRORS) is Action.VIOLATED


def test_a_steady_rate_of_errors_burns_alike_in_all_windows() -> None:
    """At the budget's own rate it is spent exactly at the end of the window."""
    judged = judge(steady(1000, 10), 0.99, NOW_S)

    assert judged.spent_part == pytest.approx(1)
    for rate in (judged.burn_rate_1h, judged.burn_rate_6h, judged.burn_rate_3d):
        assert rate == pytest.approx(1)


def test_a_fresh_incident_shows_in_the_short_window_first() -> None:
    """All fail in the present half hour: of an hour half, of three days little."""
    account = steady(1000)
    hours = {**account.hours, NOW_H: Tally(500, 500)}
    judged = judge(Account(hours), 0.99, NOW_S)

    assert judged.burn_rate_1h == pytest.approx(50)
    assert judged.burn_rate_1h > judged.burn_rate_6h > judged.burn_rate_3d > 0


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """By hours, and by days where only those are kept so long."""
    old = Account({NOW_H - 720: Tally(100, 100)})
    day = NOW_H // 24
    by_days = Account({}, {day - 30: Tally(100, 100), day - 29: Tally(7, 1), day: Tally(3)})

    assert judge(old, 0.9, NOW_S).total == Tally()
    assert judge(by_days, 0.9, NOW_S).total == Tally(10, 1)


def test_answers_in_time() -> None:
    """Of those that succeeded; without any, nothing was late."""
    assert judge(Account({NOW_H: Tally(110, 10, 25)}), 0.9, NOW_S).in_time == 0.75
    assert judge(Account(), 0.9, NOW_S).in_time == 1.0


def test_an_outage_counts_by_the_tiers_share() -> None:
    """Half an hour out fails half an hour of each tier's usual traffic: little for a tier that is little used here."""
    begin = float(NOW_H * HOUR_S)
    outage = Outage(begin, begin + 1800)
    usual = {hour: Tally(3600) for hour in range(NOW_H - 24, NOW_H)}
    rare = {hour: Tally(36) for hour in range(NOW_H - 24, NOW_H)}

    busy = judge(with_outages("pro", Account(usual), [outage]), 0.99, NOW_S)
    idle = judge(with_outages("free", Account(rare), [outage]), 0.99, NOW_S)
    unused = judge(with_outages("enterprise", Account(), [outage]), 0.99, NOW_S)

    assert busy.total.errors == pytest.approx(1800, rel=0.05)
    assert idle.total.errors == pytest.approx(18, rel=0.06)
    assert unused.total == Tally()


def test_what_was_served_in_an_outage_did_not_fail() -> None:
    """Calls that were answered all the same are taken off, and no call fails less than never."""
    begin = float(NOW_H * HOUR_S)
    account = Account({hour: Tally(3600) for hour in range(NOW_H - 24, NOW_H)})

    partly = with_outages("pro", account, [Outage(begin, begin + 1800, {"pro": 1000})])
    wholly = with_outages("pro", account, [Outage(begin, begin + 1800, {"pro": 10**9})])

    assert sum(tally.errors for tally in partly.hours.values()) == pytest.approx(800, rel=0.1)
    assert wholly.hours == account.hours


def test_an_outage_has_an_end() -> None:
    """A region that was gone for a month is charged with a day."""
    usual = Account({hour: Tally(3600) for hour in range(NOW_H - 800, NOW_H - 775)})
    month = Outage((NOW_H - 775.0) * HOUR_S, NOW_H * float(HOUR_S))

    errors = sum(tally.errors for tally in with_outages("pro", usual, [month]).hours.values())

    assert errors == pytest.approx(MAX_OUTAGE_S, rel=0.1)


@given(st.floats(0, 30 * 86400.0), st.floats(0, 86400.0), st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_outage_is_charged_once_and_evenly(offset_s: float, length_s: float, calls: int, served: int) -> None:
    """The hours' parts sum up to the whole; failed calls were calls; nothing is charged outside of it."""
    begin = (NOW_H - 800) * HOUR_S + offset_s
    hour = int(begin // HOUR_S)
    account = Account({hour - 1: Tally(calls)})
    after = with_outages("pro", account, [Outage(begin, begin + length_s, {"pro": served})])

    span_s = max(600.0, begin - (hour - 1) * HOUR_S)
    expected = max(0, round(calls / span_s * ((begin + length_s) - begin)) - served)
    assert sum(tally.errors for tally in after.hours.values()) == pytest.approx(expected, abs=1)
    assert sum(tally.calls for tally in after.hours.values()) - calls == sum(t.errors for t in after.hours.values())
    charged = [each for each, tally in after.hours.items() if tally.errors]
    assert all(hour <= each <= math.ceil((begin + length_s) / HOUR_S) for each in charged)


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.floats(0.5, 0.9999))
def test_more_errors_never_lead_to_less(calls: int, errors: int, availability: float) -> None:
    """The action grows with the errors."""
    less = action_of(spent_part(calls, errors, availability), errors)
    more = action_of(spent_part(calls, errors + 1, availability), errors + 1)

    assert more >= less
