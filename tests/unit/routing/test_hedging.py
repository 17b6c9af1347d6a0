"""Hedged reads: when, how many, and what becomes of the one that loses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.routing.test_failover import listed
from tests.unit.routing.world import outcomes, scope

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry
from trunkline_mesh import errors
from trunkline_mesh.breaker_policy import REGION_POLICY
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_mesh.retry_budget import RetryBudget
from trunkline_routing.edge.course import Course
from trunkline_routing.edge.failover import MAX_ATTEMPTS, Failover
from trunkline_routing.edge.hedging import MAX_SHARE, MIN_SAMPLES, RENEW_EVERY, WINDOW_S, Hedges
from trunkline_routing.edge.region_view import RegionView

CALM = 1000


class Play:
    """A failover that hedges, with a region `a` whose p95 is known to be almost nothing."""

    def __init__(self, *, calm: int = CALM) -> None:
        self.hedges = Hedges(MAX_SHARE)
        for _ in range(MIN_SAMPLES + RENEW_EVERY):
            self.hedges.took("a", 0.0)
        for _ in range(calm):
            self.hedges.began()
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
            hedges=self.hedges,
        )
        self.account = trail_pb.CollectionTrail()
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.failing: dict[str, DomainError] = {}
        self.hanging: set[str] = set()
        self.after: dict[str, asyncio.Event] = {}

    async def attempt(self, region: RegionEntry, _: Sequence[Course[str]], share: Deadline) -> Sequence[str]:
        name = region.region_id
        self.asked.append(name)
        try:
            if name in self.hanging:
                await asyncio.Event().wait()
            if name in self.after:
                await self.after[name].wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        if name in self.failing:
            raise self.failing[name]
        return (name,)

    async def ask(self, *names: str) -> str:
        scope(8.0)
        course = Course[str](listed(*names), subject={"collection": "c"}, account=self.account)
        await self.failover.serve((course,), self.attempt, deadline=Deadline.after(8.0))
        assert course.result is not None
        return course.result

    async def begun(self, name: str) -> None:
        """Wait until a region is asked."""
        while name not in self.asked:  # noqa: ASYNC110 - some turns of the loop, nothing else
            await asyncio.sleep(0)

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return outcomes(self.account)


async def test_a_second_region_answers_where_the_first_takes_long() -> None:
    """The first one is cancelled, and counts nowhere."""
    play = Play()
    play.hanging = {"a"}
    before_s = play.hedges.delay_s("a")
    assert await play.ask("a", "b") == "b"
    assert play.cancelled == ["a"]
    assert play.outcomes == [("a", "HEDGE_LOST"), ("b", "SERVED")]
    assert [one.hedge for one in play.account.attempts] == [False, True]
    assert play.hedges.delay_s("a") == before_s
    breaker = play.breakers.get("retrieval", "a", "Search", REGION_POLICY)
    assert (breaker.state.value, breaker.failure_count) == ("closed", 0)


async def test_a_hedge_may_lose() -> None:
    """The first answer wins, whoever gives it."""
    play = Play()
    play.after["a"] = asyncio.Event()
    play.hanging = {"b"}
    asking = asyncio.ensure_future(play.ask("a", "b"))
    await play.begun("b")
    play.after["a"].set()
    assert await asking == "a"
    assert play.cancelled == ["b"]
    assert play.outcomes == [("a", "SERVED"), ("b", "HEDGE_LOST")]


async def test_a_hedge_that_fails_leaves_the_first() -> None:
    """And the other way round: what failed is told as failed."""
    play = Play()
    play.after["a"] = asyncio.Event()
    play.failing = {"b": errors.BackendUnavailable()}
    asking = asyncio.ensure_future(play.ask("a", "b"))
    await play.begun("b")
    await asyncio.sleep(0)
    play.after["a"].set()
    assert await asking == "a"
    assert play.outcomes == [("a", "SERVED"), ("b", "FAILED")]


async def test_if_both_fail_the_third_is_asked() -> None:
    """Within the attempts that a piece of work has."""
    play = Play()
    play.after["a"] = asyncio.Event()
    play.after["a"].set()
    play.failing = {"a": errors.BackendUnavailable(), "b": errors.BackendUnavailable()}
    assert await play.ask("a", "b", "c", "d") == "c"
    assert len(play.asked) <= MAX_ATTEMPTS


async def test_no_hedge_goes_where_it_would_press() -> None:
    """A hedge is moved traffic, and never a last resort."""
    play = Play()
    play.after["a"] = asyncio.Event()
    play.view.pressed("b", 0.95)
    asking = asyncio.ensure_future(play.ask("a", "b"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert play.asked == ["a"]
    play.after["a"].set()
    assert await asking == "a"


async def test_a_caller_that_leaves_ends_both() -> None:
    """Work that nobody waits for is cancelled."""
    play = Play()
    play.hanging = {"a", "b"}
    asking = asyncio.ensure_future(play.ask("a", "b"))
    await play.begun("b")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert sorted(play.cancelled) == ["a", "b"]


async def test_without_a_known_tail_nothing_is_hedged() -> None:
    """A router that has just started waits."""
    hedges = Hedges(MAX_SHARE)
    for _ in range(MIN_SAMPLES - 1):
        hedges.took("a", 0.1)
    assert hedges.delay_s("a") is None
    hedges.took("a", 0.1)
    assert Hedges(0.0).enabled is False
    with pytest.raises(ValueError, match="share"):
        Hedges(MAX_SHARE + 0.01)


@settings(max_examples=60)
@given(
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=30),
    share=st.floats(0, MAX_SHARE),
)
def test_hedges_keep_to_their_share(steps: list[tuple[float, int, int]], share: float) -> None:
    """Of all calls, and of every window that ends with a hedge, however the traffic comes."""
    now_s = 100.0
    hedges = Hedges(share, clock=lambda: now_s)
    begun: list[float] = []
    spent: list[float] = []
    for pause_s, calls, wishes in steps:
        now_s += pause_s
        for _ in range(calls):
            hedges.began()
            begun.append(now_s)
        before = len(spent)
        spent.extend(now_s for _ in range(wishes) if hedges.try_spend())
        assert len(spent) <= share * len(begun) + 1e-9
        if len(spent) > before:
            # the window that is kept covers up to a slot less than WINDOW_S
            recent = sum(at_s > now_s - WINDOW_S for at_s in begun)
            assert sum(at_s > now_s - WINDOW_S * 0.95 for at_s in spent) <= share * recent + 1e-9


async def test_the_share_bounds_a_flood_of_slow_calls() -> None:
    """All calls are slow; few of them are doubled."""
    play = Play(calm=0)
    play.after["a"] = asyncio.Event()
    asking = [asyncio.ensure_future(play.ask("a", "b")) for _ in range(200)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert play.asked.count("b") <= 200 * MAX_SHARE
    play.after["a"].set()
    await asyncio.gather(*asking)
