"""What the overload's generator is told, and what it tells of each call. Both travel as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

OK: Final = "OK"
NOT_SENT: Final = "not_sent"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Caller(_Frozen):
    """One tenant that asks by a schedule of its own."""

    tenant: Annotated[str, Field(min_length=1, max_length=63)]
    tier: str
    token: str = Field(repr=False)
    rps: PositiveFloat
    flooder: bool = False


class OverloadSpec(_Frozen):
    """An open loop: arrivals keep their schedule, whatever became of those before."""

    target: str = Field(description="The router, `host:port`.")
    callers: tuple[Caller, ...] = Field(min_length=1)
    text: str
    collection: str
    deadlines_s: dict[str, PositiveFloat] = Field(description="What a caller of a tier gives each call.")
    seed: int
    seconds: PositiveFloat
    closed_in_flight: int = Field(0, ge=0, le=256, description="Above 0: a closed loop instead, to measure capacity.")
    max_in_flight: PositiveInt = Field(4096, description="Arrivals beyond it are not sent, and count as failed.")
    flood_channels: PositiveInt = Field(
        8, description="Connections of all flooders. Everybody else has one alone: a connection is one caller's."
    )


class Call(NamedTuple):
    """One arrival and its end."""

    at_s: float
    """When it was to be asked, by the schedule; the machine's monotonic clock."""
    ms: float
    """From that moment to the answer."""
    caller: int
    """Index in the specification."""
    outcome: str
    """`OK`, the reason of the contract, the bare gRPC status with its words, or `not_sent`."""
    late_ms: float
    """How much later the generator came to ask it."""

    def to_line(self) -> bytes:
        """Return it as one line."""
        return json.dumps(self, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what `to_line` wrote."""
        return cls(*json.loads(line))
