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
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from aetcd import rpc
from aetcd.rpc import rpc_pb2_grpc

from trunkline_map.etcd_channel import open_channel
from trunkline_map.etcd_watch import EtcdWatch, open_watch
from trunkline_map.keys import prefix_end
from trunkline_map.store import (
    MAX_PAGE_KEYS,
    MAX_TRANSACTION_KEYS,
    Commit,
    KeyValue,
    Page,
    ReadResult,
    StoreCompactedError,
    StoreUnavailableError,
    Transaction,
    TransactionTooLargeError,
    Watch,
)
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapUnwritable
from trunkline_mesh.logs import get_logger

_log = get_logger(__name__)

HAS_LEADER: Final = (("hasleader", "true"),)
"""Makes a member without a leader refuse at once instead of staying silent."""

_RETRY_DELAY_S: Final = 1.0
"""Told to callers of a refused change: an election takes about that long."""

_NOT_APPLIED: Final = frozenset(
    {
        grpc.StatusCode.RESOURCE_EXHAUSTED,  # the backend's quota is full: reads and deletes still work
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""Codes by which etcd says that it did nothing. Any other failure leaves the outcome of a change unknown."""

_DEFECTIVE: Final = re.compile(r"3\.5\.[0-2]$")
"""May lose consistency between members when killed under load. Source: etcd postmortem v3.5 data inconsistency."""


class EtcdStore:
    """`KeyValueStore` over one etcd cluster."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Use `channel`, which the caller closes."""
        self._kv: Any = rpc_pb2_grpc.KVStub(channel)
        self._watch: Any = rpc_pb2_grpc.WatchStub(channel)
        self._maintenance: Any = rpc_pb2_grpc.MaintenanceStub(channel)

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
    ) -> Page:
        """As `KeyValueStore.list_page`."""
        # The smallest key greater than `after` is `after` and a zero byte.
        start = max(prefix, after + b"\0") if after else prefix
        response = await self._range(
            Deadline.after(timeout_s),
            key=start,
            range_end=prefix_end(prefix),
            limit=limit,
            revision=revision,
            keys_only=keys_only,
        )
        items = tuple(_key_value(kv) for kv in response.kvs)
        return Page(items, revision or response.header.revision, response.more)

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
        request = _txn_request(transaction)
        try:
            response = await self._kv.Txn(request, timeout=timeout_s, metadata=HAS_LEADER)
        except grpc.aio.AioRpcError as exc:
            raise _unwritable(exc.code()) from exc
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
        call = self._watch.Watch(metadata=HAS_LEADER)
        watch: EtcdWatch = await open_watch(call, rpc.WatchRequest(create_request=create))
        try:
            yield watch
        finally:
            watch.abort()

    async def _range(self, until: Deadline, **fields: Any) -> Any:
        request = rpc.RangeRequest(**fields)
        return await _read(self._kv.Range(request, timeout=until.remaining_s(), metadata=HAS_LEADER))

    async def check_version(self, *, timeout_s: float) -> str:
        """As `KeyValueStore.check_version`."""
        response = await _read(self._maintenance.Status(rpc.StatusRequest(), timeout=timeout_s))
        version = str(response.version)
        if _DEFECTIVE.match(version):
            _log.warning(
                "this etcd version can lose data when killed under load; use 3.6 in production", version=version
            )
        return version


@asynccontextmanager
async def open_etcd(
    endpoints: Sequence[str], credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[EtcdStore]:
    """Open a store over `endpoints` (`host:port`), without waiting for a connection. Raises ValueError for bad ones."""
    channel = open_channel(endpoints, credentials)
    try:
        yield EtcdStore(channel)
    finally:
        await channel.close()


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


async def _read(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as exc:
        if exc.code() is grpc.StatusCode.OUT_OF_RANGE:
            raise StoreCompactedError("the revision is compacted") from exc
        raise StoreUnavailableError("the control store cannot be read") from exc


def _unwritable(code: grpc.StatusCode) -> MapUnwritable:
    if code in _NOT_APPLIED:
        return MapUnwritable("the control store refused the change; nothing was changed", metadata={"outcome": "NONE"})
    return MapUnwritable(
        "the control store did not confirm the change; its outcome is unknown: read it back",
        retry_delay_s=_RETRY_DELAY_S,
        metadata={"outcome": "UNKNOWN"},
    )
