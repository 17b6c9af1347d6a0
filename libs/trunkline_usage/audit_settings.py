"""The settings of the audit of searches and refusals: one mixin, so that they are the same in every service."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class AuditSettings(BaseModel):
    """Mixin for a service's settings; name it before `ServiceSettings` among the bases."""

    search_audit_dir: Path | None = Field(
        None,
        description="Root of the audit of searches and refusals, one folder for each process; without it nothing is "
        "noted.",
    )
    search_audit_salt_days: int = Field(
        30, ge=0, le=3650, description="Days after which hashes in the audit can no longer be tied to anybody."
    )
    search_audit_days: int = Field(
        400, ge=0, le=36_500, description="Days after which lines of the audit of searches are removed; 0 for never."
    )
