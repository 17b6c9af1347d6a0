"""What becomes of a rollout."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_map.entries import RolloutEntry, RolloutState
from trunkline_routing.learner.rollout_law import (
    CANARY_SAMPLES,
    SHADOW_DAYS,
    SHADOW_DECISIONS,
    Act,
    Evidence,
    fell,
    next_step,
)
from trunkline_routing.learner.trust import Tally

ROLLOUT = RolloutEntry(
    rollout_id="r1",
    state=RolloutState.SHADOW,
    share=1.0,
    digest="",
    form_digest="",
    size_bytes=1,
    base_version=3,
    actor="trunkline-learner@eu-west",
    begin_time_s=0.0,
    change_time_s=0.0,
    evaluation=(("accuracy", 0.9), ("live_success", 0.8)),
)
CANARY = replace(ROLLOUT, state=RolloutState.CANARY)
NOTHING = Evidence(0, 0, Tally(), Tally(), None, live_version=3, now_s=10.0)

tallies = st.integers(0, 500).flatmap(lambda count: st.builds(Tally, st.just(count), st.integers(0, count)))
evidences = st.integers(0, 300).flatmap(
    lambda count: st.builds(
        Evidence,
        st.just(count),
        st.integers(0, count),
        tallies,
        tallies,
        st.none() | st.floats(0, 1),
        live_version=st.sampled_from([3, 4]),
        now_s=st.floats(0, 1e7),
    )
)


@given(st.sampled_from(list(RolloutState)), evidences)
def test_no_rollout_goes_two_states_at_once(state: RolloutState, evidence: Evidence) -> None:
    """Only a shadow becomes a canary, only a canary is applied, and a proposal waits unless its base is gone."""
    act = next_step(replace(ROLLOUT, state=state), evidence).act
    allowed = {
        RolloutState.PROPOSED: {Act.KEEP, Act.DROP},
        RolloutState.SHADOW: {Act.KEEP, Act.CANARY, Act.DROP},
        RolloutState.CANARY: {Act.KEEP, Act.APPLY, Act.DROP},
    }
    assert act in allowed[state]


@given(evidences)
def test_nothing_is_applied_without_samples_or_where_it_is_worse(evidence: Evidence) -> None:
    """Whatever the evidence."""
    if next_step(CANARY, evidence).act is Act.APPLY:
        assert min(evidence.control.count, evidence.variant.count) >= CANARY_SAMPLES
        assert evidence.variant.rate >= evidence.control.rate - 0.02
        assert not fell(evidence.control, evidence.variant, CANARY_SAMPLES)


@pytest.mark.parametrize(
    ("shadowed", "agreed", "act"),
    [
        (SHADOW_DECISIONS - 1, SHADOW_DECISIONS - 1, Act.KEEP),
        (SHADOW_DECISIONS, 40, Act.CANARY),
        (SHADOW_DECISIONS, 20, Act.DROP),
    ],
)
def test_a_shadow_is_tried_once_its_differences_are_explained(shadowed: int, agreed: int, act: Act) -> None:
    """The policy is wrong in a fifth of held-back feedback, so a fifth and a tenth may differ."""
    assert next_step(ROLLOUT, replace(NOTHING, shadow_count=shadowed, shadow_agreed_count=agreed)).act is act


def test_a_shadow_that_nobody_asks_is_dropped_in_the_end() -> None:
    """Its feedback is old by then."""
    late = replace(NOTHING, now_s=(SHADOW_DAYS + 1) * 86_400)
    assert next_step(ROLLOUT, late).act is Act.DROP


@pytest.mark.parametrize(
    ("control", "variant", "act"),
    [
        (Tally(200, 160), Tally(20, 17), Act.APPLY),
        (Tally(200, 160), Tally(19, 19), Act.KEEP),
        (Tally(200, 160), Tally(20, 12), Act.DROP),
        (Tally(200, 160), Tally(40, 30), Act.KEEP),
        (Tally(200, 160), Tally(80, 60), Act.DROP),
        (Tally(2000, 1960), Tally(400, 370), Act.DROP),
    ],
)
def test_a_canary_is_applied_if_it_is_not_worse(control: Tally, variant: Tally, act: Act) -> None:
    """Dropped if it is clearly worse, or still not as good after many samples; else more are awaited."""
    assert next_step(CANARY, replace(NOTHING, control=control, variant=variant)).act is act


def test_a_fall_of_the_indicator_drops_a_canary() -> None:
    """Before any feedback tells."""
    assert next_step(CANARY, replace(NOTHING, accuracy=0.84)).act is Act.DROP
    assert next_step(CANARY, replace(NOTHING, accuracy=0.86)).act is Act.KEEP


def test_what_was_compared_with_another_policy_is_dropped() -> None:
    """Its figures say nothing of the live one."""
    assert all(next_step(each, replace(NOTHING, live_version=4)).act is Act.DROP for each in (ROLLOUT, CANARY))


def test_only_a_significant_fall_is_a_fall() -> None:
    """With enough samples on both sides."""
    assert fell(Tally(100, 95), Tally(100, 70), 20)
    assert not fell(Tally(100, 95), Tally(100, 93), 20)
    assert not fell(Tally(100, 95), Tally(10, 2), 20)
    assert not fell(Tally(100, 70), Tally(100, 95), 20)
