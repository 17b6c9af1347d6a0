"""From a plan to the transaction that makes it, with its account and the approval that it uses up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from google.protobuf.message import DecodeError

from trunkline_map import records
from trunkline_map.entries import CollectionEntry, Entry
from trunkline_map.keys import MapKey
from trunkline_map.store import Transaction
from trunkline_mesh.errors import ApprovalInvalid, invalid_field
from trunkline_routing.control.history import history_records
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import PLACEMENTS_FENCE, ControlChange, MapState, Plan, Prepared


def require_distinct(prepared: Sequence[Prepared]) -> None:
    """Raise FieldInvalid if two changes are of one entry: which of them would hold?"""
    if len({each.name for each in prepared}) != len(prepared):
        raise invalid_field("changes", "must not name one entry twice")


def controlled(how: How, also: ControlChange | None) -> ControlChange:
    """Return the keys outside of the map that change with it: the caller's, and the approval that is used up."""
    extra = also or ControlChange()
    approved = how.approved
    if approved is None:
        return extra
    return replace(
        extra,
        compares={**extra.compares, approved.key: approved.revision},
        deletes=[*extra.deletes, approved.key],
        conflict=extra.conflict if also is not None else ApprovalInvalid,
    )


def require_control_keys(state: MapState, extra: ControlChange) -> None:
    """Raise what `extra` wants raised if one of its keys is not as it must be."""
    for key, revision in extra.compares.items():
        item = state.raw.get(key)
        if (0 if item is None else item.mod_revision) != revision:
            raise extra.conflict()


def transaction_of(state: MapState, plan: Plan, extra: ControlChange, how: How, now_s: float) -> Transaction:
    """Return the transaction that makes `plan` if everything that was asked of the store is as `state` has it."""
    after: dict[MapKey, bytes | None] = {entry.key: _encoded(state, entry) for entry in plan.puts}
    after |= dict.fromkeys(plan.deletes)
    written = {key.encode(): value for key, value in after.items() if value is not None}
    if any(isinstance(entry, CollectionEntry) for entry in plan.puts):
        written[PLACEMENTS_FENCE] = b"1"
    return Transaction(
        compares={key: state.raw[key].mod_revision if key in state.raw else 0 for key in state.asked},
        unchanged=plan.unchanged,
        puts={**written, **dict(history_records(state, after, how, now_s)), **plan.control_puts, **extra.puts},
        deletes=[*(key.encode() for key in plan.deletes), *plan.control_deletes, *extra.deletes],
    )


def _encoded(state: MapState, entry: Entry) -> bytes:
    """Return the record upon the stored one, so that fields of newer versions survive."""
    item = state.raw.get(entry.key.encode())
    if item is not None:
        try:
            return records.encode(entry, item.value)
        except DecodeError:
            pass  # what is no message has no fields to keep
    return records.encode(entry)
