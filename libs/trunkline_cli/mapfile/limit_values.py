"""Between tenants' limits in messages and a map file's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from trunkline.control.v1 import map_entries_pb2 as entries_pb

LIMIT_FIELDS: Final = tuple(field.name for field in entries_pb.TenantLimits.DESCRIPTOR.fields)
"""Names of a tenant's limits, in the contract's order."""


def limit_values(limits: entries_pb.TenantLimits) -> dict[str, int]:
    """Return the limits that are set."""
    return {name: getattr(limits, name) for name in LIMIT_FIELDS if getattr(limits, name)}


def override_values(override: entries_pb.LimitOverride) -> dict[str, Any]:
    """Return an override; its end as RFC 3339 has it."""
    found: dict[str, Any] = {"limits": limit_values(override.limits), "end": override.end_time.ToJsonString()}
    return found | ({"note": override.note} if override.note else {})


def key_limit_values(limit: entries_pb.KeyLimit) -> dict[str, Any]:
    """Return a credential's limits."""
    found = {"requests_per_minute": limit.requests_per_minute, "requests_per_day": limit.requests_per_day}
    return {"subject": limit.subject, **{name: value for name, value in found.items() if value}}


def fill_limits(message: entries_pb.TenantLimits, values: Mapping[str, int]) -> None:
    """Set limits to what the values say; those that they do not name are unset."""
    for name in LIMIT_FIELDS:
        setattr(message, name, values.get(name, 0))


def fill_tenant_limits(message: entries_pb.Tenant, values: Mapping[str, Any]) -> None:
    """Set all of a tenant's limits; what a newer server says of them besides stays where it can."""
    for field in ("limits", "shadow_limits"):
        if values[field]:
            fill_limits(getattr(message, field), values[field])
        else:
            message.ClearField(field)
    _fill_overrides(message, values["overrides"])
    del message.key_limits[:]
    message.key_limits.extend(entries_pb.KeyLimit(**each) for each in values["key_limits"])


def _fill_overrides(message: entries_pb.Tenant, overrides: Iterable[Mapping[str, Any]]) -> None:
    del message.overrides[:]
    for each in overrides:
        override = message.overrides.add(note=each.get("note", ""))
        fill_limits(override.limits, each["limits"])
        override.end_time.FromJsonString(each["end"])
