"""The history as it is read: the latest first, page by page."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, furnish, new_collection, new_region, new_tenant, soon, use_cases

from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.errors import FieldInvalid, MapUnwritable, PageExpired
from trunkline_routing.control.bindings import ControlUseCases
from trunkline_routing.control.paging import PageRequest, decode


async def changed_often(store: MemoryStore, times: int = 5) -> ControlUseCases:
    """Region `a`, changed again and again, between others."""
    side = use_cases(store)
    await furnish(side, "a", "b")
    for number in range(times - 1):
        entry, _ = await side.regions.get("a", soon())
        await side.regions.put(replace(entry, ramp_s=float(number)), OPERATOR, soon())
    return side


async def read_all(side: ControlUseCases, size: int, key: MapKey | None = None) -> list[tuple[str, int]]:
    """Read pages of regions' changes to the end."""
    changes: list[tuple[str, int]] = []
    token = None
    while True:
        wanted = PageRequest(size, token)
        lists = side.accounts.changes
        page = await (lists.of_entry(key, wanted, soon()) if key else lists.of_kind(Kind.REGION, "", wanted, soon()))
        assert len(page.changes) <= size
        changes += [(change.key.name, change.revision) for change in page.changes]
        if not page.next_page_token:
            return changes
        token = decode(page.next_page_token)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pages_are_whole_whatever_their_size(size: int) -> None:
    """The latest first, none left out and none twice."""
    store = MemoryStore()
    side = await changed_often(store)
    three = [side.regions.prepare_put(new_region(name), OPERATOR, soon()) for name in ("c", "d", "e")]
    await side.maps.change(three, OPERATOR, soon())

    one = await read_all(side, size, MapKey(Kind.REGION, "a"))
    every = await read_all(side, size)

    assert [name for name, _ in one] == ["a"] * 5
    assert [revision for _, revision in one] == sorted((revision for _, revision in one), reverse=True)
    assert len(set(every)) == len(every) == 9
    assert [revision for _, revision in every] == sorted((revision for _, revision in every), reverse=True)


async def test_changes_after_the_first_page_do_not_move_the_rest() -> None:
    """All pages are of one revision."""
    side = await changed_often(MemoryStore())
    for key in (MapKey(Kind.REGION, "a"), None):
        before = await read_all(side, 100, key)
        lists = side.accounts.changes
        wanted = PageRequest(2, None)
        first = await (lists.of_entry(key, wanted, soon()) if key else lists.of_kind(Kind.REGION, "", wanted, soon()))
        entry, _ = await side.regions.get("a", soon())
        await side.regions.put(replace(entry, ramp_s=9.0), OPERATOR, soon())

        wanted = PageRequest(100, decode(first.next_page_token))
        rest = await (lists.of_entry(key, wanted, soon()) if key else lists.of_kind(Kind.REGION, "", wanted, soon()))

        shown = [(change.key.name, change.revision) for change in (*first.changes, *rest.changes)]
        assert shown == before


async def test_a_tenants_changes_are_its_own() -> None:
    """Of all its collections, the removed ones too."""
    side = use_cases(MemoryStore())
    await furnish(side, "a")
    await side.tenants.put(new_tenant("acme-2"), OPERATOR, soon())
    await side.collections.put(new_collection("theirs", "a", tenant_id="acme-2"), OPERATOR, soon())
    await side.collections.put(new_collection("docs", "a"), OPERATOR, soon())
    await side.collections.delete("acme", "docs", 0, OPERATOR, soon())

    page = await side.accounts.changes.of_kind(Kind.COLLECTION, "acme", PageRequest(10, None), soon())

    assert [(change.key.collection_id, change.after is None) for change in page.changes] == [
        ("docs", True),
        ("docs", False),
    ]


async def test_what_never_was_has_no_changes() -> None:
    """And that is no error."""
    side = await changed_often(MemoryStore())

    assert await read_all(side, 10, MapKey(Kind.REGION, "nowhere")) == []


async def test_pages_of_another_list_or_time_are_refused() -> None:
    """A token belongs to its list; a compacted one is expired."""
    store = MemoryStore()
    side = await changed_often(store)
    lists, key = side.accounts.changes, MapKey(Kind.REGION, "a")
    of_entry = decode((await lists.of_entry(key, PageRequest(1, None), soon())).next_page_token)
    of_kind = decode((await lists.of_kind(Kind.REGION, "", PageRequest(1, None), soon())).next_page_token)

    for refused in (
        lists.of_entry(MapKey(Kind.REGION, "b"), PageRequest(1, of_entry), soon()),
        lists.of_entry(key, PageRequest(1, of_kind), soon()),
        lists.of_kind(Kind.REGION, "", PageRequest(1, of_entry), soon()),
        lists.of_kind(Kind.TENANT, "", PageRequest(1, of_kind), soon()),
    ):
        with pytest.raises(FieldInvalid):
            await refused
    with pytest.raises(PageExpired):
        await lists.of_entry(key, PageRequest(1, of_entry._replace(epoch=b"another!")), soon())
    await side.regions.put(new_region("c"), OPERATOR, soon())
    store.compact()
    with pytest.raises(PageExpired):
        await lists.of_entry(key, PageRequest(1, of_entry), soon())


async def test_the_history_needs_its_store() -> None:
    """No last good map has it."""
    store = MemoryStore()
    side = await changed_often(store)
    store.away = True

    with pytest.raises(MapUnwritable):
        await read_all(side, 10)
