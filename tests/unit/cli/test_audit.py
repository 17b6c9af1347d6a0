"""The history, compared with itself and with what is live."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from google.protobuf.message import Message

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.audit import Name, compare_history
from trunkline_cli.change_view import change_lines

ACME: Name = (changes_pb.ENTRY_KIND_TENANT, "acme", "")


def _tenant(tier: str, revision: int = 1) -> entries_pb.Tenant:
    return entries_pb.Tenant(tenant_id="acme", tier=tier, revision=revision)


def _history(*tiers: str) -> list[changes_pb.MapChange]:
    """Changes from tier to tier, an empty one for no entry; the latest first, as lists have them."""
    changes = []
    for revision, (before, after) in enumerate(pairwise(tiers), 1):
        change = changes_pb.MapChange(entry=changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_TENANT, tenant_id="acme"))
        if before:
            change.before.tenant.CopyFrom(_tenant(before, revision - 1))
        if after:
            change.after.tenant.CopyFrom(_tenant(after, revision))
        changes.append(change)
    return changes[::-1]


@pytest.mark.parametrize(
    ("tiers", "live", "gaps"),
    [
        (("", "free"), "free", 0),
        (("", "free", "pro", "free"), "free", 0),
        (("", "free", ""), "", 0),
        (("", "free", "", "pro"), "pro", 0),
        (("free", "pro"), "pro", 0),  # its beginning is older than the history
        (("", "free"), "pro", 1),
        (("", "free"), "", 1),
        (("", "free", ""), "free", 1),
    ],
)
def test_the_last_change_led_to_what_is_live(tiers: Sequence[str], live: str, gaps: int) -> None:
    """Whatever the entry's revision is."""
    found: dict[Name, Message] = {ACME: _tenant(live, 99)} if live else {}

    audit = compare_history(_history(*tiers), found)

    assert (len(audit.gaps), audit.entries, audit.changes) == (gaps, 1, len(tiers) - 1)
    assert all(gap.with_live for gap in audit.gaps)


def test_each_change_begins_where_the_one_before_it_ended() -> None:
    """A change that is missing in the middle shows."""
    history = _history("", "free", "pro", "enterprise")
    del history[1]

    audit = compare_history(history, {ACME: _tenant("enterprise")})

    assert [gap.with_live for gap in audit.gaps] == [False]
    assert "does not begin where the one before it ended" in audit.problems[0]


def test_changes_are_told_field_by_field() -> None:
    """Added, changed, removed; revisions are left out."""
    told = [list(change_lines(change))[1:] for change in _history("", "free", "pro", "")]

    assert told == [["    removed"], ["    tier: free -> pro"], ["    added {'tenant_id': 'acme', 'tier': 'free'}"]]


def test_a_change_that_was_urgent_is_told_as_such() -> None:
    """On its first line, beside who approved it."""
    [change] = _history("", "free")
    change.actor, change.method, change.urgent, change.approver = "olga", "/x/PutTenant", True, "otto"
    assert next(change_lines(change)).endswith("tenant acme by olga (PutTenant), urgent, approved by otto")
