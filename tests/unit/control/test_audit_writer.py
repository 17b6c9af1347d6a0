"""The audit log tells each change exactly once, whatever happens to its writer and to the store."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, furnish, new_collection, new_region, soon, use_cases

from trunkline_map import audit, token
from trunkline_map.entries import EpochEntry
from trunkline_map.keys import EPOCH_KEY, Kind, MapKey, history_folder, parse_history_key
from trunkline_map.records import encode
from trunkline_map.store import Transaction
from trunkline_routing.control import audit_writer
from trunkline_routing.control.audit_file import AuditFile
from trunkline_routing.control.audit_writer import AuditWriter
from trunkline_routing.control.bindings import ControlUseCases
from trunkline_routing.control.trimming import KEPT, SLACK


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once."""
    monkeypatch.setattr(audit_writer, "PAUSE_S", 0.001)


@asynccontextmanager
async def writing(side: ControlUseCases, directory: Path, *, max_bytes: int = 1 << 20) -> AsyncIterator[None]:
    """Run a writer, and end it wherever it is."""
    running = asyncio.create_task(AuditWriter(side.maps, AuditFile(directory, max_bytes)).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def lines(directory: Path) -> list[dict[str, Any]]:
    return list(audit.read(directory)) if directory.exists() else []


def tear(directory: Path, rng: random.Random) -> None:
    """Take away what may not have reached the disk, from a random byte of the last file on."""
    files = audit.files_of(directory) if directory.exists() else []
    if files:
        with files[-1].open("rb+") as file:
            file.truncate(rng.randrange(files[-1].stat().st_size + 1))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - a file gives no event
            await asyncio.sleep(0.002)


def happened(store: MemoryStore) -> list[tuple[int, str]]:
    """Every change of the map but the epoch's creation, in order, from the history that was ever written."""
    found = []
    for event in store.events:
        parsed = parse_history_key(event.key)
        if parsed is not None and event.value is not None:
            found.append((event.mod_revision, parsed[0].path))
    return sorted(found)


def told(directory: Path) -> list[tuple[int, str]]:
    return [(line["revision"], line["entry"]) for line in lines(directory)]


async def test_each_change_becomes_a_line(tmp_path: Path) -> None:
    """Who, when, from what to what, and the token of the state that it made."""
    store = MemoryStore()
    side = use_cases(store)
    async with writing(side, tmp_path):
        await furnish(side, "eu-a")
        entry, made = await side.collections.put(
            new_collection("docs", "eu-a"), replace(OPERATOR, comment="for the launch"), soon()
        )
        await side.collections.delete("acme", "docs", entry.revision, OPERATOR, soon())
        await until(lambda: len(lines(tmp_path)) == 5)

    *_, put, removed = lines(tmp_path)
    assert (put["entry"], put["actor"], put["roles"]) == ("collections/acme/docs", "olga", ["operator"])
    assert (put["comment"], put["method"], put["request_id"]) == ("for the launch", "/m", "r-1")
    assert (put["time"], put["approver"]) == ("2023-11-14T22:13:20Z", "")
    assert put["before"] is None
    assert put["after"]["collection"]["placement"] == ["eu-a"]
    assert base64.b64decode(put["token"]) == made
    assert (removed["after"], removed["before"]["collection"]["collection_id"]) == (None, "docs")
    assert told(tmp_path) == happened(store)
    assert audit.verify(tmp_path).whole


@pytest.mark.parametrize("seed", range(6))
async def test_a_writer_killed_anywhere_goes_on_where_it_was(tmp_path: Path, seed: int) -> None:
    """Killed again and again, its last line torn, the store compacted meanwhile: each change once, in order."""
    rng = random.Random(seed)
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "eu-a", "eu-b")
    for round_number in range(12):
        async with writing(side, tmp_path, max_bytes=2000):
            for number in range(rng.randrange(4)):
                await side.collections.put(new_collection(f"c-{round_number}-{number}", "eu-a"), OPERATOR, soon())
                await asyncio.sleep(rng.choice((0, 0.0005, 0.003)))
        some = [new_collection(f"d-{round_number}-{number}", "eu-b") for number in range(rng.randrange(1, 5))]
        await side.maps.change(
            [side.collections.prepare_put(entry, OPERATOR, soon()) for entry in some], OPERATOR, soon()
        )
        if rng.random() < 0.5:
            store.compact()
        if rng.random() < 0.5:
            tear(tmp_path, rng)

    async with writing(side, tmp_path):
        await until(lambda: told(tmp_path) == happened(store))

    assert audit.verify(tmp_path).whole


