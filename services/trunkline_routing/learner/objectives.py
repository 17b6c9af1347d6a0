"""Routing accuracy as an indicator: what it is made of, and what each tier is promised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

PartName: TypeAlias = Literal["golden", "feedback", "agreement"]

WEIGHTS: Final[Mapping[PartName, float]] = MappingProxyType({"golden": 0.5, "feedback": 0.3, "agreement": 0.2})
"""Of the golden set's replay, of feedback, and of queries on which both stages agree."""

OBJECTIVES: Final[Mapping[str, float]] = MappingProxyType({"free": 0.85, "pro": 0.95, "enterprise": 0.98})
"""Accuracy by tier."""

OTHER_TIER: Final = "other"
"""Label of tiers that are not named here."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a tenant's accuracy."""

    name: PartName
    value: float
    """0 to 1."""
    sample_count: int
    measured_at_s: float
    """Unix time; 0 if never."""


def accuracy(parts: Iterable[Part]) -> float | None:
    """Return the weighted mean of the parts that have samples; None if none has."""
    told = [part for part in parts if part.sample_count > 0]
    weight = sum(WEIGHTS[part.name] for part in told)
    return sum(WEIGHTS[part.name] * part.value for part in told) / weight if told else None


def objective(tier: str) -> float:
    """Return what a tier is promised; the lowest objective for one that is not known."""
    return OBJECTIVES.get(tier, min(OBJECTIVES.values()))


def tier_label(tier: str) -> str:
    """Return a metric's label for the tier: one of few values."""
    return tier if tier in OBJECTIVES else OTHER_TIER
