"""Tells in a trail how candidate regions fared."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_mesh.errors import DomainError
from trunkline_routing.edge.trail import MAX_ATTEMPTS, set_seconds


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of a candidate when it was considered."""

    breaker: trail_pb.BreakerState.ValueType
    pressure: float | None = None
    round_trip_s: float | None = None


def add_attempt(
    trail: trail_pb.CollectionTrail | None,
    region: str,
    outcome: trail_pb.AttemptOutcome.ValueType,
    *,
    error: DomainError | None = None,
    elapsed_s: float | None = None,
    known: Known | None = None,
    hedge: bool = False,
) -> None:
    """Tell how one candidate region fared; nothing to do where no collection is concerned."""
    if trail is None or len(trail.attempts) >= MAX_ATTEMPTS:
        return
    attempt = trail.attempts.add(region=region, outcome=outcome)
    if error is not None:
        attempt.error = error.reason
    if elapsed_s is not None:
        set_seconds(attempt.elapsed, elapsed_s)
    if hedge:
        attempt.hedge = True
    if known is not None:
        attempt.breaker = known.breaker
        if known.pressure is not None:
            attempt.pressure = known.pressure
        if known.round_trip_s is not None:
            set_seconds(attempt.round_trip, known.round_trip_s)
