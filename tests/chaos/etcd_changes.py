"""Changes the map all the while, each change remembered with its token.

A collection stays placed in every region, and another becomes the first one: a search of an older map is still right,
and which map it used shows in the region that served it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from tests.chaos.etcd_calls import ControlStubs, RefusedError
from tests.chaos.etcd_cluster import values_of
from tests.chaos.etcd_ledger import Ledger, Outcome
from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_map.entries import CollectionEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_map.records import decode

TENANT: Final = "acme"
CHANGE_WITHIN_S: Final = 3.0
WORKERS: Final = 3
FOLDER: Final = f"/trunkline/v1/collections/{TENANT}/".encode()


@dataclass
class _Place:
    entry: entries_pb.Collection
    known: bool = True
    """False after a change of unknown outcome, until it is read back."""


class Changer:
    """Gives collections other first regions, `WORKERS` changes at a time; nobody else may write them."""

    def __init__(
        self,
        control: ControlStubs,
        etcd: Sequence[str],
        regions: Sequence[str],
        ledger: Ledger,
        rng: random.Random,
        tell: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """`tell` gets the token of every acknowledged change that is the latest one."""
        self._control = control
        self._etcd = etcd
        self._regions = regions
        self._ledger = ledger
        self._rng = rng
        self._tell = tell
        self._places: dict[str, _Place] = {}

    async def begin(self, entries: Sequence[entries_pb.Collection]) -> None:
        """Take over these collections as they are in the map; choose a first region for each. Raises RuntimeError."""
        for entry in entries:
            self._places[entry.collection_id] = _Place(entry)
            if not await self._change(entry.collection_id):
                raise RuntimeError(f"the map cannot be changed: {self._ledger.attempts[-1].reason}")

    async def run(self, changes_per_s: float) -> None:
        """Change for ever, at most so many times a second, until cancelled; what is under way becomes unknown."""
        names = list(self._places)
        async with asyncio.TaskGroup() as group:
            for worker in range(WORKERS):
                group.create_task(self._work(names[worker::WORKERS], WORKERS / changes_per_s))

    async def read_back(self) -> None:
        """Find out what became of every change, while none is under way. Raises grpc.aio.AioRpcError."""
        for name, state in (await self.truth()).items():
            self._settle(name, *state)

    async def truth(self) -> dict[str, tuple[int, str]]:
        """Return revision and region of every collection as etcd holds them. Raises grpc.aio.AioRpcError."""
        found: dict[str, tuple[int, str]] = {}
        for key, (revision, value) in (await values_of(self._etcd, FOLDER)).items():
            name = key.removeprefix(FOLDER).decode()
            entry = decode(MapKey(Kind.COLLECTION, TENANT, name), value, revision)
            assert isinstance(entry, CollectionEntry)
            if name in self._places:
                found[name] = (revision, entry.placement[0])
        return found

    def _settle(self, name: str, revision: int, region: str) -> None:
        place = self._places[name]
        place.entry.revision = revision
        place.entry.placement[:] = self._placement(region)
        place.known = True
        self._ledger.found(name, revision, region)

    def _placement(self, first: str) -> list[str]:
        return [first, *(each for each in self._regions if each != first)]

    async def _work(self, names: Sequence[str], every_s: float) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s = max(due_s + every_s, loop.time())
            await self._change(self._rng.choice(names))
            await asyncio.sleep(max(0.0, due_s - loop.time()))

    async def _change(self, name: str) -> bool:
        place = self._places[name]
        if not place.known and not await self._reread(name):
            return False
        wanted = entries_pb.Collection()
        wanted.CopyFrom(place.entry)
        here = place.entry.placement[0]
        wanted.placement[:] = self._placement(self._rng.choice([each for each in self._regions if each != here]))
        wanted.preference = entries_pb.REGION_PREFERENCE_PLACEMENT
        request = collections_pb.PutCollectionRequest(collection=wanted)
        place.known = False  # until the answer is there: a cancellation may fall into the middle
        try:
            answer = await self._control(self._control.collections.PutCollection, request, timeout_s=CHANGE_WITHIN_S)
        except RefusedError as exc:
            place.known = exc.reason == "MAP_UNWRITABLE" and exc.metadata.get("outcome") == "NONE"
            self._ledger.failed(Outcome.REFUSED if place.known else Outcome.UNKNOWN, exc.reason or exc.code)
            return False
        place.entry, place.known = answer.collection, True
        self._ledger.done(name, answer.collection.revision, wanted.placement[0], answer.map_token)
        if self._ledger.latest == answer.collection.revision:
            await self._tell(answer.map_token)
        return True

    async def _reread(self, name: str) -> bool:
        try:
            truth = await self.truth()
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.2)  # etcd is away; the entry stays untouched until it answers
            return False
        self._settle(name, *truth[name])
        return True
