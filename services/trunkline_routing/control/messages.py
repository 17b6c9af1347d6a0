"""Between control messages and entries of the map. Parsing checks every stated bound."""

from __future__ import annotations

from typing import Final

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_map.entries import CollectionEntry, RegionEntry, RegionState, SpaceEntry, TenantEntry
from trunkline_routing.control.fields import Fields

MAX_PLACEMENT: Final = 8
MAX_SHARD: Final = 1023
MAX_DIMENSION: Final = 4096
MAX_DESCRIPTION_BYTES: Final = 1024
MAX_POLICY_BYTES: Final = 262_144
MAX_QUOTA_TOKENS_PER_S: Final = 10**12
"""Far above any real quota; keeps sums of quotas within 64 bits."""

_STATES: Final = {
    entries_pb.REGION_STATE_SERVING: RegionState.SERVING,
    entries_pb.REGION_STATE_DRAINING: RegionState.DRAINING,
    entries_pb.REGION_STATE_DOWN: RegionState.DOWN,
}
_MESSAGE_STATES: Final = {state: message for message, state in _STATES.items()}


def parse_region(message: entries_pb.Region) -> RegionEntry:
    """Return the entry; raise FieldInvalid."""
    fields = Fields("region.")
    fields.name("region_id", message.region_id)
    fields.jurisdiction("jurisdiction", message.jurisdiction)
    state = _STATES.get(message.state, RegionState.DOWN)
    fields.require(message.state in _STATES, "state", "must be SERVING, DRAINING or DOWN")
    ends = message.endpoints
    for kind in ("routing", "retrieval", "rerank", "inference", "admission"):
        fields.endpoints(f"endpoints.{kind}", getattr(ends, kind))
    fields.revision(message.revision)
    fields.check()
    return RegionEntry(
        region_id=message.region_id,
        jurisdiction=message.jurisdiction,
        state=state,
        routing_endpoints=tuple(ends.routing),
        retrieval_endpoints=tuple(ends.retrieval),
        rerank_endpoints=tuple(ends.rerank),
        inference_endpoints=tuple(ends.inference),
        admission_endpoints=tuple(ends.admission),
        revision=message.revision,
    )


def render_region(entry: RegionEntry) -> entries_pb.Region:
    """Return the message."""
    return entries_pb.Region(
        region_id=entry.region_id,
        jurisdiction=entry.jurisdiction,
        state=_MESSAGE_STATES[entry.state],
        endpoints=entries_pb.RegionEndpoints(
            routing=entry.routing_endpoints,
            retrieval=entry.retrieval_endpoints,
            rerank=entry.rerank_endpoints,
            inference=entry.inference_endpoints,
            admission=entry.admission_endpoints,
        ),
        revision=entry.revision,
    )


def parse_tenant(message: entries_pb.Tenant) -> TenantEntry:
    """Return the entry; raise FieldInvalid."""
    fields = Fields("tenant.")
    fields.name("tenant_id", message.tenant_id)
    fields.name("tier", message.tier)
    fields.jurisdictions("jurisdictions", message.jurisdictions, least=1)
    fields.require(message.state in entries_pb.TenantState.values(), "state", "must be ACTIVE or SUSPENDED")
    fields.between("quota_tokens_per_s", message.quota_tokens_per_s, 0, MAX_QUOTA_TOKENS_PER_S)
    fields.revision(message.revision)
    fields.check()
    return TenantEntry(
        tenant_id=message.tenant_id,
        tier=message.tier,
        jurisdictions=frozenset(message.jurisdictions),
        suspended=message.state == entries_pb.TENANT_STATE_SUSPENDED,
        quota_tokens_per_s=message.quota_tokens_per_s,
        revision=message.revision,
    )


def render_tenant(entry: TenantEntry) -> entries_pb.Tenant:
    """Return the message."""
    return entries_pb.Tenant(
        tenant_id=entry.tenant_id,
        tier=entry.tier,
        jurisdictions=sorted(entry.jurisdictions),
        state=entries_pb.TENANT_STATE_SUSPENDED if entry.suspended else entries_pb.TENANT_STATE_ACTIVE,
        quota_tokens_per_s=entry.quota_tokens_per_s,
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


def parse_collection(message: entries_pb.Collection, tenant_id: str) -> CollectionEntry:
    """Return the entry for `tenant_id`, whom the credential allows; raise FieldInvalid.

    Its jurisdictions are empty where the tenant's are meant.
    """
    fields = Fields("collection.")
    fields.name("tenant_id", tenant_id)
    fields.name("collection_id", message.collection_id)
    fields.name("space_id", message.space_id)
    fields.names("placement", message.placement, most=MAX_PLACEMENT)
    fields.jurisdictions("jurisdictions", message.jurisdictions, least=0)
    fields.between("shared_shard.shard", message.shared_shard.shard, 0, MAX_SHARD)
    fields.utf8("description", message.description, MAX_DESCRIPTION_BYTES)
    fields.revision(message.revision)
    fields.check()
    return CollectionEntry(
        tenant_id=tenant_id,
        collection_id=message.collection_id,
        space_id=message.space_id,
        placement=tuple(message.placement),
        jurisdictions=frozenset(message.jurisdictions),
        dedicated=message.HasField("dedicated"),
        shard=message.shared_shard.shard,
        description=message.description,
        revision=message.revision,
    )


def render_collection(entry: CollectionEntry) -> entries_pb.Collection:
    """Return the message."""
    message = entries_pb.Collection(
        tenant_id=entry.tenant_id,
        collection_id=entry.collection_id,
        space_id=entry.space_id,
        placement=entry.placement,
        jurisdictions=sorted(entry.jurisdictions),
        description=entry.description,
        revision=entry.revision,
    )
    if entry.dedicated:
        message.dedicated.SetInParent()
    else:
        message.shared_shard.shard = entry.shard
    return message


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


def parse_policy_text(yaml: str) -> str:
    """Return a policy's text if its size is allowed; raise FieldInvalid. What it says is checked by the use case."""
    fields = Fields("policy.")
    fields.require(bool(yaml.strip()), "yaml", "must not be empty")
    fields.utf8("yaml", yaml, MAX_POLICY_BYTES)
    fields.check()
    return yaml
