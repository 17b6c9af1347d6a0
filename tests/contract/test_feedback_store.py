"""What a store of feedback must do, on the adapter over a folder: durable, bounded, shared, and never read torn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.feedback_samples import NOW_S, said

from trunkline_mesh.errors import BackendUnavailable, Internal, Overloaded
from trunkline_routing.feedback import journal, segments
from trunkline_routing.feedback.journal import FileFeedbackStore
from trunkline_routing.feedback.records import FeedbackRecord, Record, ShadowRecord, from_line, to_line

DAY_S = 86_400.0
ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that the test sets."""

    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> FileFeedbackStore:
    return FileFeedbackStore(tmp_path, clock)


async def everything(store: FileFeedbackStore, tenant_id: str = "acme") -> list[Record]:
    return await store.read("eu", tenant_id, since_s=0.0, limit=1_000_000)


def decisions(records: list[Record]) -> list[str]:
    return [record.decision for record in records if isinstance(record, FeedbackRecord)]


async def test_what_was_kept_is_read_back(store: FileFeedbackStore) -> None:
    """Every field with its type, oldest first, both kinds."""
    records: list[Record] = [
        said(decision="a", text='"new"\nline \x00 ü \U0001f600', success=None, right=()),
        ShadowRecord("acme", NOW_S + 1, "trial", agrees=True),
        said(decision="b", at_s=NOW_S + 2, success=True),
    ]
    for record in reversed(records):
        await store.append("eu", record)

    assert await everything(store) == records


async def test_tenants_and_jurisdictions_are_apart(store: FileFeedbackStore) -> None:
    """What one tenant says in one jurisdiction is nowhere else."""
    await store.append("eu", said())
    await store.append("us", said(tenant_id="birch"))

    assert (await store.tenants("eu"), await store.tenants("us"), await store.tenants("apac")) == (
        ["acme"],
        ["birch"],
        [],
    )
    assert await everything(store, "birch") == []


async def test_the_last_word_of_a_caller_counts(store: FileFeedbackStore) -> None:
    """About one decision; other callers' and other decisions' stay."""
    for record in (said(success=False), said(caller="bob"), said(decision="e"), said(success=True, at_s=NOW_S + 1)):
        await store.append("eu", record)

    found = [record for record in await everything(store) if isinstance(record, FeedbackRecord)]

    assert sorted((each.caller, each.decision, each.success) for each in found) == [
        ("ann", "d", True),
        ("ann", "e", False),
        ("bob", "d", False),
    ]


async def test_reading_is_bounded_by_time_and_number(store: FileFeedbackStore) -> None:
    """The newest are read."""
    for number in range(10):
        await store.append("eu", said(decision=str(number), at_s=NOW_S + number))

    assert decisions(await store.read("eu", "acme", since_s=NOW_S + 4, limit=3)) == ["7", "8", "9"]
    assert decisions(await store.read("eu", "acme", since_s=NOW_S + 8, limit=100)) == ["8", "9"]


