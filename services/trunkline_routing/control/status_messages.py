"""The map's status as a message."""

from __future__ import annotations

from typing import Final

from google.protobuf.duration_pb2 import Duration

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_service_pb2 as control_pb
from trunkline_map.keys import Kind
from trunkline_routing.control.map_status import MapStatus

_KINDS: Final = {
    Kind.REGION: changes_pb.ENTRY_KIND_REGION,
    Kind.TENANT: changes_pb.ENTRY_KIND_TENANT,
    Kind.SPACE: changes_pb.ENTRY_KIND_SPACE,
    Kind.COLLECTION: changes_pb.ENTRY_KIND_COLLECTION,
    Kind.POLICY: changes_pb.ENTRY_KIND_POLICY,
}


def render_status(status: MapStatus) -> control_pb.GetMapStatusResponse:
    """Return the message."""
    age = Duration()
    age.FromNanoseconds(int(status.age_s * 1e9))
    return control_pb.GetMapStatusResponse(
        map_token=status.token,
        revision=status.revision,
        age=age,
        counts=[
            control_pb.EntryCount(kind=message, count=status.counts.get(kind, 0)) for kind, message in _KINDS.items()
        ],
        malformed_keys=status.malformed,
        malformed_count=status.malformed_count,
        relist_count=status.relists,
        members=[
            control_pb.StoreMember(
                endpoint=each.endpoint,
                reachable=each.reachable,
                leader=each.leader,
                version=each.version,
                revision=each.revision,
                size_bytes=each.db_size_bytes,
            )
            for each in status.members
        ],
    )
