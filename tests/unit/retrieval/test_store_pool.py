"""Connections to stores: opened once, bounded, closed when least used, and never while in use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.store_samples import dense, new_ref, soon
from tests.unit.retrieval.test_use_cases import RecordingStore

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, CollectionNotPlaced, DomainError, Overloaded
from trunkline_retrieval.model import CollectionRef, FoundDocument, StoreQuery
from trunkline_retrieval.store import StoreUsage
from trunkline_retrieval.store_pool import StorePool


class ToyStore(RecordingStore):
    """A store of one endpoint, which may be held up."""

    def __init__(self, world: World, endpoint: str) -> None:
        super().__init__()
        self.world = world
        self.endpoint = endpoint

    async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
        assert self.endpoint in self.world.open, "a call met a closed store"
        await self.world.pass_through.wait()
        return await super().search(ref, query, deadline)

    def usage(self) -> StoreUsage:
        return StoreUsage(7, 0.25 if self.endpoint else 0.125)

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.world.open.remove(self.endpoint)


class World:
    """What is open, and how opening goes."""

    def __init__(self, *, max_stores: int = 2) -> None:
        self.open: list[str] = [""]
        self.opened: list[str] = []
        self.most = 0
        self.failure: Exception | None = None
        self.one_opened = asyncio.Event()
        self.pass_through = asyncio.Event()
        self.pass_through.set()
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.pool = StorePool(ToyStore(self, ""), self.opener, max_stores=max_stores)

    async def opener(self, endpoint: str) -> ToyStore:
        self.opened.append(endpoint)
        await self.may_open.wait()
        if self.failure is not None:
            raise self.failure
        assert endpoint not in self.open, "an endpoint was opened twice"
        self.open.append(endpoint)
        self.most = max(self.most, len(self.open) - 1)
        self.one_opened.set()
        return ToyStore(self, endpoint)

    async def search(self, endpoint: str, *, collection: str = "docs", deadline: Deadline | None = None) -> None:
        ref = replace(new_ref(collection=collection), store=endpoint)
        await self.pool.search(ref, dense(), deadline or soon())


async def test_the_default_store_needs_no_connection() -> None:
    """It was open before, and does not count."""
    world = World(max_stores=1)
    await asyncio.gather(world.search(""), world.search("a:1"))
    assert (world.opened, list(world.pool.endpoints())) == (["a:1"], ["a:1"])


async def test_many_who_come_first_open_one_connection() -> None:
    """A hundred calls, one opening."""
    world = World()
    await asyncio.gather(*(world.search("a:1") for _ in range(100)))
    assert world.opened == ["a:1"]


async def test_the_least_recently_used_makes_room_and_is_closed_before() -> None:
    """Never more than the cap are open at once."""
    world = World(max_stores=2)
    for endpoint in ("a:1", "b:1", "a:1", "c:1"):
        await world.search(endpoint)
    assert list(world.pool.endpoints()) == ["a:1", "c:1"]
    assert sorted(world.open) == ["", "a:1", "c:1"]
    assert world.most == 2


async def test_a_store_in_use_is_not_closed_and_one_too_many_is_refused() -> None:
    """The call under way ends well; afterwards there is room."""
    world = World(max_stores=1)
    world.pass_through.clear()
    running = asyncio.ensure_future(world.search("a:1"))
    await world.one_opened.wait()
    with pytest.raises(Overloaded) as caught:
        await world.search("b:1")
    assert caught.value.retry_delay_s
    world.pass_through.set()
    await running
    await world.search("b:1")
    assert sorted(world.open) == ["", "b:1"]


async def test_one_that_is_wanted_again_while_it_closes_is_opened_anew() -> None:
    """After it is closed: an embedded engine's folder has one owner."""
    world = World(max_stores=1)
    await world.search("a:1")
    await asyncio.gather(world.search("b:1"), return_exceptions=True)
    await world.search("a:1")
    assert world.opened == ["a:1", "b:1", "a:1"]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [(OSError("text of the vendor"), BackendUnavailable), (CollectionNotPlaced(), CollectionNotPlaced)],
    ids=["adapter", "ours"],
)
async def test_a_store_that_cannot_be_opened_fails_its_own_calls_and_is_tried_again(
    failure: Exception, expected: type[DomainError]
) -> None:
    """Each caller is told of its own collection; no connection is left, and the other stores go on."""
    world = World(max_stores=1)
    world.failure = failure
    outcomes = await asyncio.gather(
        *(world.search("a:1", collection=name) for name in ("mine", "yours")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [expected, expected]
    told = [outcome.metadata["collection"] for outcome in outcomes if isinstance(outcome, DomainError)]
    assert told == ["mine", "yours"]
    assert "vendor" not in str(outcomes[0])
    await world.search("")
    world.failure = None
    await world.search("a:1")
    assert world.opened == ["a:1", "a:1"]


async def test_opening_that_takes_long_costs_a_caller_its_deadline_and_goes_on() -> None:
    """The next caller finds it open."""
    world = World()
    world.may_open.clear()
    with pytest.raises(BackendTimeout):
        await world.search("a:1", deadline=Deadline.after(0.01))
    world.may_open.set()
    await world.search("a:1")
    assert world.opened == ["a:1"]


async def test_a_caller_that_leaves_stops_no_opening() -> None:
    """Others may wait for it."""
    world = World()
    world.may_open.clear()
    leaver, stayer = (asyncio.ensure_future(world.search("a:1")) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.wait((leaver,))
    world.may_open.set()
    await stayer
    assert leaver.cancelled()
    assert world.opened == ["a:1"]


async def test_closing_the_pool_closes_everything() -> None:
    """Also what was being opened."""
    world = World(max_stores=3)
    await world.search("a:1")
    await world.search("b:1")
    world.may_open.clear()
    late = asyncio.ensure_future(world.search("c:1"))
    await asyncio.sleep(0)
    await world.pool.close()
    await asyncio.wait((late,))
    assert world.open == []


async def test_usage_tells_the_default_stores_room_and_the_busiest_stores_pressure() -> None:
    """The region's pressure is that of its worst store."""
    world = World()
    assert world.pool.usage() == StoreUsage(7, 0.125)
    await world.search("a:1")
    assert world.pool.usage() == StoreUsage(7, 0.25)


@given(st.lists(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), max_size=4), max_size=8), st.integers(1, 3))
def test_the_cap_holds_whatever_comes_together(waves: list[list[str]], cap: int) -> None:
    """Law: calls of a wave run side by side; each is answered or told OVERLOADED, and only if all stores are in use."""

    async def run() -> None:
        world = World(max_stores=cap)
        for wave in waves:
            outcomes = await asyncio.gather(*(world.search(endpoint) for endpoint in wave), return_exceptions=True)
            refused = [outcome for outcome in outcomes if outcome is not None]
            assert all(isinstance(outcome, Overloaded) for outcome in refused)
            if len(set(wave) - {""}) <= cap:
                assert not refused
            assert len(world.pool.endpoints()) <= cap
        assert world.most <= cap
        await world.pool.close()
        assert world.open == []

    asyncio.run(run())
