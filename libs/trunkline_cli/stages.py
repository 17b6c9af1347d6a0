"""Stages of a search as people name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb

SWITCHES: Final[Mapping[str, trail_pb.StageName.ValueType]] = MappingProxyType(
    {
        "rerank": trail_pb.STAGE_NAME_RERANK,
        "embedding": trail_pb.STAGE_NAME_EMBEDDING,
        "decision": trail_pb.STAGE_NAME_DECISION,
        "retrieval": trail_pb.STAGE_NAME_RETRIEVAL,
        "write": trail_pb.STAGE_NAME_WRITE,
    }
)
"""Those that an operator can switch off."""

_PREFIX: Final = "STAGE_NAME_"


def stage_name(number: int) -> str:
    """Return a stage's name, for example `rerank`; the number of one that this program is too old to know."""
    value = trail_pb.StageName.DESCRIPTOR.values_by_number.get(number)
    return str(number) if value is None else str(value.name).removeprefix(_PREFIX).lower()


def stage_names(numbers: Iterable[int]) -> list[str]:
    """Return the names of stages, sorted."""
    return sorted(map(stage_name, numbers))


def stage_number(name: str) -> trail_pb.StageName.ValueType:
    """Return the stage that `stage_name` names so. Raises ValueError."""
    if name.isascii() and name.isdigit():
        return trail_pb.StageName.ValueType(int(name))
    return trail_pb.StageName.Value(_PREFIX + name.upper())
