"""From the stages' answers to the collections: who decides, what is chosen, what happens if nobody is sure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.cascade import Settled, logical_decides, settle
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import NOTHING, Candidate, StageResult

NAMES = ("a", "b", "c", "d")


def policy(**given: Any) -> RoutingPolicy:
    return RoutingPolicy.model_validate({"version": 2, "collections": {name: {} for name in NAMES}, **given})


def said(*, in_scope: float | None = None, excluded: tuple[str, ...] = (), **confidences: float) -> StageResult:
    candidates = tuple(Candidate(name, sure, f"{name}: said") for name, sure in confidences.items())
    return StageResult(candidates, in_scope, frozenset(excluded))


def names(settled: Settled) -> list[str]:
    return [one.name for one in settled.chosen]


def test_hybrid_stops_where_rules_are_sure() -> None:
    """Semantics need not be asked, and do not count if they were."""
    logical = said(a=0.8)
    assert logical_decides(policy(), logical)
    settled = settle(policy(), logical, said(b=0.99))
    assert (settled.strategy, names(settled), settled.confidence) == ("logical", ["a"], 0.8)


def test_hybrid_goes_on_where_rules_are_not_sure() -> None:
    """Semantics decide from their own threshold on."""
    assert not logical_decides(policy(), said(a=0.7))
    settled = settle(policy(), said(a=0.7), said(b=0.5, in_scope=0.9))
    assert (settled.strategy, names(settled)) == ("semantic", ["b"])


def test_two_that_match_equally_are_searched_where_two_are_allowed() -> None:
    """Where one is allowed, nobody knows which."""
    tie = said(a=0.444, b=0.444)
    assert names(settle(policy(max_collections=2), tie, None)) == ["a", "b"]
    assert not logical_decides(policy(max_collections=1), tie)


def test_what_is_within_the_margin_is_searched_too() -> None:
    """Nothing farther away, and no more than allowed."""
    logical = said(a=0.5, b=0.4, c=0.36, d=0.3)
    assert names(settle(policy(max_collections=3), logical, None)) == ["a", "b", "c"]
    assert names(settle(policy(max_collections=2), logical, None)) == ["a", "b"]
    assert names(settle(policy(max_collections=3, thresholds={"margin": 0, "logical": 0.5}), logical, None)) == ["a"]


def test_two_unsure_stages_may_be_sure_together() -> None:
    """1 - 0.4 * 0.55 = 0.78 is enough for a threshold of 0.75, and for one of 0.8 it is not."""
    logical, semantic = said(a=0.6), said(a=0.45, b=0.3, in_scope=0.9)
    settled = settle(policy(thresholds={"logical": 0.75}), logical, semantic)
    assert (settled.strategy, names(settled)) == ("semantic", ["a"])
    assert settled.confidence == pytest.approx(0.78)
    assert settle(policy(), logical, semantic).strategy == "fallback"


def test_what_belongs_nowhere_is_not_decided_by_semantics() -> None:
    """However sure they are which collection it would be."""
    assert settle(policy(fallback="none"), NOTHING, said(a=0.99, in_scope=0.49)).strategy == "none"


def test_prototypes_that_are_too_far_away_do_not_count() -> None:
    """Whatever the confidence."""
    near = StageResult((Candidate("a", 0.7, similarity=0.3), Candidate("b", 0.6, similarity=0.5)))
    assert names(settle(policy(thresholds={"similarity": 0.4}), None, near)) == ["b"]


@pytest.mark.parametrize(
    ("strategy", "settled_by"),
    [("logical", "logical"), ("semantic", "semantic"), ("hybrid", "logical"), ("all", "all"), ("explicit", "fallback")],
)
def test_each_strategy_hears_its_stages(strategy: str, settled_by: str) -> None:
    """`explicit` leaves it to the caller, so without collections there is the fallback."""
    assert settle(policy(strategy=strategy), said(a=0.9), said(b=0.9)).strategy == settled_by
    assert logical_decides(policy(strategy=strategy), said(a=0.9)) is (strategy in ("logical", "hybrid"))


@pytest.mark.parametrize(
    ("fallback", "settled_by", "chosen"),
    [("all", "fallback", []), ("refuse", "refuse", []), ("none", "none", []), (["b", "c"], "fallback", ["b", "c"])],
)
def test_what_nobody_knows_is_for_the_fallback(fallback: Any, settled_by: str, chosen: list[str]) -> None:
    """Also where no stage could be asked."""
    settled = settle(policy(fallback=fallback), None, None)
    assert (settled.strategy, names(settled)) == (settled_by, chosen)


def test_rules_exclude_from_every_stage_and_from_the_fallback() -> None:
    """Whoever decides in the end."""
    excluding = said(excluded=("a", "b"))
    assert names(settle(policy(), excluding, said(a=0.6, c=0.55))) == ["c"]
    assert names(settle(policy(strategy="semantic"), excluding, said(a=0.6, c=0.55))) == ["c"]
    assert names(settle(policy(fallback=["a", "d"]), excluding, None)) == ["d"]
    assert settle(policy(fallback=["a", "b"]), excluding, None) == Settled("none", (), frozenset({"a", "b"}))
    assert settle(policy(), excluding, None).excluded == {"a", "b"}


SHARE = st.floats(0, 1)
STAGE = st.none() | st.builds(
    lambda sure, excluded, scope: StageResult(
        tuple(Candidate(name, one) for name, one in sure.items()), scope, frozenset(excluded)
    ),
    st.dictionaries(st.sampled_from(NAMES), SHARE),
    st.sets(st.sampled_from(NAMES), max_size=2),
    st.none() | SHARE,
)
POLICY = st.builds(
    lambda strategy, most, thresholds, fallback: policy(
        strategy=strategy, max_collections=most, thresholds=thresholds, fallback=fallback
    ),
    st.sampled_from(["logical", "semantic", "hybrid", "all", "explicit"]),
    st.integers(1, 4),
    st.fixed_dictionaries({"logical": SHARE, "semantic": SHARE, "in_scope": SHARE, "margin": SHARE}),
    st.sampled_from(["all", "refuse", "none", ["a"], ["b", "c"]]),
)


@given(policy=POLICY, logical=STAGE, semantic=STAGE)
def test_whatever_stages_say_a_decision_keeps_to_the_policy(
    policy: RoutingPolicy, logical: StageResult | None, semantic: StageResult | None
) -> None:
    """Never too many, never an excluded one, none twice, confidences in their range, and always the same."""
    settled = settle(policy, logical, semantic)
    assert settled == settle(policy, logical, semantic)
    if settled.strategy in ("logical", "semantic"):
        assert 1 <= len(settled.chosen) <= policy.max_collections
    assert len(set(names(settled))) == len(settled.chosen)
    assert logical is None or logical.excluded.isdisjoint(names(settled))
    assert all(0 <= one.confidence <= 1 for one in settled.chosen)
    assert 0 <= settled.confidence <= 1
    assert (settled.strategy == "logical") is (logical is not None and logical_decides(policy, logical))


@given(policy=POLICY, logical=STAGE, semantic=STAGE, higher=SHARE)
def test_a_higher_threshold_never_makes_a_stage_decide_more(
    policy: RoutingPolicy, logical: StageResult | None, semantic: StageResult | None, higher: float
) -> None:
    """Neither rules nor, where rules do not decide, semantics."""
    for field in ("logical", "semantic", "in_scope"):
        raised_to = max(higher, getattr(policy.thresholds, field))
        raised = policy.model_copy(update={"thresholds": policy.thresholds.model_copy(update={field: raised_to})})
        if settle(raised, logical, semantic).strategy == "logical":
            assert settle(policy, logical, semantic).strategy == "logical"
        if field != "logical" and settle(raised, logical, semantic).strategy == "semantic":
            assert settle(policy, logical, semantic).strategy == "semantic"
