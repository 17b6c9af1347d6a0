"""Between control messages and entries of the map. Parsing checks every stated bound."""

from __future__ import annotations

from typing import Final

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_map.entries import NO_LIMITS, CollectionEntry, Entry, RegionEntry, SpaceEntry, TenantEntry
from trunkline_routing.control.collection_messages import parse_collection, render_collection
from trunkline_routing.control.fields import Fields
from trunkline_routing.control.limit_messages import (
    parse_key_limits,
    parse_labels,
    parse_limits,
    parse_overrides,
    parse_time_zone,
    render_key_limit,
    render_limits,
    render_override,
)
from trunkline_routing.control.region_messages import parse_region, render_region
from trunkline_routing.control.stage_switches import render_stages

__all__ = [
    "parse_collection",
    "parse_id",
    "parse_region",
    "parse_revision",
    "parse_space",
    "parse_tenant",
    "render_collection",
    "render_entry",
    "render_region",
    "render_space",
    "render_tenant",
]

MAX_DIMENSION: Final = 4096
MAX_QUOTA_TOKENS_PER_S: Final = 10**12
"""Far above any real quota; keeps sums of quotas within 64 bits."""


def parse_tenant(message: entries_pb.Tenant) -> TenantEntry:
    """Return the entry; raise FieldInvalid."""
    fields = Fields("tenant.")
    fields.name("tenant_id", message.tenant_id)
    fields.name("tier", message.tier)
    fields.jurisdictions("jurisdictions", message.jurisdictions, least=1)
    fields.require(message.state in entries_pb.TenantState.values(), "state", "must be ACTIVE or SUSPENDED")
    fields.between("quota_tokens_per_s", message.quota_tokens_per_s, 0, MAX_QUOTA_TOKENS_PER_S)
    fields.revision(message.revision)
    shadowed = message.HasField("shadow_limits")
    entry = TenantEntry(
        tenant_id=message.tenant_id,
        tier=message.tier,
        jurisdictions=frozenset(message.jurisdictions),
        suspended=message.state == entries_pb.TENANT_STATE_SUSPENDED,
        quota_tokens_per_s=message.quota_tokens_per_s,
        limits=parse_limits(fields, "limits", message.limits),
        overrides=parse_overrides(fields, message.overrides),
        shadow_limits=parse_limits(fields, "shadow_limits", message.shadow_limits) if shadowed else None,
        key_limits=parse_key_limits(fields, message.key_limits),
        time_zone=parse_time_zone(fields, message.time_zone),
        labels=parse_labels(fields, message.labels),
        disabled_stages=frozenset(message.disabled_stages),
        revision=message.revision,
    )
    fields.check()
    return entry


def render_tenant(entry: TenantEntry) -> entries_pb.Tenant:
    """Return the message."""
    return entries_pb.Tenant(
        tenant_id=entry.tenant_id,
        tier=entry.tier,
        jurisdictions=sorted(entry.jurisdictions),
        state=entries_pb.TENANT_STATE_SUSPENDED if entry.suspended else entries_pb.TENANT_STATE_ACTIVE,
        quota_tokens_per_s=entry.quota_tokens_per_s,
        limits=None if entry.limits == NO_LIMITS else render_limits(entry.limits),
        overrides=map(render_override, entry.overrides),
        shadow_limits=None if entry.shadow_limits is None else render_limits(entry.shadow_limits),
        key_limits=map(render_key_limit, entry.key_limits),
        time_zone=entry.time_zone,
        labels=dict(entry.labels),
        disabled_stages=render_stages(entry.disabled_stages),
        revision=entry.revision,
    )


def parse_space(message: entries_pb.Space) -> SpaceEntry:
    """Return the entry; raise FieldInvalid."""
    fields = Fields("space.")
    fields.name("space_id", message.space_id)
    fields.model("model_id", message.model_id)
    fields.model("model_revision", message.model_revision)
    fields.between("dimension", message.dimension, 1, MAX_DIMENSION)
    fields.revision(message.revision)
    fields.check()
    return SpaceEntry(
        space_id=message.space_id,
        model_id=message.model_id,
        model_revision=message.model_revision,
        dimension=message.dimension,
        revision=message.revision,
    )


def render_space(entry: SpaceEntry) -> entries_pb.Space:
    """Return the message."""
    return entries_pb.Space(
        space_id=entry.space_id,
        model_id=entry.model_id,
        model_revision=entry.model_revision,
        dimension=entry.dimension,
        revision=entry.revision,
    )


def render_entry(entry: Entry) -> changes_pb.MapEntry | None:
    """Return the message of an entry of any kind that lists show; None for the others."""
    match entry:
        case RegionEntry():
            return changes_pb.MapEntry(region=render_region(entry))
        case TenantEntry():
            return changes_pb.MapEntry(tenant=render_tenant(entry))
        case SpaceEntry():
            return changes_pb.MapEntry(space=render_space(entry))
        case CollectionEntry():
            return changes_pb.MapEntry(collection=render_collection(entry))
        case _:
            return None


def parse_id(field: str, value: str) -> str:
    """Return the name that a request gives; raise FieldInvalid."""
    fields = Fields()
    fields.name(field, value)
    fields.check()
    return value


def parse_revision(value: int) -> int:
    """Return the revision that a request gives; raise FieldInvalid."""
    fields = Fields()
    fields.revision(value)
    fields.check()
    return value
