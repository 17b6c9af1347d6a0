"""Records hold entries exactly, keep what they do not know, and refuse what the map could not use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.message import Message
from hypothesis import given
from tests.unit.map.strategies import ENTRIES

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.entries import (
    CollectionEntry,
    Entry,
    EpochEntry,
    HeadPointer,
    Isolation,
    PolicyPointer,
    Preference,
    RolloutEntry,
    RolloutState,
    StoreEntry,
    TenantEntry,
)
from trunkline_map.keys import EPOCH_KEY, Kind, MapKey
from trunkline_map.records import MalformedRecordError, decode, encode
from trunkline_map.testing import collection, region

NEWER_FIELD = b"\xf2\x06\x05later"  # field 110, length-delimited: no record of this version has it


@given(ENTRIES)
def test_a_record_gives_back_its_entry(entry: Entry) -> None:
    """Encoding and decoding is the identity, for every kind."""
    assert decode(entry.key, encode(entry), entry.revision) == entry


@given(ENTRIES, ENTRIES)
def test_fields_of_a_newer_version_survive_a_rewrite(before: Entry, after: Entry) -> None:
    """Read-modify-write by this version keeps what it does not know."""
    if type(before) is not type(after):
        return
    stored = encode(before) + NEWER_FIELD

    rewritten = encode(after, stored)

    assert NEWER_FIELD in rewritten
    assert decode(after.key, rewritten, after.revision) == after


def test_an_epoch_gives_back_its_bytes() -> None:
    """The epoch's record also says when it was made."""
    raw = encode(EpochEntry(b"12345678"))

    assert decode(EPOCH_KEY, raw, 3) == EpochEntry(b"12345678", 3)
    assert storage_pb.EpochRecord.FromString(raw).create_time.seconds > 0


REGION, TENANT = MapKey(Kind.REGION, "a"), MapKey(Kind.TENANT, "a")
SPACE, COLLECTION = MapKey(Kind.SPACE, "a"), MapKey(Kind.COLLECTION, "a", "b")
SERVING = storage_pb.REGION_STATE_RECORD_SERVING
ACTIVE = storage_pb.TENANT_STATE_RECORD_ACTIVE


@pytest.mark.parametrize(
    ("key", "record"),
    [
        (EPOCH_KEY, storage_pb.EpochRecord(epoch=b"short")),
        (REGION, storage_pb.RegionRecord(region_id="other", jurisdiction="eu", state=SERVING)),
        (REGION, storage_pb.RegionRecord(region_id="a", state=SERVING)),
        (REGION, storage_pb.RegionRecord(region_id="a", jurisdiction="eu")),
        (
            REGION,
            storage_pb.RegionRecord(
                region_id="a", jurisdiction="eu", state=SERVING, stores=[storage_pb.StoreRecord(store_id="s")]
            ),
        ),
        (TENANT, storage_pb.TenantRecord(tenant_id="a", state=ACTIVE)),
        (TENANT, storage_pb.TenantRecord(tenant_id="a", jurisdictions=["eu"])),
        (SPACE, storage_pb.SpaceRecord(space_id="a", model_id="m")),
        (COLLECTION, storage_pb.CollectionRecord(tenant_id="a", collection_id="b", space_id="s", placement=["eu"])),
        (COLLECTION, storage_pb.CollectionRecord(tenant_id="x", collection_id="b", space_id="s", jurisdictions=["eu"])),
        (MapKey(Kind.POLICY, "a"), storage_pb.PolicyRecord(tenant_id="a", version=1, digest="../x")),
    ],
)
def test_records_that_lack_what_the_map_relies_on_are_malformed(key: MapKey, record: Message) -> None:
    """Half an entry could send data where it must not be, so none is better."""
    with pytest.raises(MalformedRecordError):
        decode(key, record.SerializeToString(), 1)


def test_bytes_that_are_no_message_are_malformed() -> None:
    """A foreign value is refused, not raised as a parser's error."""
    with pytest.raises(MalformedRecordError):
        decode(TENANT, b"\xff\xff\xff", 1)


def test_a_tenants_state_is_told() -> None:
    """Suspension survives the record."""
    entry = TenantEntry("a", "pro", frozenset({"eu"}), suspended=True, revision=1)

    assert storage_pb.TenantRecord.FromString(encode(entry)).state == storage_pb.TENANT_STATE_RECORD_SUSPENDED


def test_a_cluster_is_dedicated_for_a_version_that_does_not_know_clusters() -> None:
    """It must never put such a collection into a shared shard."""
    record = storage_pb.CollectionRecord.FromString(encode(replace(collection("a", "b", ["r"], ["eu"]), cluster=True)))

    assert record.dedicated
    assert record.dedicated_cluster


