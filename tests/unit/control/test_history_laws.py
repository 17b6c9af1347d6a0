"""Laws of the history, under any order of changes by several writers who overtake one another."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, new_region, soon, use_cases

from trunkline_map.keys import PREFIX, Kind, MapKey, folder, parse_history_key
from trunkline_mesh.errors import RegionUnknown, RevisionConflict
from trunkline_routing.control.bindings import ControlUseCases
from trunkline_routing.control.change_lists import ChangeOfEntry, read_change

NAMES = ("a", "b", "c")
Act = tuple[str, str, bool]
"""A region, a jurisdiction or nothing for its removal, and whether another writer's act overtakes it."""

acts = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["eu", "us", ""]), st.booleans()), min_size=1, max_size=12
)


async def act(side: ControlUseCases, name: str, jurisdiction: str) -> None:
    try:
        if not jurisdiction:
            await side.regions.delete(name, 0, OPERATOR, soon())
            return
        try:
            revision = (await side.regions.get(name, soon()))[0].revision
        except RegionUnknown:
            revision = 0
        await side.regions.put(replace(new_region(name, jurisdiction), revision=revision), OPERATOR, soon())
    except (RegionUnknown, RevisionConflict):
        return


async def play(mine: list[Act], others: list[Act]) -> MemoryStore:
    store = MemoryStore()
    side, other = use_cases(store), use_cases(store)
    rest = iter(others)
    for name, jurisdiction, overtaken in mine:
        if overtaken and (next_act := next(rest, None)) is not None:
            store.meanwhile = lambda next_act=next_act: act(other, next_act[0], next_act[1])
        await act(side, name, jurisdiction)
        store.meanwhile = None
    return store


def told(store: MemoryStore) -> list[ChangeOfEntry]:
    """All changes, in the order of their revisions."""
    changes = [read_change(item) for key, item in store.state().items() if parse_history_key(key)]
    return sorted((change for change in changes if change), key=lambda change: change.revision)


@given(acts, acts)
def test_every_change_has_exactly_one_account(mine: list[Act], others: list[Act]) -> None:
    """Each event of the map has one record of the same revision, and no record is without its event."""
    store = asyncio.run(play(mine, others))

    happened = [(event.key, event.mod_revision) for event in store.events if event.key.startswith(folder(Kind.REGION))]
    assert sorted((change.key.encode(), change.revision) for change in told(store)) == sorted(happened)


@given(acts, acts)
def test_accounts_follow_one_another(mine: list[Act], others: list[Act]) -> None:
    """Each begins with what the one before it of the same entry ended with, and the last ends with what is there."""
    store = asyncio.run(play(mine, others))
    values: dict[MapKey, bytes] = {}

    for change in told(store):
        assert values.get(change.key, b"") == change.record.before
        values[change.key] = change.record.after

    now = {key: item.value for key, item in store.state().items() if key.startswith(PREFIX + b"regions/")}
    assert {key.encode(): value for key, value in values.items() if value} == now
