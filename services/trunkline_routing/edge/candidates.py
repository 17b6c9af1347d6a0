"""Which regions may serve, in which order, and why others may not: residency first, then state, then preference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import CollectionEntry, Preference, RegionEntry, RegionState
from trunkline_routing.edge.gate import inside, wall
from trunkline_routing.edge.model import Gate

Tier: TypeAlias = Callable[[str], int | None]
"""Region to how far it is from here, in steps; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One region, and the reason why it is passed over, if it is."""

    region_id: str
    region: RegionEntry | None
    """None for a region that left the map."""
    passed_over: trail_pb.AttemptOutcome.ValueType = trail_pb.ATTEMPT_OUTCOME_UNSPECIFIED


def unknown(_region_id: str) -> int | None:
    """Know no distance."""
    return None


def for_collection(
    gate: Gate, entry: CollectionEntry, consistency: options_pb.Consistency.ValueType, tier: Tier = unknown
) -> list[Candidate]:
    """Return the placement's regions in the order that the collection prefers; or the primary alone.

    Regions where retrieval is switched off are passed over.

    NEAREST is this router's own region, then the others by `tier`; those that are as far, or not known to be nearer,
    stay in the placement's order. PLACEMENT is that order itself.
    """
    names: list[str] = list(entry.placement)
    if consistency == options_pb.CONSISTENCY_PRIMARY:
        names = names[:1]
    elif entry.preference is Preference.NEAREST:
        names = _nearest(names, gate.region.region_id, tier)
    jurisdictions, stage = wall(gate, (entry,)), trail_pb.STAGE_NAME_RETRIEVAL
    return [_judge(name, gate.snapshot.region(name), jurisdictions, stage) for name in names]


def within(
    gate: Gate,
    jurisdictions: frozenset[str],
    tier: Tier = unknown,
    *,
    stage: trail_pb.StageName.ValueType = trail_pb.STAGE_NAME_UNSPECIFIED,
) -> list[Candidate]:
    """Return every region within the wall, nearest first: for work that needs no placed data.

    Regions where `stage` is switched off are passed over.
    """
    regions: Iterable[RegionEntry] = gate.snapshot.regions()
    inner = [region.region_id for region in regions if inside(region, jurisdictions)]
    return [
        _judge(name, gate.snapshot.region(name), jurisdictions, stage)
        for name in _nearest(inner, gate.region.region_id, tier)
    ]


def _nearest(names: list[str], own: str, tier: Tier) -> list[str]:
    """Sort stably: the own region, then by tier; unknown ones last."""
    if len(names) == 1 or (len(names) == 2 and own in names):
        return names if names[0] == own or len(names) == 1 else [names[1], names[0]]
    keyed: dict[str, tuple[int, int]] = {}
    for name in names:
        far = tier(name)
        keyed[name] = (0, 0) if name == own else (2, 0) if far is None else (1, far)
    return sorted(names, key=keyed.__getitem__)


def _judge(
    region_id: str,
    region: RegionEntry | None,
    jurisdictions: frozenset[str],
    stage: trail_pb.StageName.ValueType,
) -> Candidate:
    if region is None or not inside(region, jurisdictions):
        return Candidate(region_id, region, trail_pb.ATTEMPT_OUTCOME_SKIPPED_RESIDENCY)
    if region.state is not RegionState.SERVING or stage in region.disabled_stages:
        return Candidate(region_id, region, trail_pb.ATTEMPT_OUTCOME_SKIPPED_STATE)
    return Candidate(region_id, region)
