"""Worker processes that die, freeze, fill up or are in the way: what callers see, and that nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.contract.store_samples import dense, document, fill, ids, new_ref, read_all, soon
from tests.integration.retrieval.conftest import OpenStore

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, Overloaded, StorageFull
from trunkline_retrieval.embedded_store import DataDirectoryInUseError, EmbeddedBounds, EmbeddedStore
from trunkline_retrieval.engine import supervisor
from trunkline_retrieval.engine.placing import worker_of
from trunkline_retrieval.engine.wire import Notice
from trunkline_retrieval.model import CollectionRef

IMPATIENT = EmbeddedBounds(read_patience_s=0.05, write_patience_s=0.05)


def pid_of(store: EmbeddedStore, number: int = 0) -> int:
    """Return a worker's process id."""
    pid = store.worker_pids()[number]
    assert pid is not None
    return pid


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process for the duration of the context."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have been killed meanwhile
            os.kill(pid, signal.SIGCONT)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that gives no signal of its own."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.01)


async def retried(call: Callable[[], Awaitable[object]]) -> None:
    """Repeat a call until it is not refused for the store's sake."""
    async with asyncio.timeout(60):
        while True:
            try:
                await call()
            except (BackendUnavailable, BackendTimeout):
                await asyncio.sleep(0.01)
            else:
                return


def ref_of_worker(number: int, workers: int) -> CollectionRef:
    """Return a collection that falls to the worker."""
    while True:
        ref = new_ref()
        if worker_of(ref.physical_name, workers) == number:
            return ref


async def test_kill_during_writes_loses_nothing_acknowledged(open_store: OpenStore) -> None:
    """Whatever was acknowledged is found after the worker was killed several times, and the store recovers."""
    store = await open_store()
    ref = new_ref()
    await store.ensure_collection(ref, soon())
    acknowledged: set[str] = set()
    refused = 0

    async def write(writer: int) -> None:
        nonlocal refused
        for number in range(60):
            name = f"w{writer}-{number}"
            try:
                await store.upsert(ref, [document(name, (1, number, writer, 0))], soon())
            except BackendUnavailable:
                refused += 1
                continue
            acknowledged.add(name)

    async def kill() -> None:
        for fatal in (signal.SIGKILL, signal.SIGBUS):  # a full disk ends the engine by the latter
            seen = len(acknowledged)
            await eventually(lambda seen=seen: len(acknowledged) >= seen + 20)  # type: ignore[misc] # loop variable kept
            os.kill(pid_of(store), fatal)
            await eventually(store.ready)

    async with asyncio.TaskGroup() as group:
        for writer in range(4):
            group.create_task(write(writer))
        group.create_task(kill())

    stored = [embedded.document.document_id for embedded in await read_all(store, ref, 50)]
    assert refused > 0
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored))


async def test_frozen_worker_is_a_timeout_within_the_deadline(open_store: OpenStore) -> None:
    """A frozen worker costs a caller its deadline and not more; afterwards it serves again."""
    store = await open_store()
    ref = new_ref()
    await fill(store, ref, document("a"))

    with frozen(pid_of(store)):
        began_s = time.monotonic()
        with pytest.raises(BackendTimeout):
            await store.search(ref, dense(), Deadline.after(0.2))
        with pytest.raises(BackendTimeout):
            await store.upsert(ref, [document("b")], Deadline.after(0.2))
        took_s = time.monotonic() - began_s

    assert took_s < 5.0
    assert ids(await store.search(ref, dense(), soon())) == ["a"]


async def test_work_that_nobody_waits_for_is_not_run(open_store: OpenStore) -> None:
    """A write whose caller timed out or left while it was queued is dropped, not applied later."""
    store = await open_store()
    ref = new_ref()
    await fill(store, ref, document("a"))

    with frozen(pid_of(store)):
        with pytest.raises(BackendTimeout):
            await store.upsert(ref, [document("late")], Deadline.after(0.1))
        leaving = asyncio.create_task(store.upsert(ref, [document("left")], soon()))
        await eventually(lambda: store._workers[0].requests_under_way == 2)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

    assert ids(await store.search(ref, dense(), soon())) == ["a"]


