"""Reading the map at a token: never an older state, never longer than the deadline."""

from __future__ import annotations

import asyncio
import time

import pytest

from trunkline_map.keys import Kind, MapKey
from trunkline_map.source import MapHolder
from trunkline_map.testing import StaticMap, static_map, static_snapshot, tenant
from trunkline_map.token import encode
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapNotReady, MapTokenInvalid, StaleMap
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.request import RequestScope, enter_request


async def test_no_token_asks_for_the_current_map() -> None:
    """Callers without a change of their own do not wait."""
    maps = static_map(tenant("a", "eu"))

    assert await maps.at_least(b"", Deadline.after(0)) is maps.snapshot


async def test_a_token_of_the_present_or_the_past_does_not_wait() -> None:
    """A later state reflects every earlier one."""
    maps = static_map(tenant("a", "eu"))
    first = maps.snapshot.token
    maps.put(tenant("b", "eu"))

    for token in (first, maps.snapshot.token):
        assert await maps.at_least(token, Deadline.after(0.001)) is maps.snapshot


async def test_a_token_ahead_waits_for_the_change() -> None:
    """The map that is returned holds the change."""
    maps = static_map(tenant("a", "eu"))
    ahead = encode(maps.snapshot.epoch, 3)
    waiting = asyncio.ensure_future(maps.at_least(ahead, Deadline.after(10)))
    await asyncio.sleep(0)
    maps.put(tenant("b", "eu"))
    await asyncio.sleep(0)
    assert not waiting.done()

    maps.remove(MapKey(Kind.TENANT, "a"))

    assert (await waiting).revision == 3


async def test_a_map_that_does_not_catch_up_is_stale_at_the_deadline() -> None:
    """The refusal comes in time and says how far behind the map is."""
    maps = static_map(tenant("a", "eu"))
    began_s = time.monotonic()

    with pytest.raises(StaleMap) as refused:
        await maps.at_least(encode(maps.snapshot.epoch, 99), Deadline.after(0.05))

    assert time.monotonic() - began_s < 2
    assert refused.value.metadata == {"mapRevision": "1", "wantedRevision": "99"}
    assert refused.value.retry_delay_s


async def test_a_token_of_another_epoch_is_refused() -> None:
    """It names a history that is not this one; waiting would not help."""
    maps = static_map(tenant("a", "eu"))

    with pytest.raises(MapTokenInvalid):
        await maps.at_least(encode(b"\x00" * 8, 1), Deadline.after(10))


async def test_garbage_is_refused_at_once() -> None:
    """No wait for what is no token."""
    with pytest.raises(MapTokenInvalid):
        await static_map().at_least(b"garbage", Deadline.after(10))


async def test_a_token_of_a_new_epoch_is_awaited_while_the_watch_is_down() -> None:
    """Nobody knows then which of the two is newer; when the map comes back it decides."""
    maps = static_map(tenant("a", "eu"))
    maps.fed = False
    renewed = static_snapshot(tenant("a", "eu"), epoch=b"newepoch", revision=2)
    waiting = asyncio.ensure_future(maps.at_least(renewed.token, Deadline.after(10)))
    await asyncio.sleep(0)

    maps.publish(renewed)

    assert await waiting is renewed


async def test_a_foreign_token_is_stale_while_the_watch_is_down() -> None:
    """Without the store it cannot be called wrong."""
    maps = static_map(tenant("a", "eu"))
    maps.fed = False

    with pytest.raises(StaleMap):
        await maps.at_least(encode(b"\x00" * 8, 1), Deadline.after(0.05))


async def test_a_foreign_token_is_refused_as_soon_as_the_watch_is_back() -> None:
    """The store then confirmed the epoch, though the map did not change: nobody waits for the deadline."""
    maps = static_map(tenant("a", "eu"))
    maps.fed = False
    began_s = time.monotonic()
    waiting = asyncio.ensure_future(maps.at_least(encode(b"\x00" * 8, 1), Deadline.after(60)))
    await asyncio.sleep(0)

    maps.fed = True
    maps.wake()

    with pytest.raises(MapTokenInvalid):
        await waiting
    assert time.monotonic() - began_s < 30


async def test_before_the_first_map_nothing_is_served() -> None:
    """Not ready is said as such, also to callers with a token."""
    maps = MapHolder()
    assert not maps.ready()

    with pytest.raises(MapNotReady):
        _ = maps.snapshot
    for token in (b"", encode(b"epoch---", 1)):
        with pytest.raises(MapNotReady):
            await maps.at_least(token, Deadline.after(0.05))
    assert not await maps.wait_ready(0.01)


async def test_a_map_that_is_being_loaded_is_awaited() -> None:
    """A process that just started answers a little later instead of refusing."""
    maps = MapHolder()
    first = static_snapshot(tenant("a", "eu"))
    waiting = [asyncio.ensure_future(maps.at_least(token, Deadline.after(10))) for token in (b"", first.token)]
    await asyncio.sleep(0)

    maps.publish(first)

    assert await asyncio.gather(*waiting) == [first, first]


async def test_a_map_that_does_not_load_leaves_its_callers_time_to_go_elsewhere() -> None:
    """Half of the deadline is left when the refusal comes."""
    deadline = Deadline.after(2)

    with pytest.raises(MapNotReady):
        await MapHolder().at_least(b"", deadline)

    assert deadline.remaining_s() > 0


async def test_a_map_without_an_epoch_is_not_served() -> None:
    """It belongs to an etcd that control has not set up; its tokens would be worthless."""
    maps = StaticMap()

    maps.publish(static_snapshot(tenant("a", "eu"), epoch=b""))

    assert not maps.ready()


async def test_the_first_map_wakes_those_who_wait_for_it() -> None:
    """A process that starts waits for its map once."""
    maps = StaticMap()
    waiting = asyncio.ensure_future(maps.wait_ready(10))
    await asyncio.sleep(0)

    maps.publish(static_snapshot())

    assert await waiting


async def test_who_waits_for_the_map_holds_no_slot_of_its_server() -> None:
    """Tokens that are ahead, or of a future that never comes, keep nobody else from being served."""
    maps = static_map(tenant("a", "eu"))
    limiter = CapacityLimiter(max_concurrency=1, max_queue=0, max_queue_per_tenant=0)
    deadline = Deadline.after(10)
    enter_request(scope := RequestScope("id", 1, "/a.B/C", deadline, deadline_capped=False))

    async def ahead() -> int:
        slot = limiter.slot(tenant="a", rank=0, weight=1.0, deadline=deadline)
        async with slot:
            scope.slot = slot
            revision = (await maps.at_least(encode(maps.snapshot.epoch, 2), deadline)).revision
            assert limiter.slots_in_use == 1
            return revision

    waiting = asyncio.ensure_future(ahead())
    await asyncio.sleep(0)
    async with limiter.slot(tenant="b", rank=0, weight=1.0, deadline=deadline):
        pass
    maps.put(tenant("b", "eu"))

    assert await waiting == 2
    assert limiter.slots_in_use == 0
