"""The torture that lost events in other clients: cut streams, compactions and a killed etcd under edits."""

from __future__ import annotations

import random

from tests.fixtures.proxy import TcpProxy
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.map.writing import EPOCH, delete, put, recovered, seen

from trunkline_map.entries import Entry
from trunkline_map.etcd import EtcdStore, open_etcd
from trunkline_map.keys import PREFIX, Kind, MapKey
from trunkline_map.settings import WatchSettings
from trunkline_map.testing import collection, tenant
from trunkline_map.watcher import open_map_watcher
from trunkline_mesh.errors import MapUnwritable

EDITS = 1000
COMPACT_EVERY = 140
KILL_AT = EDITS // 2
SETTINGS = WatchSettings(progress_every_s=0.2, audit_every_s=600, backoff_max_s=0.2)


async def edit(store: EtcdStore, rng: random.Random) -> None:
    """Put or delete one of about 250 keys. An unknown outcome is left as it is: the store is the truth."""
    name = f"t{rng.randrange(50)}"
    chosen: Entry = tenant(name, "eu")
    if rng.random() < 0.8:
        chosen = collection(name, f"c{rng.randrange(5)}", ["eu-west"], ["eu"], description="x" * rng.randrange(200))
    try:
        if rng.random() < 0.25:
            await delete(store, chosen.key)
        else:
            await put(store, chosen)
    except MapUnwritable:
        return


async def truth(store: EtcdStore) -> dict[bytes, int]:
    """Every key with its revision, as the store has it."""
    held: dict[bytes, int] = {}
    after, more = b"", True
    while more:
        page = await store.list_page(PREFIX, after=after, timeout_s=5)
        held |= {item.key: item.mod_revision for item in page.items}
        after, more = (page.items[-1].key if page.items else b""), page.more
    return held


async def test_no_edit_is_missed_under_torture(fragile_etcd: EtcdServer) -> None:
    """1,000 edits, streams cut after a random number of bytes, compactions, one kill -9: the map equals the store."""
    rng = random.Random(20)
    async with (
        open_etcd([fragile_etcd.endpoint]) as store,
        TcpProxy(fragile_etcd.endpoint) as proxy,
        open_map_watcher([proxy.address], SETTINGS) as watcher,
    ):
        await put(store, EPOCH)
        for number in range(EDITS):
            if number % 25 == 0:
                proxy.faults.limit_bytes = rng.randint(2_000, 30_000)
            if number % COMPACT_EVERY == COMPACT_EVERY - 1:
                await fragile_etcd.compact()
            if number == KILL_AT:
                await fragile_etcd.kill()
                await fragile_etcd.start()
            await edit(store, rng)
        proxy.heal()
        await recovered(store)
        expected = await truth(store)
        await seen(lambda: watcher.feed.revisions == expected)

        assert proxy.accepted > 10
        assert watcher.resumes + watcher.relists > 10
        in_map = {entry.key.encode(): entry.revision for entry in watcher.snapshot.entries()}
        in_map[MapKey(Kind.EPOCH).encode()] = expected[MapKey(Kind.EPOCH).encode()]
        assert in_map == expected


async def test_the_torture_tells_a_reader_from_its_store(fragile_etcd: EtcdServer) -> None:
    """The comparison above would notice: what the store has and a watcher that is cut off has not differs."""
    async with (
        open_etcd([fragile_etcd.endpoint]) as store,
        TcpProxy(fragile_etcd.endpoint) as proxy,
        open_map_watcher([proxy.address], SETTINGS) as watcher,
    ):
        await put(store, EPOCH)
        assert await watcher.wait_ready(20)
        proxy.faults.refuse = True
        await proxy.cut()
        await put(store, tenant("unseen", "eu"))

        assert await truth(store) != watcher.feed.revisions
