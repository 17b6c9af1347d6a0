"""Metrics of the audit log."""

from __future__ import annotations

from trunkline_mesh.metrics import counter, gauge

AUDIT_LINES = counter("audit_lines", "Changes written to the audit log by this process.")
AUDIT_FAILURES = counter("audit_failures", "Times that writing the audit log failed and was begun anew.")
AUDIT_REVISION = gauge("audit_revision", "Revision of the last change in the audit log.")
AUDIT_REFUSALS = counter("audit_refusals", "Refusals written to the account of refusals by this process.")
AUDIT_REFUSALS_DROPPED = counter(
    "audit_refusals_dropped", "Refusals that found the account's queue full; the next line tells how many."
)
