"""The account of a request: bounded, in order, and complete in what was degraded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.world import EU, TENANT, US, World, degradations, outcomes, query, recorder, scope, stage_names

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map import testing as maps
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable
from trunkline_routing.edge.model import Choice, Decision
from trunkline_routing.edge.trail import MAX_ATTEMPTS, MAX_ENTRIES, MAX_REASONS, TrailRecorder, set_seconds
from trunkline_routing.edge.trail_attempts import add_attempt

FAILED = trail_pb.ATTEMPT_OUTCOME_FAILED
SERVED = trail_pb.ATTEMPT_OUTCOME_SERVED


def choice(name: str) -> Choice:
    return Choice(maps.collection(TENANT, name, [EU], ["eu"]), 0.5)


def entries(trail: trail_pb.Trail) -> int:
    lists = len(trail.stages) + len(trail.degradations) + len(trail.collections)
    return lists + sum(len(one.attempts) for one in trail.collections)


@given(collections=st.integers(0, 16), attempts=st.integers(0, 20), degraded=st.integers(0, 30), explain=st.booleans())
def test_a_trail_has_at_most_64_entries_unless_explained(
    collections: int, attempts: int, degraded: int, *, explain: bool
) -> None:
    """What is cut is flagged; degradations are never cut, nor is how each collection ended."""
    trail = recorder()
    for number in range(collections):
        account = trail.collection(choice(f"c{number}"))
        for attempt in range(attempts):
            add_attempt(account, f"r{attempt}", SERVED if attempt == attempts - 1 else FAILED)
    for number in range(degraded):
        trail.degrade(trail_pb.DEGRADATION_REASON_COLLECTION_MISSING, f"c{number}")
    whole = entries(trail.message)
    finished = trail.finish(explain=explain)
    assert len(finished.degradations) == degraded
    assert len(finished.collections) == collections
    assert finished.truncated == (entries(finished) < whole)
    assert explain or entries(finished) <= MAX_ENTRIES
    if finished.truncated and attempts <= MAX_ATTEMPTS:
        assert all(one.outcome == SERVED for account in finished.collections for one in account.attempts)


def test_attempts_of_one_collection_are_bounded() -> None:
    """Also with `explain`."""
    account = trail_pb.CollectionTrail()
    for number in range(MAX_ATTEMPTS + 5):
        add_attempt(account, f"r{number}", FAILED, error=BackendUnavailable(), elapsed_s=0.5)
    assert len(account.attempts) == MAX_ATTEMPTS
    assert account.attempts[0].elapsed.ToTimedelta().total_seconds() == 0.5
    add_attempt(None, "r", FAILED)


def test_the_same_thing_is_told_once() -> None:
    """By reason and subject."""
    trail = recorder()
    for subject in ("a", "a", "b"):
        trail.degrade(trail_pb.DEGRADATION_REASON_SPARSE_ONLY, subject)
    assert [one.subject for one in trail.message.degradations] == ["a", "b"]


@pytest.mark.parametrize(("age_s", "told"), [(60.0, False), (60.1, True)])
def test_a_map_that_was_not_confirmed_lately_is_told(age_s: float, *, told: bool) -> None:
    """With its age."""
    trail = recorder()
    trail.map(World().gate(), age_s, aged_after_s=60.0)
    assert ("MAP_AGED" in degradations(trail.message)) == told


def test_reasons_are_for_those_who_ask() -> None:
    """And bounded."""
    decision = Decision(trail_pb.STRATEGY_RULES, 0.9, (), 3, tuple(f"reason {n}" for n in range(50)))
    for explain, count in ((False, 0), (True, MAX_REASONS)):
        trail = recorder()
        trail.decision(decision, explain=explain)
        assert len(trail.message.decision.reasons) == count
        assert trail.message.decision.policy_version == 3


def test_a_stage_that_fails_is_timed_too() -> None:
    """Its time was spent."""
    trail = recorder()
    with pytest.raises(ZeroDivisionError), trail.stage(trail_pb.STAGE_NAME_RETRIEVAL, Deadline.after(1)):
        raise ZeroDivisionError
    assert trail.message.stages[0].HasField("elapsed")


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_durations_are_canonical(seconds: float) -> None:
    """Whole seconds and nanoseconds below one."""
    stage = trail_pb.Stage()
    set_seconds(stage.elapsed, seconds)
    assert 0 <= stage.elapsed.nanos < 1_000_000_000
    assert math.isclose(stage.elapsed.seconds + stage.elapsed.nanos / 1e9, seconds, abs_tol=1e-8, rel_tol=1e-9)


def test_a_capped_deadline_is_told_from_the_beginning() -> None:
    """The caller sent none, or too long a one."""
    trail = TrailRecorder(scope(5.0, capped=True), EU)
    assert set(degradations(trail.message)) == {"DEADLINE_CAPPED"}
    assert 4 <= trail.message.deadline.seconds <= 5


async def test_a_route_explains_a_search_and_makes_none() -> None:
    """The decision, and every candidate region with what would become of it."""
    world = World()
    trail = (await world.route().run(TENANT, query("gdpr", explain=True), b"", scope())).trail
    assert trail.decision.reasons == ["europe: keyword 'gdpr'"]
    assert outcomes(trail.collections[0]) == [(EU, "SERVED"), ("eu-north", "NOT_NEEDED")]
    assert trail.collections[0].served_region == EU
    assert stage_names(trail) == ["ADMISSION", "DECISION"]
    assert world.retrieval.searches == []
    assert not world.quota.total


async def test_a_route_shows_who_would_be_passed_over() -> None:
    """As the search would."""
    world = World()
    world.retrieval.failing = {EU: BackendUnavailable()}
    for _ in range(5):
        await world.ask_one(query("x", collections=("both",)))
    trail = (await world.route().run(TENANT, query("x", collections=("both",)), b"", scope())).trail
    assert outcomes(trail.collections[0]) == [(EU, "SKIPPED_BREAKER"), (US, "SERVED")]