async def test_many_at_once_are_all_kept(store: FileFeedbackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written and synced in groups; more than may wait are refused at once."""
    synced = []
    sync = os.fdatasync

    def counted(handle: int) -> None:
        synced.append(handle)
        sync(handle)

    monkeypatch.setattr(os, "fdatasync", counted)
    await asyncio.gather(*(store.append("eu", said(decision=str(number))) for number in range(1_000)))

    assert len(await everything(store)) == 1_000
    assert len(synced) < 20
    monkeypatch.setattr(journal, "MAX_PENDING", 2)
    results = await asyncio.gather(*(store.append("eu", said()) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 2 + [Overloaded] * 3
    await store.close()


async def test_a_caller_that_leaves_disturbs_nobody(store: FileFeedbackStore) -> None:
    """Its record may be kept or not; those of the others are."""
    leaving = asyncio.ensure_future(store.append("eu", said(decision="left")))
    staying = asyncio.ensure_future(store.append("eu", said(decision="stayed")))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    with contextlib.suppress(asyncio.CancelledError):
        await leaving

    assert "stayed" in decisions(await everything(store))


async def test_two_stores_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither loses a line, also where segments are begun all the time."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 4_096)
    stores = [FileFeedbackStore(tmp_path) for _ in range(2)]
    names = [f"{owner}-{number}" for owner in range(2) for number in range(200)]

    async def write(owner: int) -> None:
        for number in range(200):
            await stores[owner].append("eu", said(decision=f"{owner}-{number}", text="x" * (number % 50)))

    await asyncio.gather(write(0), write(1))

    assert sorted(decisions(await everything(stores[0]))) == sorted(names)


async def test_nothing_promised_is_lost_when_writers_are_killed(tmp_path: Path) -> None:
    """Two processes append to one folder and are killed in the middle: what was answered is there, all lines whole."""
    writers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.contract.feedback_writer", str(tmp_path), name,
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )
        for name in ("one", "two")
    ]  # fmt: skip
    promised: list[str] = []
    try:
        for writer in writers:
            assert writer.stdout is not None
            promised += [(await writer.stdout.readline()).decode().strip() for _ in range(50)]
    finally:
        for writer in writers:
            writer.kill()
    for writer in writers:
        rest, _ = await writer.communicate()
        promised += [line.decode() for line in rest.split(b"\n")[:-1]]

    store = FileFeedbackStore(tmp_path)
    kept = set(decisions(await everything(store)))
    assert not [name for name in promised if name and name not in kept]
    await store.append("eu", said(decision="after"))
    assert "after" in decisions(await everything(store))


@pytest.mark.parametrize(
    "torn", [b'{"kind":"feedback","tenant', b"\xff\xfe", b"[1]\n", b"7\n", b'{"kind":"new"}\n', b"[" * 9_000]
)
async def test_a_torn_line_costs_itself_alone(store: FileFeedbackStore, tmp_path: Path, torn: bytes) -> None:
    """What stands before and behind it is read."""
    await store.append("eu", said(decision="before"))
    [segment] = (tmp_path / "eu" / "acme").iterdir()
    with segment.open("ab") as file:
        file.write(torn)
    await store.append("eu", said(decision="behind", at_s=NOW_S + 1))

    assert decisions(await everything(store)) == ["before", "behind"]


async def test_a_full_disk_is_told_and_survived(store: FileFeedbackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller hears that it was not kept; half a line that was written disturbs nothing later."""
    await store.append("eu", said(decision="before"))
    write = os.write

    def full(handle: int, content: bytes) -> int:
        write(handle, bytes(content)[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(BackendUnavailable):
            await store.append("eu", said(decision="lost"))
    await store.append("eu", said(decision="behind", at_s=NOW_S + 1))

    assert decisions(await everything(store)) == ["before", "behind"]


async def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """As any other failure of the store."""
    (tmp_path / "eu").write_text("no folder")
    store = FileFeedbackStore(tmp_path)

    with pytest.raises(BackendUnavailable):
        await store.append("eu", said())
    with pytest.raises(BackendUnavailable):
        await everything(store)


async def test_one_tenant_takes_a_bounded_place(
    store: FileFeedbackStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go when there is too much."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1_000)
    monkeypatch.setattr(segments, "MAX_TENANT_BYTES", 5_000)
    for number in range(100):
        await store.append("eu", said(decision=str(number), at_s=NOW_S + number))

    size_bytes = sum(path.stat().st_size for path in (tmp_path / "eu" / "acme").iterdir())
    kept = decisions(await everything(store))
    assert size_bytes <= 5_000 + 1_000
    assert 5 <= len(kept) < 30
    assert kept == [str(number) for number in range(100 - len(kept), 100)]


async def test_days_are_forgotten_whole(store: FileFeedbackStore, clock: Clock) -> None:
    """What ended before the time is gone; the day in which it lies is kept until it has ended."""
    for day in range(4):
        clock.now_s = NOW_S + day * DAY_S
        await store.append("eu", said(decision=str(day), at_s=clock.now_s))

    assert await store.trim("eu", "acme", before_s=NOW_S + 2 * DAY_S, max_records=1_000) == 2
    assert decisions(await everything(store)) == ["2", "3"]
    assert await store.trim("eu", "birch", before_s=NOW_S, max_records=1) == 0


async def test_too_many_are_forgotten_by_segment(store: FileFeedbackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least as many stay as were asked for, the newest."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1_000)
    for number in range(30):
        await store.append("eu", said(decision=str(number), at_s=NOW_S + number))

    dropped = await store.trim("eu", "acme", before_s=0.0, max_records=10)

    kept = decisions(await everything(store))
    assert dropped + len(kept) == 30
    assert 10 <= len(kept) < 15
    assert kept[-1] == "29"


async def test_a_clock_that_was_set_back_loses_nothing(store: FileFeedbackStore, clock: Clock) -> None:
    """Everything goes on being written behind what is there, and read in the order of its own times."""
    await store.append("eu", said(decision="late", at_s=NOW_S + 9))
    clock.now_s = NOW_S - 3 * DAY_S
    for number in range(5):
        await store.append("eu", said(decision=str(number), at_s=NOW_S + number))

    assert decisions(await everything(store)) == ["0", "1", "2", "3", "4", "late"]


async def test_names_that_would_leave_the_folder_are_refused(store: FileFeedbackStore) -> None:
    """Both become parts of paths."""
    for jurisdiction, tenant_id in (("..", "acme"), ("eu", ".."), ("eu", "a/b"), ("", "acme"), ("eu", "")):
        with pytest.raises(ValueError, match="no jurisdiction"):
            await store.append(jurisdiction, said(tenant_id=tenant_id))


async def test_files_are_for_their_owner_alone(store: FileFeedbackStore, tmp_path: Path) -> None:
    """They hold what users asked."""
    await store.append("eu", said())
    folder = tmp_path / "eu" / "acme"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]


@given(st.text(max_size=4_096 // 4), st.lists(st.text(max_size=63), max_size=64), st.sampled_from([True, False, None]))
def test_every_text_is_one_line(text: str, names: list[str], success: bool | None) -> None:
    """Whatever stands in it, it comes back as it was."""
    record = said(text=text, right=tuple(names), success=success)
    try:
        line = to_line(record)
    except Internal:
        assert sum(map(len, names)) > 2_000
        return
    assert line.count(b"\n") == 1
    assert from_line(line) == record
