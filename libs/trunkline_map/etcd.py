"""The key-value port over etcd: generated stubs on a channel of our own, behind this one file because they are untyped.

No etcd client for Python does what the map needs (docs/adr/0001): resuming a watch without losing events, noticing a
frozen server, and several endpoints. The stubs alone do, with the rules of `watcher.py`.

Reads are never transactions, though one would read several keys at once: before 3.5.5, cancelling a read-only
transaction, or letting its deadline pass, crashes etcd with "unexpected error during txn" (etcd#14110). The first read
tells the revision, the others read at it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any, Final

from aetcd import rpc

from trunkline_map.etcd_access import EtcdAccess
from trunkline_map.etcd_auth import Authenticator
from trunkline_map.etcd_calls import EtcdCaller, open_caller
from trunkline_map.etcd_members import MemberRing
from trunkline_map.etcd_status import member_status
from trunkline_map.etcd_watch import EtcdWatch, open_watch
from trunkline_map.keys import prefix_end
from trunkline_map.store import (
    MAX_PAGE_KEYS,
    MAX_TRANSACTION_KEYS,
    Commit,
    KeyValue,
    MemberStatus,
    Page,
    ReadResult,
    StoreCompactedError,
    StoreUnavailableError,
    Transaction,
    TransactionTooLargeError,
    Watch,
    WatchCanceledError,
)
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.logs import get_logger

_log = get_logger(__name__)

_RANGE: Final = attrgetter("kv.Range")
_TXN: Final = attrgetter("kv.Txn")
_STATUS: Final = attrgetter("maintenance.Status")

_DEFECTIVE: Final = re.compile(r"3\.5\.[0-2]$")
"""May lose consistency between members when killed under load. Source: etcd postmortem v3.5 data inconsistency."""

_OPEN_TIMEOUT_S: Final = 5.0
"""Bound of getting a token for a watch."""


class EtcdStore:
    """`KeyValueStore` over one etcd cluster."""

    def __init__(self, ring: MemberRing, auth: Authenticator | None = None) -> None:
        """Ask the members of `ring`, which the caller closes, as the user of `auth`."""
        self._caller = EtcdCaller(ring, auth or Authenticator())

    async def read(self, keys: Sequence[bytes], *, timeout_s: float) -> ReadResult:
        """As `KeyValueStore.read`."""
        if len(keys) > MAX_TRANSACTION_KEYS:
            raise TransactionTooLargeError(f"{len(keys)} keys are too many for one read")
        until = Deadline.after(timeout_s)
        first, *others = keys
        found = await self._range(until, key=first)
        revision = found.header.revision
        try:
            rest = await asyncio.gather(*(self._range(until, key=key, revision=revision) for key in others))
        except StoreCompactedError as exc:
            raise StoreUnavailableError("the revision was compacted while it was read") from exc
        items = (_key_value(kv) for response in (found, *rest) for kv in response.kvs)
        return ReadResult({item.key: item for item in items}, revision)

    async def list_page(
        self,
        prefix: bytes,
        *,
        timeout_s: float,
        after: bytes = b"",
        limit: int = MAX_PAGE_KEYS,
        revision: int = 0,
        keys_only: bool = False,
        descending: bool = False,
    ) -> Page:
        """As `KeyValueStore.list_page`."""
        start, end = prefix, prefix_end(prefix)
        if after and descending:
            end = min(end, after)
        elif after:
            start = max(start, after + b"\0")  # the smallest key greater than `after`
        if start >= end:
            return Page((), revision, more=False)
        order = {"sort_order": rpc.RangeRequest.DESCEND, "sort_target": rpc.RangeRequest.KEY} if descending else {}
        response = await self._range(
            Deadline.after(timeout_s),
            key=start,
            range_end=end,
            limit=limit,
            revision=revision,
            keys_only=keys_only,
            **order,
        )
        items = tuple(_key_value(kv) for kv in response.kvs)
        return Page(items, revision or response.header.revision, response.more)

    async def list_latest(
        self, prefix: bytes, *, timeout_s: float, limit: int = MAX_PAGE_KEYS, before: int = 0, since: int = 0
    ) -> Page:
        """As `KeyValueStore.list_latest`."""
        # As many more as one transaction can have changed: then the last revision is whole, or can be left out.
        response = await self._range(
            Deadline.after(timeout_s),
            key=prefix,
            range_end=prefix_end(prefix),
            limit=limit + MAX_TRANSACTION_KEYS,
            sort_order=rpc.RangeRequest.DESCEND,
            sort_target=rpc.RangeRequest.MOD,
            min_mod_revision=since,
            max_mod_revision=max(0, before - 1),
        )
        items = [_key_value(kv) for kv in response.kvs]
        cut = limit
        while 0 < cut < len(items) and items[cut].mod_revision == items[cut - 1].mod_revision:
            cut += 1
        return Page(tuple(items[:cut]), response.header.revision, response.more or cut < len(items))

    async def quiet_since(self, prefix: bytes, revision: int, *, keys: int, timeout_s: float) -> int | None:
        """As `KeyValueStore.quiet_since`: no key is newer, and none is gone, for then there would be fewer."""
        until, end = Deadline.after(timeout_s), prefix_end(prefix)
        newer = await self._range(
            until, key=prefix, range_end=end, min_mod_revision=revision + 1, limit=1, keys_only=True
        )
        if newer.kvs:
            return None
        now = int(newer.header.revision)
        try:
            counted = await self._range(until, key=prefix, range_end=end, revision=now, count_only=True)
        except StoreCompactedError:
            return None
        return now if counted.count == keys else None

    async def commit(self, transaction: Transaction, *, timeout_s: float) -> Commit:
        """As `KeyValueStore.commit`."""
        transaction.check_bounds()
        response = await self._caller.change(_TXN, _txn_request(transaction), Deadline.after(timeout_s))
        return Commit(bool(response.succeeded), int(response.header.revision))

    @asynccontextmanager
    async def watch(self, prefix: bytes, *, start_revision: int) -> AsyncIterator[Watch]:
        """As `KeyValueStore.watch`."""
        create = rpc.WatchCreateRequest(
            key=prefix,
            range_end=prefix_end(prefix),
            start_revision=start_revision,
            progress_notify=True,
            fragment=True,  # a long catch-up must not exceed the message limit
        )
        member = self._caller.ring.pick()
        metadata = await self._caller.token_for(member, _OPEN_TIMEOUT_S)
        try:
            watch: EtcdWatch = await open_watch(
                member.watch.Watch(metadata=metadata), rpc.WatchRequest(create_request=create)
            )
            try:
                yield watch
            finally:
                watch.abort()
        except StoreUnavailableError:
            self._caller.ring.shun(member)  # the next stream goes elsewhere
            raise
        except WatchCanceledError:
            self._caller.auth.forget(metadata)  # a token that is no longer good ends a watch in this way, too
            raise

    async def member_statuses(self, *, timeout_s: float) -> tuple[MemberStatus, ...]:
        """As `KeyValueStore.member_statuses`."""
        members = self._caller.ring.members
        return tuple(
            await asyncio.gather(*(member_status(self._caller, each, timeout_s=timeout_s) for each in members))
        )

    async def check_version(self, *, timeout_s: float) -> str:
        """As `KeyValueStore.check_version`."""
        response = await self._caller.read(_STATUS, rpc.StatusRequest(), Deadline.after(timeout_s))
        version = str(response.version)
        if _DEFECTIVE.match(version):
            _log.warning(
                "this etcd version can lose data when killed under load; use 3.6 in production", version=version
            )
        return version

    async def _range(self, until: Deadline, **fields: Any) -> Any:
        return await self._caller.read(_RANGE, rpc.RangeRequest(**fields), until)


@asynccontextmanager
async def open_etcd(access: EtcdAccess | Sequence[str]) -> AsyncIterator[EtcdStore]:
    """Open a store over a cluster, given by its access or by plain endpoints (`host:port`). Waits for no connection.

    Raises ValueError for endpoints that are none, and OSError for TLS files that cannot be read.
    """
    async with open_caller(EtcdAccess.of(access)) as caller:
        yield EtcdStore(caller.ring, caller.auth)


def _key_value(kv: Any) -> KeyValue:
    return KeyValue(kv.key, kv.value, kv.mod_revision)


def _txn_request(transaction: Transaction) -> Any:
    compares = [
        rpc.Compare(key=key, target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=revision)
        for key, revision in transaction.compares.items()
    ]
    compares += [
        rpc.Compare(
            key=condition.prefix,
            range_end=prefix_end(condition.prefix),
            target=rpc.Compare.MOD,
            result=rpc.Compare.LESS,
            mod_revision=condition.revision + 1,
        )
        for condition in transaction.unchanged
    ]
    puts = [rpc.RequestOp(request_put=rpc.PutRequest(key=k, value=v)) for k, v in transaction.puts.items()]
    deletes = [rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key)) for key in transaction.deletes]
    return rpc.TxnRequest(compare=compares, success=[*puts, *deletes])
