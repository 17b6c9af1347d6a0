"""A backup of the control store: etcd's own snapshot, streamed to a file that is whole or is not there.

Restoring is `etcdutl snapshot restore` (`etcdctl snapshot restore` before 3.5) into new data folders, and then renewing
the map's epoch through the control role, which makes every map token of before the restore invalid.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

import grpc
from aetcd import rpc

from trunkline_map.etcd_access import EtcdAccess
from trunkline_map.etcd_calls import EtcdCaller, open_caller
from trunkline_map.etcd_members import Member
from trunkline_map.etcd_status import member_status
from trunkline_map.files import sync_folder
from trunkline_map.store import MemberStatus, StoreUnavailableError

Progress: TypeAlias = Callable[[int, int], None]
"""Told (bytes received, bytes expected) after each piece, on the event loop."""

MAX_SNAPSHOT_BYTES: Final = 8 << 30
"""etcd advises against databases above 8 GiB."""

_DIGEST_BYTES: Final = 32
"""etcd ends a snapshot with the SHA-256 of what came before."""
_PAGE_BYTES: Final = 512
"""A database is a multiple of it. Both: etcd server/etcdserver/api/v3rpc/maintenance.go and etcdutl/snapshot."""
_PIECE_BYTES: Final = 1 << 20
_STATUS_TIMEOUT_S: Final = 3.0
_STALL_S: Final = 30.0
"""A stream that brings nothing for so long is given up."""


class BackupError(Exception):
    """No backup was made; nothing was left behind, and a file of that name is as it was."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A finished backup."""

    path: Path
    size_bytes: int
    digest: str
    """SHA-256 of the database in it, in hexadecimal; checked against what etcd sent."""
    revision: int
    """It holds every change up to here, and perhaps later ones."""
    endpoint: str
    """The member that gave it."""
    version: str
    """That member's version; restore with tools of the same minor version."""


async def save_snapshot(
    access: EtcdAccess | Sequence[str],
    path: Path,
    *,
    timeout_s: float = 600.0,
    max_size_bytes: int = MAX_SNAPSHOT_BYTES,
    progress: Progress | None = None,
) -> Snapshot:
    """Stream a snapshot of the cluster to `path`, replacing a file of that name; return what was saved.

    The most advanced member gives it, one that does not lead if there is a choice. The file appears under its name only
    when it is complete, agrees with etcd's checksum, and is on disk (fsync); until then it is a temporary file beside
    it, readable by its owner alone. With etcd's authentication on, the user needs the `root` role.

    Raises BackupError if no member answers, one fails or stalls on the way, `timeout_s` or `max_size_bytes` is
    exceeded, the checksum is wrong, or the file cannot be written; ValueError and OSError for an access that cannot
    work.
    """
    async with open_caller(EtcdAccess.of(access)) as caller:
        member, status = await _source(caller)
        try:
            async with asyncio.timeout(timeout_s):
                target = await _save(_pieces(caller, member, progress), path, max_size_bytes)
        except TimeoutError as exc:
            raise BackupError("the snapshot took too long") from exc
        except OSError as exc:
            raise BackupError(f"the snapshot cannot be written: {exc.strerror}") from exc
    return Snapshot(path, target.size_bytes, target.digest.hex(), status.revision, status.endpoint, status.version)


async def _source(caller: EtcdCaller) -> tuple[Member, MemberStatus]:
    members = caller.ring.members
    statuses = await asyncio.gather(*(member_status(caller, each, timeout_s=_STATUS_TIMEOUT_S) for each in members))
    answered = [pair for pair in zip(members, statuses, strict=True) if pair[1].reachable]
    if not answered:
        raise BackupError("no member of the control store answers")
    return max(answered, key=lambda pair: (pair[1].revision, not pair[1].leader))


async def _pieces(caller: EtcdCaller, member: Member, progress: Progress | None) -> AsyncIterator[bytes]:
    """Yield the snapshot as etcd sends it. Raises BackupError."""
    received = 0
    try:
        metadata = await caller.token_for(member, _STATUS_TIMEOUT_S)
        call = member.maintenance.Snapshot(rpc.SnapshotRequest(), metadata=metadata)
        try:
            while (answer := await _next(call)) is not None:
                received += len(answer.blob)
                yield answer.blob
                if progress is not None:
                    progress(received, received + answer.remaining_bytes)
        finally:
            call.cancel()
    except (grpc.aio.AioRpcError, StoreUnavailableError) as exc:
        raise BackupError("the control store ended the snapshot before it was complete") from exc


async def _next(
    call: grpc.aio.UnaryStreamCall[rpc.SnapshotRequest, rpc.SnapshotResponse],
) -> rpc.SnapshotResponse | None:
    try:
        async with asyncio.timeout(_STALL_S):
            answer = await call.read()
    except TimeoutError as exc:
        raise BackupError("the control store stopped sending the snapshot") from exc
    return None if answer is grpc.aio.EOF else answer


async def _save(pieces: AsyncIterator[bytes], path: Path, max_size_bytes: int) -> _Target:
    with _Target(path, max_size_bytes) as target:
        async for piece in pieces:
            if target.take(piece):
                await asyncio.to_thread(target.write)
        await asyncio.to_thread(target.finish)
    return target


class _Target:
    """The file while it is being written. Not renamed by `finish`, it is gone at the end of the context."""

    def __init__(self, path: Path, max_size_bytes: int) -> None:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        self._file = os.fdopen(handle, "wb")
        self._temporary = Path(name)
        self._path = path
        self._max_size_bytes = max_size_bytes
        self._sha = hashlib.sha256()
        self._pending = bytearray()
        self.size_bytes = 0

    @property
    def digest(self) -> bytes:
        """SHA-256 of what was written before the checksum."""
        return self._sha.digest()

    def take(self, piece: bytes) -> bool:
        """Keep a piece; return True when it is time to `write`."""
        self.size_bytes += len(piece)
        if self.size_bytes > self._max_size_bytes:
            raise BackupError("the snapshot is larger than allowed")
        self._pending += piece
        return len(self._pending) > _PIECE_BYTES

    def write(self) -> None:
        """Write what is pending, but for the last bytes, which may be the checksum."""
        content = bytes(self._pending[:-_DIGEST_BYTES])
        self._sha.update(content)
        self._file.write(content)
        del self._pending[: len(content)]

    def finish(self) -> None:
        """Check, make durable and rename."""
        self.write()
        if self.size_bytes % _PAGE_BYTES != _DIGEST_BYTES or self.digest != bytes(self._pending):
            raise BackupError("the snapshot does not agree with its checksum")
        self._file.write(self._pending)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._temporary.replace(self._path)
        sync_folder(self._path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)  # renamed, if all went well
