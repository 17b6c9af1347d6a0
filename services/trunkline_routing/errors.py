"""Refusals of the routing service beyond the shared catalog: how many attempts become one answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_mesh.errors import DeadlineExceeded, DomainError, NoAllowedRegion

DEFAULT_RETRY_DELAY_S: Final = 1.0
"""Told to the caller when every allowed region failed and none says when it is back."""


def moves_on(error: DomainError) -> bool:
    """Return True if another region may do better: this one failed, or protects itself."""
    return error.fault in (reasons_pb.FAULT_REGION, reasons_pb.FAULT_LOAD) or error.retryable


def none_left(subject: Mapping[str, str], tried: Sequence[str], last: DomainError | None) -> DomainError:
    """Return what a caller is told when no candidate served `subject`, which goes into the metadata.

    Overload and an expired deadline stay what they are; anything else is a typed refusal, never another jurisdiction.
    """
    if isinstance(last, DeadlineExceeded):
        return last
    if last is not None and last.fault == reasons_pb.FAULT_LOAD:
        return last
    return NoAllowedRegion(
        retry_delay_s=DEFAULT_RETRY_DELAY_S,
        metadata={**subject, "triedRegions": ",".join(tried)},
    )
