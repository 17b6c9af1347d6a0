"""Blobs: content that etcd must not hold, named by its digest, within one jurisdiction.

The map keeps {version, digest}; the text of a policy lies here. A blob never changes, so a copy may be kept for ever.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final, Protocol

from trunkline_map.files import sync_folder
from trunkline_mesh.errors import BackendUnavailable

MAX_BLOB_BYTES: Final = 8 << 20
"""Largest blob; a trained head of 1,000 collections is a quarter of it, the largest policy too."""

_JURISDICTION: Final = re.compile(r"[a-z0-9-]{1,16}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class BlobMissingError(Exception):
    """No blob of that digest lies in that jurisdiction."""


class BlobPort(Protocol):
    """Content by digest, within a jurisdiction. Every method raises BackendUnavailable if the store fails, and
    ValueError for a jurisdiction or digest that is none.
    """

    async def put(self, jurisdiction: str, content: bytes) -> str:
        """Keep `content`, at most MAX_BLOB_BYTES, durably; return its digest. Putting it twice changes nothing."""

    async def get(self, jurisdiction: str, digest: str) -> bytes:
        """Return the content, which is known to have that digest. Raises BlobMissingError."""

    async def exists(self, jurisdiction: str, digest: str) -> bool:
        """Return True if the blob lies there; its content is not read."""


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of `content` in lower-case hexadecimal: the blob's name."""
    return hashlib.sha256(content).hexdigest()


class FileBlobStore:
    """`BlobPort` over a folder: `ROOT/JURISDICTION/DIGEST[:2]/DIGEST`. For development and single machines."""

    def __init__(self, root: Path) -> None:
        """Use `root`, which is made when the first blob is put."""
        self._root = root

    async def put(self, jurisdiction: str, content: bytes) -> str:
        """As `BlobPort.put`; a blob that was damaged on disk is written anew."""
        if len(content) > MAX_BLOB_BYTES:
            raise ValueError(f"a blob has at most {MAX_BLOB_BYTES} bytes")
        digest = digest_of(content)
        path = self._path(jurisdiction, digest)
        try:
            await asyncio.to_thread(_write_once, path, content)
        except OSError as exc:
            raise BackendUnavailable("the blob store cannot be written") from exc
        return digest

    async def get(self, jurisdiction: str, digest: str) -> bytes:
        """As `BlobPort.get`; damaged content counts as a failure of the store."""
        path = self._path(jurisdiction, digest)
        try:
            content = await asyncio.to_thread(_read_bounded, path)
        except FileNotFoundError as exc:
            raise BlobMissingError(digest) from exc
        except OSError as exc:
            raise BackendUnavailable("the blob store cannot be read") from exc
        if digest_of(content) != digest:
            raise BackendUnavailable("a blob is damaged")
        return content

    async def exists(self, jurisdiction: str, digest: str) -> bool:
        """As `BlobPort.exists`."""
        return await asyncio.to_thread(self._path(jurisdiction, digest).is_file)

    def _path(self, jurisdiction: str, digest: str) -> Path:
        # Both become parts of a path: nothing but these forms may pass.
        if not _JURISDICTION.fullmatch(jurisdiction) or not _DIGEST.fullmatch(digest):
            raise ValueError("no jurisdiction or no digest")
        return self._root / jurisdiction / digest[:2] / digest


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BLOB_BYTES + 1)  # one byte more shows that it is too long: the digest then differs


def _write_once(path: Path, content: bytes) -> None:
    """Write by renaming a synced temporary file, so that a reader or a crash never meets a part of it."""
    try:
        if _read_bounded(path) == content:
            return
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