async def test_cancelled_calls_leave_nothing_stuck(open_store: OpenStore) -> None:
    """After many cancelled calls the store owes nothing and answers."""
    store = await open_store()
    ref = new_ref()
    await fill(store, ref, document("a"))

    with frozen(pid_of(store)):
        calls = [asyncio.create_task(store.search(ref, dense(), soon())) for _ in range(30)]
        await eventually(lambda: store._workers[0].requests_under_way == 30)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    assert ids(await store.search(ref, dense(), soon())) == ["a"]
    await eventually(lambda: store.usage().pressure == 0.0)
    assert store._workers[0].bytes_under_way == 0


async def test_too_much_under_way_is_refused_at_once(open_store: OpenStore) -> None:
    """Beyond the bound calls are refused without waiting, in number and in size."""
    store = await open_store(bounds=EmbeddedBounds(max_requests_per_worker=3))
    ref = new_ref()
    await fill(store, ref, document("a"))

    with frozen(pid_of(store)):
        calls = [asyncio.create_task(store.search(ref, dense(), soon())) for _ in range(3)]
        await eventually(lambda: store.usage().pressure == 1.0)
        with pytest.raises(Overloaded):
            await store.search(ref, dense(), soon())

    assert [ids(hits) for hits in await asyncio.gather(*calls)] == [["a"]] * 3


async def test_dead_worker_is_unavailable_until_it_is_back(open_store: OpenStore) -> None:
    """While a worker restarts, calls are refused with a hint when to come back; the store is not ready, then it is."""
    store = await open_store(bounds=IMPATIENT)
    ref = new_ref()
    await fill(store, ref, document("a"))

    with frozen(pid_of(store)):
        waiting = asyncio.create_task(store.search(ref, dense(), soon()))
        await eventually(lambda: store._workers[0].requests_under_way == 1)
        os.kill(pid_of(store), signal.SIGKILL)
    with pytest.raises(BackendUnavailable) as caught:
        await waiting
    assert caught.value.retry_delay_s is not None
    with pytest.raises(BackendUnavailable):
        await store.search(ref, dense(), soon())
    assert not store.ready()

    await eventually(store.ready)
    assert ids(await store.search(ref, dense(), soon())) == ["a"]


async def test_busy_worker_is_unavailable_after_a_short_wait(open_store: OpenStore) -> None:
    """While a worker builds an index, a search waits its patience and is then told so; a patient one is answered."""
    store = await open_store(bounds=EmbeddedBounds(read_patience_s=0.05, write_patience_s=30))
    ref = new_ref()
    await fill(store, ref, document("a"))
    worker = store._workers[0]

    worker._on_notice(Notice.BUSY)
    assert store.ready()  # for a short while: it answers soon, and a region must not be taken for lost for that
    with pytest.raises(BackendUnavailable):
        await store.search(ref, dense(), soon())
    patient = asyncio.create_task(store.upsert(ref, [document("b")], soon()))
    await asyncio.sleep(0)
    worker._on_notice(Notice.IDLE)
    await patient

    assert sorted(ids(await store.search(ref, dense(), soon()))) == ["a", "b"]


async def test_index_is_built_in_idle_time(open_store: OpenStore) -> None:
    """Building the index when nothing else is to do changes no answer."""
    store = await open_store(optimize_after_points=50, optimize_idle_s=0.0)
    ref = new_ref()
    documents = [document(f"d{number:03}", (1, number, 0, 0)) for number in range(300)]
    await store.ensure_collection(ref, soon())
    for start in range(0, 300, 100):
        await retried(lambda start=start: store.upsert(ref, documents[start : start + 100], soon()))  # type: ignore[misc] # loop variable kept

    await retried(lambda: store.count(ref, soon()))
    assert ids(await store.search(ref, dense(limit=3), soon())) == ["d000", "d001", "d002"]
    assert await store.count(ref, soon()) == 300


async def test_workers_share_the_collections(open_store: OpenStore) -> None:
    """Each physical collection belongs to one worker: losing the other one is not noticed."""
    store = await open_store(workers=2, bounds=IMPATIENT)
    first, second = ref_of_worker(0, 2), ref_of_worker(1, 2)
    await fill(store, first, document("a"))
    await fill(store, second, document("b"))

    os.kill(pid_of(store, 1), signal.SIGKILL)

    assert ids(await store.search(first, dense(), soon())) == ["a"]
    with pytest.raises(BackendUnavailable):
        await store.search(second, dense(), soon())
    await retried(lambda: store.search(second, dense(), soon()))
    assert ids(await store.search(second, dense(), soon())) == ["b"]


