"""Records hold entries exactly, keep what they do not know, and refuse what the map could not use."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from hypothesis import given
from tests.unit.map.strategies import ENTRIES

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.entries import Entry, EpochEntry, TenantEntry
from trunkline_map.keys import EPOCH_KEY, Kind, MapKey
from trunkline_map.records import MalformedRecordError, decode, encode

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
