"""Refusals of the admission service, made in one place so that every keeper of quotas words them alike."""

from __future__ import annotations

from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, CircuitOpen, FieldInvalid, QuotaExhausted
from trunkline_mesh.errors import invalid_field as _invalid_field

AUTHORITY_AWAY = (BackendUnavailable, BackendTimeout, CircuitOpen)
"""The store cannot be asked; the local share answers instead."""


def quota_exhausted(cost_tokens: int, burst_tokens: float, retry_delay_s: float | None) -> QuotaExhausted:
    """Return the refusal of `cost_tokens`; without a delay it never fits into the burst."""
    if retry_delay_s is not None:
        return QuotaExhausted(retry_delay_s=retry_delay_s)
    burst = str(int(burst_tokens))
    return QuotaExhausted(
        f"{cost_tokens} tokens at once are more than the quota's burst of {burst}",
        metadata={"costTokens": str(cost_tokens), "burstTokens": burst},
    )


def charged_too_much(reserved_tokens: int) -> FieldInvalid:
    """Return the refusal of a settlement above its reservation."""
    return _invalid_field("charged_tokens", f"must be 0 to the {reserved_tokens} tokens reserved")
