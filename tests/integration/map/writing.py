"""Writing entries as control does, and waiting for what a watcher sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aetcd import rpc
from aetcd.rpc import rpc_pb2_grpc

from trunkline_map.entries import Entry, EpochEntry
from trunkline_map.etcd_channel import open_channel
from trunkline_map.keys import EPOCH_KEY, MapKey
from trunkline_map.records import encode
from trunkline_map.store import KeyValueStore, StoreUnavailableError, Transaction
from trunkline_map.token import encode as encode_token

EPOCH = EpochEntry(b"testmap!")


async def put(store: KeyValueStore, *entries: Entry, timeout_s: float = 5.0) -> bytes:
    """Write entries in one transaction; return the map token of the change."""
    puts = {entry.key.encode(): encode(entry) for entry in entries}
    commit = await store.commit(Transaction(puts=puts), timeout_s=timeout_s)
    return encode_token(EPOCH.epoch, commit.revision)


async def put_raw(store: KeyValueStore, key: bytes, value: bytes) -> int:
    """Write any bytes; return the revision."""
    return (await store.commit(Transaction(puts={key: value}), timeout_s=5)).revision


async def delete(store: KeyValueStore, *keys: MapKey) -> bytes:
    """Remove entries in one transaction; return the map token of the change."""
    commit = await store.commit(Transaction(deletes=[key.encode() for key in keys]), timeout_s=5)
    return encode_token(EPOCH.epoch, commit.revision)


async def recovered(store: KeyValueStore, *, within_s: float = 20.0) -> None:
    """Wait until a store that was away answers again: its channel pauses up to a second between attempts."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                await store.read([EPOCH_KEY.encode()], timeout_s=1)
            except StoreUnavailableError:
                await asyncio.sleep(0.02)
            else:
                return


async def seen(condition: Callable[[], bool], *, within_s: float = 20.0) -> None:
    """Wait until a condition of this process holds; raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - ages and counters have no event to wait for
            await asyncio.sleep(0.005)


async def compact(endpoint: str) -> None:
    """Forget all history before now."""
    async with open_channel(endpoint) as channel:
        kv = rpc_pb2_grpc.KVStub(channel)
        now = await kv.Range(rpc.RangeRequest(key=b"/"), timeout=5)
        await kv.Compact(rpc.CompactionRequest(revision=now.header.revision, physical=True), timeout=5)
