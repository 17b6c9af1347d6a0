"""From what the stages make of a query to the collections that are searched. Pure.

A stage decides if it is sure: if the collections that it would choose hold the right one with at least the policy's
confidence. Chosen are the surest one and those within `margin` of it, `max_collections` at most; a stage's confidences
are probabilities of targets that exclude each other, so theirs are added. Two collections that match equally are
therefore both searched where the policy allows two, and leave the decision to the next stage where it allows one.

Where both stages were asked and neither is sure, they are asked together: a collection's confidence is then that of
either being right, 1 - (1 - logical) * (1 - semantic), noisy-or. Words and meaning are not independent, so this is too
bold; therefore one collection must reach the higher of the two thresholds by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from trunkline_policy.model import RoutingPolicy, Thresholds
from trunkline_policy.results import Candidate, StageResult

SettledBy: TypeAlias = Literal["logical", "semantic", "fallback", "none", "refuse", "all"]

FALLBACK_CONFIDENCE: Final = 0.2
"""What collections have that are searched because nothing is known."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of a query."""

    strategy: SettledBy
    """`fallback` without anything chosen, and `all`, stand for every collection but the excluded ones, which the caller
    fills in; `none` finds nothing; `refuse` is a refusal. Of both stages together: `semantic`."""
    chosen: tuple[Candidate, ...] = ()
    """Surest first."""
    excluded: frozenset[str] = frozenset()
    """What rules leave out, whatever stage decides."""

    @property
    def confidence(self) -> float:
        """Probability that the right collection is among the chosen; 0 without any."""
        return _together(self.chosen)


def logical_decides(policy: RoutingPolicy, logical: StageResult) -> bool:
    """Return whether rules decide alone, so that semantics need not be asked."""
    return policy.strategy in ("logical", "hybrid") and bool(_by_logical(policy, logical))


def settle(policy: RoutingPolicy, logical: StageResult | None, semantic: StageResult | None) -> Settled:
    """Return the decision by what the stages said; None for a stage that was not asked or failed.

    Rules that exclude hold for every stage, so `logical` is of use for a semantic policy too.
    """
    excluded = logical.excluded if logical is not None else frozenset[str]()
    if policy.strategy == "all":
        return Settled("all", excluded=excluded)
    if logical is not None and policy.strategy in ("logical", "hybrid") and (chosen := _by_logical(policy, logical)):
        return Settled("logical", chosen, excluded)
    if semantic is not None and policy.strategy in ("semantic", "hybrid"):
        near = _in_reach(policy.thresholds, semantic, excluded)
        chosen = _sure(policy, near, policy.thresholds.semantic)
        if not chosen and near and logical is not None and policy.strategy == "hybrid":
            chosen = _by_both(policy, logical, near)
        if chosen:
            return Settled("semantic", chosen, excluded)
    return _fallback(policy, excluded)


def picked(thresholds: Thresholds, logical: StageResult, semantic: StageResult | None) -> Candidate | None:
    """Return the one target that the stages are sure of, by the same thresholds; None if there is none.

    For targets of which exactly one is wanted: templates and model classes.
    """
    if logical.candidates and logical.confidence >= thresholds.logical:
        return logical.candidates[0]
    near = _in_reach(thresholds, semantic, frozenset()) if semantic is not None else ()
    if near and near[0].confidence >= thresholds.semantic:
        return near[0]
    both = either(logical.candidates, near) if near else ()
    return both[0] if both and both[0].confidence >= max(thresholds.logical, thresholds.semantic) else None


def either(first: tuple[Candidate, ...], second: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Return all candidates of two stages by the probability that either is right, surest first, ties by name."""
    found = {one.name: one for one in first}
    for one in second:
        before = found.get(one.name)
        found[one.name] = one if before is None else _either(before, one)
    return _ranked(found.values())


def _either(one: Candidate, other: Candidate) -> Candidate:
    confidence = 1.0 - (1.0 - one.confidence) * (1.0 - other.confidence)
    reason = "; ".join(text for text in (one.reason, other.reason) if text)
    return Candidate(one.name, confidence, reason, other.similarity)


def _by_logical(policy: RoutingPolicy, logical: StageResult) -> tuple[Candidate, ...]:
    allowed = _allowed(logical.candidates, logical.excluded)
    return _sure(policy, allowed, policy.thresholds.logical)


def _by_both(policy: RoutingPolicy, logical: StageResult, near: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    both = either(_allowed(logical.candidates, logical.excluded), near)
    needed = max(policy.thresholds.logical, policy.thresholds.semantic)
    return _best(policy, both) if both[0].confidence >= needed else ()


def _in_reach(thresholds: Thresholds, semantic: StageResult, excluded: frozenset[str]) -> tuple[Candidate, ...]:
    """What semantics propose; nothing for a query that belongs nowhere, and nothing whose prototypes are too far."""
    if semantic.in_scope is not None and semantic.in_scope < thresholds.in_scope:
        return ()
    floor = thresholds.similarity
    return tuple(
        one
        for one in _allowed(semantic.candidates, excluded | semantic.excluded)
        if floor is None or one.similarity is None or one.similarity >= floor
    )


def _allowed(candidates: tuple[Candidate, ...], excluded: frozenset[str]) -> tuple[Candidate, ...]:
    return _ranked(one for one in candidates if one.name not in excluded)


def _sure(policy: RoutingPolicy, candidates: tuple[Candidate, ...], needed: float) -> tuple[Candidate, ...]:
    chosen = _best(policy, candidates)
    return chosen if _together(chosen) >= needed else ()


def _best(policy: RoutingPolicy, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    if not candidates:
        return ()
    least = candidates[0].confidence - policy.thresholds.margin
    return tuple(one for one in candidates[: policy.max_collections] if one.confidence >= least)


def _ranked(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple(sorted(candidates, key=lambda one: (-one.confidence, one.name)))


def _together(chosen: tuple[Candidate, ...]) -> float:
    return min(1.0, sum(one.confidence for one in chosen))


def _fallback(policy: RoutingPolicy, excluded: frozenset[str]) -> Settled:
    if policy.fallback == "refuse":
        return Settled("refuse", excluded=excluded)
    if policy.fallback == "none":
        return Settled("none", excluded=excluded)
    if policy.fallback == "all":
        return Settled("fallback", excluded=excluded)
    named = dict.fromkeys(name for name in policy.fallback if name not in excluded)
    chosen = tuple(Candidate(name, FALLBACK_CONFIDENCE, f"{name}: the policy's fallback") for name in named)
    return Settled("fallback" if chosen else "none", chosen, excluded)
