"""Candidates that are put off: who is asked instead, and that no request is left without a try."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.routing.test_failover import Script, listed
from tests.unit.routing.world import outcomes, scope

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry
from trunkline_mesh import errors
from trunkline_mesh.breaker_policy import REGION_POLICY
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_mesh.retry_budget import RetryBudget
from trunkline_routing.edge.candidates import Candidate
from trunkline_routing.edge.course import Course
from trunkline_routing.edge.failover import MAX_ATTEMPTS, Failover
from trunkline_routing.edge.region_view import RegionView

DOWN = errors.BackendUnavailable
FULL = errors.Overloaded


class Play:
    """A failover of a probed dependency."""

    def __init__(self) -> None:
        self.view = RegionView()
        self.breakers = BreakerRegistry()
        self.failover = Failover(
            "retrieval",
            "Search",
            REGION_POLICY,
            self.breakers,
            RetryBudget(floor=1000),
            view=self.view,
            probed=True,
            rng=lambda: 0.5,
        )
        self.account = trail_pb.CollectionTrail()

    async def first(self, script: Script, candidates: Sequence[Candidate], *, explain: bool = False) -> str:
        scope(8.0)
        course = Course[str](candidates, subject={"collection": "c"}, account=self.account, explain=explain)

        async def alone(region: RegionEntry, _: Sequence[Course[str]], share: Deadline) -> Sequence[str]:
            return (await script(region, share),)

        await self.failover.serve((course,), alone, deadline=Deadline.after(8.0))
        assert course.region is not None
        return course.region.region_id

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return outcomes(self.account)

    def breaker_is_open(self, region: str) -> bool:
        return self.breakers.get("retrieval", region, "Search", REGION_POLICY).is_open()


async def test_a_region_that_is_out_is_passed_over_at_once() -> None:
    """Health tells, no call has to fail first."""
    play = Play()
    play.view.broke("a")
    assert await play.first(Script(), listed("a", "b")) == "b"
    assert play.outcomes == [("a", "SKIPPED_HEALTH"), ("b", "SERVED")]


async def test_if_all_are_out_they_are_tried_after_all() -> None:
    """A starved router whose checks come late must not refuse what works."""
    play = Play()
    play.view.broke("a")
    play.view.broke("b")
    assert await play.first(Script(), listed("a", "b")) == "a"
    assert play.outcomes == [("a", "SKIPPED_HEALTH"), ("b", "SKIPPED_HEALTH"), ("a", "SERVED")]


async def test_a_region_that_is_out_opens_no_breaker() -> None:
    """So that it is used again as soon as it answers, and not after the breaker's rest."""
    play = Play()
    play.view.broke("a")
    for _ in range(10):
        with pytest.raises(errors.NoAllowedRegion):
            await play.first(Script(a=DOWN()), listed("a"))
    assert not play.breaker_is_open("a")
    play.view.answered("a", serving=True)
    assert await play.first(Script(), listed("a")) == "a"


async def test_one_that_answers_its_health_and_fails_its_calls_opens_it() -> None:
    """That is what the breaker is for."""
    play = Play()
    play.view.answered("a", serving=True)
    for _ in range(5):
        with pytest.raises(errors.NoAllowedRegion):
            await play.first(Script(a=DOWN()), listed("a"))
    assert play.breaker_is_open("a")


async def test_an_overloaded_region_is_left_alone_for_a_while() -> None:
    """The next request goes elsewhere without asking it."""
    play, script = Play(), Script(a=FULL(retry_delay_s=1.0))
    assert await play.first(script, listed("a", "b")) == "b"
    assert await play.first(script, listed("a", "b")) == "b"
    assert script.tried == ["a", "b", "b"]
    assert play.outcomes[2:] == [("a", "SKIPPED_OVERLOAD"), ("b", "SERVED")]


async def test_an_overload_is_refused_rather_than_moved_to_who_is_nearly_full() -> None:
    """With the delay that the region told."""
    play, script = Play(), Script(a=FULL(retry_delay_s=0.7))
    play.view.pressed("b", 0.95)
    for _ in range(2):
        with pytest.raises(FULL) as refused:
            await play.first(script, listed("a", "b"))
        assert refused.value.retry_delay_s == 0.7
    assert script.tried == ["a", "a"], "the second time a was away, and still the better choice"


