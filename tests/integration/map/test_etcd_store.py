"""The key-value port over a real etcd."""

from __future__ import annotations

import asyncio
import random

import pytest
import structlog
from tests.integration.map.etcd_server import EtcdServer

from trunkline_map.etcd import EtcdStore, open_etcd
from trunkline_map.store import (
    MAX_TRANSACTION_BYTES,
    Changes,
    Event,
    MemberStatus,
    ReadResult,
    Started,
    StoreCompactedError,
    StoreUnavailableError,
    Transaction,
    TransactionTooLargeError,
    Unchanged,
    WatchCanceledError,
)
from trunkline_mesh.errors import MapUnwritable

P = b"/trunkline/v1/"


async def write(store: EtcdStore, *keys: bytes) -> int:
    return (await store.commit(Transaction(puts=dict.fromkeys(keys, b"v")), timeout_s=5)).revision


async def test_several_keys_are_read_at_one_revision(store: EtcdStore) -> None:
    """Missing keys are left out, the others carry the revision of their change."""
    first = await write(store, P + b"a")
    second = await write(store, P + b"b")

    found = await store.read([P + b"a", P + b"b", P + b"c"], timeout_s=5)

    assert {key: item.mod_revision for key, item in found.items.items()} == {P + b"a": first, P + b"b": second}
    assert found.revision == second


async def test_pages_of_one_revision_miss_later_changes(store: EtcdStore) -> None:
    """A list that is read slowly shows one state, not a mixture."""
    await write(store, *(P + b"k%d" % number for number in range(5)))
    page = await store.list_page(P, limit=2, timeout_s=5)
    await write(store, P + b"k9")
    keys = [item.key for item in page.items]

    while page.more:
        page = await store.list_page(P, limit=2, after=keys[-1], revision=page.revision, timeout_s=5)
        keys += [item.key for item in page.items]

    assert keys == [P + b"k%d" % number for number in range(5)]


async def test_a_list_stays_in_its_folder(store: EtcdStore) -> None:
    """Neighbours in the order of keys do not slip in, also for a position outside."""
    await write(store, P + b"a/1", P + b"a/2", P + b"ab/1", b"/before")

    page = await store.list_page(P + b"a/", after=b"/a", timeout_s=5)

    assert [item.key for item in page.items] == [P + b"a/1", P + b"a/2"]


async def test_a_compacted_revision_is_told(store: EtcdStore, etcd: EtcdServer) -> None:
    """A page token outlives its history; the caller must know."""
    old = await write(store, P + b"a")
    await write(store, P + b"a")
    await etcd.compact()

    with pytest.raises(StoreCompactedError):
        await store.list_page(P, revision=old, timeout_s=5)


async def test_a_change_is_applied_only_if_every_condition_holds(store: EtcdStore) -> None:
    """Compare-and-set on several keys is one step: nothing is written in part."""
    revision = await write(store, P + b"a")
    wrong = Transaction(compares={P + b"a": revision, P + b"b": 7}, puts={P + b"a": b"x", P + b"c": b"x"})
    right = Transaction(compares={P + b"a": revision, P + b"b": 0}, puts={P + b"b": b"x"}, deletes=[P + b"a"])

    assert not (await store.commit(wrong, timeout_s=5)).applied
    assert set((await store.read([P + b"a", P + b"c"], timeout_s=5)).items) == {P + b"a"}
    assert (await store.commit(right, timeout_s=5)).applied
    assert set((await store.read([P + b"a", P + b"b"], timeout_s=5)).items) == {P + b"b"}


async def test_a_put_into_a_folder_breaks_the_condition_that_it_is_unchanged(store: EtcdStore) -> None:
    """A reference that appears after it was looked for is noticed; elsewhere it does not matter."""
    revision = await write(store, P + b"x/1")
    await write(store, P + b"y/1")
    guarded = Transaction(unchanged=[Unchanged(P + b"x/", revision)], puts={P + b"z": b"v"})

    assert (await store.commit(guarded, timeout_s=5)).applied
    await write(store, P + b"x/2")
    assert not (await store.commit(guarded, timeout_s=5)).applied


async def test_an_empty_folder_is_unchanged(store: EtcdStore) -> None:
    """The condition holds where nothing was ever put."""
    guarded = Transaction(unchanged=[Unchanged(P + b"none/", 1)], puts={P + b"z": b"v"})

    assert (await store.commit(guarded, timeout_s=5)).applied


async def test_of_racing_writers_one_wins(store: EtcdStore) -> None:
    """Twenty writers of the same revision: one change, nineteen refusals."""
    revision = await write(store, P + b"a")
    attempts = [
        store.commit(Transaction(compares={P + b"a": revision}, puts={P + b"a": b"%d" % number}), timeout_s=5)
        for number in range(20)
    ]

    commits = await asyncio.gather(*attempts)

    assert sum(commit.applied for commit in commits) == 1


