"""Refusals of the routing service beyond the shared catalog: how many attempts become one answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_mesh.errors import CollectionNotPlaced, DeadlineExceeded, DomainError, NoAllowedRegion, StaleMap

DEFAULT_RETRY_DELAY_S: Final = 1.0
"""Told to the caller when every allowed region failed and none says when it is back."""

MAP_RETRY_S: Final = 0.2
"""Told where a region knows a later map than this router, which hears of changes within milliseconds."""


def moves_on(error: DomainError) -> bool:
    """Return True if another region may do better: this one failed, protects itself, or lost the collection.

    A region where the collection is not placed knows a later map than this router.
    """
    if isinstance(error, CollectionNotPlaced):
        return True
    return error.fault in (reasons_pb.FAULT_REGION, reasons_pb.FAULT_LOAD) or error.retryable


def none_left(subject: Mapping[str, str], tried: Sequence[str], last: DomainError | None) -> DomainError:
    """Return what a caller is told when no candidate served `subject`, which goes into the metadata.

    Overload and an expired deadline stay what they are; anything else is a typed refusal, never another jurisdiction.
    """
    if isinstance(last, DeadlineExceeded):
        return last
    if last is not None and last.fault == reasons_pb.FAULT_LOAD:
        return last
    if isinstance(last, CollectionNotPlaced):
        return StaleMap(
            "the collection is not where this router's map has it", retry_delay_s=MAP_RETRY_S, metadata=subject
        )
    return NoAllowedRegion(
        retry_delay_s=DEFAULT_RETRY_DELAY_S,
        metadata={**subject, "triedRegions": ",".join(tried)},
    )
