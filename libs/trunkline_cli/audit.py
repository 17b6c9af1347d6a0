"""Checks the history of the map against itself and against the live map.

Each change must begin where the one before it ended, and the last one must have led to what is live. What was changed
past the control role, by hand in the store, shows as a gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from google.protobuf.message import Message

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline_cli.change_view import entry_of, name_of
from trunkline_client import ControlClient

MAX_CHANGES: Final = 1_000_000
"""Of one kind, or of one tenant's collections; the control role keeps fewer."""

Name = tuple[int, str, str]
OnProgress = Callable[[int, int], None]


@dataclass(slots=True)
class Audit:
    """What was checked and found."""

    entries: int = 0
    changes: int = 0
    problems: list[str] = field(default_factory=list)


async def verify_history(client: ControlClient, told: OnProgress) -> Audit:
    """Read all of the history and the live map, and compare. Raises TrunklineError.

    What changes meanwhile is not taken for a gap: the history is read first, the live map after it.
    """
    changes: list[changes_pb.MapChange] = []
    changes += await client.region_changes(limit=MAX_CHANGES)
    changes += await client.space_changes(limit=MAX_CHANGES)
    of_tenants = await client.tenant_changes(limit=MAX_CHANGES)
    changes += of_tenants
    live: dict[Name, Message] = {}
    async for part in client.export_map():
        for entry in part.entries:
            message = entry_of(entry)
            if message is not None:
                live[_name_of_message(message)] = message
    owners = sorted({each.entry.tenant_id for each in of_tenants} | {name[1] for name in live if name[1]})
    for number, tenant_id in enumerate(owners, 1):
        changes += await client.collection_changes(tenant_id, limit=MAX_CHANGES)
        told(number, len(owners))
    return compare_history(changes, live)


def compare_history(changes: Sequence[changes_pb.MapChange], live: dict[Name, Message]) -> Audit:
    """Compare changes, the latest of each entry first, with each other and with what is live."""
    by_entry: dict[Name, list[changes_pb.MapChange]] = defaultdict(list)
    for change in changes:
        by_entry[change.entry.kind, change.entry.tenant_id, change.entry.entry_id].append(change)
    found = Audit(len(by_entry), len(changes))
    for name, history in by_entry.items():
        subject = name_of(history[0].entry)
        newest = _told(entry_of(history[0].after)) if history[0].HasField("after") else None
        if newest != _told(live.get(name)):
            found.problems.append(f"{subject}: is not as its last known change left it")
        for later, earlier in pairwise(history):
            before = _told(entry_of(later.before)) if later.HasField("before") else None
            after = _told(entry_of(earlier.after)) if earlier.HasField("after") else None
            if before != after:
                when = later.change_time.ToDatetime().isoformat(sep=" ", timespec="seconds")
                found.problems.append(f"{subject}: the change of {when} does not begin where the one before it ended")
    return found


def _told(message: Message | None) -> bytes | None:
    """Return an entry without its revision, to compare; None for none."""
    if message is None:
        return None
    bare = type(message)()
    bare.CopyFrom(message)
    bare.ClearField("revision")
    return bare.SerializeToString(deterministic=True)


_KINDS: Final = {
    "Region": (changes_pb.ENTRY_KIND_REGION, "", "region_id"),
    "Tenant": (changes_pb.ENTRY_KIND_TENANT, "tenant_id", ""),
    "Space": (changes_pb.ENTRY_KIND_SPACE, "", "space_id"),
    "Collection": (changes_pb.ENTRY_KIND_COLLECTION, "tenant_id", "collection_id"),
}


def _name_of_message(message: Message) -> Name:
    kind, tenant, entry = _KINDS[message.DESCRIPTOR.name]
    return kind, getattr(message, tenant) if tenant else "", getattr(message, entry) if entry else ""