async def test_a_loss_is_moved_to_who_is_nearly_full_if_nobody_else_is_left() -> None:
    """Its last tenth is better than a refusal; somebody calm is better still."""
    play = Play()
    play.view.broke("a")
    play.view.pressed("b", 0.95)
    assert await play.first(Script(), listed("a", "b", "c")) == "c"
    assert await play.first(Script(), listed("a", "b")) == "b"


async def test_pressure_is_no_reason_against_the_first_choice() -> None:
    """Its own limiter decides what it can do."""
    play = Play()
    play.view.pressed("a", 1.5)
    assert await play.first(Script(), listed("a", "b")) == "a"


async def test_with_explain_every_candidate_is_named_with_what_was_known() -> None:
    """Also those behind the one that served."""
    play = Play()
    play.view.pressed("b", 0.95)
    for _ in range(3):
        play.view.answered("a", serving=True, took_s=0.004)
    down = trail_pb.ATTEMPT_OUTCOME_SKIPPED_STATE
    await play.first(Script(), listed("a", "b", "c", c=down), explain=True)
    assert play.outcomes == [("a", "SERVED"), ("b", "NOT_NEEDED"), ("c", "SKIPPED_STATE")]
    first, second, _ = play.account.attempts
    assert first.breaker == trail_pb.BREAKER_STATE_CLOSED
    assert first.round_trip.nanos > 3_000_000
    assert not first.HasField("pressure")
    assert second.pressure == 0.95


STATES = st.sampled_from(["fine", "out", "full", "pressed", "broken", "outside"])
ENDS = st.sampled_from([None, DOWN, FULL, errors.Draining, errors.BackendTimeout, errors.FieldInvalid])


async def prepare(play: Play, states: Sequence[str]) -> list[Candidate]:
    """Make regions r0, r1, ... that are as the states say."""
    residency = trail_pb.ATTEMPT_OUTCOME_SKIPPED_RESIDENCY
    for number, state in enumerate(states):
        name = f"r{number}"
        if state == "out":
            play.view.broke(name)
        elif state == "full":
            play.view.overloaded("retrieval", name, "", 1.0)
        elif state == "pressed":
            play.view.pressed(name, 0.95)
        elif state == "broken":
            for _ in range(5):
                with pytest.raises(DOWN):
                    await play.breakers.get("retrieval", name, "Search", REGION_POLICY).call(_fail)
    passed = {f"r{number}": residency for number, state in enumerate(states) if state == "outside"}
    return listed(*[f"r{number}" for number in range(len(states))], **passed)


async def _fail() -> None:
    raise DOWN


@settings(max_examples=60)
@given(states=st.lists(STATES, min_size=1, max_size=6), ends=st.lists(ENDS, min_size=6, max_size=6))
async def test_the_laws_of_candidates(states: list[str], ends: list[type[DomainError] | None]) -> None:
    """Never outside the wall or through an open breaker, never the same twice, never more than allowed; and a request
    that somebody could serve has had a try.
    """
    play = Play()
    candidates = await prepare(play, states)
    script = Script(**{f"r{number}": end() for number, end in enumerate(ends) if end is not None})
    served = None
    try:
        served = await play.first(script, candidates)
    except DomainError:
        served = None
    usable = [f"r{number}" for number, state in enumerate(states) if state not in ("outside", "broken")]
    assert set(script.tried) <= set(usable)
    assert len(script.tried) == len(set(script.tried)) <= MAX_ATTEMPTS
    assert bool(script.tried) == bool(usable)
    fine = [
        f"r{number}" for number, state in enumerate(states) if state == "fine" or (state == "pressed" and number == 0)
    ]
    if fine:
        assert script.tried[0] == fine[0]
    if served is not None:
        assert script.tried[-1] == served
    tried = [region for region, outcome in play.outcomes if outcome in ("SERVED", "FAILED")]
    assert tried == script.tried


@settings(max_examples=30)
@given(states=st.lists(STATES, min_size=1, max_size=5), left_s=st.floats(0.01, 10))
async def test_no_attempt_gets_more_than_is_left(states: list[str], left_s: float) -> None:
    """Every share ends by the deadline."""
    play = Play()
    candidates = await prepare(play, states)
    script = Script(**{f"r{number}": DOWN() for number in range(5)})
    scope(left_s)
    with pytest.raises(DomainError):
        await play.failover.first(candidates, script, deadline=Deadline.after(left_s), subject={})
    assert [share for share in script.shares_s if share > left_s] == []
