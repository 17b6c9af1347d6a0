"""What a spender gets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trunkline.admission.v1 import admission_service_pb2 as admission_pb


class TokenSource(Enum):
    """Where spent tokens came from."""

    AUTHORITY = admission_pb.QUOTA_SOURCE_AUTHORITY
    """The region's quota."""
    LOCAL = admission_pb.QUOTA_SOURCE_LOCAL
    """A share that is granted while the quota's keeper is away; the trail then says QUOTA_LOCAL."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens were spent; the request may go on."""

    rank: int
    """The tenant's rank: higher is served first."""
    source: TokenSource
    """Where the tokens came from."""
