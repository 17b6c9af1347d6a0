"""A map of any size, written straight into an etcd as the control role would have left it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from trunkline_map.entries import CollectionEntry, Entry, EpochEntry, RegionEntry, SpaceEntry, TenantEntry
from trunkline_map.records import encode
from trunkline_map.store import MAX_TRANSACTION_KEYS, KeyValueStore, Transaction

EPOCH: Final = EpochEntry(b"benchmap")
SPACE: Final = SpaceEntry("minilm-384", "sentence-minilm", "1", 384)
PER_TENANT: Final = 10
REGIONS: Final = ("eu-west", "eu-north", "us-east")
_JURISDICTION: Final = {"eu-west": "eu", "eu-north": "eu", "us-east": "us"}
_IN_FLIGHT: Final = 8


def tenant_id(number: int) -> str:
    """Return the name of a tenant."""
    return f"tenant-{number:05d}"


def tenants(count: int) -> Iterator[Entry]:
    """Yield tenants, each with PER_TENANT collections placed in two or three of the regions."""
    for number in range(count):
        name = tenant_id(number)
        yield TenantEntry(name, ("free", "pro", "enterprise")[number % 3], frozenset({"eu", "us"}))
        for index in range(PER_TENANT):
            first = (number + index) % len(REGIONS)
            placement = (REGIONS[first], REGIONS[(first + 1) % len(REGIONS)], REGIONS[(first + 2) % len(REGIONS)])
            yield CollectionEntry(
                tenant_id=name,
                collection_id=f"collection-{index:02d}",
                space_id=SPACE.space_id,
                placement=placement[: 2 + index % 2],
                jurisdictions=frozenset({"eu", "us"}),
                dedicated=index == 0,
                shard=(number + index) % 64,
                description=f"documents of kind {index} of tenant {number}",
            )


def ground(regions: Iterable[RegionEntry] = ()) -> list[Entry]:
    """Return what tenants and collections stand on: the epoch, the space and the regions."""
    given = {region.region_id: region for region in regions}
    return [EPOCH, SPACE, *(given.get(name, RegionEntry(name, _JURISDICTION[name])) for name in REGIONS)]


async def seed(store: KeyValueStore, entries: Iterable[Entry]) -> int:
    """Write all entries, MAX_TRANSACTION_KEYS at a time; return how many. Raises MapUnwritable."""
    rest, written = iter(entries), 0

    async def worker() -> None:
        nonlocal written
        while batch := list(islice(rest, MAX_TRANSACTION_KEYS)):
            puts = {entry.key.encode(): encode(entry) for entry in batch}
            await store.commit(Transaction(puts=puts), timeout_s=30)
            written += len(batch)

    async with asyncio.TaskGroup() as group:
        for _ in range(_IN_FLIGHT):
            group.create_task(worker())
    return written