async def test_number_of_workers_may_change(open_store: OpenStore) -> None:
    """Data lies by collection and not by worker."""
    refs = [new_ref() for _ in range(6)]
    store = await open_store(workers=1)
    for ref in refs:
        await fill(store, ref, document(ref.physical_name))
    await store.close()

    reopened = await open_store(workers=3)

    for ref in refs:
        assert ids(await reopened.search(ref, dense(), soon())) == [ref.physical_name]


async def test_full_disk_refuses_writes_and_serves_reads(open_store: OpenStore) -> None:
    """Below the reserve of free space writes are refused before the engine sees them; reads and deletes go on."""
    ref = new_ref()
    store = await open_store()
    await fill(store, ref, document("a"), document("b"))
    await store.close()

    full = await open_store(min_free_bytes=1 << 60)

    with pytest.raises(StorageFull):
        await full.upsert(ref, [document("c")], soon())
    with pytest.raises(StorageFull):
        await full.ensure_collection(new_ref(), soon())
    await full.delete(ref, ["b"], soon())
    assert ids(await full.search(ref, dense(), soon())) == ["a"]
    assert full.usage().free_bytes == 0


async def test_data_directory_has_one_owner(open_store: OpenStore) -> None:
    """A second service on the same directory is refused at start, and welcome when the first is gone."""
    store = await open_store()

    with pytest.raises(DataDirectoryInUseError):
        await open_store()
    await store.close()

    again = await open_store()
    assert again.ready()


async def test_collections_are_closed_to_make_room(open_store: OpenStore) -> None:
    """With more collections than may be open, each is opened again when it is asked for."""
    store = await open_store(max_open_collections=2)
    refs = [new_ref() for _ in range(5)]
    for ref in refs:
        await fill(store, ref, document(ref.physical_name))

    for ref in (*refs, *refs):
        assert ids(await store.search(ref, dense(), soon())) == [ref.physical_name]


async def test_concurrent_writes_and_reads_agree(open_store: OpenStore) -> None:
    """Writes that share a flush are each found as soon as they are acknowledged."""
    store = await open_store()
    ref = new_ref()
    await store.ensure_collection(ref, soon())

    async def write_and_read(number: int) -> bool:
        name = f"d{number}"
        await store.upsert(ref, [document(name, (1, number, 0, 0), f"unique{number} word")], soon())
        hits = await store.search(ref, dense(limit=200), soon())
        return name in ids(hits)

    assert all(await asyncio.gather(*(write_and_read(number) for number in range(40))))


async def test_hung_worker_is_replaced(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that owes an answer and stays silent for too long is killed, and its successor serves."""
    monkeypatch.setattr(supervisor, "QUIET_S", 0.1)  # how often it looks
    store = await open_store()
    ref = new_ref()
    await fill(store, ref, document("a"))
    hung = pid_of(store)

    os.kill(hung, signal.SIGSTOP)
    monkeypatch.setattr(supervisor, "HANG_PATIENCE_S", 0.3)
    with pytest.raises(BackendUnavailable):
        await store.search(ref, dense(), soon())
    monkeypatch.setattr(supervisor, "HANG_PATIENCE_S", 60.0)
    await eventually(store.ready)

    assert pid_of(store) != hung
    assert ids(await store.search(ref, dense(), soon())) == ["a"]


async def test_idle_worker_is_not_taken_for_a_hung_one(open_store: OpenStore) -> None:
    """Silence counts from when something is owed: after an idle night the first request kills nobody."""
    store = await open_store()
    worker = store._workers[0]
    assert worker._connection is not None
    worker._connection.quiet_since_s -= 100_000

    with frozen(pid_of(store)):
        call = asyncio.create_task(store.search(new_ref(), dense(), soon()))
        await eventually(lambda: worker.requests_under_way == 1)
        silence_s = worker._silence_s()

    assert silence_s < 1_000
    assert list(await call) == []
