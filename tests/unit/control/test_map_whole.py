"""Status, export and epoch of the map, over a store in memory and the watcher that follows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, furnish, new_collection, new_tenant, soon, use_cases

from trunkline_map import token
from trunkline_map.entries import Entry
from trunkline_map.keys import Kind
from trunkline_map.settings import WatchSettings
from trunkline_map.store import Transaction
from trunkline_map.watcher import MapWatcher, watching
from trunkline_mesh.errors import MapNotReady, MapUnwritable
from trunkline_routing.control import map_export, map_status
from trunkline_routing.control.bindings import ControlUseCases, Rules
from trunkline_routing.control.map_epoch import Epoch
from trunkline_routing.control.map_export import Export, ExportPart
from trunkline_routing.control.map_status import Status
from trunkline_routing.control.two_persons import Act, SecondPerson, SecondPersonNeeded

QUICK = WatchSettings(catch_up_every_s=0.01, backoff_max_s=0.05)


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    await furnish(use_cases(store), "eu-west", "eu-north")
    return store


@pytest.fixture
async def watcher(store: MemoryStore) -> AsyncIterator[MapWatcher]:
    async with watching(store, QUICK) as watcher:
        assert await watcher.wait_ready(5)
        yield watcher


@pytest.fixture
def side(store: MemoryStore, watcher: MapWatcher) -> ControlUseCases:
    return use_cases(store, source=watcher)


async def _export(side: ControlUseCases) -> list[ExportPart]:
    return [part async for part in Export(side.maps).run(soon())]


def _name(entry: Entry) -> str:
    return entry.key.path


async def test_an_export_has_everything_once_in_its_order(side: ControlUseCases) -> None:
    """Regions, spaces, tenants, collections by name, in parts of one token, the total in the first."""
    await side.tenants.put(new_tenant("aaa"), OPERATOR, soon())
    names = [("acme", f"c{number:03}") for number in range(2 * map_export.PART_SIZE // 3)] + [("aaa", "z")]
    for tenant_id, name in names:
        await side.collections.put(new_collection(name, "eu-west", tenant_id=tenant_id), OPERATOR, soon())
    for name in ("x", "y"):
        await side.collections.put(new_collection(name, "eu-west"), OPERATOR, soon())
    names += [("acme", "x"), ("acme", "y")]

    parts = await _export(side)

    told = [_name(entry) for part in parts for entry in part.entries]
    expected = ["regions/eu-north", "regions/eu-west", "spaces/minilm", "tenants/aaa", "tenants/acme"]
    assert told == expected + [f"collections/{tenant}/{name}" for tenant, name in sorted(names)]
    assert [part.total for part in parts] == [len(told), *[0] * (len(parts) - 1)]
    assert len({part.token for part in parts}) == 1


async def test_large_maps_come_in_parts(side: ControlUseCases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded number of entries each; what is written meanwhile is not in it."""
    monkeypatch.setattr(map_export, "PART_SIZE", 2)
    parts = Export(side.maps).run(soon())
    first = await anext(parts)
    await side.collections.put(new_collection("late", "eu-west"), OPERATOR, soon())
    rest = [part async for part in parts]

    assert [len(part.entries) for part in (first, *rest)] == [2, 2]
    assert "collections/acme/late" not in [_name(entry) for part in rest for entry in part.entries]
    assert "collections/acme/late" in [_name(entry) for part in await _export(side) for entry in part.entries]


async def test_an_export_reflects_every_change_before_it(side: ControlUseCases) -> None:
    """However young the change is: the watched map is waited for."""
    for number in range(20):
        made = await side.collections.put(new_collection(f"n{number}", "eu-west"), OPERATOR, soon())
        (part,) = await _export(side)
        assert f"collections/acme/n{number}" in map(_name, part.entries)
        assert token.decode(part.token).revision >= token.decode(made[1]).revision


async def test_an_empty_map_has_one_part() -> None:
    """With its token and no entries."""
    store = MemoryStore()
    await use_cases(store).maps.ensure_epoch(soon())
    async with watching(store, QUICK) as watcher:
        assert await watcher.wait_ready(5)
        (part,) = await _export(use_cases(store, source=watcher))

    assert (part.entries, part.total, bool(part.token)) == ((), 0, True)


async def test_without_a_store_the_last_good_map_is_told(
    side: ControlUseCases, store: MemoryStore, watcher: MapWatcher
) -> None:
    """Exports and the status go on; before any map is there, they are refused."""
    store.away = True

    (part,) = await _export(side)
    status = await Status(side.maps).get(soon())

    assert part.total == 4
    assert status.revision == watcher.snapshot.revision
    unread = use_cases(store, source=MapWatcher(store, QUICK))
    with pytest.raises((MapUnwritable, MapNotReady)):
        await _export(unread)
    with pytest.raises(MapUnwritable):
        await Status(unread.maps).get(soon())


async def test_the_status_counts_what_is_there_and_what_cannot_be_read(
    side: ControlUseCases, store: MemoryStore, watcher: MapWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By kind; malformed keys are named up to a bound and all are counted."""
    monkeypatch.setattr(map_status, "MAX_MALFORMED", 2)
    keys = [b"/trunkline/v1/tenants/bad%d" % number for number in range(3)]
    await store.commit(Transaction(puts=dict.fromkeys(keys, b"\xff")), timeout_s=1)
    made = await side.collections.put(new_collection("a", "eu-west"), OPERATOR, soon())
    await watcher.at_least(made[1], soon())

    status = await Status(side.maps).get(soon())

    assert dict(status.counts) == {Kind.REGION: 2, Kind.SPACE: 1, Kind.TENANT: 1, Kind.COLLECTION: 1}
    assert (status.malformed_count, list(status.malformed)) == (3, [key.decode() for key in keys[:2]])
    assert status.relists >= 1
    assert 0 <= status.age_s < 60


async def test_a_new_epoch_makes_old_tokens_worthless(side: ControlUseCases, watcher: MapWatcher) -> None:
    """Each renewal is another one, and the map is the same under it."""
    old = watcher.snapshot.token
    first = await Epoch(side.maps).renew(OPERATOR, soon())
    second = await Epoch(side.maps).renew(OPERATOR, soon())
    snapshot = await watcher.at_least(second, soon())

    assert len({token.decode(each).epoch for each in (old, first, second)}) == 3
    assert snapshot.epoch == token.decode(second).epoch
    assert snapshot.tenant("acme") is not None


async def test_a_new_epoch_may_need_a_second_person(store: MemoryStore) -> None:
    """A dry run does not, and changes nothing."""
    side = use_cases(store, Rules(second=SecondPerson([Act.RENEW_EPOCH])))
    epoch = Epoch(side.maps, side.second)
    before = await side.maps.ensure_epoch(soon())

    with pytest.raises(SecondPersonNeeded):
        await epoch.renew(OPERATOR, soon())
    dry = await epoch.renew(replace(OPERATOR, dry_run=True), soon())

    assert token.decode(dry).epoch == before == await side.maps.ensure_epoch(soon())
