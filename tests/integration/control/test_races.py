"""Two changes at once: whatever a decision read is unchanged when it is written, or it is made anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.map.etcd_server import EtcdServer

from trunkline_map.blob import FileBlobStore
from trunkline_map.entries import CollectionEntry, EpochEntry
from trunkline_map.etcd import EtcdStore, open_etcd
from trunkline_map.etcd_channel import open_channel
from trunkline_map.etcd_members import Member, MemberRing
from trunkline_map.keys import EPOCH_KEY
from trunkline_map.records import encode
from trunkline_map.store import Commit, Transaction
from trunkline_map.testing import StaticMap, collection, region, space, tenant
from trunkline_map.token import decode
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    DomainError,
    EntryInUse,
    RegionUnknown,
    ResidencyViolation,
    RevisionConflict,
    SpaceUnknown,
    TenantUnknown,
)
from trunkline_routing.control.collection_map import Collections
from trunkline_routing.control.how import How
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.policy_blobs import PolicyBlobs
from trunkline_routing.control.regions import Regions
from trunkline_routing.control.spaces import Spaces
from trunkline_routing.control.tenants import Tenants

Meanwhile = Callable[[], Awaitable[object]]


class OvertakenStore(EtcdStore):
    """Lets something else happen between a decision and its commit, the first time or every time."""

    meanwhile: Meanwhile | None = None
    every_time = False

    async def commit(self, transaction: Transaction, *, timeout_s: float) -> Commit:
        meanwhile = self.meanwhile
        if meanwhile is not None:
            self.meanwhile = meanwhile if self.every_time else None
            await meanwhile()
        return await super().commit(transaction, timeout_s=timeout_s)


NO_POLICIES = PolicyBlobs(FileBlobStore(Path("unused")))
"""No tenant of these tests has a policy."""


class Side:
    """One control process's use cases."""

    def __init__(self, store: EtcdStore) -> None:
        maps = MapStore(store, StaticMap())
        self.maps = maps
        self.regions, self.spaces = Regions(maps), Spaces(maps)
        self.tenants, self.collections = Tenants(maps, NO_POLICIES), Collections(maps)


def soon() -> Deadline:
    return Deadline.after(20)


OPERATOR = How("tester", ("operator",))
DOCS = replace(collection("acme", "docs", ["eu-west"], ["eu"]), revision=0)


@pytest.fixture
async def other(etcd: EtcdServer) -> AsyncIterator[Side]:
    """The process that overtakes, over a furnished map."""
    async with open_etcd([etcd.endpoint]) as store:
        side = Side(store)
        await side.regions.put(replace(region("eu-west", "eu"), revision=0), OPERATOR, soon())
        await side.spaces.put(replace(space(), revision=0), OPERATOR, soon())
        await side.tenants.put(replace(tenant("acme", "eu", "us"), revision=0), OPERATOR, soon())
        yield side


@pytest.fixture
async def overtaken(etcd: EtcdServer) -> AsyncIterator[OvertakenStore]:
    """The store of the process that is overtaken."""
    async with open_channel(etcd.endpoint) as channel:
        yield OvertakenStore(MemberRing([Member(etcd.endpoint, channel)]))


@pytest.mark.parametrize(
    ("removal", "reason"),
    [
        (lambda side: side.regions.delete("eu-west", 0, OPERATOR, soon()), RegionUnknown),
        (lambda side: side.spaces.delete("minilm", 0, OPERATOR, soon()), SpaceUnknown),
        (lambda side: side.tenants.delete("acme", 0, OPERATOR, soon()), TenantUnknown),
    ],
    ids=["region", "space", "tenant"],
)
async def test_a_collection_is_not_written_upon_what_was_just_removed(
    other: Side, overtaken: OvertakenStore, removal: Callable[[Side], Awaitable[object]], reason: type[DomainError]
) -> None:
    """The reference existed when it was checked, and not when it was written."""
    overtaken.meanwhile = lambda: removal(other)

    with pytest.raises(reason):
        await Side(overtaken).collections.put(DOCS, OPERATOR, soon())