@pytest.mark.parametrize(
    "transaction",
    [
        Transaction(puts={P + b"%d" % number: b"" for number in range(65)}),
        Transaction(compares={P + b"%d" % number: 0 for number in range(64)}, puts={P + b"x": b""}),
        Transaction(puts={P + b"a": b"x" * MAX_TRANSACTION_BYTES}),
    ],
)
async def test_too_large_transactions_are_refused_unsent(store: EtcdStore, transaction: Transaction) -> None:
    """The bounds are ours, not those that some etcd was started with."""
    with pytest.raises(TransactionTooLargeError):
        await store.commit(transaction, timeout_s=5)


async def test_a_transaction_at_the_bounds_passes(store: EtcdStore) -> None:
    """64 keys are allowed."""
    transaction = Transaction(puts={P + b"%d" % number: b"v" for number in range(64)})

    assert (await store.commit(transaction, timeout_s=5)).applied


async def test_quiet_means_that_nothing_of_ours_changed(store: EtcdStore) -> None:
    """Keys of others move the revision; ours, put or deleted, are noticed."""
    revision = await write(store, P + b"a", P + b"b")
    later = await write(store, b"/elsewhere")

    assert await store.quiet_since(P, revision, keys=2, timeout_s=5) == later
    await write(store, P + b"a")
    assert await store.quiet_since(P, revision, keys=2, timeout_s=5) is None


async def test_a_delete_is_not_quiet(store: EtcdStore) -> None:
    """What is gone has no revision; it is missed by the count."""
    revision = await write(store, P + b"a", P + b"b")
    await store.commit(Transaction(deletes=[P + b"b"]), timeout_s=5)

    assert await store.quiet_since(P, revision, keys=2, timeout_s=5) is None


async def test_reads_that_are_given_up_do_not_harm_etcd(store: EtcdStore, etcd: EtcdServer) -> None:
    """A read-only transaction that is cancelled crashes etcd before 3.5.5 in a few rounds: ours are no transactions."""
    keys = [P + b"k%04d" % number for number in range(1920)]
    for start in range(0, len(keys), 64):
        revision = await write(store, *keys[start : start + 64])
    rng = random.Random(5)

    for _ in range(60):
        reads = [
            asyncio.ensure_future(store.quiet_since(P, revision, keys=len(keys), timeout_s=5)),
            asyncio.ensure_future(store.read(keys[:60], timeout_s=5)),
            asyncio.ensure_future(store.list_page(P, timeout_s=5)),
        ]
        await asyncio.sleep(rng.random() * 0.01)
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    assert etcd.child.poll() is None
    assert await store.quiet_since(P, revision, keys=len(keys), timeout_s=5) == revision


async def test_a_transaction_that_changes_nothing_is_refused(store: EtcdStore) -> None:
    """It would be a read, and harmful as such."""
    with pytest.raises(ValueError, match="must change"):
        await store.commit(Transaction(compares={P + b"a": 0}), timeout_s=5)


async def test_a_watch_yields_changes_from_its_start(store: EtcdStore) -> None:
    """First the sign that it is in place, then whole transactions in order."""
    first = await write(store, P + b"a")
    second = await write(store, P + b"b", P + b"c")
    await write(store, b"/elsewhere")

    events: list[Event] = []
    async with store.watch(P, start_revision=first) as watch, asyncio.timeout(10):
        async for signal in watch:
            if isinstance(signal, Started):
                await store.commit(Transaction(deletes=[P + b"a"]), timeout_s=5)
            if isinstance(signal, Changes):
                events += signal.events
            if len(events) >= 4:
                break

    assert [(event.key, event.mod_revision) for event in events[:3]] == [
        (P + b"a", first),
        (P + b"b", second),
        (P + b"c", second),
    ]
    assert events[3].value is None


async def test_a_watch_of_compacted_history_is_ended(store: EtcdStore, etcd: EtcdServer) -> None:
    """Silence here would be events lost."""
    old = await write(store, P + b"a")
    await write(store, P + b"a")
    await etcd.compact()

    async def read_all() -> None:
        async with store.watch(P, start_revision=old) as watch:
            async for _ in watch:
                pass

    with pytest.raises(WatchCanceledError):
        async with asyncio.timeout(10):
            await read_all()


async def test_an_aborted_watch_ends_as_a_broken_one(store: EtcdStore) -> None:
    """Giving up a stream must not look like the cancellation of the task that reads it."""

    async def read_all() -> None:
        async with store.watch(P, start_revision=1) as watch:
            async for signal in watch:
                if isinstance(signal, Started):
                    watch.abort()

    with pytest.raises(StoreUnavailableError):
        async with asyncio.timeout(10):
            await read_all()


