"""What can be tuned in a client. Every time is in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_PROBES: Final = ("suspect_after_s", "probe_timeout_s", "probe_interval_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Limits and times of one client; the defaults suit callers in the same region as their nearest router."""

    default_deadline_s: float = 2.0
    """For reads that name no deadline."""
    default_write_deadline_s: float = 15.0
    """For writes that name no deadline; they wait for every region of the write set."""
    max_attempts: int = 3
    """Requests sent for one call, the first one included (1 to 3; the contract's `trunkline-attempt` ends at 3)."""
    share: float = 0.5
    """Part of the time left that an attempt gets while another could follow."""
    min_share_s: float = 0.1
    """An attempt gets no less than this, but at most four fifths of the time left."""
    connect_timeout_s: float = 0.5
    """For a connection to one router; a router that accepts and does not speak costs this and no more."""
    failures_to_rest: int = 2
    """Transport failures in a row after which a router is left alone."""
    rest_s: float = 1.0
    """First rest; doubles with each failed probe, half of it is jitter."""
    max_rest_s: float = 15.0
    """Longest rest."""
    suspect_after_s: float = 0.25
    """A router that leaves a call waiting so long (twice the usual time, if that is longer), and answers no other, is
    asked for its health."""
    probe_timeout_s: float = 0.5
    """For a health check, which runs beside the calls; must exceed the longest round trip to a router."""
    probe_interval_s: float = 1.0
    """Between two health checks of a router at rest, or of one that drains."""
    backoff_s: float = 0.05
    """Pause before a repeat at the same router where the server named none; doubles, half of it is jitter."""
    retry_ratio: float = 0.2
    """Repeats as a share of the requests of ten seconds."""
    retry_floor: int = 10
    """Repeats in ten seconds that are always allowed."""
    residency_memory_s: float = 30.0
    """How long it is remembered where a refused collection may be asked."""
    follow_named_routers: bool = False
    """True to connect to `allowedEndpoints` of a residency refusal that are not among `routers`. The credential goes
    there too, so this is for networks where every server is trusted."""
    max_message_bytes: int = 8 << 20
    """Largest response taken."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 3:
            raise ValueError("max_attempts must be 1 to 3")
        if not 0.0 < self.share <= 1.0:
            raise ValueError("share must be above 0 and at most 1")
        for name in (
            "default_deadline_s",
            "default_write_deadline_s",
            "connect_timeout_s",
            "rest_s",
            "backoff_s",
            *_PROBES,
        ):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be positive")
        if self.failures_to_rest < 1 or self.max_rest_s < self.rest_s:
            raise ValueError("failures_to_rest must be at least 1 and max_rest_s not below rest_s")
