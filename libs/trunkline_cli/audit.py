"""Checks the history of the map against itself and against the live map.

Each change must begin where the one before it ended, and the last one must have led to what is live. What was changed
past the control role, by hand in the store, shows as a gap.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from google.protobuf.message import Message

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline_cli.change_view import entry_of, name_of
from trunkline_client import ControlClient, if_known

MAX_CHANGES: Final = 1_000_000
"""Of one kind, or of one tenant's collections; the control role keeps fewer."""

AT_ONCE: Final = 16
"""Tenants whose changes are asked for at once."""

MAX_TRIES: Final = 3

Name = tuple[int, str, str]
"""Kind, tenant and entry."""
OnProgress = Callable[[int, int], None]


class Gap(NamedTuple):
    """Where the history does not hold together."""

    name: Name
    text: str
    with_live: bool
    """True if it is between the last change and what is live."""


@dataclass(slots=True)
class Audit:
    """What was checked and found."""

    entries: int = 0
    changes: int = 0
    gaps: list[Gap] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What is wrong, in words."""
        return [gap.text for gap in self.gaps]


async def verify_history(client: ControlClient, told: OnProgress) -> Audit:
    """Read all of the history and the live map, and compare. Raises TrunklineError.

    Entries that seem to differ are read again by themselves: they may have changed while the rest was read.
    """
    live = await _live(client)
    changes = [
        *await client.region_changes(limit=MAX_CHANGES),
        *await client.space_changes(limit=MAX_CHANGES),
        *await client.tenant_changes(limit=MAX_CHANGES),
    ]
    owners = sorted({each.entry.tenant_id for each in changes} | {name[1] for name in live})
    owners = [tenant_id for tenant_id in owners if tenant_id]
    for start in range(0, len(owners), AT_ONCE):
        some = owners[start : start + AT_ONCE]
        found = await asyncio.gather(*(client.collection_changes(each, limit=MAX_CHANGES) for each in some))
        changes += (change for of_tenant in found for change in of_tenant)
        told(start + len(some), len(owners))
    audit = compare_history(changes, live)
    sure = [gap for gap in audit.gaps if not (gap.with_live and await _settled(client, gap.name))]
    return Audit(audit.entries, audit.changes, sure)


async def _live(client: ControlClient) -> dict[Name, Message]:
    live: dict[Name, Message] = {}
    async with aclosing(client.export_map()) as parts:
        async for part in parts:
            for entry in part.entries:
                message = entry_of(entry)
                if message is not None:
                    live[_name_of_message(message)] = message
    return live


async def _settled(client: ControlClient, name: Name) -> bool:
    """Return True if an entry, read by itself, is as its last change left it; tried three times, for it may change."""
    for _ in range(MAX_TRIES):
        changes, live = await _read_one(client, name)
        if not compare_history(changes, {} if live is None else {name: live}).gaps:
            return True
    return False


async def _read_one(client: ControlClient, name: Name) -> tuple[Sequence[changes_pb.MapChange], Message | None]:
    kind, tenant_id, entry_id = name
    match kind:
        case changes_pb.ENTRY_KIND_REGION:
            changes = await client.region_changes(entry_id, limit=1)
            region = await if_known(client.region(entry_id))
            return changes, None if region is None else region.value
        case changes_pb.ENTRY_KIND_SPACE:
            changes = await client.space_changes(entry_id, limit=1)
            space = await if_known(client.space(entry_id))
            return changes, None if space is None else space.value
        case changes_pb.ENTRY_KIND_TENANT:
            changes = await client.tenant_changes(tenant_id, limit=1)
            tenant = await if_known(client.tenant(tenant_id))
            return changes, None if tenant is None else tenant.value
        case _:
            changes = await client.collection_changes(tenant_id, entry_id, limit=1)
            collection = await if_known(client.collection(tenant_id, entry_id))
            return changes, None if collection is None else collection.value


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
            found.gaps.append(Gap(name, f"{subject}: is not as its last known change left it", with_live=True))
        for later, earlier in pairwise(history):
            before = _told(entry_of(later.before)) if later.HasField("before") else None
            after = _told(entry_of(earlier.after)) if earlier.HasField("after") else None
            if before != after:
                when = later.change_time.ToDatetime().isoformat(sep=" ", timespec="seconds")
                text = f"{subject}: the change of {when} does not begin where the one before it ended"
                found.gaps.append(Gap(name, text, with_live=False))
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
