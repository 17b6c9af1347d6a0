"""Between collection messages and entries."""

from __future__ import annotations

from typing import Final

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_map.entries import CollectionEntry, Isolation, Preference
from trunkline_routing.control.fields import Fields

MAX_PLACEMENT: Final = 8
MAX_SHARD: Final = 1023
MAX_DESCRIPTION_BYTES: Final = 1024

_PREFERENCES: Final = {
    entries_pb.REGION_PREFERENCE_UNSPECIFIED: Preference.NEAREST,
    entries_pb.REGION_PREFERENCE_NEAREST: Preference.NEAREST,
    entries_pb.REGION_PREFERENCE_PLACEMENT: Preference.PLACEMENT,
}
_MESSAGE_PREFERENCES: Final = {preference: message for message, preference in _PREFERENCES.items()}


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
    fields.require(message.preference in _PREFERENCES, "preference", "must be NEAREST or PLACEMENT")
    stores = sorted(message.region_stores.items())
    fields.size("region_stores", len(stores), 0, MAX_PLACEMENT)
    for region_id, store_id in stores[:MAX_PLACEMENT]:
        fields.name("region_stores.key", region_id)
        fields.name("region_stores.value", store_id)
    fields.revision(message.revision)
    fields.check()
    cluster = message.HasField("dedicated_cluster")
    return CollectionEntry(
        tenant_id=tenant_id,
        collection_id=message.collection_id,
        space_id=message.space_id,
        placement=tuple(message.placement),
        jurisdictions=frozenset(message.jurisdictions),
        dedicated=cluster or message.HasField("dedicated"),
        shard=message.shared_shard.shard,
        description=message.description,
        cluster=cluster,
        preference=_PREFERENCES[message.preference],
        region_stores=tuple(stores),
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
        preference=_MESSAGE_PREFERENCES[entry.preference],
        region_stores=dict(entry.region_stores),
    )
    match entry.isolation:
        case Isolation.CLUSTER:
            message.dedicated_cluster.SetInParent()
        case Isolation.DEDICATED:
            message.dedicated.SetInParent()
        case Isolation.SHARED:
            message.shared_shard.shard = entry.shard
    return message
