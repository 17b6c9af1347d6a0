"""Reads and writes of the map for use cases: typed entries, one revision, compare-and-set on everything that was read.

Rule: a change is committed only if every entry that its decision read is unchanged at the write, the epoch included;
and its account in the history is written by the same transaction.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from trunkline_map import records, token
from trunkline_map.entries import EpochEntry
from trunkline_map.keys import EPOCH_KEY, MapKey
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_map.store import (
    KeyValue,
    KeyValueStore,
    StoreUnavailableError,
    Transaction,
    TransactionTooLargeError,
)
from trunkline_mesh.clock import Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    FieldInvalid,
    Internal,
    MapNotReady,
    MapTokenInvalid,
    MapUnwritable,
    RevisionConflict,
    StaleMap,
    invalid_field,
)
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.freezing import NEVER_FROZEN, ChangeFreeze, require_thawed
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import Change, ControlChange, MapState, Plan, Prepared, distinct, made, merged
from trunkline_routing.control.transactions import (
    controlled,
    require_control_keys,
    require_distinct,
    transaction_of,
)

CALL_TIMEOUT_S: Final = 3.0
"""Bound of one call to the control store, within the request's deadline."""

CALL_SHARE: Final = 0.5
"""A call gets at most this share of the time that is left, so that the last good map can still answer in time when the
store does not."""

MAX_ATTEMPTS: Final = 3
"""A decision is made anew so often when what it read changed under it."""

MAX_FOLDER_ATTEMPTS: Final = 10
"""The same for one that relies on a whole folder, in which others may write all the time: each time, one wins."""

FRESH_WAIT_S: Final = 0.7
"""The watched map gets so long to reach a state that was just read; then the store itself is listed."""

_EPOCH: Final = EPOCH_KEY.encode()


