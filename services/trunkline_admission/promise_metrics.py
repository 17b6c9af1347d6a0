"""Prometheus metrics of levels, budgets and promises."""

from __future__ import annotations

from typing import Final

from trunkline_mesh.metrics import counter, gauge

REPORTS: Final = counter("admission_reports", "Routers' reports by what became of them.", ("outcome",))
REPORTS_WAITING: Final = gauge("admission_reports_waiting", "Reports that wait for the store.")
MONTHS_GIVEN_BACK: Final = counter(
    "admission_months_given_back", "Sums of tenants' months that went back to a store that had lost its data."
)
LEVEL: Final = gauge("admission_level", "Level of a tier: 1 normal, 2 reduced, 3 emergency.", ("tier",))
LEVEL_CHANGES: Final = counter(
    "admission_level_changes", "Changes of levels that this replica made.", ("tier", "level")
)
BUDGET_SPENT: Final = gauge(
    "promise_budget_spent", "Spent part of a tier's error budget, as last told to anybody.", ("tier",)
)
BURN_RATE: Final = gauge("promise_burn_rate", "Burn rate of a tier's error budget, as last told.", ("tier", "window"))
