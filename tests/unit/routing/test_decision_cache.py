"""What is remembered of decisions, for how long, and who makes them."""

from __future__ import annotations

import asyncio
import random
import timeit

import pytest
from tests.unit.routing.world import TENANT, World

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import FieldInvalid
from trunkline_routing.edge.decision_cache import JITTER, Basis, DecisionCache, Key, Made
from trunkline_routing.edge.model import Decision

DECISION = Decision(trail_pb.STRATEGY_RULES, 1.0, ())
WORSE = Made(DECISION, 60, ((trail_pb.DEGRADATION_REASON_DECISION_WITHOUT_SEMANTICS, ""),))
BASIS = Basis(World().gate().snapshot.collections_of(TENANT), None)


def key(text: str = "q", *, lane: str = "d", tenant_id: str = TENANT, caller: object = None) -> Key:
    return Key(tenant_id, lane, text, caller)


def test_the_memory_is_bounded_and_of_one_key_and_one_map() -> None:
    """Least recently used ones go; tenants, lanes, callers and states of the map do not share."""
    cache = DecisionCache(size=2)
    for text in "abc":
        cache.put(key(text), BASIS, DECISION, 60)
    assert [cache.get(key(text), BASIS) is not None for text in "abc"] == [False, True, True]
    assert cache.get(key("c", tenant_id="globex"), BASIS) is None
    assert cache.get(key("c", lane="e"), BASIS) is None
    assert cache.get(key("c", caller=("finance",)), BASIS) is None
    assert cache.get(key("c"), Basis((*BASIS.collections,), None)) is None, "another state of the map"
    remembered = cache.get(key("c"), BASIS)
    assert remembered is not None
    assert remembered.cached


def test_times_end_spread_by_a_tenth() -> None:
    """Decisions made together are not all made anew together."""
    now = {"s": 0.0}
    cache = DecisionCache(size=1000, clock=lambda: now["s"], rng=random.Random(7))
    for number in range(500):
        cache.put(key(str(number)), BASIS, DECISION, 100)
    left = []
    for at_s in (100 * (1 - JITTER) - 0.1, 95, 100, 105, 100 * (1 + JITTER) + 0.1):
        now["s"] = at_s
        left.append(sum(cache.get(key(str(number)), BASIS) is not None for number in range(500)))
    assert (left[0], left[-1]) == (500, 0)
    assert 500 > left[1] > left[2] > left[3] > 0


async def test_one_makes_a_decision_for_all_who_ask() -> None:
    """And all but one are told that it was not made for them."""
    cache, made = DecisionCache(size=8), []

    async def make() -> Made:
        made.append(1)
        await asyncio.sleep(0)
        return Made(DECISION, 60)

    found = await asyncio.gather(*(cache.make(key(), BASIS, Deadline.after(5), make) for _ in range(20)))
    assert len(made) == 1
    assert sorted(one.decision.cached for one, _ in found) == [False] + [True] * 19
    assert cache._flying == {}


async def test_a_cancelled_maker_hands_over() -> None:
    """Whoever waits takes the work over, and nobody is left without a decision."""
    cache, begun = DecisionCache(size=8), asyncio.Event()

    async def hang() -> Made:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def make() -> Made:
        return Made(DECISION, 60)

    leader = asyncio.create_task(cache.make(key(), BASIS, Deadline.after(5), hang))
    await begun.wait()
    followers = [asyncio.create_task(cache.make(key(), BASIS, Deadline.after(5), make)) for _ in range(3)]
    await asyncio.sleep(0)
    leader.cancel()
    found = await asyncio.gather(*followers)
    assert sorted(joined for _, joined in found) == [False, True, True]
    with pytest.raises(asyncio.CancelledError):
        await leader


async def test_a_makers_failure_is_its_own() -> None:
    """Others try for themselves."""
    cache, calls = DecisionCache(size=8), []

    async def make() -> Made:
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise FieldInvalid
        return Made(DECISION, 60)

    first, second = await asyncio.gather(
        *(cache.make(key(), BASIS, Deadline.after(5), make) for _ in range(2)), return_exceptions=True
    )
    assert isinstance(first, FieldInvalid)
    assert not isinstance(second, BaseException)


async def test_who_waits_does_so_to_its_own_deadline() -> None:
    """And then decides with what is left."""
    cache, begun, go = DecisionCache(size=8), asyncio.Event(), asyncio.Event()

    async def slow() -> Made:
        begun.set()
        await go.wait()
        return Made(DECISION, 60)

    async def quick() -> Made:
        return WORSE

    leader = asyncio.create_task(cache.make(key(), BASIS, Deadline.after(5), slow))
    await begun.wait()
    made, joined = await cache.make(key(), BASIS, Deadline.after(0.01), quick)
    assert (made, joined) == (WORSE, False)
    go.set()
    assert (await leader)[0].degradations == ()
    assert cache.get(key(), BASIS) is not None
    assert cache._flying == {}


async def test_a_degraded_decision_is_shared_with_those_in_the_same_hurry_and_not_remembered() -> None:
    """Who has more time makes a better one."""
    cache, calls = DecisionCache(size=8), []

    async def make() -> Made:
        calls.append(1)
        await asyncio.sleep(0)
        return WORSE if len(calls) == 1 else Made(DECISION, 60)

    hurried = [cache.make(key(), BASIS, Deadline.after(1), make) for _ in range(3)]
    found = await asyncio.gather(*hurried, cache.make(key(), BASIS, Deadline.after(60), make))
    assert [one.degradations != () for one, _ in found] == [True, True, True, False]
    assert len(calls) == 2


async def test_no_time_to_live_is_no_memory() -> None:
    """`cache.ttl_s: 0` in a policy turns the memory off."""
    cache = DecisionCache(size=8)

    async def make() -> Made:
        return Made(DECISION, 0)

    await cache.make(key(), BASIS, Deadline.after(5), make)
    assert cache.get(key(), BASIS) is None


def test_a_hit_is_quick() -> None:
    """Microseconds; the bound is wide, since timings of a busy machine decide nothing."""
    cache = DecisionCache(size=4096)
    cache.put(key("how do i"), BASIS, DECISION, 3600)
    took_s = min(timeit.repeat(lambda: cache.get(key("how do i"), BASIS), number=1000, repeat=5)) / 1000
    print(f"cache hit: {took_s * 1e6:.2f} us")
    assert took_s < 1e-3
