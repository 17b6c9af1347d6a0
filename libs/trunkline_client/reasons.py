"""What each reason of the contracts means to a client, read from the enum's own options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from trunkline.common.v1 import error_reason_pb2 as reason_pb

_PREFIX: Final = "ERROR_REASON_"

ERROR_DOMAIN: Final = "trunkline.dev"
"""Domain of every ErrorInfo that a Trunkline service sends."""


@dataclass(frozen=True, slots=True)
class ReasonSpec:
    """The machine-readable meaning of one reason: its gRPC status, who is at fault, and whether a repeat may help."""

    name: str
    status: str
    fault: str
    retryable: bool


def _read_specs() -> Mapping[str, ReasonSpec]:
    specs = {}
    for value in reason_pb.ErrorReason.DESCRIPTOR.values:
        name = value.name.removeprefix(_PREFIX)
        option = value.GetOptions().Extensions[reason_pb.reason_spec]
        fault = reason_pb.Fault.Name(option.fault).removeprefix("FAULT_")
        specs[name] = ReasonSpec(name, option.status, fault, option.retryable)
    return MappingProxyType(specs)


REASONS: Final[Mapping[str, ReasonSpec]] = _read_specs()
"""Every reason by its name on the wire, for example `QUOTA_EXHAUSTED`."""


def reason_name(number: int) -> str:
    """Return the wire name of a reason's number; `UNKNOWN_<number>` for one that this client is too old to know."""
    value = reason_pb.ErrorReason.DESCRIPTOR.values_by_number.get(number)
    return f"UNKNOWN_{number}" if value is None else value.name.removeprefix(_PREFIX)


def is_retryable(reason: str, status: str) -> bool:
    """Return whether a repeat of the same request may succeed later or elsewhere.

    A reason that this client does not know (a newer server's) is judged by its status, as a transport error is: only
    UNAVAILABLE may be repeated (AIP-194).
    """
    spec = REASONS.get(reason)
    return status == "UNAVAILABLE" if spec is None else spec.retryable
