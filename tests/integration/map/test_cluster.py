"""The watch over three members: whatever happens to them, no change is missed, reordered or repeated."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

import pytest
from tests.fixtures.proxy import TcpProxy
from tests.integration.map.etcd_cluster import EtcdCluster, running_cluster
from tests.integration.map.writing import EPOCH, compact, put, recovered, seen

from trunkline_map.etcd import EtcdStore, open_etcd
from trunkline_map.keys import PREFIX
from trunkline_map.settings import WatchSettings
from trunkline_map.store import Changes, Event
from trunkline_map.testing import tenant
from trunkline_map.watcher import MapWatcher, open_map_watcher
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapUnwritable

SETTINGS = WatchSettings(
    call_timeout_s=1.0, catch_up_every_s=0.05, lag_s=0.3, progress_every_s=0.3, silence_s=2.0, backoff_max_s=0.2
)
TENANTS = 20


@pytest.fixture(scope="module")
async def module_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EtcdCluster]:
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
async def cluster(module_cluster: EtcdCluster) -> EtcdCluster:
    """Three members, all there."""
    await module_cluster.heal()
    return module_cluster


class Scene:
    """A map that changes all the while, and a watcher whose every step is noted."""

    def __init__(self, cluster: EtcdCluster, store: EtcdStore, watcher: MapWatcher) -> None:
        self.cluster = cluster
        self.watcher = watcher
        self.refused = 0
        self.taken: list[Event] = []
        self._store = store
        self._apply = watcher.feed.apply
        watcher.feed.apply = self._note  # type: ignore[method-assign]  # notes, and hands on

    def _note(self, events: Sequence[Event]) -> None:
        self.taken += (event for event in events if event.mod_revision > self.watcher.feed.revision)
        self._apply(events)

    async def write(self) -> None:
        """Change the map again and again; what cannot be written is counted."""
        for number in range(1_000_000):
            try:
                await put_soon(self._store, number)
            except MapUnwritable:
                self.refused += 1
            await asyncio.sleep(0.005)

    async def change_seen(self) -> bytes:
        """Make one change, however often it has to be tried, wait until the map has it, and return its token."""
        await recovered(self._store)
        while True:
            try:
                token = await put_soon(self._store, 0)
            except MapUnwritable:
                await recovered(self._store)
                continue
            await self.watcher.at_least(token, Deadline.after(20))
            return token


async def put_soon(store: EtcdStore, number: int) -> bytes:
    return await put(store, tenant(f"t{number % TENANTS}", "eu"), timeout_s=1.0)


async def happened(store: EtcdStore, start_revision: int, end_revision: int) -> list[Event]:
    """Return what etcd itself says happened to the map."""
    events: list[Event] = []
    async with asyncio.timeout(20), store.watch(PREFIX, start_revision=start_revision) as watch:
        async for signal in watch:
            if isinstance(signal, Changes):
                events += signal.events
            if events and events[-1].mod_revision >= end_revision:
                break
    return [event for event in events if event.mod_revision <= end_revision]


@asynccontextmanager
async def changing(cluster: EtcdCluster, endpoints: tuple[str, ...]) -> AsyncIterator[Scene]:
    """Run a watcher at `endpoints` while the map changes; at the end, compare it with etcd's own history."""
    async with open_etcd(cluster.endpoints) as store:
        await recovered(store)
        await put(store, EPOCH)
        async with open_map_watcher(endpoints, SETTINGS) as watcher:
            assert await watcher.wait_ready(20)
            await seen(watcher.connected)
            scene = Scene(cluster, store, watcher)
            start = watcher.feed.revision + 1
            writing = asyncio.create_task(scene.write())
            try:
                yield scene
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
            await cluster.heal()
            await scene.change_seen()
            end = watcher.feed.revision

            assert watcher.relists == 1, "a list would hide what the streams missed"
            assert [event for event in scene.taken if event.mod_revision <= end] == await happened(store, start, end)
            assert all(before.mod_revision <= after.mod_revision for before, after in pairwise(scene.taken))


async def kill_a_member(scene: Scene) -> None:
    """Each in turn, so that the one whose stream is read is among them."""
    for index in range(3):
        await scene.cluster.kill(index)
        await scene.change_seen()
        await scene.cluster.heal()


