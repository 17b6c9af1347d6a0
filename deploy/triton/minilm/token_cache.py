"""A cache of passages' token vectors, shared by the processes of one Triton.

Running a passage of 192 tokens through the model takes about 65 ms on one core; comparing its stored vectors with a
query takes 0.3 ms. The encoder runs every passage once when it is written, so it leaves the vectors here, and reranking
finds them.

One file in memory (tmpfs), of bounded size, divided into slots; a key may lie in any of the four slots of its set,
where the least recently used makes room. Reads and writes are plain `pread` and `pwrite`: a full tmpfs is an error that
we notice, not the SIGBUS that it would be through a mapping. Processes do not lock each other out: a slot that is read
while another process writes it fails its checksum and is a miss.

Keys contain the caller's scope (the tenant), so no tenant can find out by timing what another one has stored.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from minilm.encoder import DIMENSION
from minilm.late_interaction import PassageVectors

WAYS = 4
KEY_BYTES = 16
_HEADER = struct.Struct(f"<{KEY_BYTES}sIII4x")  # key, checksum of key and payload, rows (0: empty), last use in s
_USE = struct.Struct("<I")
_USE_OFFSET = KEY_BYTES + 8
_ROW_BYTES = DIMENSION + 2  # values and the row's scale
_SUFFIX = "-tokens"
_PREFIX = "trunkline-"


def cache_key(scope: str, text: str, *, max_tokens: int) -> bytes:
    """Return a text's key within a scope. 128 bits: not even a chosen text meets another one's slot."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in (scope, str(max_tokens), text):
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "little") + raw)
    return digest.digest()


def shared_path() -> Path:
    """Return the file that all models of this server share: its process is the parent of each model's process.

    A local run's mark in the name lets whoever ends that run remove it.
    """
    folder = Path("/dev/shm")  # noqa: S108 - shared memory is the point; the file is created exclusively for this user
    if not os.access(folder, os.W_OK):
        folder = Path(tempfile.gettempdir())
    run = os.environ.get("TRUNKLINE_LOCAL_RUN", "server")
    return folder / f"{_PREFIX}{run}-{os.getppid()}{_SUFFIX}"


class TokenCache:
    """Fixed slots in one file. Every failure of the file is a miss or a value not kept, never an error."""

    def __init__(self, path: Path, *, slots: int, max_rows: int) -> None:
        """Open or create the file for `slots` passages of at most `max_rows` rows each; sparse until it is filled.

        Files of servers that are gone are removed. Raises OSError if the file cannot be opened.
        """
        _remove_orphans(path)
        self._path = path
        self._sets = max(1, slots // WAYS)
        self._max_rows = max_rows
        self._slot_bytes = _HEADER.size + max_rows * _ROW_BYTES
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_SH)  # held while open: tells orphans from files in use

    @property
    def size_bytes_max(self) -> int:
        """Size of the file when every slot holds a passage of the longest kind."""
        return self._sets * WAYS * self._slot_bytes

    def get(self, key: bytes) -> PassageVectors | None:
        """Return what was stored under a key, or None."""
        try:
            for offset in self._offsets(key):
                found, checksum, rows, _ = self._header(offset)
                if found != key or not 0 < rows <= self._max_rows:
                    continue
                payload = os.pread(self._fd, rows * _ROW_BYTES, offset + _HEADER.size)
                if len(payload) != rows * _ROW_BYTES or zlib.crc32(payload, zlib.crc32(key)) != checksum:
                    return None
                os.pwrite(self._fd, _USE.pack(_now_s()), offset + _USE_OFFSET)
                return _unpack(payload, rows)
        except OSError:
            return None
        return None

    def put(self, key: bytes, passage: PassageVectors) -> bool:
        """Store under a key; False if it has too many rows or the file has no room."""
        rows = len(passage.scales)
        if not 0 < rows <= self._max_rows:
            return False
        payload = passage.scales.tobytes() + passage.values.tobytes()
        try:
            offset = self._slot_for(key)
            head = _HEADER.pack(key, zlib.crc32(payload, zlib.crc32(key)), rows, _now_s())
            return os.pwritev(self._fd, (head, payload), offset) == len(head) + len(payload)
        except OSError:
            return False

    def close(self) -> None:
        """Close, and remove the file if no other process uses it."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._path.unlink(missing_ok=True)
        except OSError:
            pass  # others use it; the last one removes it
        os.close(self._fd)

    def _offsets(self, key: bytes) -> range:
        first = int.from_bytes(key[:8], "little") % self._sets * WAYS * self._slot_bytes
        return range(first, first + WAYS * self._slot_bytes, self._slot_bytes)

    def _header(self, offset: int) -> tuple[bytes, int, int, int]:
        raw = os.pread(self._fd, _HEADER.size, offset)
        if len(raw) != _HEADER.size:
            return b"", 0, 0, 0  # behind the end of a file that has not grown so far
        key, checksum, rows, used_s = _HEADER.unpack(raw)
        return key, checksum, rows, used_s

    def _slot_for(self, key: bytes) -> int:
        oldest, oldest_s = -1, 1 << 32
        for offset in self._offsets(key):
            found, _, rows, used_s = self._header(offset)
            if found == key or rows == 0:
                return offset
            if used_s < oldest_s:
                oldest, oldest_s = offset, used_s
        return oldest


def _now_s() -> int:
    return int(time.monotonic()) & 0xFFFFFFFF


def _unpack(payload: bytes, rows: int) -> PassageVectors:
    scales = np.frombuffer(payload, np.float16, rows)
    values = np.frombuffer(payload, np.int8, rows * DIMENSION, offset=2 * rows)
    return PassageVectors(values.reshape(rows, DIMENSION), scales)


def _remove_orphans(ours: Path) -> None:
    """Remove files that no process holds: their servers were killed."""
    for path in ours.parent.glob(f"{_PREFIX}*{_SUFFIX}"):
        if path == ours:
            continue
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's, or gone meanwhile
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            pass  # in use
        finally:
            os.close(descriptor)
