"""Between `trunkline.storage.v1` records and entries.

Reading is strict about what the map relies on and blind to fields that it does not know. Writing starts from the stored
record, so that fields of a newer version survive the read-modify-write of this one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from sys import intern
from typing import Final, TypeVar, cast

from google.protobuf.message import DecodeError

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.entries import (
    NO_LIMITS,
    CollectionEntry,
    Entry,
    EpochEntry,
    PolicyPointer,
    Preference,
    RegionEntry,
    RegionState,
    SpaceEntry,
    StoreEntry,
    TenantEntry,
)
from trunkline_map.keys import Kind, MapKey
from trunkline_map.limit_records import key_limit_of, limits_of, override_of, write_limits
from trunkline_map.policy_records import head_of, rollout_of, write_heads, write_rollout
from trunkline_map.token import EPOCH_BYTES

_STATE_OF_RECORD: Final = {
    storage_pb.REGION_STATE_RECORD_SERVING: RegionState.SERVING,
    storage_pb.REGION_STATE_RECORD_DRAINING: RegionState.DRAINING,
    storage_pb.REGION_STATE_RECORD_DOWN: RegionState.DOWN,
}
_RECORD_OF_STATE: Final = {state: record for record, state in _STATE_OF_RECORD.items()}
_PREFERENCE_OF_RECORD: Final = {
    storage_pb.REGION_PREFERENCE_RECORD_NEAREST: Preference.NEAREST,
    storage_pb.REGION_PREFERENCE_RECORD_PLACEMENT: Preference.PLACEMENT,
}
_RECORD_OF_PREFERENCE: Final = {preference: record for record, preference in _PREFERENCE_OF_RECORD.items()}
_COLLECTION: Final = storage_pb.CollectionRecord.FromString
_NANOS: Final = 1_000_000_000
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class MalformedRecordError(ValueError):
    """A stored value is no record of its key's kind, or lacks what the map relies on."""


def decode(key: MapKey, value: bytes, revision: int) -> Entry:
    """Return the entry that `value` holds; raise MalformedRecordError."""
    try:
        if key.kind is Kind.COLLECTION:  # before the others: an enumerator's hash is slow, and most are collections
            return _decode_collection(key, value, revision)
        return _DECODERS[key.kind](key, value, revision)
    except DecodeError as exc:
        raise MalformedRecordError(f"no {key.kind} record") from exc


def encode(entry: Entry, stored: bytes = b"") -> bytes:
    """Return the record of `entry`, upon the `stored` one if there is one. Raises DecodeError if that is none."""
    match entry:
        case EpochEntry():
            return _encode_epoch(entry, stored)
        case RegionEntry():
            return _encode_region(entry, stored)
        case TenantEntry():
            return _encode_tenant(entry, stored)
        case SpaceEntry():
            return _encode_space(entry, stored)
        case CollectionEntry():
            return _encode_collection(entry, stored)
        case PolicyPointer():
            return _encode_policy(entry, stored)


_T = TypeVar("_T", bound=Hashable)
_MAX_SHARED: Final = 1 << 16
_shared_values: dict[Hashable, Hashable] = {}


def _shared(value: _T) -> _T:
    """Return one object for equal values: a map has few placements, and a hundred thousand entries that use them."""
    if len(_shared_values) >= _MAX_SHARED:
        _shared_values.clear()  # what is in use stays in use; it is only not shared with what comes later
    return cast("_T", _shared_values.setdefault(value, value))


def _require(condition: object, what: str) -> None:
    if not condition:
        raise MalformedRecordError(what)


def _decode_epoch(_key: MapKey, value: bytes, revision: int) -> EpochEntry:
    record = storage_pb.EpochRecord.FromString(value)
    _require(len(record.epoch) == EPOCH_BYTES, "an epoch has 8 bytes")
    return EpochEntry(record.epoch, revision)


def _decode_region(key: MapKey, value: bytes, revision: int) -> RegionEntry:
    record = storage_pb.RegionRecord.FromString(value)
    state = _STATE_OF_RECORD.get(record.state)
    _require(record.region_id == key.name and record.jurisdiction, "a region has its key's name and a jurisdiction")
    if state is None:
        raise MalformedRecordError("the region's state is not known")
    return RegionEntry(
        region_id=record.region_id,
        jurisdiction=record.jurisdiction,
        state=state,
        routing_endpoints=tuple(record.routing_endpoints),
        retrieval_endpoints=tuple(record.retrieval_endpoints),
        rerank_endpoints=tuple(record.rerank_endpoints),
        inference_endpoints=tuple(record.inference_endpoints),
        admission_endpoints=tuple(record.admission_endpoints),
        learning_endpoints=tuple(record.learning_endpoints),
        stores=tuple(_store_of(store) for store in record.stores),
        serving_since_s=record.serve_time.seconds + record.serve_time.nanos / _NANOS,
        ramp_s=record.ramp_ms / 1000,
        disabled_stages=_shared(frozenset(record.disabled_stages)),
        revision=revision,
    )


