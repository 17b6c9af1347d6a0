"""Use case: some documents of a collection, for whoever proposes a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_map.entries import RegionEntry
from trunkline_map.source import MapSource
from trunkline_mesh.breaker_policy import REGION_POLICY, BreakerPolicy
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import CollectionUnknown
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge import candidates
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.asking import BEHIND
from trunkline_routing.edge.bounds import NAME, Violations, check_token
from trunkline_routing.edge.failover import Failover

MAX_SAMPLE: Final = 256
DEFAULT_SAMPLE: Final = 64
MAX_SAMPLE_BYTES: Final = 1 << 20
"""Documents that would exceed this together are left out; the first is always there."""

SAMPLE_POLICY: Final[BreakerPolicy] = replace(REGION_POLICY, slow_call_s=20.0)
"""A region's rules, but reading 256 documents with their vectors may take longer than a search."""


@dataclass(frozen=True, slots=True)
class SampleCommand:
    """What to read."""

    collection: str
    count: int
    map_token: bytes = b""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read."""

    documents: Sequence[document_pb.Document]
    region_id: str


class SampleReader(Protocol):
    """One region's documents; adapter: `sample_client`."""

    async def read(
        self, region: RegionEntry, tenant_id: str, command: SampleCommand, *, max_bytes: int, deadline: Deadline
    ) -> Sequence[document_pb.Document]:
        """Return the first documents in the order of their point ids. Raises domain errors."""


class Samples:
    """Reads documents from a region that may serve them."""

    def __init__(self, source: MapSource, reader: SampleReader, failover: Failover, *, region_id: str) -> None:
        """Read by `reader`, over `Failover("retrieval", "Export", SAMPLE_POLICY, ...)`, for the router of a region."""
        self._source = source
        self._reader = reader
        self._failover = failover
        self._region_id = region_id

    async def run(self, tenant_id: str, command: SampleCommand, scope: RequestScope) -> Sample:
        """Return at most `count` documents, 1 MiB together.

        Raises what the gate raises, CollectionUnknown, ResidencyRouterOutside for a collection that may not be read
        through this router, and what a search raises where no region serves.
        """
        deadline = scope.deadline
        gate = await gates.enter(
            self._source,
            tenant_id=tenant_id,
            region_id=self._region_id,
            map_token=command.map_token,
            deadline=deadline,
        )
        entry = gate.snapshot.collection(tenant_id, command.collection)
        if entry is None:
            raise CollectionUnknown(metadata={"collection": command.collection})
        if not gates.readable(gate, entry):
            raise gates.outside(gate.snapshot, gates.wall(gate, (entry,)))

        async def attempt(region: RegionEntry, share: Deadline) -> Sequence[document_pb.Document]:
            by_map = replace(command, map_token=gates.token_for(gate, region, (entry,)))
            if gate.token_given:
                return await self._read(region, tenant_id, by_map, share)
            try:
                return await self._read(region, tenant_id, replace(command, map_token=b""), share)
            except BEHIND:  # its map lacks what this router knows: it is asked to catch up
                return await self._read(region, tenant_id, by_map, share)

        region, documents = await self._failover.first(
            candidates.for_collection(gate, entry, options_pb.CONSISTENCY_ANY, self._failover.tier),
            attempt,
            deadline=deadline,
            subject={"collection": command.collection},
            tenant_id=tenant_id,
        )
        return Sample(documents, region.region_id)

    async def _read(
        self, region: RegionEntry, tenant_id: str, command: SampleCommand, deadline: Deadline
    ) -> Sequence[document_pb.Document]:
        return await self._reader.read(region, tenant_id, command, max_bytes=MAX_SAMPLE_BYTES, deadline=deadline)


def parse_sample(request: routing_pb.SampleDocumentsRequest) -> SampleCommand:
    """Return what to read; raise FieldInvalid naming every field that is out of bounds."""
    found = Violations()
    found.check(NAME.fullmatch(request.collection) is not None, "collection", "must be 1 to 63 of [a-z0-9-]")
    found.check(0 <= request.count <= MAX_SAMPLE, "count", f"must be 0 to {MAX_SAMPLE}")
    check_token(request.map_token, found)
    found.settle()
    return SampleCommand(request.collection, request.count or DEFAULT_SAMPLE, request.map_token)
