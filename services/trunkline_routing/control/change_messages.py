"""Messages of watches and of the history."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline_map.entries import Entry, RegionEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_routing.control.access import Reader
from trunkline_routing.control.change_lists import ChangeOfEntry, ChangePage, token_of
from trunkline_routing.control.messages import render_entry
from trunkline_routing.control.watches import Step

_KINDS: Final = {
    Kind.REGION: changes_pb.ENTRY_KIND_REGION,
    Kind.TENANT: changes_pb.ENTRY_KIND_TENANT,
    Kind.SPACE: changes_pb.ENTRY_KIND_SPACE,
    Kind.COLLECTION: changes_pb.ENTRY_KIND_COLLECTION,
    Kind.POLICY: changes_pb.ENTRY_KIND_POLICY,
}
_TENANTS_OWN: Final = frozenset({Kind.TENANT, Kind.COLLECTION, Kind.POLICY})


def render_name(key: MapKey) -> changes_pb.EntryName:
    """Return the message that names an entry."""
    if key.kind in _TENANTS_OWN:
        return changes_pb.EntryName(kind=_KINDS[key.kind], tenant_id=key.name, entry_id=key.collection_id)
    return changes_pb.EntryName(kind=_KINDS[key.kind], entry_id=key.name)


def render_step(step: Step, reader: Reader) -> changes_pb.MapEvent:
    """Return the message of one step of a watch, as `reader` may see it."""
    if step.written is not None:
        return changes_pb.MapEvent(written=_visible(step.written, reader), map_token=step.token)
    if step.removed is not None:
        return changes_pb.MapEvent(removed=render_name(step.removed), map_token=step.token)
    return changes_pb.MapEvent(caught_up=True, map_token=step.token)


def render_changes(page: ChangePage, reader: Reader) -> list[changes_pb.MapChange]:
    """Return the messages of a page of changes, as `reader` may see them."""
    return [_render_change(change, page.epoch, reader) for change in page.changes]


def visible_region(entry: RegionEntry, reader: Reader) -> RegionEntry:
    """Return the region as `reader` may see it: without the stores of other tenants."""
    if reader.operator:
        return entry
    return replace(entry, stores=tuple(store for store in entry.stores if store.tenant_id in ("", reader.tenant_id)))


def _visible(entry: Entry, reader: Reader) -> changes_pb.MapEntry | None:
    return render_entry(visible_region(entry, reader) if isinstance(entry, RegionEntry) else entry)


def _render_change(change: ChangeOfEntry, epoch: bytes, reader: Reader) -> changes_pb.MapChange:
    """Return the message. Who changed what is not the tenant's own is told to operators alone."""
    message = changes_pb.MapChange(
        entry=render_name(change.key),
        before=None if change.before is None else _visible(change.before, reader),
        after=None if change.after is None else _visible(change.after, reader),
        map_token=token_of(change, epoch),
        change_time=change.record.change_time,
        method=change.record.method,
    )
    if reader.operator or change.key.kind in _TENANTS_OWN:
        record = change.record
        message.actor, message.request_id, message.comment = record.actor, record.request_id, record.comment
        message.approver, message.urgent = record.approver, record.urgent
        message.roles.extend(record.roles)
    return message