async def test_only_what_is_written_is_trimmed_and_the_last_changes_stay(tmp_path: Path) -> None:
    """Without a log, nothing is."""
    store = MemoryStore()
    side = use_cases(store)
    folder = history_folder(MapKey(Kind.REGION, "r"))

    def kept() -> int:
        return sum(key.startswith(folder) for key in store.state())

    entry, _ = await side.regions.put(new_region("r"), OPERATOR, soon())
    for number in range(KEPT + SLACK + 20):
        entry, _ = await side.regions.put(replace(entry, ramp_s=float(number)), OPERATOR, soon())
    assert kept() == KEPT + SLACK + 21

    async with writing(side, tmp_path):
        await until(lambda: kept() <= KEPT + SLACK)
        for number in range(SLACK + 10):
            entry, _ = await side.regions.put(replace(entry, ramp_s=100.0 + number), OPERATOR, soon())
            assert kept() >= KEPT
        await until(lambda: told(tmp_path) == happened(store))
        await until(lambda: kept() <= KEPT + SLACK)

    assert audit.verify(tmp_path).lines == KEPT + 2 * SLACK + 31


async def test_a_restored_store_gives_out_revisions_a_second_time(tmp_path: Path) -> None:
    """Its changes after the restore are told, those that it has of before are not told again."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "a", "b")
    async with writing(side, tmp_path):
        await until(lambda: told(tmp_path) == happened(store))
        backup, backed_up = list(store.events), store.revision
        for name in ("c", "d", "e"):
            await side.regions.put(new_region(name), OPERATOR, soon())
        await until(lambda: told(tmp_path) == happened(store))
    before = told(tmp_path)

    store.events, store.revision = backup, backed_up
    renewed = Transaction(puts={EPOCH_KEY.encode(): encode(EpochEntry(b"restored"))})
    await store.commit(renewed, timeout_s=1)
    after = use_cases(store, now=lambda: 1_800_000_000.0)
    for name in ("x", "y"):
        await after.regions.put(new_region(name), OPERATOR, soon())

    for _ in range(2):  # and once more, from its own last line
        async with writing(after, tmp_path):
            await until(lambda: len(told(tmp_path)) == len(before) + 2)
            await asyncio.sleep(0.02)

    new = lines(tmp_path)[len(before) :]
    assert [line["entry"] for line in new] == ["regions/x", "regions/y"]
    assert {token.decode(base64.b64decode(line["token"])).epoch for line in new} == {b"restored"}
    assert audit.verify(tmp_path).whole


async def test_a_new_epoch_under_a_running_writer_is_looked_into(tmp_path: Path) -> None:
    """The watch may have gone on as if nothing had happened."""
    store = MemoryStore()
    side = use_cases(store)
    async with writing(side, tmp_path):
        await furnish(side, "a")
        await until(lambda: told(tmp_path) == happened(store))
        renewed = Transaction(puts={EPOCH_KEY.encode(): encode(EpochEntry(b"restored"))})
        await store.commit(renewed, timeout_s=1)
        await side.regions.put(new_region("b"), OPERATOR, soon())
        await side.regions.put(new_region("c"), OPERATOR, soon())
        await until(lambda: told(tmp_path) == happened(store))

    assert audit.verify(tmp_path).whole


async def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """And a directory that cannot be written, too."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "a")
    store.away = True
    directory = tmp_path / "audit"
    directory.write_text("a file stands in the way")
    async with writing(side, directory):
        await asyncio.sleep(0.01)
        directory.unlink()
        await asyncio.sleep(0.01)
        store.away = False
        await until(lambda: told(directory) == happened(store))


async def test_what_cannot_be_read_is_told_as_it_is(tmp_path: Path) -> None:
    """An entry that somebody broke by hand, and that is repaired through the control role."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "a")
    await store.commit(Transaction(puts={MapKey(Kind.REGION, "bad").encode(): b"\xff"}), timeout_s=1)
    await side.regions.delete("bad", 0, OPERATOR, soon())

    async with writing(side, tmp_path):
        await until(lambda: told(tmp_path) == happened(store))

    assert lines(tmp_path)[-1]["before"] == {"unreadable": base64.b64encode(b"\xff").decode()}


async def test_a_second_writer_waits_for_the_end_of_the_first(tmp_path: Path) -> None:
    """Of several control roles with one folder."""
    store = MemoryStore()
    side = use_cases(store)
    async with writing(side, tmp_path):
        async with writing(side, tmp_path):
            await furnish(side, "a")
            await until(lambda: told(tmp_path) == happened(store))
        await side.regions.put(new_region("b"), OPERATOR, soon())
        await until(lambda: told(tmp_path) == happened(store))

    assert audit.verify(tmp_path).whole