def _store_of(record: storage_pb.StoreRecord) -> StoreEntry:
    _require(record.store_id and record.endpoint, "a store has a name and an endpoint")
    return StoreEntry(record.store_id, record.endpoint, record.tenant_id)


def _decode_tenant(key: MapKey, value: bytes, revision: int) -> TenantEntry:
    record = storage_pb.TenantRecord.FromString(value)
    _require(record.tenant_id == key.name, "a tenant has its key's name")
    _require(record.jurisdictions, "a tenant has jurisdictions")
    _require(record.state in _TENANT_STATES, "the tenant's state is not known")
    return TenantEntry(
        tenant_id=intern(key.name),
        tier=intern(record.tier),
        jurisdictions=_shared(frozenset(record.jurisdictions)),
        suspended=record.state == storage_pb.TENANT_STATE_RECORD_SUSPENDED,
        quota_tokens_per_s=record.quota_tokens_per_s,
        limits=limits_of(record.limits) if record.HasField("limits") else NO_LIMITS,
        overrides=tuple(map(override_of, record.overrides)),
        shadow_limits=limits_of(record.shadow_limits) if record.HasField("shadow_limits") else None,
        key_limits=tuple(map(key_limit_of, record.key_limits)),
        time_zone=intern(record.time_zone),
        labels=tuple(sorted(record.labels.items())),
        disabled_stages=_shared(frozenset(record.disabled_stages)),
        revision=revision,
    )


def _decode_space(key: MapKey, value: bytes, revision: int) -> SpaceEntry:
    record = storage_pb.SpaceRecord.FromString(value)
    _require(record.space_id == key.name and record.model_id, "a space has its key's name and a model")
    _require(record.dimension >= 1, "a space has dimensions")
    return SpaceEntry(
        space_id=record.space_id,
        model_id=record.model_id,
        model_revision=record.model_revision,
        dimension=record.dimension,
        revision=revision,
    )


def _decode_collection(key: MapKey, value: bytes, revision: int) -> CollectionEntry:
    """Return the entry. Written for speed: nine of ten entries of a map are collections."""
    record = _COLLECTION(value)
    _, tenant_id, collection_id = key
    if record.tenant_id != tenant_id or record.collection_id != collection_id:
        raise MalformedRecordError("a collection has its key's names")
    space_id, placement, jurisdictions = record.space_id, record.placement, record.jurisdictions
    if not (space_id and placement and jurisdictions):
        raise MalformedRecordError("a collection has a space, a placement and jurisdictions")
    cluster, stores = record.dedicated_cluster, record.region_stores
    return CollectionEntry(
        intern(tenant_id),
        intern(collection_id),
        intern(space_id),
        _shared(tuple(placement)),
        _shared(frozenset(jurisdictions)),
        # A version that does not know clusters may have written the one and kept the other: the stricter holds.
        record.dedicated or cluster,
        record.shard,
        record.description,
        cluster,
        _PREFERENCE_OF_RECORD.get(record.preference, Preference.NEAREST),
        _shared(tuple(sorted(stores.items()))) if stores else (),
        revision,
    )


def _decode_policy(key: MapKey, value: bytes, revision: int) -> PolicyPointer:
    record = storage_pb.PolicyRecord.FromString(value)
    _require(record.tenant_id == key.name and record.version >= 1, "a policy has its key's tenant and a version")
    _require(_DIGEST.fullmatch(record.digest) and record.jurisdictions, "a policy has a digest and jurisdictions")
    return PolicyPointer(
        tenant_id=intern(key.name),
        version=record.version,
        digest=record.digest,
        jurisdictions=_shared(frozenset(record.jurisdictions)),
        size_bytes=record.size_bytes,
        form_digest=record.form_digest,
        heads=tuple(head_of(head) for head in record.heads),
        rollout=rollout_of(record.rollout) if record.HasField("rollout") else None,
        revision=revision,
    )


_TENANT_STATES: Final = (storage_pb.TENANT_STATE_RECORD_ACTIVE, storage_pb.TENANT_STATE_RECORD_SUSPENDED)
_DECODERS: Final[Mapping[Kind, Callable[[MapKey, bytes, int], Entry]]] = {
    Kind.EPOCH: _decode_epoch,
    Kind.REGION: _decode_region,
    Kind.TENANT: _decode_tenant,
    Kind.SPACE: _decode_space,
    Kind.COLLECTION: _decode_collection,
    Kind.POLICY: _decode_policy,
}


