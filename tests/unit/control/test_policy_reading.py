"""What the control role takes for a policy, and what it tells the audit log of one."""

from __future__ import annotations

import json
import time

import pytest

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map import records
from trunkline_map.entries import HeadPointer, PolicyPointer, RolloutEntry, RolloutState
from trunkline_mesh.errors import CollectionUnknown, FieldInvalid
from trunkline_policy.document import from_form, parse_policy
from trunkline_routing.control.audit_lines import line_fields
from trunkline_routing.control.change_lists import ChangeOfEntry
from trunkline_routing.control.policy_text import read_policy

TEXT = "version: 2\nstrategy: logical\ncollections:\n  docs: {keywords: [manual]}\n  code: {keywords: [function]}\n"
DIGEST = "0" * 64


def test_the_form_is_the_policy_that_the_text_declares() -> None:
    """What routers read is what was checked."""
    assert from_form(read_policy(TEXT, {"docs", "code", "more"})) == parse_policy(TEXT)


def test_collections_must_be_there() -> None:
    """Those that are not are named; a text that is none is refused before."""
    with pytest.raises(CollectionUnknown) as error:
        read_policy(TEXT, {"docs"})
    with pytest.raises(FieldInvalid):
        read_policy("version: 2\nstrategy: guess\n", set())

    assert error.value.metadata == {"collections": "code"}


def test_a_line_of_the_audit_log_tells_digests_and_the_rollout() -> None:
    """And no text."""
    head = HeadPointer(DIGEST, "a" * 64, 4, "minilm", "minilm", "1", DIGEST)
    rollout = RolloutEntry(
        "r1", RolloutState.CANARY, 0.1, "1" * 64, "2" * 64, 9, 3, "anna", time.time(), time.time(), heads=(head,)
    )
    entry = PolicyPointer("acme", 3, DIGEST, frozenset({"eu"}), 5, "3" * 64, (head,), rollout)
    record = storage_pb.HistoryRecord(after=records.encode(entry))

    told = line_fields(ChangeOfEntry(entry.key, record, None, entry, 7), b"12345678")["after"]["policy"]

    assert told["rollout"] == {
        "rollout_id": "r1",
        "state": "canary",
        "share": 0.1,
        "digest": "1" * 64,
        "heads": ["a" * 64],
    }
    assert (told["version"], told["digest"], told["heads"]) == (3, DIGEST, ["a" * 64])
    assert json.dumps(told)
