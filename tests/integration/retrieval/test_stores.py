"""Stores that collections name: how many connections they take, who may use them, and what their death costs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.integration.mesh.caller import eventually
from tests.integration.retrieval.fake_qdrant import FakeQdrant, served
from tests.integration.retrieval.service import RetrievalService, embedded, ids, search, start_service, upsert
from tests.unit.retrieval.test_use_cases import RecordingStore

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_map.entries import CollectionEntry, StoreEntry
from trunkline_map.testing import StaticMap, collection, region, space, static_map, tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout
from trunkline_retrieval.embedded_store import EmbeddedStore
from trunkline_retrieval.placement import Placements
from trunkline_retrieval.search import Search, SearchCommand
from trunkline_retrieval.settings import RetrievalSettings
from trunkline_retrieval.store_opening import StoreOpener
from trunkline_retrieval.store_pool import StorePool

HERE = "eu-west"
QUERY = {"minilm": np.ones(4, dtype=np.float32)}
SERVERS = 5
CAP = 3


def lies_in(store: str, name: str, tenant_id: str = "acme", **kind: Any) -> CollectionEntry:
    """Return a collection in a named store of this region."""
    return replace(collection(tenant_id, name, [HERE], ["eu"], **kind), region_stores=((HERE, store),) if store else ())


def map_of(ports: Iterable[int], collections: int) -> StaticMap:
    """Return a map whose collections lie in Qdrant servers at `ports`, in turn."""
    stores = tuple(StoreEntry(f"s{number}", f"127.0.0.1:{port}") for number, port in enumerate(ports))
    return static_map(
        replace(region(HERE, "eu"), stores=stores),
        tenant("acme", "eu"),
        space(dimension=4),
        *(lies_in(f"s{number % len(stores)}", f"c{number}") for number in range(collections)),
    )


def connections_to(ports: Iterable[int]) -> int:
    """Return how many TCP connections to local ports are established, by the kernel's tables.

    gRPC connects by sockets that speak both versions of IP, so an IPv4 address stands in either table.
    """
    wanted = {f"{port:04X}" for port in ports}
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    ends = (line.split()[2:4] for line in lines)
    return sum(remote.rpartition(":")[2] in wanted and state == "01" for remote, state in ends)


class Servers:
    """Some stand-ins for Qdrant, and searches of collections that lie there."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.fakes = [FakeQdrant() for _ in range(SERVERS)]
        self.ports: list[int] = []

    async def start(self) -> None:
        self.ports = [await self.stack.enter_async_context(served(fake)) for fake in self.fakes]

    async def search_many(self, collections: int, at_once: int, rounds: int) -> tuple[int, int]:
        """Search random collections of a map; return how many connections are open, for the pool and the kernel."""
        pool = StorePool(RecordingStore(), StoreOpener(RetrievalSettings()).at, max_stores=CAP)
        use_case = Search(Placements(map_of(self.ports, collections), HERE), pool)
        draw = random.Random(collections)
        try:
            for _ in range(rounds):
                names = [f"c{draw.randrange(collections // SERVERS) * SERVERS + server}" for server in range(CAP)]
                command = SearchCommand("acme", names, 5, vectors=QUERY)
                await asyncio.gather(*(use_case.run(command, Deadline.after(30)) for _ in range(at_once)))
            await use_case.run(replace_collections("c3", "c4"), Deadline.after(30))  # the other servers, for once
            opened = len(pool.endpoints())
            await eventually(lambda: connections_to(self.ports) == opened)
            return opened, connections_to(self.ports)
        finally:
            await pool.close()
            await eventually(lambda: connections_to(self.ports) == 0)


def replace_collections(*names: str) -> SearchCommand:
    """Return a search of these collections of acme."""
    return SearchCommand("acme", names, 5, vectors=QUERY)


@pytest.fixture
async def servers() -> Any:
    """Give five servers."""
    async with AsyncExitStack() as stack:
        started = Servers(stack)
        await started.start()
        yield started


