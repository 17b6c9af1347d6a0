"""List-then-watch against a real etcd that is cut off, frozen, killed, compacted and restored."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from tests.fixtures.proxy import TcpProxy
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.map.writing import EPOCH, delete, put, put_raw, recovered, seen

from trunkline_map.entries import EpochEntry
from trunkline_map.etcd import EtcdStore, open_etcd
from trunkline_map.keys import Kind, MapKey
from trunkline_map.settings import WatchSettings
from trunkline_map.testing import collection, region, tenant
from trunkline_map.token import encode as encode_token
from trunkline_map.watcher import MapWatcher, open_map_watcher
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapNotReady, MapTokenInvalid, StaleMap

QUICK = WatchSettings(catch_up_every_s=0.02, audit_settle_s=0.2, backoff_max_s=0.2)
ACME = tenant("acme", "eu")


@pytest.fixture
async def watcher(store: EtcdStore, etcd: EtcdServer) -> AsyncIterator[MapWatcher]:
    """A watcher of a map that has an epoch and one tenant."""
    await put(store, EPOCH, ACME)
    async with open_map_watcher([etcd.endpoint], QUICK) as opened:
        assert await opened.wait_ready(20)
        await seen(opened.connected)
        yield opened


def confirmed_after(watcher: MapWatcher, at_s: float | None) -> bool:
    return watcher._confirmed_at_s != at_s


def soon() -> Deadline:
    return Deadline.after(20)


async def test_the_first_list_makes_it_ready(watcher: MapWatcher) -> None:
    """What was there before is there from the first map on."""
    assert watcher.ready()
    assert watcher.snapshot.epoch == EPOCH.epoch
    assert watcher.snapshot.tenant("acme") == replace(ACME, revision=watcher.snapshot.revision)
    assert watcher.age_s() < 60


async def test_a_change_is_read_with_its_token(watcher: MapWatcher, store: EtcdStore) -> None:
    """Read your own write: additions, changes and removals."""
    added = await put(store, region("eu-west", "eu"), collection("acme", "docs", ["eu-west"], ["eu"]))
    snapshot = await watcher.at_least(added, soon())
    assert snapshot.collection("acme", "docs") is not None
    assert snapshot.region("eu-west") is not None

    changed = await put(store, replace(ACME, suspended=True))
    snapshot = await watcher.at_least(changed, soon())
    assert snapshot.tenant("acme") == replace(ACME, suspended=True, revision=snapshot.revision)

    removed = await delete(store, MapKey(Kind.COLLECTION, "acme", "docs"))
    assert (await watcher.at_least(removed, soon())).collections_of("acme") == ()


async def test_a_revision_that_changed_nothing_of_ours_is_reached_too(watcher: MapWatcher, store: EtcdStore) -> None:
    """Tokens of reads may name a revision that other keys made; no event ever comes for it."""
    revision = await put_raw(store, b"/elsewhere", b"x")

    snapshot = await watcher.at_least(encode_token(EPOCH.epoch, revision), soon())

    assert snapshot.revision >= revision
    assert snapshot.tenant("acme") is not None


async def test_a_revision_of_the_future_is_stale(watcher: MapWatcher) -> None:
    """The wait ends with the deadline."""
    future = encode_token(EPOCH.epoch, watcher.snapshot.revision + 10**6)

    with pytest.raises(StaleMap):
        await watcher.at_least(future, Deadline.after(0.2))


async def test_a_malformed_value_hides_nothing(watcher: MapWatcher, store: EtcdStore) -> None:
    """The last good entry stays, and the next change is seen."""
    key = MapKey(Kind.TENANT, "acme").encode()
    revision = await put_raw(store, key, b"\xff\xff")
    snapshot = await watcher.at_least(encode_token(EPOCH.epoch, revision), soon())

    assert snapshot.tenant("acme") is not None
    assert watcher.feed.malformed == {key: revision}
    added = await put(store, tenant("other", "us"))
    assert (await watcher.at_least(added, soon())).tenant("other") is not None


async def test_a_map_without_an_epoch_is_not_ready(etcd: EtcdServer, store: EtcdStore) -> None:
    """A new etcd becomes a map when control sets it up."""
    async with open_map_watcher([etcd.endpoint], QUICK) as watcher:
        await seen(watcher.connected)
        assert not watcher.ready()
        with pytest.raises(MapNotReady):
            _ = watcher.snapshot

        await put(store, EPOCH)

        assert await watcher.wait_ready(20)


async def test_a_list_of_several_pages_is_complete(etcd: EtcdServer, store: EtcdStore) -> None:
    """More entries than one page holds."""
    await put(store, EPOCH)
    for start in range(0, 1200, 60):
        await put(store, *(tenant(f"t{number}", "eu") for number in range(start, start + 60)))

    async with open_map_watcher([etcd.endpoint], QUICK) as watcher:
        assert await watcher.wait_ready(20)

        assert len(list(watcher.snapshot.tenants())) == 1200


async def test_a_cut_stream_is_resumed_without_a_new_list(etcd: EtcdServer, store: EtcdStore) -> None:
    """What happened meanwhile arrives, and the map is not read anew."""
    await put(store, EPOCH, ACME)
    async with TcpProxy(etcd.endpoint) as proxy, open_map_watcher([proxy.address], QUICK) as watcher:
        assert await watcher.wait_ready(20)
        await seen(watcher.connected)
        proxy.faults.refuse = True
        await proxy.cut()
        await seen(lambda: not watcher.connected())
        token = await put(store, tenant("meanwhile", "us"))
        proxy.heal()

        assert (await watcher.at_least(token, soon())).tenant("meanwhile") is not None
        assert watcher.relists == 1


async def test_compaction_while_cut_off_leads_to_a_new_list(etcd: EtcdServer, store: EtcdStore) -> None:
    """Deletes that no event tells any more are found by the list."""
    await put(store, EPOCH, ACME, tenant("gone", "eu"))
    async with TcpProxy(etcd.endpoint) as proxy, open_map_watcher([proxy.address], QUICK) as watcher:
        assert await watcher.wait_ready(20)
        proxy.faults.refuse = True
        await proxy.cut()
        await seen(lambda: not watcher.connected())
        await delete(store, MapKey(Kind.TENANT, "gone"))
        token = await put(store, tenant("new", "us"))
        await etcd.compact()
        proxy.heal()

        snapshot = await watcher.at_least(token, soon())

    assert {each.tenant_id for each in snapshot.tenants()} == {"acme", "new"}
    assert watcher.relists == 2


async def test_without_etcd_the_last_map_serves_and_grows_old(fragile_etcd: EtcdServer) -> None:
    """Static stability: reads go on, the age tells, and the map is current again when etcd is back."""
    async with (
        open_etcd([fragile_etcd.endpoint]) as store,
        open_map_watcher([fragile_etcd.endpoint], QUICK) as watcher,
    ):
        await put(store, EPOCH, ACME)
        assert await watcher.wait_ready(20)
        await fragile_etcd.kill()
        await seen(lambda: not watcher.connected())
        age_s = watcher.age_s()
        await seen(lambda: watcher.age_s() > age_s)

        assert watcher.ready()
        assert watcher.snapshot.tenant("acme") is not None

        await fragile_etcd.start()
        await recovered(store)
        token = await put(store, tenant("later", "eu"))
        assert (await watcher.at_least(token, soon())).tenant("later") is not None


async def test_a_frozen_etcd_is_noticed_and_used_again(fragile_etcd: EtcdServer) -> None:
    """Nothing tells that a frozen peer is gone but pings that stay unanswered."""
    async with (
        open_etcd([fragile_etcd.endpoint]) as store,
        open_map_watcher([fragile_etcd.endpoint], QUICK) as watcher,
    ):
        await put(store, EPOCH, ACME)
        assert await watcher.wait_ready(20)
        await seen(watcher.connected)
        fragile_etcd.child.pause()

        await seen(lambda: not watcher.connected(), within_s=15)

        fragile_etcd.child.resume()
        await recovered(store)
        token = await put(store, tenant("later", "eu"))
        assert (await watcher.at_least(token, soon())).tenant("later") is not None


async def test_a_silent_partition_is_noticed(etcd: EtcdServer, store: EtcdStore) -> None:
    """Connections stay open and nothing passes: the sign of life that is asked for does not come."""
    await put(store, EPOCH, ACME)
    settings = replace(QUICK, progress_every_s=0.1, silence_s=0.3, call_timeout_s=0.5)
    async with TcpProxy(etcd.endpoint) as proxy, open_map_watcher([proxy.address], settings) as watcher:
        await seen(watcher.connected)
        proxy.open_hole()

        await seen(lambda: not watcher.connected(), within_s=20)

        proxy.heal()
        token = await put(store, tenant("later", "eu"))
        assert (await watcher.at_least(token, soon())).tenant("later") is not None


async def test_signs_of_life_keep_a_quiet_map_young(etcd: EtcdServer, store: EtcdStore) -> None:
    """Nothing changes, and still the map is confirmed again and again, on one stream."""
    await put(store, EPOCH, ACME)
    settings = replace(QUICK, progress_every_s=0.05)
    async with open_map_watcher([etcd.endpoint], settings) as watcher:
        await seen(watcher.connected)
        for _ in range(5):
            confirmed_at_s = watcher._confirmed_at_s
            await seen(partial(confirmed_after, watcher, confirmed_at_s))

        assert watcher.resumes == 0


async def test_an_audit_finds_and_heals_what_the_watch_missed(etcd: EtcdServer, store: EtcdStore) -> None:
    """A lost event is planted: the audit counts it, and the map is right again."""
    await put(store, EPOCH, ACME)
    settings = replace(QUICK, audit_every_s=0.3, audit_settle_s=0.1)
    async with open_map_watcher([etcd.endpoint], settings) as watcher:
        assert await watcher.wait_ready(20)
        await seen(watcher.connected)
        watcher.feed.revisions.pop(MapKey(Kind.TENANT, "acme").encode())

        await seen(lambda: watcher.relists == 2)

        assert watcher.snapshot.tenant("acme") is not None


async def test_an_audit_of_a_busy_map_finds_nothing(etcd: EtcdServer, store: EtcdStore) -> None:
    """Changes that arrive while the audit reads are no differences."""
    await put(store, EPOCH, ACME)
    settings = replace(QUICK, audit_every_s=0.02, audit_settle_s=5.0)
    async with open_map_watcher([etcd.endpoint], settings) as watcher:
        assert await watcher.wait_ready(20)
        for number in range(150):
            await put(store, tenant(f"t{number % 7}", "eu"))
            await delete(store, MapKey(Kind.TENANT, f"t{(number + 3) % 7}"))

        assert watcher.relists == 1


async def test_a_restored_etcd_is_another_history(fragile_etcd: EtcdServer) -> None:
    """Under a new epoch it may have passed our revision before we are back: the map is listed, not gone on with."""
    async with (
        open_etcd([fragile_etcd.endpoint]) as store,
        TcpProxy(fragile_etcd.endpoint) as proxy,
        open_map_watcher([proxy.address], QUICK) as watcher,
    ):
        await put(store, EPOCH)
        old = await put(store, tenant("old", "eu"))
        await watcher.wait_ready(20)
        await watcher.at_least(old, soon())
        proxy.faults.refuse = True
        await fragile_etcd.kill()
        fragile_etcd.lose_data()
        await fragile_etcd.start()
        await recovered(store)
        renewed = EpochEntry(b"restored")
        await put(store, renewed)
        for number in range(10):
            await put(store, tenant(f"n{number}", "us"))
        proxy.heal()

        await seen(lambda: watcher.snapshot.epoch == renewed.epoch)

        assert {each.tenant_id for each in watcher.snapshot.tenants()} == {f"n{number}" for number in range(10)}
        with pytest.raises(MapTokenInvalid):
            await watcher.at_least(old, soon())


async def test_an_etcd_behind_the_map_is_listed_anew(fragile_etcd: EtcdServer) -> None:
    """Restored and still behind our revision, its watch would stay silent until it got there."""
    async with (
        open_etcd([fragile_etcd.endpoint]) as store,
        open_map_watcher([fragile_etcd.endpoint], QUICK) as watcher,
    ):
        await put(store, EPOCH)
        for number in range(20):
            token = await put(store, tenant(f"t{number}", "eu"))
        assert await watcher.wait_ready(20)
        await watcher.at_least(token, soon())
        await fragile_etcd.kill()
        fragile_etcd.lose_data()
        await fragile_etcd.start()
        await recovered(store)
        await put(store, EpochEntry(b"restored"))

        await seen(lambda: watcher.snapshot.epoch == b"restored")

        assert list(watcher.snapshot.tenants()) == []


async def test_the_age_of_no_map_is_infinite() -> None:
    """Nothing listens there; the watcher goes on trying and says so."""
    async with open_map_watcher(["127.0.0.1:1"], QUICK) as watcher:
        assert watcher.age_s() == math.inf
        assert not await watcher.wait_ready(0.05)


async def test_several_watchers_of_one_process_share_nothing(etcd: EtcdServer, store: EtcdStore) -> None:
    """Each keeps its own channel and state; closing one leaves the other."""
    await put(store, EPOCH)
    async with open_map_watcher([etcd.endpoint], QUICK) as first:
        async with open_map_watcher([etcd.endpoint], QUICK) as second:
            assert all(await asyncio.gather(first.wait_ready(20), second.wait_ready(20)))
        token = await put(store, ACME)

        assert (await first.at_least(token, soon())).tenant("acme") is not None
