"""What the stages of a decision give each other: plain values. Names are those of collections, or of other targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the verified credential says, and what was decided before in the same session."""

    roles: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    previous: tuple[str, ...] = ()
    """Collections of the decision before."""


NOBODY: Final = Caller()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target that a stage proposes."""

    name: str
    confidence: float
    """Probability, 0 to 1, that it is right, as calibrated."""
    reason: str = ""
    """In words; quotes the policy, never the query."""
    similarity: float | None = None
    """Cosine to the nearest prototype; semantics only."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """What one stage makes of a query."""

    candidates: tuple[Candidate, ...] = ()
    """Surest first; not yet cut to the policy's number of collections. At most 64."""
    in_scope: float | None = None
    """Probability that the query belongs anywhere at all; None where the stage cannot tell."""
    excluded: frozenset[str] = frozenset()
    """Targets that rules leave out of every stage's proposals."""

    @property
    def confidence(self) -> float:
        """Confidence of the surest candidate, 0 without any."""
        return self.candidates[0].confidence if self.candidates else 0.0


NOTHING: Final = StageResult()
