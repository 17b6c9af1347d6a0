"""Failover: who is tried, for how long, and what the caller is told when nobody serves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from tests.unit.routing.world import outcomes, scope

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map import testing as maps
from trunkline_map.entries import RegionEntry
from trunkline_mesh import errors
from trunkline_mesh.breaker_policy import REGION_POLICY
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_mesh.retry_budget import RetryBudget
from trunkline_routing.edge.candidates import Candidate
from trunkline_routing.edge.failover import MAX_ATTEMPTS, Failover
from trunkline_routing.errors import none_left

REGION = (errors.BackendUnavailable, errors.BackendTimeout, errors.StorageFull, errors.ModelNotReady)
LOAD = (errors.Overloaded, errors.StaleMap, errors.MapNotReady, errors.Draining, errors.CircuitOpen)
CALLER = (errors.FieldInvalid, errors.TenantMismatch, errors.CollectionUnknown, errors.CredentialExpired)


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of deadlines, so that a busy machine changes no share."""
    monkeypatch.setattr("trunkline_mesh.deadline.time", SimpleNamespace(monotonic=lambda: 1000.0))


class Script:
    """Plays attempts: an error by region, or an answer."""

    def __init__(self, **failing: BaseException) -> None:
        self.failing = failing
        self.tried: list[str] = []
        self.shares_s: list[float] = []

    async def __call__(self, region: RegionEntry, share: Deadline) -> str:
        self.tried.append(region.region_id)
        self.shares_s.append(share.remaining_s())
        if region.region_id in self.failing:
            raise self.failing[region.region_id]
        return f"served by {region.region_id}"


def listed(*names: str, **passed_over: trail_pb.AttemptOutcome.ValueType) -> list[Candidate]:
    return [
        Candidate(name, maps.region(name, "eu"), passed_over.get(name, trail_pb.ATTEMPT_OUTCOME_UNSPECIFIED))
        for name in names
    ]


class Play:
    """A failover and its account."""

    def __init__(self, *, floor: int = 100) -> None:
        self.breakers = BreakerRegistry()
        self.failover = Failover("retrieval", "Search", REGION_POLICY, self.breakers, RetryBudget(0.0, floor))
        self.account = trail_pb.CollectionTrail()

    async def first(
        self,
        script: Script,
        candidates: Sequence[Candidate],
        *,
        left_s: float = 8.0,
        budget_s: float | None = None,
        tenant_id: str = "",
    ) -> str:
        scope(left_s)
        budget = Deadline.after(budget_s) if budget_s is not None else None
        region, answer = await self.failover.first(
            candidates,
            script,
            deadline=Deadline.after(left_s),
            budget=budget,
            subject={"collection": "c"},
            trail=self.account,
            tenant_id=tenant_id,
        )
        assert answer == f"served by {region.region_id}"
        return region.region_id

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return outcomes(self.account)

    async def open_breaker(self, region: str) -> None:
        for _ in range(5):
            with pytest.raises(errors.BackendUnavailable):
                await self.breakers.get("retrieval", region, "Search", REGION_POLICY).call(_fail)


async def _fail() -> None:
    raise errors.BackendUnavailable


async def test_the_first_that_serves_ends_it() -> None:
    """Nobody else is asked."""
    play, script = Play(), Script()
    assert await play.first(script, listed("a", "b")) == "a"
    assert script.tried == ["a"]
    assert play.outcomes == [("a", "SERVED")]


@pytest.mark.parametrize("error", [*REGION, *LOAD, errors.StepCancelled], ids=lambda error: error.__name__)
async def test_a_regions_failure_moves_on(error: type[DomainError]) -> None:
    """What another region may do better; the trail keeps the reason and the time."""
    play, script = Play(), Script(a=error())
    assert await play.first(script, listed("a", "b")) == "b"
    assert play.outcomes == [("a", "FAILED"), ("b", "SERVED")]
    assert play.account.attempts[0].error == error.reason
    assert play.account.attempts[0].HasField("elapsed")


@pytest.mark.parametrize("error", [*CALLER, errors.Internal], ids=lambda error: error.__name__)
async def test_what_another_region_would_answer_alike_stops(error: type[DomainError]) -> None:
    """The caller's fault is told at once; a defect is not multiplied."""
    play, script = Play(), Script(a=error())
    with pytest.raises(error):
        await play.first(script, listed("a", "b"))
    assert script.tried == ["a"]
    assert play.outcomes == [("a", "FAILED")]


async def test_a_defect_of_ours_is_not_taken_for_a_region() -> None:
    """Only domain errors move on."""
    with pytest.raises(ZeroDivisionError):
        await Play().first(Script(a=ZeroDivisionError()), listed("a", "b"))


