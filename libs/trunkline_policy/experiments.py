"""Which arm of a comparison a query or a caller is in: the same in every process, machine and version."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from trunkline_policy.model import RoutingPolicy
from trunkline_policy.normal import normalise

_RECIPE: Final = b"trunkline.arm.1"
_BITS: Final = 53
"""What a double holds exactly."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """A query's place in one experiment."""

    experiment: str
    variant: bool
    shadow: bool
    """True if the variant, where it has a part, decides beside the policy and its decision is not used."""


def arm_of(name: str, unit: str, share: float) -> bool:
    """Return True if a unit is in the variant of the comparison `name`, which takes `share` (0 to 1) of all units.

    The recipe, which must never change: BLAKE2b with an 8-byte digest and the personalisation `trunkline.arm.1`, of the
    name, a zero byte and the unit, in UTF-8; the digest as a big-endian number, its upper 53 bits divided by 2**53. The
    unit is in the variant if that is less than the share. So a growing share only ever adds units to the variant, and
    comparisons of different names divide the units independently.
    """
    hashed = blake2b(f"{name}\0{unit}".encode(errors="replace"), digest_size=8, person=_RECIPE)
    place: float = (int.from_bytes(hashed.digest(), "big") >> (64 - _BITS)) / (1 << _BITS)
    return place < share


def assignments_of(policy: RoutingPolicy, *, tenant_id: str, text: str, subject: str) -> tuple[Assigned, ...]:
    """Return a query's place in each of the policy's experiments, in the policy's order.

    The unit is the tenant with the normalised text, or with the caller's subject, as the experiment says.
    """
    if not policy.experiments:
        return ()
    units = {"query": f"{tenant_id}\0{normalise(text)}", "caller": f"{tenant_id}\0{subject}"}
    return tuple(
        Assigned(one.name, arm_of(one.name, units[one.unit], one.share), one.kind == "shadow")
        for one in policy.experiments
    )
