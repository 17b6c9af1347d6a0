"""What came of one arrival, as one line of JSON; and the account of the whole run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

OK: Final = "OK"
NOT_SENT: Final = "not_sent"


class Answer(NamedTuple):
    """One arrival and its end. Times are of the machine's monotonic clock, which all processes share."""

    at_s: float
    """When it was to be asked, by the schedule."""
    late_ms: float
    """How much later the generator came to ask it."""
    ms: float
    """From the schedule's moment to the answer."""
    stream: str
    question: str
    outcome: str
    """`OK`, the reason of the contract, the bare gRPC status, or `not_sent`."""
    right: bool | None
    """Whether the answer is the known one; None where there is none."""
    router: str
    """Region of the router that answered."""
    regions: tuple[str, ...]
    """Regions whose documents were searched."""
    tries: tuple[str, ...]
    """The client's attempts: `region OUTCOME ms`."""
    inside: tuple[str, ...]
    """The router's attempts on regions that were considered and did more than stand by: `region OUTCOME REASON`."""
    degraded: tuple[str, ...]
    revision: int
    """Of the map that the answer rests on; 0 if not known."""
    map_age_s: float
    asked_revision: int
    """Of the map token that was sent along; 0 without one."""
    detail: str
    """Why it is wrong or failed, in words."""

    @property
    def good(self) -> bool:
        """Whether the caller got what it asked for."""
        return self.outcome == OK and self.right is True

    @property
    def full(self) -> bool:
        """Whether it is good and nothing was left out or done elsewhere for it."""
        return self.good and not self.degraded

    @property
    def failed(self) -> bool:
        """Whether the caller got an error, or was never served."""
        return self.outcome != OK

    @property
    def done_s(self) -> float:
        """When the answer was there."""
        return self.at_s + self.ms / 1000.0

    def met(self, region: str) -> bool:
        """Whether a region's router or documents served it."""
        return self.router == region or region in self.regions

    def to_line(self) -> bytes:
        """Return it as one line."""
        return json.dumps(self, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_values(cls, values: list[object]) -> Self:
        """Read what `to_line` wrote."""
        return cls._make(tuple(each) if isinstance(each, list) else each for each in values)


@dataclass(frozen=True)
class Account:
    """What the generator says about itself at the end."""

    seconds: float
    """From the first arrival's moment to the end of the schedule."""
    arrivals: int
    not_sent: int
    answered: int
    """In time or not, right or wrong."""
    offered_rps: float
    """Arrivals a second, as they fell."""
    done_rps: float
    """Good answers a second."""
    full_rps: float
    """Those of them that nothing degraded."""
    generator_lag_ms_p50: float
    generator_lag_ms_p99: float
    generator_lag_ms_max: float
    generator_cpu_s: float
    starved: bool
    """Whether the generator itself came too late so often (p99 above 100 ms) that its latencies say little."""
