"""What to change of a tenant: what is not named stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from trunkline.control.v1 import map_entries_pb2 as entries_pb


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantWish:
    """A change of a tenant; None and empty leave things as they are."""

    tier: str | None = None
    jurisdictions: Sequence[str] = ()
    """In place of all of them."""
    time_zone: str | None = None
    """Empty for UTC."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Added, or given another value."""
    dropped_labels: Sequence[str] = ()
    key_limits: Mapping[str, entries_pb.KeyLimit] = field(default_factory=dict)
    """By subject; one without a limit is removed."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """By the contract's names; 0 for the tier's."""
    shadow: bool = False
    """True to put the limits on trial."""
    end_shadow: bool = False
    override_until: datetime | None = None
    """Let the limits hold until then, in place of all others."""
    note: str = ""
    """Why they are overridden."""
    end_overrides: bool = False

    def changed(self, before: entries_pb.Tenant, now_s: float) -> entries_pb.Tenant:
        """Return the tenant as it shall be; `now_s` is Unix time. Overrides that have ended make room for a new one."""
        entry = entries_pb.Tenant()
        entry.CopyFrom(before)
        if self.tier is not None:
            entry.tier = self.tier
        if self.jurisdictions:
            entry.jurisdictions[:] = self.jurisdictions
        if self.time_zone is not None:
            entry.time_zone = self.time_zone
        self._set_labels(entry)
        self._set_key_limits(entry)
        self._set_limits(entry, now_s)
        return entry

    def _set_labels(self, entry: entries_pb.Tenant) -> None:
        entry.labels.update(self.labels)
        for name in self.dropped_labels:
            entry.labels.pop(name, None)

    def _set_key_limits(self, entry: entries_pb.Tenant) -> None:
        by_subject = {each.subject: each for each in entry.key_limits} | dict(self.key_limits)
        kept = [each for each in by_subject.values() if each.requests_per_minute or each.requests_per_day]
        del entry.key_limits[:]
        entry.key_limits.extend(kept)

    def _set_limits(self, entry: entries_pb.Tenant, now_s: float) -> None:
        if self.end_shadow:
            entry.ClearField("shadow_limits")
        if self.end_overrides:
            del entry.overrides[:]
        if self.override_until is not None:
            alive = [each for each in entry.overrides if each.end_time.ToNanoseconds() > now_s * 1e9]
            override = entries_pb.LimitOverride(limits=entries_pb.TenantLimits(**self.limits), note=self.note)
            override.end_time.FromDatetime(self.override_until)
            del entry.overrides[:]
            entry.overrides.extend([*alive, override])
            return
        target = entry.shadow_limits if self.shadow else entry.limits
        for name, value in self.limits.items():
            setattr(target, name, value)
