"""Metrics of the audit log."""

from __future__ import annotations

from trunkline_mesh.metrics import counter, gauge

AUDIT_LINES = counter("audit_lines", "Changes written to the audit log by this process.")
AUDIT_FAILURES = counter("audit_failures", "Times that writing the audit log failed and was begun anew.")
AUDIT_REVISION = gauge("audit_revision", "Revision of the last change in the audit log.")
