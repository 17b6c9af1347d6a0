"""Prometheus metrics of the admission service."""

from __future__ import annotations

from typing import Final

from trunkline_mesh.tallies import counter

DECISIONS: Final = counter(
    "admission_decisions", "Requests and lease wishes by outcome.", ("method", "outcome", "source", "tier")
)
TOKENS: Final = counter("admission_tokens", "Quota tokens by what became of them.", ("flow",))
POOL_REQUESTS: Final = counter(
    "admission_pool_requests", "Requests drawn from pools by the tier that drew, and returned.", ("tier", "flow")
)
TRIAL_REFUSALS: Final = counter(
    "admission_trial_refusals", "Grants that a limit on trial would have refused.", ("tier", "period", "unit")
)
