"""When a breaker opens, how long it rests, and which outcomes speak against a dependency."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, NamedTuple

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_mesh.errors import BackendTimeout, DomainError


class FailureCount(NamedTuple):
    """So many failures within so long."""

    failures: int
    within_s: float


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """The rules of one kind of dependency. A breaker opens as soon as any of its opening rules holds."""

    consecutive_failures: int | None = None
    """Opens after this many failures with no success between them; None leaves the rule out."""
    failures_in: FailureCount | None = None
    """Opens after this many failures within this time, whatever succeeded between; None leaves the rule out."""
    min_calls: int = 20
    """The ratio rule speaks only of windows with at least this many calls: one failure of two is no evidence."""
    ratio: float = 0.5
    """Opens once this share of the calls in the window failed."""
    ratio_window_s: float = 10.0
    """The ratio rule's window."""
    rest_s: float = 30.0
    """How long an open breaker sends nothing, before jitter."""
    slow_call_s: float = 2.0
    """A call that takes longer counts as a failure even if it succeeds; `math.inf` leaves the rule out."""
    fair_timeout_s: float = 0.0
    """A timeout that came sooner says nothing: the caller gave the dependency less time than it may need. Without it
    anybody with deadlines of a few milliseconds could open a breaker for everybody."""
    probes: int = 3
    """Calls that must succeed one after the other before the breaker closes again."""
    max_openings: int = 3
    """More openings than this within `openings_window_s` rest `long_rest_s`: the dependency flaps."""
    openings_window_s: float = 600.0
    """The window of `max_openings`."""
    long_rest_s: float = 300.0
    """The rest of a flapping dependency, before jitter."""
    jitter: float = 0.1
    """Rests vary by up to this share either way, so that processes do not probe in step."""

    def __post_init__(self) -> None:
        """Refuse rules that could never hold or would always hold."""
        counts = (self.consecutive_failures or 1, self.min_calls, self.probes, self.max_openings)
        spans = (self.ratio_window_s, self.rest_s, self.slow_call_s, self.openings_window_s, self.long_rest_s)
        rule = self.failures_in or FailureCount(1, 1.0)
        if min(*counts, rule.failures) < 1 or min(*spans, rule.within_s) <= 0:
            raise ValueError(f"counts must be at least 1 and times above 0 s: {self}")
        if not (0 < self.ratio <= 1 and 0 <= self.jitter < 1 and 0 <= self.fair_timeout_s <= self.slow_call_s):
            raise ValueError(f"ratio must be in (0, 1], jitter in [0, 1), fair_timeout_s at most slow_call_s: {self}")


REGION_POLICY: Final = BreakerPolicy(
    failures_in=FailureCount(5, 30.0), min_calls=20, ratio=0.5, rest_s=30.0, fair_timeout_s=0.1
)
"""Another region's service: 5 failures in 30 s, or half of at least 20 calls in 10 s; rests 30 s. A fair timeout is two
thirds of the p99 budget of retrieval and of reranking (150 ms), so that a stage's own timeout always counts."""

STORE_POLICY: Final = REGION_POLICY
"""A vector store: the same as a region."""

INFERENCE_POLICY: Final = BreakerPolicy(
    consecutive_failures=3, min_calls=20, ratio=0.1, rest_s=60.0, fair_timeout_s=0.05
)
"""A model server: 3 consecutive failures, or 10 % of at least 20 calls in 10 s; rests 60 s. A fair timeout is
five eighths of the p99 budget of embedding (80 ms)."""

BULK_INFERENCE_POLICY: Final = replace(INFERENCE_POLICY, slow_call_s=20.0)
"""Passages that are being written: nobody waits for one of them, and a busy CPU takes seconds for a batch. Being slow
is no failure there, as long as the answer comes within its deadline."""

QUOTA_POLICY: Final = BreakerPolicy(consecutive_failures=3, rest_s=2.0, slow_call_s=0.1, long_rest_s=5.0)
"""Redis or Valkey behind admission: its loss may cost three calls of 50 ms, and its return must be noticed within
seconds, because the fallback grants less than the tenants are promised. The adapter's own timeout of 50 ms counts as a
failure; a success that took longer than that was late because our own event loop was, hence twice that for `slow`."""


class Outcome(Enum):
    """What one finished call says of its dependency."""

    SUCCESS = auto()
    FAILURE = auto()
    SILENT = auto()
    """Nothing: it was cancelled, or it failed for a reason that is not the dependency's."""


_COUNTED_FAULTS: Final = frozenset({reasons_pb.FAULT_REGION, reasons_pb.FAULT_INTERNAL})


def outcome_of(exc: BaseException, took_s: float, policy: BreakerPolicy) -> Outcome:
    """Tell what an exception after `took_s` seconds says of the dependency that it came from.

    Cancellation is silent, however long the call took: the caller left, or a hedge lost. `LOAD` is silent too, because
    overload moves traffic and opens no breaker. `CALLER` (which includes the expiry of the caller's own deadline) is
    silent unless the call was slow. `REGION`, `INTERNAL` and every exception that is no domain error (timeouts, socket
    errors, a client library's own) are failures, but timeouts only if they were fair. A group is what the worst of its
    members is.
    """
    if isinstance(exc, BaseExceptionGroup):
        outcomes = {outcome_of(inner, took_s, policy) for inner in exc.exceptions}
        return Outcome.FAILURE if Outcome.FAILURE in outcomes else Outcome.SILENT
    if isinstance(exc, asyncio.CancelledError) or not isinstance(exc, Exception):
        return Outcome.SILENT
    if isinstance(exc, BackendTimeout | TimeoutError):
        return Outcome.FAILURE if took_s >= policy.fair_timeout_s else Outcome.SILENT
    if not isinstance(exc, DomainError) or exc.fault in _COUNTED_FAULTS:
        return Outcome.FAILURE
    if exc.fault == reasons_pb.FAULT_CALLER and took_s > policy.slow_call_s:
        return Outcome.FAILURE
    return Outcome.SILENT