class MapStore:
    """The map in etcd, with the watched map standing in for reads when etcd is away."""

    def __init__(
        self,
        store: KeyValueStore,
        last_good: MapSource,
        *,
        whole: Callable[[], bool] = lambda: True,
        now: Clock = time.time,
        freeze: ChangeFreeze = NEVER_FROZEN,
    ) -> None:
        """Write to `store`; read from `last_good` when it does not answer.

        `whole` says whether `last_good` shows every stored entry, so that none is malformed; `now` gives Unix time;
        `freeze` says which changes have to wait.
        """
        self.kv: Final = store
        self.now: Final = now
        self.source: Final = last_good
        self._whole = whole
        self._freeze = freeze

    async def read(self, keys: Sequence[MapKey], deadline: Deadline) -> MapState | MapSnapshot:
        """Return entries as the store has them now, or the last good map if it cannot be reached.

        Raises MapUnwritable if there is no such map either, and DeadlineExceeded.
        """
        try:
            return await self.read_live(keys, deadline)
        except MapUnwritable:
            return self.last_good(deadline)

    async def read_live(
        self, keys: Sequence[MapKey], deadline: Deadline, *, control_keys: Sequence[bytes] = ()
    ) -> MapState:
        """Return entries, and keys outside of the map, as the store has them; raise MapUnwritable if it is away."""
        asked = distinct(iter([_EPOCH, *(key.encode() for key in keys), *control_keys]))
        for _ in range(MAX_ATTEMPTS):
            try:
                found = await self.kv.read(asked, timeout_s=call_timeout_s(deadline))
            except StoreUnavailableError as exc:
                raise unreachable() from exc
            except TransactionTooLargeError as exc:
                raise _too_large() from exc
            item = found.items.get(_EPOCH)
            if item is not None:
                return MapState(epoch=_epoch_of(item), revision=found.revision, raw=found.items, asked=asked)
            await self._write_epoch(deadline)
        raise Internal("the map's epoch cannot be written")

    def last_good(self, deadline: Deadline) -> MapSnapshot:
        """Return the watched map, with which reads go on; raise MapUnwritable without one."""
        deadline.require()
        try:
            return self.source.snapshot
        except MapNotReady as exc:
            raise unreachable() from exc

    def present_epoch(self) -> bytes:
        """Return the watched map's epoch; empty while there is none."""
        return self.source.snapshot.epoch if self.source.ready() else b""

    async def watched(self, state: MapState, deadline: Deadline, *, whole: bool, fresh: bool) -> MapSnapshot | None:
        """Return the watched map; None where it is not loaded, of another epoch or, with `fresh`, older than `state`.

        An old one may still decide: the transaction holds only if nothing was put since. With `whole`, also None while
        some stored entry is malformed: the watched map has its last good one, or none.
        """
        if not self.source.ready():
            return None
        snapshot = self.source.snapshot
        if fresh or snapshot.epoch != state.epoch:
            try:
                snapshot = await self.source.at_least(state.token, deadline.within(FRESH_WAIT_S))
            except (MapNotReady, StaleMap, MapTokenInvalid):
                return None
        return snapshot if self._whole() or not whole else None

    async def change(
        self, prepared: Sequence[Prepared], how: How, deadline: Deadline, *, also: ControlChange | None = None
    ) -> Change:
        """Make changes of distinct entries in one transaction, with each one's account; all of them or none.

        They are decided in their order, each upon what those before want. If what they read changes meanwhile, they
        are decided anew. `also` names keys outside of the map that change with them. In a dry run, and where nothing
        has to change, nothing is written.

        Raises what a decision raises, what `also` raises if it does not hold, ChangesFrozen, RevisionConflict if it
        was overtaken again and again, FieldInvalid beyond the bounds of a transaction, ApprovalInvalid, and
        MapUnwritable.
        """
        require_distinct(prepared)
        extra = controlled(how, also)
        keys = [key for each in prepared for key in each.keys]
        attempt = 0
        while True:
            attempt += 1
            state = await self.read_live(keys, deadline, control_keys=list(extra.compares))
            state.overtaken = attempt > 1
            require_control_keys(state, extra)
            plan = await self._decided(prepared, state, how)
            if not plan.puts and not plan.deletes:
                return made(plan, revision=state.revision, map_token=state.token, committed=False)
            transaction = transaction_of(state, plan, extra, how, self.now())
            _check_bounds(transaction)
            if how.dry_run:
                return made(plan, revision=state.revision, map_token=state.token, committed=False)
            commit = await self.kv.commit(transaction, timeout_s=call_timeout_s(deadline))
            if commit.applied:
                epoch = next((put.epoch for put in plan.puts if isinstance(put, EpochEntry)), state.epoch)
                return made(
                    plan, revision=commit.revision, map_token=token.encode(epoch, commit.revision), committed=True
                )
            if attempt >= (MAX_FOLDER_ATTEMPTS if plan.unchanged else MAX_ATTEMPTS):
                raise RevisionConflict("the entries that this change relies on are changing; try again")
            await asyncio.sleep(0)

    async def _decided(self, prepared: Sequence[Prepared], state: MapState, how: How) -> Plan:
        plans: list[Plan] = []
        for each in prepared:
            plan = await each.decide(state)
            require_thawed(self._freeze, state, plan, how, self.source)
            state.take(plan)
            plans.append(plan)
        return merged(plans)

    async def _write_epoch(self, deadline: Deadline) -> None:
        """Create the epoch if nobody has: compare-and-set, so that of several controls one wins."""
        entry = EpochEntry(os.urandom(token.EPOCH_BYTES))
        transaction = Transaction(compares={_EPOCH: 0}, puts={_EPOCH: records.encode(entry)})
        await self.kv.commit(transaction, timeout_s=call_timeout_s(deadline))

    async def ensure_epoch(self, deadline: Deadline) -> bytes:
        """Return the map's epoch, creating it if the store is new. Raises MapUnwritable."""
        return (await self.read_live((), deadline)).epoch


def call_timeout_s(deadline: Deadline) -> float:
    """Return the bound of one call; raise DeadlineExceeded if no time is left for it."""
    return min(CALL_TIMEOUT_S, deadline.require() * CALL_SHARE)


def _check_bounds(transaction: Transaction) -> None:
    try:
        transaction.check_bounds()
    except TransactionTooLargeError as exc:
        raise _too_large() from exc


def _too_large() -> FieldInvalid:
    return invalid_field("changes", "must be fewer or smaller: they do not fit into one transaction")


def _epoch_of(item: KeyValue) -> bytes:
    try:
        entry = records.decode(EPOCH_KEY, item.value, item.mod_revision)
    except records.MalformedRecordError as exc:
        raise Internal("the map's epoch cannot be read") from exc
    assert isinstance(entry, EpochEntry)
    return entry.epoch
