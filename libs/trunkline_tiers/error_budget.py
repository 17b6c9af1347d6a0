"""What a spent error budget says about changes: agreed beforehand, so that nobody has to argue it during an incident.

The idea is Google's ("The Site Reliability Workbook", 2018, appendix B, "Error Budget Policy"); the steps are ours.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

MIN_ACTION_ERRORS: Final = 10
"""Fewer failed calls in the window move nobody to act, whatever part of a small budget they are."""


class Action(IntEnum):
    """What holds for changes; values as in `trunkline.admission.v1.BudgetAction`."""

    NONE = 0
    REVIEW = 1
    """Half is spent: look into it."""
    FREEZE = 2
    """Three quarters: what is not urgent waits."""
    LOCKDOWN = 3
    """Nine tenths: only operators change anything, and only what is urgent."""
    VIOLATED = 4
    """All: the promise is broken. As in a lockdown."""


_ROUNDING: Final = 1e-9
"""`1 - availability` is seldom exact: 900 of 1,000 failures are nine tenths all the same."""

_STEPS: Final = ((1.0, Action.VIOLATED), (0.9, Action.LOCKDOWN), (0.75, Action.FREEZE), (0.5, Action.REVIEW))


def spent_part(calls: float, errors: float, availability: float) -> float:
    """Return the spent part of the error budget `(1 - availability) * calls`, 0 and more; 0 without calls.

    `availability` is above 0 and below 1.
    """
    return errors / (calls * (1 - availability)) if calls > 0 else 0.0


def action_of(spent: float, errors: float) -> Action:
    """Return what a budget of which the part `spent` is spent, by so many failed calls, says about changes."""
    if errors < MIN_ACTION_ERRORS:
        return Action.NONE
    return next((action for part, action in _STEPS if spent >= part - _ROUNDING), Action.NONE)
