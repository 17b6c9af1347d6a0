"""Which regions may serve a collection, in which order, and why others may not: residency first, then state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import CollectionEntry, RegionEntry, RegionState
from trunkline_routing.edge.gate import inside, wall
from trunkline_routing.edge.model import Gate


@dataclass(frozen=True, slots=True)
class Candidate:
    """One region, and the reason why it is passed over, if it is."""

    region_id: str
    region: RegionEntry | None
    """None for a region that left the map."""
    passed_over: trail_pb.AttemptOutcome.ValueType = trail_pb.ATTEMPT_OUTCOME_UNSPECIFIED


def for_collection(
    gate: Gate, entry: CollectionEntry, consistency: options_pb.Consistency.ValueType
) -> list[Candidate]:
    """Return the placement's regions: this router's own first, then in the placement's order; or the primary alone."""
    primary_only = consistency == options_pb.CONSISTENCY_PRIMARY
    names = list(entry.placement[:1] if primary_only else entry.placement)
    if gate.region.region_id in names[1:]:
        names.remove(gate.region.region_id)
        names.insert(0, gate.region.region_id)
    jurisdictions = wall(gate, (entry,))
    return [_judge(name, gate.snapshot.region(name), jurisdictions) for name in names]


def within(gate: Gate, jurisdictions: frozenset[str]) -> list[Candidate]:
    """Return every region within the wall, this router's own first: for work that needs no placed data."""
    others: Iterable[RegionEntry] = (
        region for region in gate.snapshot.regions() if region.region_id != gate.region.region_id
    )
    judged = [_judge(region.region_id, region, jurisdictions) for region in (gate.region, *others)]
    return [candidate for candidate in judged if candidate.passed_over != trail_pb.ATTEMPT_OUTCOME_SKIPPED_RESIDENCY]


def _judge(region_id: str, region: RegionEntry | None, jurisdictions: frozenset[str]) -> Candidate:
    if region is None or not inside(region, jurisdictions):
        return Candidate(region_id, region, trail_pb.ATTEMPT_OUTCOME_SKIPPED_RESIDENCY)
    if region.state is not RegionState.SERVING:
        return Candidate(region_id, region, trail_pb.ATTEMPT_OUTCOME_SKIPPED_STATE)
    return Candidate(region_id, region)
