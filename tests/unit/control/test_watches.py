"""Streams of changes: in order, whole, resumable, bounded, and honest about having caught up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, furnish, new_collection, new_region, new_tenant, soon, use_cases

from trunkline_map import token
from trunkline_map.entries import RegionEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_map.store import Transaction
from trunkline_map.testing import StaticMap, static_snapshot
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapTokenInvalid, MapUnwritable, Overloaded, PageExpired
from trunkline_routing.control.bindings import ControlUseCases
from trunkline_routing.control.watches import Step, Watches

Steps = AsyncGenerator[Step, None]


def told(step: Step) -> str:
    """A step in one word: `+name`, `-name`, or `.` for having caught up."""
    if step.written is not None:
        return f"+{step.written.key.collection_id or step.written.key.name}"
    return f"-{step.removed.collection_id or step.removed.name}" if step.removed else "."


async def take(steps: Steps, count: int) -> list[Step]:
    """Return the next steps."""
    return [await asyncio.wait_for(anext(steps), 10) for _ in range(count)]


def regions_of(side: ControlUseCases, map_token: bytes = b"", *, watches: Watches | None = None) -> Steps:
    return (watches or side.accounts.watches).follow(Kind.REGION, "", map_token, soon())


async def test_all_that_is_there_comes_first_and_then_each_change() -> None:
    """With a mark between them, whose token is the first to go on from."""
    side = use_cases(MemoryStore())
    await furnish(side, "a", "b")
    async with aclosing(regions_of(side)) as steps:
        first = await take(steps, 3)
        assert [told(step) for step in first] == ["+a", "+b", "."]
        assert [bool(step.token) for step in first] == [False, False, True]

        entry, changed = await side.regions.put(new_region("c"), OPERATOR, soon())
        gone = await side.regions.delete("a", 0, OPERATOR, soon())

        one, two = await take(steps, 2)
        assert (one.written, one.token) == (entry, changed)
        assert (two.removed, two.token) == (MapKey(Kind.REGION, "a"), gone)


async def test_a_stream_goes_on_after_a_token() -> None:
    """Every change since, none twice, and then the mark."""
    side = use_cases(MemoryStore())
    await furnish(side, "a")
    _, since = await side.regions.put(new_region("b"), OPERATOR, soon())
    await side.regions.delete("a", 0, OPERATOR, soon())
    current, _ = await side.regions.get("b", soon())
    await side.regions.put(replace(current, ramp_s=1.0), OPERATOR, soon())

    async with aclosing(regions_of(side, since)) as steps:
        assert [told(step) for step in await take(steps, 3)] == ["-a", "+b", "."]
        caught_up = (await take(regions_of(side, since), 3))[-1]
    async with aclosing(regions_of(side, caught_up.token)) as steps:
        assert [told(step) for step in await take(steps, 1)] == ["."]


async def test_a_quiet_stream_gives_signs_of_life() -> None:
    """Each with a token of the store's present revision, which other keys move."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "a")
    watches = Watches(side.maps, sign_of_life_s=0.02)
    async with aclosing(regions_of(side, watches=watches)) as steps:
        await take(steps, 2)
        await side.tenants.put(new_tenant("other"), OPERATOR, soon())

        [mark] = await take(steps, 1)

        assert told(mark) == "."
        assert token.decode(mark.token).revision == store.revision


async def test_one_tenants_collections_are_its_own() -> None:
    """Nobody else's change is told, not even of one whose name begins the same."""
    side = use_cases(MemoryStore())
    await furnish(side, "a")
    await side.tenants.put(new_tenant("acme-2"), OPERATOR, soon())
    await side.collections.put(new_collection("hidden", "a", tenant_id="acme-2"), OPERATOR, soon())
    async with aclosing(side.accounts.watches.follow(Kind.COLLECTION, "acme", b"", soon())) as steps:
        await take(steps, 1)
        await side.collections.put(new_collection("hidden-2", "a", tenant_id="acme-2"), OPERATOR, soon())
        await side.collections.put(new_collection("shown", "a"), OPERATOR, soon())

        assert [told(step) for step in await take(steps, 1)] == ["+shown"]


