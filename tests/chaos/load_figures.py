"""Figures of lists of answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.chaos.load_answer import Answer


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return a quantile of values in ascending order (nearest rank, so always one that was measured); 0 for none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


def latency_ms(answers: Iterable[Answer], q: float) -> float:
    """Return a quantile of the latencies of all arrivals, those that failed included, from the schedule's moment."""
    return round(quantile(sorted(answer.ms for answer in answers), q), 1)


def outcomes(answers: Iterable[Answer]) -> dict[str, int]:
    """Return how often each outcome but `OK` came up."""
    return dict(Counter(answer.outcome for answer in answers if answer.failed))


def between(answers: Iterable[Answer], start_s: float, end_s: float) -> list[Answer]:
    """Return the answers to what was asked in a span of time."""
    return [answer for answer in answers if start_s <= answer.at_s < end_s]
