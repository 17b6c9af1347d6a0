"""Kill switches: stages of a search that an operator switches off for a tenant or in a region."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_mesh.errors import invalid_field

SWITCHABLE: Final = frozenset(
    {
        trail_pb.STAGE_NAME_DECISION,
        trail_pb.STAGE_NAME_EMBEDDING,
        trail_pb.STAGE_NAME_RETRIEVAL,
        trail_pb.STAGE_NAME_RERANK,
        trail_pb.STAGE_NAME_WRITE,
    }
)
"""Stages that have a switch."""


def render_stages(stages: Iterable[int]) -> Sequence[trail_pb.StageName.ValueType]:
    """Return stages as the contract has them, in their order; those of newer versions included."""
    return [trail_pb.StageName.ValueType(stage) for stage in sorted(stages)]


def require_switches(field: str, wanted: frozenset[int], before: frozenset[int]) -> None:
    """Raise FieldInvalid for a stage without a switch. One that was switched off already, by a newer version, stays."""
    if wanted - SWITCHABLE - before:
        names = ", ".join(trail_pb.StageName.Name(stage) for stage in render_stages(SWITCHABLE))
        raise invalid_field(field, f"must be of {names}")
