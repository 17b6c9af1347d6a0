"""The account of each change: a record for every entry, written in the transaction that changes it.

A record's key names the revision at which the change was decided. Two changes of one entry never share it: the second
one is decided upon the first, so at a later revision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.keys import MapKey, history_key
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import MapState


def history_records(
    state: MapState, after: Mapping[MapKey, bytes | None], how: How, now_s: float
) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and record for each entry that becomes `after` (None: is removed) upon `state`; `now_s` is Unix time.

    An entry that is not there and is removed has no change to tell.
    """
    for key, value in after.items():
        item = state.raw.get(key.encode())
        if item is None and value is None:
            continue
        record = storage_pb.HistoryRecord(
            actor=how.actor,
            roles=how.roles,
            request_id=how.request_id,
            method=how.method,
            comment=how.comment,
            urgent=how.urgent,
            entry_key=key.path,
            before=b"" if item is None else item.value,
            after=value or b"",
        )
        record.change_time.FromNanoseconds(int(now_s * 1e9))
        if how.approved is not None:
            record.approval_id, record.approver = how.approved.approval_id, how.approved.approver
        yield history_key(key, state.revision), record.SerializeToString()
