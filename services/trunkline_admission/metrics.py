"""Prometheus metrics of the admission service."""

from __future__ import annotations

from typing import Final

from trunkline_mesh.metrics import counter

DECISIONS: Final = counter(
    "admission_decisions", "Requests and lease wishes by outcome.", ("method", "outcome", "source", "tier")
)
TOKENS: Final = counter("admission_tokens", "Quota tokens by what became of them.", ("flow",))