async def test_cancellation_ends_it() -> None:
    """Nobody waits any more: no other region is asked."""
    play, script = Play(), Script(a=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await play.first(script, listed("a", "b"))
    assert script.tried == ["a"]


@pytest.mark.usefixtures("still_clock")
async def test_each_attempt_leaves_time_for_the_next() -> None:
    """Half of what is left, the last one all of it."""
    script = Script(a=errors.BackendTimeout(), b=errors.BackendTimeout())
    await Play().first(script, listed("a", "b", "c"), left_s=8.0)
    assert script.shares_s == [4.0, 4.0, 8.0]


@pytest.mark.usefixtures("still_clock")
async def test_the_budget_is_shared_and_the_last_one_may_outlast_it() -> None:
    """A stage's budget bounds what failover costs, not what the answer may take."""
    script = Script(a=errors.BackendTimeout())
    await Play().first(script, listed("a", "b"), left_s=8.0, budget_s=2.0)
    assert script.shares_s == [1.0, 8.0]


@pytest.mark.usefixtures("still_clock")
async def test_a_candidate_that_would_be_skipped_needs_no_time() -> None:
    """The only one that can serve gets everything."""
    play, script = Play(), Script()
    await play.open_breaker("b")
    down = trail_pb.ATTEMPT_OUTCOME_SKIPPED_STATE
    await play.first(script, listed("a", "b", "c", c=down), left_s=8.0)
    assert script.shares_s == [8.0]


async def test_who_is_passed_over_stands_in_the_trail_with_the_reason() -> None:
    """Residency, state, breaker: in the order in which they were considered."""
    play, script = Play(), Script()
    await play.open_breaker("c")
    passed = {"a": trail_pb.ATTEMPT_OUTCOME_SKIPPED_RESIDENCY, "b": trail_pb.ATTEMPT_OUTCOME_SKIPPED_STATE}
    assert await play.first(script, listed("a", "b", "c", "d", **passed)) == "d"
    assert play.outcomes == [
        ("a", "SKIPPED_RESIDENCY"),
        ("b", "SKIPPED_STATE"),
        ("c", "SKIPPED_BREAKER"),
        ("d", "SERVED"),
    ]


async def test_three_attempts_in_all() -> None:
    """The fourth region is not asked, and that is told."""
    failing = {name: errors.BackendUnavailable() for name in "abcd"}
    play, script = Play(), Script(**failing)
    with pytest.raises(errors.NoAllowedRegion):
        await play.first(script, listed(*"abcd"))
    assert len(script.tried) == MAX_ATTEMPTS
    assert play.outcomes[-1] == ("d", "SKIPPED_BUDGET")


async def test_repeats_keep_to_the_budget() -> None:
    """A first attempt is always made; a second one only while the budget lasts."""
    play = Play(floor=2)
    for _ in range(2):
        assert await play.first(Script(a=errors.StaleMap()), listed("a", "b")) == "b"
    with pytest.raises(errors.StaleMap):
        await play.first(Script(a=errors.StaleMap()), listed("a", "b"))
    assert play.outcomes[-1] == ("b", "SKIPPED_BUDGET")
    assert await play.first(Script(), listed("a", "b")) == "a"


async def test_no_attempt_is_begun_and_no_repeat_spent_after_the_deadline() -> None:
    """An expired deadline is not the retry budget's business."""
    play, script = Play(floor=1), Script(a=errors.BackendTimeout())
    with pytest.raises(errors.NoAllowedRegion):
        await play.first(script, listed("a", "b"), left_s=0.0)
    assert script.tried == ["a"]
    assert await play.first(Script(a=errors.Overloaded()), listed("a", "b")) == "b"


async def test_nobody_left_is_a_typed_refusal() -> None:
    """With what was wanted, who was tried, and when to come back."""
    with pytest.raises(errors.NoAllowedRegion) as refused:
        await Play().first(Script(a=errors.BackendUnavailable(), b=errors.BackendUnavailable()), listed("a", "b"))
    assert dict(refused.value.metadata) == {"collection": "c", "triedRegions": "a,b"}
    assert refused.value.retry_delay_s is not None
    assert isinstance(refused.value.__cause__, errors.BackendUnavailable)


async def test_nobody_allowed_is_the_same_refusal() -> None:
    """Residency is never a reason to go elsewhere."""
    residency = trail_pb.ATTEMPT_OUTCOME_SKIPPED_RESIDENCY
    with pytest.raises(errors.NoAllowedRegion) as refused:
        await Play().first(Script(), listed("a", a=residency))
    assert refused.value.metadata["triedRegions"] == ""
    with pytest.raises(errors.NoAllowedRegion):
        await Play().first(Script(), [])


@pytest.mark.parametrize("error", [*LOAD, errors.DeadlineExceeded, errors.QuotaExhausted], ids=lambda e: e.__name__)
def test_overload_and_expiry_stay_what_they_are(error: type[DomainError]) -> None:
    """They tell the caller something else than a loss does."""
    last = error(retry_delay_s=0.25)
    assert none_left({}, ["a"], last) is last


async def test_failures_open_the_regions_breaker_and_overload_does_not() -> None:
    """Overload moves traffic, it opens no breaker."""
    play = Play()
    for number in range(6):
        await play.first(Script(a=errors.Overloaded()), listed("a", "b"), tenant_id=f"tenant-{number}")
    assert not play.breakers.get("retrieval", "a", "Search", REGION_POLICY).is_open()
    for _ in range(6):
        await play.first(Script(a=errors.BackendUnavailable()), listed("a", "b"))
    assert play.breakers.get("retrieval", "a", "Search", REGION_POLICY).is_open()
    play.account = trail_pb.CollectionTrail()
    assert await play.first(Script(), listed("a", "b")) == "b"
    assert play.outcomes == [("a", "SKIPPED_BREAKER"), ("b", "SERVED")]
