"""Cedar's documents: short notes of two departments that use the same words for different things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trunkline_client import Document


def _note(collection: str, name: str, title: str, text: str) -> Document:
    source = f"{collection}/{name}.md"
    return Document(f"{source}#1", f"{title}\n{text}", {"title": title, "section": title, "source": source})


NOTES: Final[Mapping[str, Sequence[Document]]] = {
    "accounts": (
        _note("accounts", "burn", "Burn rate", "We spend 410,000 a month more than we take in; cash lasts 19 months."),
        _note(
            "accounts", "budget", "Budget", "Each department has a budget for the year; what is above it needs a board."
        ),
        _note("accounts", "forecast", "Forecast", "Revenue of the quarter is forecast from signed contracts alone."),
        _note(
            "accounts",
            "invoices",
            "Invoices",
            "An invoice is overdue after 30 days. One that was paid twice is repaid.",
        ),
        _note("accounts", "closing", "Closing the books", "The books of a quarter close on the tenth working day."),
        _note("accounts", "payroll", "Payroll", "Salaries are paid on the 25th; corrections go with the next month."),
    ),
    "reliability": (
        _note(
            "reliability",
            "burn",
            "Burn rate",
            "How quickly a service spends its error budget: at 14.4 the budget of 30 days is gone in two.",
        ),
        _note(
            "reliability",
            "budget",
            "Budget",
            "A service of 99.9 % may fail for 43 minutes in 30 days: its error budget.",
        ),
        _note(
            "reliability",
            "forecast",
            "Forecast",
            "Load of the next week is forecast from the last six; we keep 30 % spare.",
        ),
        _note(
            "reliability",
            "on-call",
            "On call",
            "Two engineers are on call each week; the second one takes over in 10 minutes.",
        ),
        _note("reliability", "incident", "Incidents", "Whoever sees an outage declares an incident; on-call leads it."),
        _note("reliability", "alerts", "Alerts", "An alert that wakes somebody up must say what to do about it."),
    ),
}
"""By collection."""
