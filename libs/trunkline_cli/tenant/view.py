"""One tenant as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.output import one_line
from trunkline_cli.stages import stage_names
from trunkline_cli.tenant.words import money

_WORDS: Mapping[str, str] = {
    "requests_per_minute": "requests a minute",
    "requests_per_day": "requests a day",
    "requests_per_month": "requests a month",
    "tokens_per_day": "tokens a day",
    "tokens_per_month": "tokens a month",
}


def tenant_lines(tenant: entries_pb.Tenant, now_s: float) -> Iterator[str]:
    """Yield what there is to tell; `now_s` is Unix time, by which overrides hold or have ended."""
    state = "suspended" if tenant.state == entries_pb.TENANT_STATE_SUSPENDED else "active"
    yield f"{tenant.tenant_id}: {tenant.tier}, {state}, in {', '.join(tenant.jurisdictions)}"
    yield f"time zone    {tenant.time_zone or 'UTC'}"
    yield f"limits       {limits_text(tenant.limits) or 'those of its tier'}"
    for override in tenant.overrides:
        until = override.end_time.ToDatetime().isoformat(sep=" ", timespec="minutes")
        ended = ", has ended" if override.end_time.ToNanoseconds() <= now_s * 1e9 else ""
        note = f': "{one_line(override.note, 256)}"' if override.note else ""
        yield f"override     {limits_text(override.limits)}, until {until} UTC{ended}{note}"
    if tenant.HasField("shadow_limits"):
        yield f"on trial     {limits_text(tenant.shadow_limits) or 'nothing'}"
    for each in tenant.key_limits:
        yield f"key          {one_line(each.subject, 128)}: {_key_text(each)}"
    if tenant.labels:
        told = ", ".join(f"{name}={one_line(value, 64)}" for name, value in sorted(tenant.labels.items()))
        yield f"labels       {told}"
    if tenant.disabled_stages:
        yield f"switched off {', '.join(stage_names(tenant.disabled_stages))}"


def limits_text(limits: entries_pb.TenantLimits) -> str:
    """Return the limits that are set, on one line; empty for none."""
    parts = [f"{getattr(limits, name):,} {words}" for name, words in _WORDS.items() if getattr(limits, name)]
    if limits.budget_micros_per_month:
        parts.append(f"{money(limits.budget_micros_per_month)} a month")
    if limits.soft_percent:
        parts.append(f"warned of at {limits.soft_percent} %")
    return ", ".join(parts)


def _key_text(limit: entries_pb.KeyLimit) -> str:
    parts = [f"{limit.requests_per_minute:,} requests a minute"] if limit.requests_per_minute else []
    parts += [f"{limit.requests_per_day:,} requests a day"] if limit.requests_per_day else []
    return ", ".join(parts)