async def test_malformed_entries_are_left_out() -> None:
    """And do not keep the stream from catching up."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "a")
    bad = MapKey(Kind.REGION, "bad").encode()
    await store.commit(Transaction(puts={bad: b"\xff"}), timeout_s=1)
    async with aclosing(regions_of(side, watches=Watches(side.maps, sign_of_life_s=0.01))) as steps:
        assert [told(step) for step in await take(steps, 2)] == ["+a", "."]
        await store.commit(Transaction(puts={bad: b"\xfe"}), timeout_s=1)
        assert [told(step) for step in await take(steps, 1)] == ["."]


async def test_a_token_that_is_too_old_is_told() -> None:
    """Its state is compacted: list anew."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "a")
    _, old = await side.regions.put(new_region("b"), OPERATOR, soon())
    await side.regions.delete("b", 0, OPERATOR, soon())
    store.compact()

    with pytest.raises(PageExpired):
        await take(regions_of(side, old), 1)


async def test_a_token_of_another_epoch_or_of_the_future_is_refused() -> None:
    """Nothing follows from it."""
    store = MemoryStore()
    side = use_cases(store)
    epoch = await side.maps.ensure_epoch(soon())

    for foreign in (token.encode(b"another!", 1), token.encode(epoch, store.revision + 1), b"\xff"):
        with pytest.raises(MapTokenInvalid):
            await take(regions_of(side, foreign), 1)


async def test_a_new_epoch_ends_the_streams() -> None:
    """What comes then does not follow from what was told."""
    store, source = MemoryStore(), StaticMap()
    side = use_cases(store, source=source)
    await furnish(side, "a")
    async with aclosing(regions_of(side)) as steps:
        await take(steps, 2)
        source.publish(static_snapshot(epoch=await side.maps.ensure_epoch(soon())))
        await side.regions.put(new_region("seen"), OPERATOR, soon())
        await take(steps, 1)
        source.publish(static_snapshot(epoch=b"restored"))
        await side.regions.put(new_region("b"), OPERATOR, soon())
        await side.regions.put(new_region("c"), OPERATOR, soon())

        with pytest.raises(MapTokenInvalid):
            await take(steps, 3)


async def test_streams_are_counted() -> None:
    """One that ended makes room for another."""
    side = use_cases(MemoryStore())
    await furnish(side, "a")
    watches = Watches(side.maps, max_streams=1)
    async with aclosing(regions_of(side, watches=watches)) as steps:
        await take(steps, 1)
        with pytest.raises(Overloaded):
            await take(regions_of(side, watches=watches), 1)
    async with aclosing(regions_of(side, watches=watches)) as steps:
        await take(steps, 1)


async def test_a_stream_ends_by_itself_before_its_time_is_up() -> None:
    """Its end is no error."""
    side = use_cases(MemoryStore())
    await furnish(side, "a")

    steps = [step async for step in side.accounts.watches.follow(Kind.REGION, "", b"", Deadline.after(0.6))]

    assert [told(step) for step in steps] == ["+a", "."]


async def test_without_its_store_there_is_no_stream() -> None:
    """A last good map has no changes to tell."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "a")
    async with aclosing(regions_of(side, watches=Watches(side.maps, sign_of_life_s=0.01))) as steps:
        await take(steps, 2)
        store.away = True
        with pytest.raises(MapUnwritable):
            await take(steps, 1)
    with pytest.raises(MapUnwritable):
        await take(regions_of(side), 1)


async def test_many_writers_are_told_in_one_order() -> None:
    """That of the revisions, however the reader stumbles."""
    side = use_cases(MemoryStore())
    await furnish(side)
    revisions: list[int] = []
    async with aclosing(regions_of(side)) as steps:
        await take(steps, 1)
        names = [f"r-{number}" for number in range(30)]
        await asyncio.gather(*(side.regions.put(new_region(name), OPERATOR, soon()) for name in names))
        for number, step in enumerate(await take(steps, len(names))):
            assert isinstance(step.written, RegionEntry)
            revisions.append(step.written.revision)
            await asyncio.sleep(0.001 if number % 7 == 0 else 0)

    assert revisions == sorted(set(revisions))
