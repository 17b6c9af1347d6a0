"""Between the contract's entries and a map file's values."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.mapfile.limit_values import fill_tenant_limits, key_limit_values, limit_values, override_values
from trunkline_cli.mapfile.schema import ENDPOINT_KINDS, EntryKind, Key, Values
from trunkline_cli.stages import stage_names, stage_number

Message: TypeAlias = entries_pb.Region | entries_pb.Space | entries_pb.Tenant | entries_pb.Collection

_REGION_STATES: Final = {
    "serving": entries_pb.REGION_STATE_SERVING,
    "draining": entries_pb.REGION_STATE_DRAINING,
    "down": entries_pb.REGION_STATE_DOWN,
}
_REGION_STATE_NAMES: Final = {state: name for name, state in _REGION_STATES.items()}
_NANOSECONDS: Final = 1e9


def unpack(entry: changes_pb.MapEntry) -> tuple[EntryKind, Message]:
    """Return an entry's kind and message. Raises ValueError for a kind that this program does not know."""
    kind = EntryKind(entry.WhichOneof("kind") or "")
    message: Message = getattr(entry, kind)
    return kind, message


def message_key(message: Message) -> Key:
    """Return an entry's name."""
    match message:
        case entries_pb.Region():
            return (message.region_id,)
        case entries_pb.Space():
            return (message.space_id,)
        case entries_pb.Tenant():
            return (message.tenant_id,)
        case _:
            return (message.tenant_id, message.collection_id)


def values_of(message: Message) -> Values:
    """Return what a map file says of an entry. Revisions and what only the server sets are not in it."""
    match message:
        case entries_pb.Region():
            return _region_values(message)
        case entries_pb.Space():
            return {
                "space_id": message.space_id,
                "model_id": message.model_id,
                "model_revision": message.model_revision,
                "dimension": message.dimension,
            }
        case entries_pb.Tenant():
            return {
                "tenant_id": message.tenant_id,
                "tier": message.tier,
                "jurisdictions": sorted(message.jurisdictions),
                "state": "suspended" if message.state == entries_pb.TENANT_STATE_SUSPENDED else "active",
                "quota_tokens_per_s": message.quota_tokens_per_s,
                "limits": limit_values(message.limits),
                "overrides": [override_values(each) for each in message.overrides],
                "shadow_limits": limit_values(message.shadow_limits),
                "key_limits": [key_limit_values(each) for each in message.key_limits],
                "time_zone": message.time_zone,
                "labels": dict(sorted(message.labels.items())),
                "disabled_stages": stage_names(message.disabled_stages),
            }
        case _:
            return _collection_values(message)


def _region_values(message: entries_pb.Region) -> Values:
    lists = {kind: list(getattr(message.endpoints, kind)) for kind in ENDPOINT_KINDS}
    return {
        "region_id": message.region_id,
        "jurisdiction": message.jurisdiction,
        "state": _REGION_STATE_NAMES.get(message.state, "down"),
        "endpoints": {kind: found for kind, found in lists.items() if found},
        "stores": [_store_values(store) for store in sorted(message.stores, key=lambda store: store.store_id)],
        "ramp_s": message.ramp.ToNanoseconds() / _NANOSECONDS,
        "disabled_stages": stage_names(message.disabled_stages),
    }


def _store_values(store: entries_pb.Store) -> dict[str, str]:
    found = {"store_id": store.store_id, "endpoint": store.endpoint}
    return found | ({"tenant_id": store.tenant_id} if store.tenant_id else {})


def _collection_values(message: entries_pb.Collection) -> Values:
    layout = message.WhichOneof("layout") or "shared_shard"
    placed = message.preference == entries_pb.REGION_PREFERENCE_PLACEMENT
    return {
        "tenant_id": message.tenant_id,
        "collection_id": message.collection_id,
        "space_id": message.space_id,
        "placement": list(message.placement),
        "jurisdictions": sorted(message.jurisdictions),
        "layout": "shared" if layout == "shared_shard" else layout,
        "shard": message.shared_shard.shard,
        "preference": "placement" if placed else "nearest",
        "region_stores": dict(sorted(message.region_stores.items())),
        "description": message.description,
    }


def entry_with(kind: EntryKind, values: Values, live: Message | None) -> changes_pb.MapEntry:
    """Return the entry to write: the live one, if there is one, with its revision and what this program does not know,
    changed to what the file says.
    """
    entry = changes_pb.MapEntry()
    message = getattr(entry, kind)
    if live is not None:
        message.CopyFrom(live)
    message.SetInParent()
    match message:
        case entries_pb.Region():
            _fill_region(message, values)
        case entries_pb.Tenant():
            message.tenant_id, message.tier = values["tenant_id"], values["tier"]
            message.jurisdictions[:] = values["jurisdictions"]
            suspended = values["state"] == "suspended"
            message.state = entries_pb.TENANT_STATE_SUSPENDED if suspended else entries_pb.TENANT_STATE_ACTIVE
            message.quota_tokens_per_s, message.time_zone = values["quota_tokens_per_s"], values["time_zone"]
            fill_tenant_limits(message, values)
            message.labels.clear()
            message.labels.update(values["labels"])
            message.disabled_stages[:] = map(stage_number, values["disabled_stages"])
        case entries_pb.Collection():
            _fill_collection(message, values)
        case _:
            for field, value in values.items():
                setattr(message, field, value)
    return entry


def _fill_region(message: entries_pb.Region, values: Values) -> None:
    message.region_id, message.jurisdiction = values["region_id"], values["jurisdiction"]
    message.state = _REGION_STATES[values["state"]]
    for kind in ENDPOINT_KINDS:
        getattr(message.endpoints, kind)[:] = values["endpoints"].get(kind, ())
    del message.stores[:]
    message.stores.extend(entries_pb.Store(**store) for store in values["stores"])
    message.ClearField("ramp")
    if values["ramp_s"]:
        message.ramp.FromNanoseconds(round(values["ramp_s"] * _NANOSECONDS))
    message.disabled_stages[:] = map(stage_number, values["disabled_stages"])


def _fill_collection(message: entries_pb.Collection, values: Values) -> None:
    message.tenant_id, message.collection_id = values["tenant_id"], values["collection_id"]
    message.space_id = values["space_id"]
    message.placement[:] = values["placement"]
    message.jurisdictions[:] = values["jurisdictions"]
    layout: Any = message.shared_shard if values["layout"] == "shared" else getattr(message, values["layout"])
    layout.SetInParent()
    if values["layout"] == "shared":
        message.shared_shard.shard = values["shard"]
    placed = values["preference"] == "placement"
    message.preference = entries_pb.REGION_PREFERENCE_PLACEMENT if placed else entries_pb.REGION_PREFERENCE_NEAREST
    message.region_stores.clear()
    message.region_stores.update(values["region_stores"])
    message.description = values["description"]
