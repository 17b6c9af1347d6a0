"""What became of every request, by tier and by span of the run."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np

from trunkline_tiers import TierFile

MIN_FOR_P95: Final = 20
"""Answers that a span needs for a p95 of its own."""


class Outcome(IntEnum):
    """How a request ended."""

    OK = 0
    OWN_QUOTA = 1
    """Refused by the tenant's own limits: no error, and none of the promise's requests."""
    POOL = 2
    """Refused by its tier's pool or the region's: within its own limits, so an error."""
    SHED = 3
    """Refused for want of capacity, after all tries."""
    PREEMPTED = 4
    """Gave back what it had borrowed, on its last try."""
    LATE = 5
    """Its deadline passed."""
    LOST = 6
    """Its server was taken away, on its last try."""
    LEFT = 7
    """The caller hung up: no error, and none of the promise's requests."""


OK: Final = Outcome.OK
"""Looking a member up in its class costs as much as a call."""
ERRORS: Final = (Outcome.POOL, Outcome.SHED, Outcome.PREEMPTED, Outcome.LATE, Outcome.LOST)


@dataclass(frozen=True, slots=True)
class Span:
    """One span of one tier, as the picture shows it."""

    offered: int
    admitted: int
    shed: int
    p95_ms: float
    """NaN where there were too few answers."""


class Outcomes:
    """Counts by tier and span; keeps every latency."""

    def __init__(self, tiers: TierFile, start_s: float, length_s: float, spans: int) -> None:
        """Cut `length_s` seconds from `start_s` on into `spans`."""
        self._tiers = tiers
        self._start_s = start_s
        self._per_s = spans / length_s
        self._last = spans - 1
        self._counts = {tier: [[0] * len(Outcome) for _ in range(spans)] for tier in tiers.by_rank}
        self._latencies_ms = {tier: [array("f") for _ in range(spans)] for tier in tiers.by_rank}
        self.retries = 0

    def note(self, tier: str, started_s: float, outcome: Outcome, took_s: float) -> None:
        """Count one request by when it came."""
        span = int((started_s - self._start_s) * self._per_s)
        if span > self._last:
            span = self._last
        self._counts[tier][span][outcome] += 1
        if outcome is OK:
            self._latencies_ms[tier][span].append(took_s * 1000)

    @property
    def requests(self) -> int:
        """All that came."""
        return sum(sum(map(sum, spans)) for spans in self._counts.values())

    def by_tier(self) -> dict[str, dict[str, Any]]:
        """Return promise and outcome of each tier."""
        return {tier: self._figures(tier) for tier in reversed(self._tiers.by_rank)}

    def spans(self, tier: str) -> Sequence[Span]:
        """Return what the picture shows."""
        pairs = zip(self._counts[tier], self._latencies_ms[tier], strict=True)
        return [
            Span(
                sum(counts),
                sum(counts) - counts[Outcome.OWN_QUOTA] - counts[Outcome.POOL],
                sum(counts[error] for error in ERRORS),
                float(np.percentile(latencies, 95)) if len(latencies) >= MIN_FOR_P95 else float("nan"),
            )
            for counts, latencies in pairs
        ]

    def _figures(self, tier: str) -> dict[str, Any]:
        promised = self._tiers.tiers[tier].objective
        totals = [sum(column) for column in zip(*self._counts[tier], strict=True)]
        errors = sum(totals[error] for error in ERRORS)
        judged = totals[Outcome.OK] + errors
        success = totals[Outcome.OK] / judged if judged else 1.0
        latencies = np.concatenate([np.frombuffer(span, dtype=np.float32) for span in self._latencies_ms[tier]])
        p50, p95, p99 = np.percentile(latencies, (50, 95, 99)) if len(latencies) else (0.0, 0.0, 0.0)
        return {
            "promised_p95_ms": promised.p95_ms,
            "p95_ms": round(float(p95), 1),
            "promised_success": promised.availability,
            "success": round(success, 6),
            "kept": bool(p95 <= promised.p95_ms and success >= promised.availability),
            "p50_ms": round(float(p50), 1),
            "p99_ms": round(float(p99), 1),
            "offered": sum(totals),
            **{outcome.name.lower(): totals[outcome] for outcome in Outcome},
        }
