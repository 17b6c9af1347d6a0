"""Read-modify-write by the command line, against others who write at the same time."""

from __future__ import annotations

import pytest

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.tenant.change import MAX_TRIES, rewrite
from trunkline_client import Conflict, Failure, Versioned


class Store:
    """One tenant; `others` of the writes are overtaken."""

    def __init__(self, others: int = 0, reason: str = "REVISION_CONFLICT") -> None:
        self.entry = entries_pb.Tenant(tenant_id="acme", tier="pro", revision=1)
        self.others = others
        self.reason = reason
        self.puts = 0

    async def read(self) -> Versioned[entries_pb.Tenant]:
        found = entries_pb.Tenant()
        found.CopyFrom(self.entry)
        return Versioned(found, b"t")

    async def put(self, wanted: entries_pb.Tenant) -> Versioned[entries_pb.Tenant]:
        self.puts += 1
        if self.others:
            self.others -= 1
            self.entry.revision += 1
            self.entry.labels["other"] = str(self.entry.revision)
            raise Conflict(Failure(self.reason, "ABORTED", "overtaken"))
        assert wanted.revision == self.entry.revision
        self.entry.CopyFrom(wanted)
        return Versioned(wanted, b"u")


def suspended(entry: entries_pb.Tenant) -> entries_pb.Tenant:
    changed = entries_pb.Tenant()
    changed.CopyFrom(entry)
    changed.state = entries_pb.TENANT_STATE_SUSPENDED
    return changed


async def test_a_change_is_made_again_upon_what_another_one_wrote() -> None:
    """Neither of the two is lost."""
    store = Store(others=2)

    made = await rewrite(store.read, suspended, store.put)

    assert dict(made.after.value.labels) == {"other": "3"}
    assert made.before is not None
    assert made.before.labels == made.after.value.labels
    assert store.entry.state == entries_pb.TENANT_STATE_SUSPENDED


async def test_what_is_so_already_is_not_written() -> None:
    """The history tells changes, not wishes."""
    store = Store()
    await rewrite(store.read, suspended, store.put)
    await rewrite(store.read, suspended, store.put)

    assert store.puts == 1


@pytest.mark.parametrize(("others", "reason", "puts"), [(9, "REVISION_CONFLICT", MAX_TRIES), (9, "ENTRY_IN_USE", 1)])
async def test_it_ends(others: int, reason: str, puts: int) -> None:
    """After a few tries, and at once where a repeat cannot help."""
    store = Store(others, reason)

    with pytest.raises(Conflict):
        await rewrite(store.read, suspended, store.put)

    assert store.puts == puts