async def kill_the_leader(scene: Scene) -> None:
    """Another one is elected."""
    await scene.cluster.kill(await scene.cluster.leader())
    await scene.change_seen()


async def freeze_the_leader(scene: Scene) -> None:
    """Its connections stay open, and nothing tells that it is gone."""
    leader = await scene.cluster.leader()
    scene.cluster.pause(leader)
    await scene.change_seen()
    scene.cluster.resume(leader)
    await scene.change_seen()


async def lose_the_quorum(scene: Scene) -> None:
    """The last map serves, and says that it is not fed; changes are refused."""
    refused = scene.refused
    await scene.cluster.kill(0, 1)
    await seen(lambda: not scene.watcher.connected())
    await seen(lambda: scene.refused > refused)
    assert scene.watcher.ready()
    assert scene.watcher.snapshot.tenant("t0") is not None
    await scene.cluster.heal()
    await scene.change_seen()


FAULTS = [kill_a_member, kill_the_leader, freeze_the_leader, lose_the_quorum]


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.__name__ for fault in FAULTS])
async def test_the_watch_survives(cluster: EtcdCluster, fault: Callable[[Scene], Awaitable[None]]) -> None:
    """Every change arrives, once and in order, without a new list."""
    async with changing(cluster, cluster.endpoints) as scene:
        await scene.change_seen()
        await fault(scene)


async def test_the_watch_survives_cut_streams(cluster: EtcdCluster) -> None:
    """Each connection ends after a random number of bytes, within a message or between two."""
    rng = random.Random(7)
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(TcpProxy(endpoint)) for endpoint in cluster.endpoints]
        async with changing(cluster, tuple(proxy.address for proxy in proxies)) as scene:
            for _ in range(12):
                for proxy in proxies:
                    proxy.faults.limit_bytes = rng.randint(500, 8_000)
                    await proxy.cut()
                # What was missed comes as one message, which may have outgrown all three limits: then nothing could.
                grown = rng.randrange(len(proxies))
                proxies[grown].faults.limit_bytes = 64_000
                await scene.change_seen()
            for proxy in proxies:
                proxy.heal()

        assert scene.watcher.resumes >= 12


async def test_compaction_while_every_member_is_away_is_a_new_list(cluster: EtcdCluster) -> None:
    """What the history no longer tells, the list does."""
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(TcpProxy(endpoint)) for endpoint in cluster.endpoints]
        store = await stack.enter_async_context(open_etcd(cluster.endpoints))
        await put(store, EPOCH)
        addresses = [proxy.address for proxy in proxies]
        watcher = await stack.enter_async_context(open_map_watcher(addresses, SETTINGS))
        await seen(watcher.connected)
        for proxy in proxies:
            proxy.faults.refuse = True
            await proxy.cut()
        await seen(lambda: not watcher.connected())
        await put(store, tenant("unseen", "eu"))
        token = await put(store, tenant("later", "eu"))
        await compact(cluster.endpoints[0])
        for proxy in proxies:
            proxy.heal()

        assert (await watcher.at_least(token, Deadline.after(20))).tenant("unseen") is not None
        assert watcher.relists == 2


async def test_a_token_waits_for_no_frozen_member(cluster: EtcdCluster) -> None:
    """The member whose stream is read freezes; who asks with a token gets what the others have, never the old map."""
    async with open_etcd(cluster.endpoints) as store:
        await recovered(store)
        await put(store, EPOCH)
        for index in range(3):
            others = tuple(endpoint for number, endpoint in enumerate(cluster.endpoints) if number != index)
            async with open_map_watcher([cluster.endpoints[index], *others], SETTINGS) as watcher:
                await seen(watcher.connected)
                cluster.pause(index)
                await recovered(store)
                token = await changed(store, f"frozen-{index}")
                snapshot = await watcher.at_least(token, Deadline.after(20))
                cluster.resume(index)

            assert snapshot.tenant(f"frozen-{index}") is not None


async def changed(store: EtcdStore, name: str) -> bytes:
    """Add a tenant, however often it has to be tried."""
    while True:
        try:
            return await put(store, tenant(name, "eu"), timeout_s=1.0)
        except MapUnwritable:
            await recovered(store)