@pytest.mark.parametrize(
    "removal",
    [
        lambda side: side.regions.delete("eu-west", 0, OPERATOR, soon()),
        lambda side: side.spaces.delete("minilm", 0, OPERATOR, soon()),
        lambda side: side.tenants.delete("acme", 0, OPERATOR, soon()),
    ],
    ids=["region", "space", "tenant"],
)
async def test_what_a_collection_just_began_to_use_is_not_removed(
    other: Side, overtaken: OvertakenStore, removal: Callable[[Side], Awaitable[object]]
) -> None:
    """Nothing used it when that was checked; something does when it is written."""
    overtaken.meanwhile = lambda: other.collections.put(DOCS, OPERATOR, soon())

    with pytest.raises(EntryInUse):
        await removal(Side(overtaken))


async def test_a_tenant_does_not_shrink_past_a_collection_just_made(other: Side, overtaken: OvertakenStore) -> None:
    """Its data would lie outside."""
    current, _ = await other.tenants.get("acme", soon())
    overtaken.meanwhile = lambda: other.collections.put(DOCS, OPERATOR, soon())
    narrowed = replace(current, jurisdictions=frozenset({"us"}))

    with pytest.raises(ResidencyViolation):
        await Side(overtaken).tenants.put(narrowed, OPERATOR, soon())


async def test_a_collection_is_not_placed_by_jurisdictions_just_taken_away(
    other: Side, overtaken: OvertakenStore
) -> None:
    """The tenant shrank between check and write."""
    current, _ = await other.tenants.get("acme", soon())
    narrowed = replace(current, jurisdictions=frozenset({"us"}))
    overtaken.meanwhile = lambda: other.tenants.put(narrowed, OPERATOR, soon())

    with pytest.raises(ResidencyViolation):
        await Side(overtaken).collections.put(DOCS, OPERATOR, soon())


async def test_a_harmless_change_meanwhile_is_taken_in(other: Side, overtaken: OvertakenStore) -> None:
    """The decision is made anew upon the changed region, and holds."""
    current, _ = await other.regions.get("eu-west", soon())
    overtaken.meanwhile = lambda: other.regions.put(current, OPERATOR, soon())

    entry, token = await Side(overtaken).collections.put(DOCS, OPERATOR, soon())

    assert entry.revision > current.revision
    assert token


async def test_a_decision_overtaken_again_and_again_gives_up(other: Side, overtaken: OvertakenStore) -> None:
    """After three attempts the caller is told, instead of trying until the deadline."""
    attempts = 0

    async def touch() -> None:
        nonlocal attempts
        attempts += 1
        current, _ = await other.regions.get("eu-west", soon())
        await other.regions.put(current, OPERATOR, soon())

    overtaken.meanwhile, overtaken.every_time = touch, True

    with pytest.raises(RevisionConflict):
        await Side(overtaken).collections.put(DOCS, OPERATOR, soon())

    assert attempts == 3


async def test_of_many_writers_of_one_revision_one_wins(other: Side) -> None:
    """Lost updates are refused updates."""
    current, _ = await other.collections.put(DOCS, OPERATOR, soon())

    async def rewrite(number: int) -> CollectionEntry | RevisionConflict:
        try:
            entry, _ = await other.collections.put(replace(current, description=f"{number}"), OPERATOR, soon())
        except RevisionConflict as exc:
            return exc
        return entry

    outcomes = await asyncio.gather(*(rewrite(number) for number in range(10)))

    [winner] = [outcome for outcome in outcomes if isinstance(outcome, CollectionEntry)]
    assert (await other.collections.get("acme", "docs", soon()))[0] == winner


async def test_of_many_controls_one_makes_the_epoch(etcd: EtcdServer) -> None:
    """They start at once on a new etcd and agree."""
    async with open_etcd([etcd.endpoint]) as store:
        maps = [MapStore(store, StaticMap()) for _ in range(8)]

        epochs = await asyncio.gather(*(each.ensure_epoch(soon()) for each in maps))

    assert len(set(epochs)) == 1
    assert len(epochs[0]) == 8


async def test_a_change_decided_in_another_epoch_is_made_anew(other: Side, overtaken: OvertakenStore) -> None:
    """Its token would name a history that is gone."""
    renewed = Transaction(puts={EPOCH_KEY.encode(): encode(EpochEntry(b"restored"))})
    overtaken.meanwhile = lambda: other.maps.kv.commit(renewed, timeout_s=5)

    _, token = await Side(overtaken).collections.put(DOCS, OPERATOR, soon())

    assert decode(token).epoch == b"restored"
