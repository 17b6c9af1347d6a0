"""What a spender gets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import quota_pb2 as quota_pb


class TokenSource(Enum):
    """Where spent quota came from."""

    AUTHORITY = admission_pb.QUOTA_SOURCE_AUTHORITY
    """The region's quota."""
    LOCAL = admission_pb.QUOTA_SOURCE_LOCAL
    """A share that is granted while the quota's keeper is away; the trail then says QUOTA_LOCAL."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Quota was spent; the request may go on. Shared by all spenders of one grant: spending allocates nothing."""

    rank: int
    """The tenant's rank: higher is served first."""
    source: TokenSource
    """Where it came from."""
    notes: tuple[quota_pb.LimitNote, ...] = ()
    """Limits that are nearly used up, or on trial and passed, as of the grant; not to be changed."""
    safe: bool = False
    """True for the holder's own safe share: nobody has granted it, so nobody else gets back what was not used."""