def _encode_epoch(entry: EpochEntry, stored: bytes) -> bytes:
    record = storage_pb.EpochRecord.FromString(stored)
    record.epoch = entry.epoch
    record.create_time.GetCurrentTime()
    return record.SerializeToString()


def _encode_region(entry: RegionEntry, stored: bytes) -> bytes:
    record = storage_pb.RegionRecord.FromString(stored)
    record.region_id = entry.region_id
    record.jurisdiction = entry.jurisdiction
    record.state = _RECORD_OF_STATE[entry.state]
    record.routing_endpoints[:] = entry.routing_endpoints
    record.retrieval_endpoints[:] = entry.retrieval_endpoints
    record.rerank_endpoints[:] = entry.rerank_endpoints
    record.inference_endpoints[:] = entry.inference_endpoints
    record.admission_endpoints[:] = entry.admission_endpoints
    record.learning_endpoints[:] = entry.learning_endpoints
    _set_stores(record, entry.stores)
    record.ClearField("serve_time")
    if entry.serving_since_s:
        seconds = int(entry.serving_since_s)
        record.serve_time.seconds = seconds
        record.serve_time.nanos = round((entry.serving_since_s - seconds) * _NANOS)
    record.ramp_ms = round(entry.ramp_s * 1000)
    record.disabled_stages[:] = sorted(entry.disabled_stages)
    return record.SerializeToString()


def _set_stores(record: storage_pb.RegionRecord, stores: tuple[StoreEntry, ...]) -> None:
    """Replace the stores; what a newer version says of one that stays is kept."""
    before = {store.store_id: store for store in record.stores}
    after = [before.get(store.store_id, storage_pb.StoreRecord()) for store in stores]
    for message, store in zip(after, stores, strict=True):
        message.store_id, message.endpoint, message.tenant_id = store.store_id, store.endpoint, store.tenant_id
    del record.stores[:]
    record.stores.extend(after)


def _encode_tenant(entry: TenantEntry, stored: bytes) -> bytes:
    record = storage_pb.TenantRecord.FromString(stored)
    record.tenant_id = entry.tenant_id
    record.tier = entry.tier
    record.jurisdictions[:] = sorted(entry.jurisdictions)
    record.state = _TENANT_STATES[entry.suspended]
    record.quota_tokens_per_s = entry.quota_tokens_per_s
    write_limits(record, entry)
    record.time_zone = entry.time_zone
    record.labels.clear()
    record.labels.update(entry.labels)
    record.disabled_stages[:] = sorted(entry.disabled_stages)
    return record.SerializeToString()


def _encode_space(entry: SpaceEntry, stored: bytes) -> bytes:
    record = storage_pb.SpaceRecord.FromString(stored)
    record.space_id = entry.space_id
    record.model_id = entry.model_id
    record.model_revision = entry.model_revision
    record.dimension = entry.dimension
    return record.SerializeToString()


def _encode_collection(entry: CollectionEntry, stored: bytes) -> bytes:
    record = storage_pb.CollectionRecord.FromString(stored)
    record.tenant_id = entry.tenant_id
    record.collection_id = entry.collection_id
    record.space_id = entry.space_id
    record.placement[:] = entry.placement
    record.jurisdictions[:] = sorted(entry.jurisdictions)
    # A version that does not know clusters then still gives it a physical collection of its own.
    record.dedicated = entry.dedicated or entry.cluster
    record.shard = entry.shard
    record.description = entry.description
    record.dedicated_cluster = entry.cluster
    if _PREFERENCE_OF_RECORD.get(record.preference, Preference.NEAREST) is not entry.preference:
        # A preference of a newer version is read as NEAREST, and stays while nobody wants another.
        record.preference = _RECORD_OF_PREFERENCE[entry.preference]
    record.region_stores.clear()
    record.region_stores.update(entry.region_stores)
    return record.SerializeToString(deterministic=True)


def _encode_policy(entry: PolicyPointer, stored: bytes) -> bytes:
    record = storage_pb.PolicyRecord.FromString(stored)
    record.tenant_id = entry.tenant_id
    record.version = entry.version
    record.digest = entry.digest
    record.jurisdictions[:] = sorted(entry.jurisdictions)
    record.size_bytes = entry.size_bytes
    record.form_digest = entry.form_digest
    write_heads(entry.heads, record.heads)
    write_rollout(entry.rollout, record)
    # Deterministic: the figures of an evaluation are a map, and what did not change must look the same in the history.
    return record.SerializeToString(deterministic=True)