async def test_without_etcd_reads_fail_and_changes_are_not_made(fragile_etcd: EtcdServer) -> None:
    """What was never sent is known not to have happened."""
    async with open_etcd([fragile_etcd.endpoint]) as store:
        await write(store, P + b"a")
        await fragile_etcd.kill()

        with pytest.raises(StoreUnavailableError):
            await store.read([P + b"a"], timeout_s=2)
        with pytest.raises(MapUnwritable, match="nothing was changed") as refused:
            await write(store, P + b"b")

    assert refused.value.metadata == {"outcome": "NONE"}
    assert refused.value.retry_delay_s


async def test_a_frozen_etcd_is_a_timeout_and_its_late_outcome_stays_unknown(fragile_etcd: EtcdServer) -> None:
    """The change that timed out may be applied when etcd goes on: exactly why it is called unknown."""
    async with open_etcd([fragile_etcd.endpoint]) as store:
        await write(store, P + b"a")
        fragile_etcd.child.pause()
        with pytest.raises(MapUnwritable) as refused:
            await store.commit(Transaction(puts={P + b"b": b"late"}), timeout_s=0.5)
        fragile_etcd.child.resume()

    assert refused.value.metadata["outcome"] == "UNKNOWN"


async def test_a_defective_version_is_warned_of(store: EtcdStore) -> None:
    """The development etcd is one; the warning names its version."""
    with structlog.testing.capture_logs() as logs:
        version = await store.check_version(timeout_s=5)

    warned = [line for line in logs if line.get("version") == version]
    assert bool(warned) == version.startswith(("3.5.0", "3.5.1", "3.5.2"))


async def test_a_folder_is_read_from_its_end(store: EtcdStore) -> None:
    """Page by page, the greatest key first, nothing twice and nothing left out, and no key of another folder."""
    keys = [f"/own/{number:02d}".encode() for number in range(7)]
    await store.commit(Transaction(puts={**dict.fromkeys(keys, b"x"), b"/owner": b"y", b"/ow": b"y"}), timeout_s=5)

    seen_keys: list[bytes] = []
    more, after = True, b""
    while more:
        page = await store.list_page(b"/own/", after=after, limit=3, descending=True, keys_only=True, timeout_s=5)
        seen_keys += [item.key for item in page.items]
        assert all(item.value == b"" for item in page.items)
        after, more = page.items[-1].key, page.more

    assert seen_keys == keys[::-1]
    assert (await store.list_page(b"/own/", after=b"/own/", descending=True, timeout_s=5)).items == ()


async def test_the_last_changes_come_first_and_whole(store: EtcdStore) -> None:
    """Whatever their keys are; a revision is never divided between pages."""
    for name in (b"b", b"a", b"c"):
        await store.commit(Transaction(puts={b"/log/" + name: b"x"}), timeout_s=5)
    both = await store.commit(Transaction(puts={b"/log/d": b"x", b"/log/e": b"x"}), timeout_s=5)

    first = await store.list_latest(b"/log/", limit=1, timeout_s=5)
    second = await store.list_latest(b"/log/", limit=2, before=first.items[-1].mod_revision, timeout_s=5)
    third = await store.list_latest(b"/log/", limit=2, before=second.items[-1].mod_revision, timeout_s=5)

    assert {item.key for item in first.items} == {b"/log/d", b"/log/e"}
    assert [item.key for item in second.items] == [b"/log/c", b"/log/a"]
    assert [item.key for item in third.items] == [b"/log/b"]
    assert [first.more, second.more, third.more] == [True, True, False]
    recent = await store.list_latest(b"/log/", since=both.revision, timeout_s=5)
    assert {item.key for item in recent.items} == {b"/log/d", b"/log/e"}
    assert not recent.more


async def test_members_tell_their_status(etcd: EtcdServer) -> None:
    """One that is down is said to be; it costs no more than the bound."""
    async with open_etcd([etcd.endpoint, "127.0.0.1:1"]) as store:
        revision = (await put_and_read(store)).revision

        here, away = await store.member_statuses(timeout_s=5)

    assert here.endpoint == etcd.endpoint
    assert here.reachable
    assert here.leader
    assert here.has_leader
    assert here.revision == revision
    assert here.db_size_bytes >= here.db_used_bytes > 0
    assert here.version.startswith("3.")
    assert here.alarms == ()
    assert away == MemberStatus("127.0.0.1:1", reachable=False)


async def put_and_read(store: EtcdStore) -> ReadResult:
    await store.commit(Transaction(puts={b"/k": b"v"}), timeout_s=5)
    return await store.read([b"/k"], timeout_s=5)