async def test_connections_depend_on_endpoints_and_not_on_collections(servers: Servers) -> None:
    """Law: the same number at 1,500 and at 100,000 collections, by the kernel's count; never over the cap."""
    few = await servers.search_many(1_500, at_once=4, rounds=10)
    many = await servers.search_many(100_000, at_once=4, rounds=10)
    assert few == many == (CAP, CAP)


async def test_concurrent_first_use_opens_one_connection(servers: Servers) -> None:
    """A hundred searches at once of collections in one server."""
    pool = StorePool(RecordingStore(), StoreOpener(RetrievalSettings()).at, max_stores=CAP)
    use_case = Search(Placements(map_of(servers.ports[:1], 100), HERE), pool)
    await asyncio.gather(*(use_case.run(replace_collections(f"c{n}"), Deadline.after(30)) for n in range(100)))
    assert len(servers.fakes[0].asked) == 100
    assert len(servers.fakes[0].callers) == 1
    await pool.close()


async def test_each_server_gets_the_key_that_the_file_has_for_it(servers: Servers, tmp_path: Path) -> None:
    """And one without an entry gets none."""
    keys = tmp_path / "keys.json"
    keys.write_text(f'{{"127.0.0.1:{servers.ports[0]}": "the-key"}}')
    opener = StoreOpener(RetrievalSettings(store_keys_path=keys))
    pool = StorePool(RecordingStore(), opener.at, max_stores=CAP)
    with pytest.warns(UserWarning, match="insecure"):  # the client says what it thinks of a key without TLS
        await Search(Placements(map_of(servers.ports[:2], 2), HERE), pool).run(
            replace_collections("c0", "c1"), Deadline.after(30)
        )
    assert [fake.keys for fake in servers.fakes[:2]] == [{"the-key"}, set()]
    await pool.close()


@pytest.fixture
async def stack() -> Any:
    """Close what a test opened, last first."""
    async with AsyncExitStack() as opened:
        yield opened


async def start_with_stores(stack: AsyncExitStack, folder: Path, **changes: Any) -> tuple[RetrievalService, FakeQdrant]:
    """Start the service with a map that names an engine, a Qdrant server, a tenant's own store and one that is away."""
    fake = FakeQdrant()
    port = await stack.enter_async_context(served(fake))
    service = await start_service(stack, folder, **({"embedded_stores": True} | changes))
    stores = (
        StoreEntry("box", "engine:box"),
        StoreEntry("server", f"127.0.0.1:{port}"),
        StoreEntry("gone", "127.0.0.1:1"),
        StoreEntry("globex-own", "engine:globex", "globex"),
        StoreEntry("acme-own", "engine:acme", "acme"),
    )
    service.the_map.put(
        replace(region(HERE, "eu"), stores=stores),
        lies_in("box", "boxed", dedicated=True),
        lies_in("server", "served"),
        lies_in("gone", "lost"),
        lies_in("globex-own", "stolen"),
        replace(lies_in("acme-own", "cluster", dedicated=True), cluster=True),
        replace(lies_in("", "homeless", dedicated=True), cluster=True),
    )
    return service, fake


async def test_a_named_engine_keeps_its_documents_in_a_folder_of_its_own(stack: AsyncExitStack, tmp_path: Path) -> None:
    """Written, found, deleted there; nothing of it lies with the default store's."""
    service, _ = await start_with_stores(stack, tmp_path)
    for name in ("boxed", "cluster"):
        await service.call("Upsert", upsert(embedded("a"), collection=name))
        assert ids(await service.call("Search", search(collections=[name]))) == [["a"]]
    folders = {str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").glob("**/c_acme_*")}
    assert {"stores/box/collections/c_acme_boxed", "stores/acme/collections/c_acme_cluster"} <= folders
    assert not any(folder.startswith("collections/") for folder in folders)


@pytest.mark.parametrize("name", ["stolen", "homeless"])
async def test_a_store_that_is_kept_for_another_tenant_stays_closed(
    stack: AsyncExitStack, tmp_path: Path, name: str
) -> None:
    """Whatever the map says of the collection; and a cluster is never served from the shared store."""
    service, _ = await start_with_stores(stack, tmp_path)
    assert (await service.refused("Search", search(collections=[name]))).reason == "COLLECTION_NOT_PLACED"
    refused = await service.refused("Upsert", upsert(embedded("a"), collection=name))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "COLLECTION_NOT_PLACED")
    assert service.store.endpoints() == ()


