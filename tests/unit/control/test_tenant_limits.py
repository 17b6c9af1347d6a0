"""Tenants' own limits: what may be said of them, and what may be written when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, WallClock, furnish, new_region, new_tenant, soon, use_cases

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_map.entries import NO_LIMITS, KeyLimit, LimitOverride, TenantEntry, TenantLimits
from trunkline_mesh.errors import FieldInvalid
from trunkline_routing.control import limit_messages as limits
from trunkline_routing.control import messages
from trunkline_routing.control.fields import Fields

AT_THE_BOUNDS = entries_pb.TenantLimits(
    requests_per_minute=limits.MAX_REQUESTS_PER_MINUTE,
    requests_per_day=limits.MAX_REQUESTS_PER_DAY,
    requests_per_month=limits.MAX_REQUESTS_PER_MONTH,
    tokens_per_day=limits.MAX_TOKENS,
    tokens_per_month=limits.MAX_TOKENS,
    budget_micros_per_month=limits.MAX_BUDGET_MICROS,
    soft_percent=100,
)


def tenant(**changes: Any) -> entries_pb.Tenant:
    fields: dict[str, Any] = {"tenant_id": "acme", "tier": "pro", "jurisdictions": ["eu"]}
    return entries_pb.Tenant(**(fields | changes))


def override(end_s: int = 2_000_000_000, note: str = "", **wanted: int) -> entries_pb.LimitOverride:
    return entries_pb.LimitOverride(
        limits=entries_pb.TenantLimits(**(wanted or {"requests_per_day": 5})),
        end_time=Timestamp(seconds=end_s),
        note=note,
    )


def key_limit(subject: str = "ci", per_minute: int = 5, per_day: int = 0) -> entries_pb.KeyLimit:
    return entries_pb.KeyLimit(subject=subject, requests_per_minute=per_minute, requests_per_day=per_day)


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": AT_THE_BOUNDS},
        {"shadow_limits": AT_THE_BOUNDS},
        {"shadow_limits": entries_pb.TenantLimits()},
        {"overrides": [override(end_s=end_s, note="n" * 256) for end_s in range(1, 9)]},
        {"key_limits": [key_limit(f"{number:0128d}") for number in range(32)]},
        {"key_limits": [key_limit(per_minute=7, per_day=7)]},
        {"time_zone": "Europe/Berlin"},
        {"time_zone": "America/Argentina/Buenos_Aires"},
        {"labels": {f"{number:032d}": "v" * 64 for number in range(16)}},
        {"labels": {"team": ""}},
    ],
)
def test_values_at_the_bounds_pass(changes: dict[str, Any]) -> None:
    """A bound is the last value that is allowed."""
    assert messages.parse_tenant(tenant(**changes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"limits": {"requests_per_minute": -1}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": 10**9 + 1}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_day": 2**63 - 1}}, "limits.requests_per_day"),
        ({"limits": {"tokens_per_day": -5}}, "limits.tokens_per_day"),
        ({"limits": {"budget_micros_per_month": 10**15 + 1}}, "limits.budget_micros_per_month"),
        ({"limits": {"soft_percent": 101}}, "limits.soft_percent"),
        ({"limits": {"soft_percent": -1}}, "limits.soft_percent"),
        ({"limits": {"requests_per_day": 9, "requests_per_month": 8}}, "limits.requests_per_day"),
        ({"limits": {"tokens_per_day": 9, "tokens_per_month": 8}}, "limits.tokens_per_day"),
        ({"limits": {"requests_per_minute": 9, "requests_per_day": 8}}, "limits.requests_per_minute"),
        ({"limits": {"requests_per_minute": 9, "requests_per_month": 8}}, "limits.requests_per_minute"),
        ({"shadow_limits": {"requests_per_day": 9, "requests_per_month": 8}}, "shadow_limits.requests_per_day"),
        ({"overrides": [override()] * 9}, "overrides"),
        ({"overrides": [override(), override(tokens_per_day=-1)]}, "overrides[1].limits.tokens_per_day"),
        ({"overrides": [override(requests_per_day=0)]}, "overrides[0].limits"),
        ({"overrides": [override(end_s=0)]}, "overrides[0].end_time"),
        ({"overrides": [override(end_s=10**12)]}, "overrides[0].end_time"),
        ({"overrides": [override(note="n" * 257)]}, "overrides[0].note"),
        ({"overrides": [override(note="two\nlines")]}, "overrides[0].note"),
        ({"key_limits": [key_limit(str(number)) for number in range(33)]}, "key_limits"),
        ({"key_limits": [key_limit(), key_limit()]}, "key_limits"),
        ({"key_limits": [key_limit("")]}, "key_limits[0].subject"),
        ({"key_limits": [key_limit("s" * 129)]}, "key_limits[0].subject"),
        ({"key_limits": [key_limit(per_minute=0)]}, "key_limits[0]"),
        ({"key_limits": [key_limit(per_minute=-1)]}, "key_limits[0].requests_per_minute"),
        ({"key_limits": [key_limit(per_minute=8, per_day=7)]}, "key_limits[0].requests_per_minute"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "Europe"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"time_zone": "localtime"}, "time_zone"),
        ({"time_zone": "a" * 200}, "time_zone"),
        ({"labels": {str(number): "" for number in range(17)}}, "labels"),
        ({"labels": {"Team": "x"}}, "labels.(name)"),
        ({"labels": {"a" * 33: "x"}}, "labels.(name)"),
        ({"labels": {"team": "v" * 65}}, "labels.team"),
        ({"labels": {"team": "a\x1b[2J"}}, "labels.team"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    """Negative, huge and contradicting limits, unknown zones, and labels that are none: the answer names the field."""
    with pytest.raises(FieldInvalid) as refused:
        messages.parse_tenant(tenant(**changes))

    assert f"tenant.{field}" in [each.field for each in refused.value.violations]


def test_a_tenant_is_the_same_after_a_message() -> None:
    """What a client reads and writes back unchanged is no change."""
    entry = TenantEntry(
        tenant_id="acme",
        tier="pro",
        jurisdictions=frozenset({"eu", "us"}),
        suspended=True,
        limits=TenantLimits(1, 2, 3, 4, 5, 6, 7),
        overrides=(LimitOverride(TenantLimits(requests_per_day=9), 1_800_000_000.25, "a fair"),),
        shadow_limits=NO_LIMITS,
        key_limits=(KeyLimit("ci", 3, 4), KeyLimit("app", 0, 9)),
        time_zone="Asia/Kolkata",
        labels=(("cost-centre", "42"), ("team", "search")),
        disabled_stages=frozenset({3, 6}),
        revision=7,
    )

    assert messages.parse_tenant(messages.render_tenant(entry)) == entry


@given(st.integers(1, 2**33), st.integers(0, 999_999_999))
def test_the_end_of_an_override_survives_being_told(seconds: int, nanos: int) -> None:
    """Else an override that has ended would look like a new one, and refuse every later change."""
    message = override(end_s=seconds)
    message.end_time.nanos = nanos
    (first,) = limits.parse_overrides(Fields(), [message])

    assert limits.parse_overrides(Fields(), [limits.render_override(first)]) == (first,)


async def test_a_new_override_must_not_have_ended() -> None:
    """One that ends while it is there stays, and keeps nobody from changing the rest."""
    clock = WallClock()
    side = use_cases(MemoryStore(), now=clock)
    late = LimitOverride(TenantLimits(requests_per_day=9), clock() + 60)
    ended = replace(late, ends_at_s=clock())

    with pytest.raises(FieldInvalid) as refused:
        await side.tenants.put(replace(new_tenant(), overrides=(late, ended)), OPERATOR, soon())
    entry, _ = await side.tenants.put(replace(new_tenant(), overrides=(late,)), OPERATOR, soon())
    clock.now_s += 120
    entry, _ = await side.tenants.put(replace(entry, suspended=True), OPERATOR, soon())

    assert [each.field for each in refused.value.violations] == ["tenant.overrides[1].end_time"]
    assert entry.overrides == (late,)


async def test_a_tenant_is_of_a_tier_that_there_is() -> None:
    """A new tier must be one of the file; a tenant of a tier that is gone may still be suspended."""
    store = MemoryStore()
    side = use_cases(store)

    with pytest.raises(FieldInvalid) as refused:
        await side.tenants.put(new_tenant(tier="gold"), OPERATOR, soon())

    (violation,) = refused.value.violations
    assert violation.field == "tenant.tier"
    assert violation.description == "must be one of free, pro, enterprise"


async def test_only_stages_with_a_switch_are_switched_off() -> None:
    """Nobody can switch off admission; what a newer version switched off stays."""
    side = use_cases(MemoryStore())
    await furnish(side, "eu-a")
    entry, _ = await side.tenants.get("acme", soon())

    for stage in (trail_pb.STAGE_NAME_ADMISSION, 77):
        with pytest.raises(FieldInvalid) as refused:
            await side.tenants.put(replace(entry, disabled_stages=frozenset({stage})), OPERATOR, soon())
        with pytest.raises(FieldInvalid):
            await side.regions.put(replace(new_region("x"), disabled_stages=frozenset({stage})), OPERATOR, soon())
        assert [each.field for each in refused.value.violations] == ["tenant.disabled_stages"]
    rerank = frozenset({int(trail_pb.STAGE_NAME_RERANK)})
    entry, _ = await side.tenants.put(replace(entry, disabled_stages=rerank), OPERATOR, soon())

    assert entry.disabled_stages == rerank
    assert entry.limits == NO_LIMITS
