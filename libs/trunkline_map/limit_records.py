"""Tenants' limits: between their entries and the records in etcd."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.entries import KeyLimit, LimitOverride, TenantEntry, TenantLimits

_NANOS: Final = 1_000_000_000


def limits_of(record: storage_pb.TenantLimitsRecord) -> TenantLimits:
    """Return the limits that a record tells of."""
    return TenantLimits(
        requests_per_minute=record.requests_per_minute,
        requests_per_day=record.requests_per_day,
        requests_per_month=record.requests_per_month,
        tokens_per_day=record.tokens_per_day,
        tokens_per_month=record.tokens_per_month,
        budget_micros_per_month=record.budget_micros_per_month,
        soft_percent=record.soft_percent,
    )


def override_of(record: storage_pb.LimitOverrideRecord) -> LimitOverride:
    """Return the override that a record tells of."""
    ends_at_s = record.end_time.seconds + record.end_time.nanos / _NANOS
    return LimitOverride(limits_of(record.limits), ends_at_s, record.note)


def key_limit_of(record: storage_pb.KeyLimitRecord) -> KeyLimit:
    """Return a credential's limits."""
    return KeyLimit(record.subject, record.requests_per_minute, record.requests_per_day)


def write_limits(record: storage_pb.TenantRecord, entry: TenantEntry) -> None:
    """Put a tenant's limits into its record; what a newer version says of those that stay is kept."""
    _write(record.limits, entry.limits)
    if entry.shadow_limits is None:
        record.ClearField("shadow_limits")
    else:
        _write(record.shadow_limits, entry.shadow_limits)
    _write_overrides(record, entry.overrides)
    _write_key_limits(record, entry.key_limits)


def _write(record: storage_pb.TenantLimitsRecord, limits: TenantLimits) -> None:
    record.requests_per_minute = limits.requests_per_minute
    record.requests_per_day = limits.requests_per_day
    record.requests_per_month = limits.requests_per_month
    record.tokens_per_day = limits.tokens_per_day
    record.tokens_per_month = limits.tokens_per_month
    record.budget_micros_per_month = limits.budget_micros_per_month
    record.soft_percent = limits.soft_percent


def _write_overrides(record: storage_pb.TenantRecord, overrides: Iterable[LimitOverride]) -> None:
    del record.overrides[:]
    for override in overrides:
        message = record.overrides.add(note=override.note)
        _write(message.limits, override.limits)
        seconds = int(override.ends_at_s)
        message.end_time.seconds = seconds
        message.end_time.nanos = round((override.ends_at_s - seconds) * _NANOS)


def _write_key_limits(record: storage_pb.TenantRecord, key_limits: Iterable[KeyLimit]) -> None:
    before = {each.subject: each for each in record.key_limits}
    after = []
    for limit in key_limits:
        message = before.get(limit.subject, storage_pb.KeyLimitRecord(subject=limit.subject))
        message.requests_per_minute = limit.requests_per_minute
        message.requests_per_day = limit.requests_per_day
        after.append(message)
    del record.key_limits[:]
    record.key_limits.extend(after)