async def test_an_engine_needs_the_settings_leave(stack: AsyncExitStack, tmp_path: Path) -> None:
    """A map alone starts no processes on a machine that was not set up for them."""
    service, _ = await start_with_stores(stack, tmp_path, embedded_stores=False)
    assert (await service.refused("Search", search(collections=["boxed"]))).reason == "COLLECTION_NOT_PLACED"
    assert not (tmp_path / "data" / "stores").exists()


async def test_a_dead_server_fails_its_own_collections_alone(stack: AsyncExitStack, tmp_path: Path) -> None:
    """A partial answer has the others, and says what is missing; without it the failure names the collection."""
    service, _ = await start_with_stores(stack, tmp_path)
    await service.call("Upsert", upsert(embedded("a")))
    names = ["docs", "lost", "served", "stolen", "none"]
    answer = await service.call("Search", search(collections=names, allow_partial=True))
    assert [(result.collection, result.error) for result in answer.results] == [
        ("docs", reasons_pb.ERROR_REASON_UNSPECIFIED),
        ("lost", reasons_pb.ERROR_REASON_BACKEND_UNAVAILABLE),
        ("served", reasons_pb.ERROR_REASON_UNSPECIFIED),
        ("stolen", reasons_pb.ERROR_REASON_COLLECTION_NOT_PLACED),
        ("none", reasons_pb.ERROR_REASON_COLLECTION_UNKNOWN),
    ]
    assert ids(answer)[0] == ["a"]
    refused = await service.refused("Search", search(collections=["docs", "lost"]))
    assert refused.reason == "BACKEND_UNAVAILABLE"
    assert "lost" in refused.everything


async def test_a_dead_servers_breaker_is_its_own(stack: AsyncExitStack, tmp_path: Path) -> None:
    """It opens after five failures; the other server and the default store are asked as ever."""
    service, fake = await start_with_stores(stack, tmp_path)
    reasons = [
        (await service.call("Search", search(collections=["lost", "served", "docs"], allow_partial=True)))
        .results[0]
        .error
        for _ in range(7)
    ]
    assert reasons[0] == reasons_pb.ERROR_REASON_BACKEND_UNAVAILABLE
    assert reasons[-1] == reasons_pb.ERROR_REASON_CIRCUIT_OPEN
    assert len(fake.asked) == 7


async def test_a_frozen_engine_fails_its_own_collections_and_comes_back_with_its_documents(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    """Frozen it costs its own share of a partial answer; killed it is replaced and has lost nothing."""
    service, _ = await start_with_stores(stack, tmp_path)
    for name in ("docs", "boxed"):
        await service.call("Upsert", upsert(embedded(f"of {name}".replace(" ", "-")), collection=name))
    (engine,) = service.store._others.opened()
    assert isinstance(engine, EmbeddedStore)
    (pid,) = engine.worker_pids()
    assert pid is not None
    use_case = Search(Placements(service.the_map, HERE), service.store)
    command = SearchCommand("acme", ["boxed", "docs"], 5, text="plain sentence", allow_partial=True)

    os.kill(pid, signal.SIGSTOP)
    frozen, fine = await use_case.run(command, Deadline.after(1.0))
    assert isinstance(frozen.error, BackendTimeout)
    assert [hit.document.document_id for hit in fine.hits] == ["of-docs"]

    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: engine.ready() and engine.worker_pids() != [pid], within_s=30)
    back, _ = await use_case.run(command, Deadline.after(30))
    assert [hit.document.document_id for hit in back.hits] == ["of-boxed"]
