"""What the Qdrant adapter sends over gRPC, and how it takes a server's failures. No Qdrant is needed: a servicer on
Qdrant's own protos stands in, so the client's conversion to gRPC is the real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from qdrant_client import grpc as qdrant_grpc
from tests.contract.store_samples import EAST, dense, document, new_ref, soon, vector
from tests.integration.retrieval.fake_qdrant import SECRET, FakeQdrant, served

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, DomainError, Overloaded, SpaceMismatch
from trunkline_retrieval.model import Equals, Filter, SearchMode, StoreQuery
from trunkline_retrieval.qdrant_store import QdrantStore


@pytest.fixture
async def fake() -> FakeQdrant:
    """Give a server's behaviour."""
    return FakeQdrant()


@pytest.fixture
async def store(fake: FakeQdrant) -> AsyncIterator[QdrantStore]:
    """Give the adapter, connected to the stand-in over gRPC."""
    async with served(fake) as port:
        store = await QdrantStore.open("http://127.0.0.1:1", grpc_port=port, max_requests=2)
        yield store
        await store.close()


async def test_hybrid_search_is_one_call_within_the_scope(store: QdrantStore, fake: FakeQdrant) -> None:
    """Dense, BM25 and fusion travel together; each part carries the tenant's boundary, and words count by scope."""
    wanted = Filter(must=(Equals("page", 3),))
    query = StoreQuery(SearchMode.HYBRID, 10, text="memory leak", vector=vector(*EAST), filter=wanted)

    assert list(await store.search(new_ref(), query, soon())) == []

    (request,) = fake.asked
    (points,) = request.query_points
    assert points.query.rrf.k == 61
    assert len(points.prefetch) == 2
    for prefetch in points.prefetch:
        keys = {condition.field.key: condition.field.match for condition in prefetch.filter.must}
        assert set(keys) == {"scope", "f.page"}
        assert keys["scope"].keyword == "acme/docs"
    assert points.prefetch[0].using == "space-a"
    assert points.prefetch[1].params.idf.corpus.must[0].field.match.keyword == "acme/docs"


async def test_writes_are_waited_for_and_ordered(store: QdrantStore, fake: FakeQdrant) -> None:
    """An acknowledged write is applied, and a deletion is not undone by a replica that missed it."""
    ref = new_ref()
    await store.upsert(ref, [document("a")], soon())
    await store.delete(ref, ["a"], soon())

    assert [request.wait for request in fake.asked] == [True, True]
    assert {request.ordering.type for request in fake.asked} == {qdrant_grpc.WriteOrderingType.Medium}


async def test_hanging_server_is_a_timeout_and_the_call_is_cancelled(store: QdrantStore, fake: FakeQdrant) -> None:
    """A call ends at its deadline, far below the client's own whole seconds, and the server hears of it."""
    fake.hang = True
    began_s = time.monotonic()

    with pytest.raises(BackendTimeout):
        await store.search(new_ref(), dense(), Deadline.after(0.1))

    assert time.monotonic() - began_s < 5
    async with asyncio.timeout(10):
        await fake.left.wait()
    assert store.usage().pressure == 0.0


async def test_too_many_calls_are_refused(store: QdrantStore, fake: FakeQdrant) -> None:
    """Beyond the bound calls are refused at once."""
    fake.hang = True
    calls = [asyncio.create_task(store.search(new_ref(), dense(), soon())) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await store.search(new_ref(), dense(), soon())

    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert store.usage().pressure == 0.0


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, BackendUnavailable),
        (grpc.StatusCode.INTERNAL, BackendUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, BackendTimeout),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
    ],
)
async def test_failures_are_renamed(
    store: QdrantStore, fake: FakeQdrant, code: grpc.StatusCode, expected: type[DomainError]
) -> None:
    """A server's status becomes a reason of the contract, without its text."""
    fake.fail_with = code

    with pytest.raises(expected) as caught:
        await store.search(new_ref(), dense(), soon())

    assert SECRET not in caught.value.message


async def test_missing_collection_is_empty(store: QdrantStore, fake: FakeQdrant) -> None:
    """NOT_FOUND on a read means that nothing was written yet."""
    fake.fail_with = grpc.StatusCode.NOT_FOUND

    assert list(await store.search(new_ref(), dense(), soon())) == []


async def test_space_is_checked_before_anything_is_sent(store: QdrantStore, fake: FakeQdrant) -> None:
    """Vectors of another space do not reach the server."""
    ref = new_ref()
    foreign = type(ref)(ref.scope, ref.physical_name, "space-b", ref.dimension)

    with pytest.raises(SpaceMismatch):
        await store.search(foreign, dense(), soon())

    assert fake.asked == []


async def test_readiness_follows_the_server(store: QdrantStore) -> None:
    """A server that answered is ready; one that nobody answers for is not."""
    assert store.ready()

    lost = await QdrantStore.open("http://127.0.0.1:1", grpc_port=1)
    assert not lost.ready()
    await lost.close()
