"""Blobs over a real folder: named by content, whole or not at all, within their jurisdiction."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from trunkline_map.blob import MAX_BLOB_BYTES, BlobMissingError, FileBlobStore, digest_of
from trunkline_mesh.errors import BackendUnavailable

TEXT = b"strategy: rules\n"


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path / "blobs")


def file_of(tmp_path: Path, jurisdiction: str, digest: str) -> Path:
    return tmp_path / "blobs" / jurisdiction / digest[:2] / digest


async def test_content_comes_back_by_its_digest(blobs: FileBlobStore) -> None:
    """What is put is got, byte for byte; putting it again changes nothing."""
    digest = await blobs.put("eu", TEXT)

    assert digest == digest_of(TEXT)
    assert await blobs.put("eu", TEXT) == digest
    assert await blobs.get("eu", digest) == TEXT
    assert await blobs.exists("eu", digest)


async def test_a_blob_lies_in_its_jurisdiction_only(blobs: FileBlobStore) -> None:
    """Content put for one jurisdiction is not found in another."""
    digest = await blobs.put("eu", TEXT)

    assert not await blobs.exists("us", digest)
    with pytest.raises(BlobMissingError):
        await blobs.get("us", digest)


async def test_damage_is_noticed_and_healed(blobs: FileBlobStore, tmp_path: Path) -> None:
    """A changed file is never handed out; putting the content again repairs it."""
    digest = await blobs.put("eu", TEXT)
    file_of(tmp_path, "eu", digest).write_bytes(b"other")

    with pytest.raises(BackendUnavailable):
        await blobs.get("eu", digest)
    await blobs.put("eu", TEXT)
    assert await blobs.get("eu", digest) == TEXT


async def test_an_overlong_file_is_damage(blobs: FileBlobStore, tmp_path: Path) -> None:
    """It is not read beyond the bound."""
    digest = await blobs.put("eu", TEXT)
    file_of(tmp_path, "eu", digest).write_bytes(b"x" * (2 * MAX_BLOB_BYTES))

    with pytest.raises(BackendUnavailable):
        await blobs.get("eu", digest)


async def test_writers_of_one_blob_do_not_disturb_each_other(blobs: FileBlobStore, tmp_path: Path) -> None:
    """Many at once leave one whole file and no temporary one."""
    digests = await asyncio.gather(*(blobs.put("eu", TEXT * 1000) for _ in range(20)))

    assert len(set(digests)) == 1
    files = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert files == [file_of(tmp_path, "eu", digests[0])]


@pytest.mark.parametrize(
    ("jurisdiction", "digest"),
    [
        ("..", "0" * 64),
        ("eu/../us", "0" * 64),
        ("", "0" * 64),
        ("eu", "../../etc/passwd"),
        ("eu", "A" * 64),
        ("eu", ""),
    ],
)
async def test_names_that_could_leave_the_folder_are_refused(
    blobs: FileBlobStore, jurisdiction: str, digest: str
) -> None:
    """Both are parts of a path, so only their exact forms pass."""
    with pytest.raises(ValueError, match="no jurisdiction"):
        await blobs.get(jurisdiction, digest)


async def test_content_beyond_the_bound_is_refused(blobs: FileBlobStore) -> None:
    """The largest blob passes, one byte more does not."""
    await blobs.put("eu", b"x" * MAX_BLOB_BYTES)

    with pytest.raises(ValueError, match="at most"):
        await blobs.put("eu", b"x" * (MAX_BLOB_BYTES + 1))


async def test_a_folder_that_cannot_be_written_is_a_failure_of_the_store(tmp_path: Path) -> None:
    """A file in place of the folder: told as unavailable, in our words."""
    (tmp_path / "blobs").write_text("no folder")
    blobs = FileBlobStore(tmp_path / "blobs")

    with pytest.raises(BackendUnavailable):
        await blobs.put("eu", TEXT)
