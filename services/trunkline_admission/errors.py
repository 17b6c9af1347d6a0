"""Refusals of the admission service, made in one place so that every keeper of quotas words them alike."""

from __future__ import annotations

from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, CircuitOpen, FieldInvalid
from trunkline_mesh.errors import invalid_field as _invalid_field

AUTHORITY_AWAY = (BackendUnavailable, BackendTimeout, CircuitOpen)
"""The store cannot be asked; the local share answers instead."""


def charged_too_much(reserved_tokens: int) -> FieldInvalid:
    """Return the refusal of a settlement above its reservation."""
    return _invalid_field("charged_tokens", f"must be 0 to the {reserved_tokens} tokens reserved")