def test_a_cluster_stays_one_after_an_older_version_made_it_shared() -> None:
    """That version kept the field that it does not know; the stricter of both holds."""
    record = storage_pb.CollectionRecord(
        tenant_id="a", collection_id="b", space_id="s", placement=["r"], jurisdictions=["eu"], dedicated_cluster=True
    )

    entry = decode(COLLECTION, record.SerializeToString(), 1)

    assert isinstance(entry, CollectionEntry)
    assert entry.isolation is Isolation.CLUSTER
    assert entry.dedicated


def test_a_preference_of_a_newer_version_is_nearest_and_survives() -> None:
    """This version reads it as NEAREST; a rewrite of something else does not lose it."""
    stored = encode(collection("a", "b", ["r"], ["eu"])) + b"\x50\x63"  # field 10, varint 99
    entry = decode(COLLECTION, stored, 1)
    assert isinstance(entry, CollectionEntry)
    assert entry.preference is Preference.NEAREST

    rewritten = storage_pb.CollectionRecord.FromString(encode(replace(entry, description="new"), stored))
    wanted = storage_pb.CollectionRecord.FromString(encode(replace(entry, preference=Preference.PLACEMENT), stored))

    assert rewritten.preference == 99
    assert wanted.preference == storage_pb.REGION_PREFERENCE_RECORD_PLACEMENT


def test_what_a_newer_version_says_of_a_store_survives() -> None:
    """Unknown fields within a region's stores stay with the store that they belong to."""
    kept, gone = StoreEntry("kept", "h:1"), StoreEntry("gone", "h:2")
    stored = storage_pb.RegionRecord.FromString(encode(replace(region("a", "eu"), stores=(gone, kept))))
    stored.stores[1].MergeFromString(NEWER_FIELD)

    rewritten = encode(
        replace(region("a", "eu"), stores=(replace(kept, endpoint="h:9"), StoreEntry("new", "h:3"))),
        stored.SerializeToString(),
    )

    record = storage_pb.RegionRecord.FromString(rewritten)
    assert [(store.store_id, store.endpoint) for store in record.stores] == [("kept", "h:9"), ("new", "h:3")]
    assert NEWER_FIELD in record.stores[0].SerializeToString()
    assert NEWER_FIELD not in record.stores[1].SerializeToString()


DIGEST = "0" * 64
HEAD = HeadPointer(DIGEST, "a" * 64, 10, "minilm", "minilm", "1", DIGEST)
ROLLOUT = RolloutEntry("r1", RolloutState.SHADOW, 0.1, DIGEST, DIGEST, 10, 3, "anna", 1.0, 2.0, heads=(HEAD,))
POLICY = PolicyPointer("a", 3, DIGEST, frozenset({"eu"}), 10, DIGEST, (HEAD,), ROLLOUT)


def test_a_rollout_in_a_state_of_a_newer_version_is_none_and_survives() -> None:
    """This version neither follows it nor destroys it, until somebody begins another."""
    record = storage_pb.PolicyRecord.FromString(encode(POLICY))
    record.rollout.MergeFromString(b"\x10\x63")  # field 2, varint 99
    stored = record.SerializeToString()
    entry = decode(POLICY.key, stored, 1)
    assert isinstance(entry, PolicyPointer)
    assert entry.rollout is None

    rewritten = storage_pb.PolicyRecord.FromString(encode(replace(entry, version=4), stored))
    begun = decode(POLICY.key, encode(replace(entry, rollout=replace(ROLLOUT, rollout_id="r2")), stored), 1)

    assert (rewritten.version, rewritten.rollout) == (4, record.rollout)
    assert isinstance(begun, PolicyPointer)
    assert begun.rollout == replace(ROLLOUT, rollout_id="r2")


def test_a_rollout_that_ends_is_gone() -> None:
    """One that this version can read is not kept by accident."""
    rewritten = storage_pb.PolicyRecord.FromString(encode(replace(POLICY, rollout=None), encode(POLICY)))

    assert not rewritten.HasField("rollout")


def test_what_a_newer_version_says_of_heads_and_rollouts_survives() -> None:
    """Unknown fields stay with the head and the rollout that they belong to, and with no other."""
    record = storage_pb.PolicyRecord.FromString(encode(POLICY))
    for message in (record.heads[0], record.rollout, record.rollout.heads[0]):
        message.MergeFromString(NEWER_FIELD)
    stored = record.SerializeToString()
    moved = replace(ROLLOUT, state=RolloutState.CANARY)
    another = replace(ROLLOUT, rollout_id="r2", heads=())
    new_head = replace(HEAD, digest="b" * 64)

    kept = storage_pb.PolicyRecord.FromString(encode(replace(POLICY, rollout=moved), stored))
    other = storage_pb.PolicyRecord.FromString(encode(replace(POLICY, rollout=another, heads=(new_head,)), stored))

    for message in (kept.heads[0], kept.rollout, kept.rollout.heads[0]):
        assert NEWER_FIELD in message.SerializeToString()
    assert NEWER_FIELD not in other.SerializeToString()
