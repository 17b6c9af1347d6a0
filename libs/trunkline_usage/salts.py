"""Salts of the search audit: one for each day, shared by the writers of a folder, destroyed after some days.

Without a day's salt nobody can tell any more whose its hashes are, or try guesses at them.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Final

SALT_BYTES: Final = 32
HASH_BYTES: Final = 16
FOLDER: Final = "salts"
_NAME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})\.salt")


def hash_of(kind: str, content: str | bytes, salt: bytes) -> str:
    """Return the keyed BLAKE2b hash of a text or of bytes: 32 hexadecimal digits. Different kinds never meet."""
    plain = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    return blake2b(plain, key=salt, digest_size=HASH_BYTES, person=kind.encode()).hexdigest()


class Salts:
    """The salts in `root/salts`."""

    def __init__(self, root: Path, keep_days: int) -> None:
        """Keep each salt for `keep_days` days after its own, 0 and more."""
        self._folder = root / FOLDER
        self._keep_days = keep_days

    def of(self, day: date) -> bytes | None:
        """Return a day's salt; None if there is none, or not any more. Raises OSError."""
        try:
            salt = (self._folder / f"{day.isoformat()}.salt").read_bytes()
        except FileNotFoundError:
            return None
        return salt if len(salt) == SALT_BYTES else None

    def ensure(self, day: date) -> bytes:
        """Return a day's salt; make it if there is none. All that ask get the same one. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{day.isoformat()}.salt"
        for _ in range(3):
            found = self.of(day)
            if found is not None:
                return found
            self._offer(path)
        raise OSError(f"{path} holds no salt")

    def _offer(self, path: Path) -> None:
        """Put a new salt in place unless another process was quicker; whole, or not at all."""
        offered = path.with_name(f".{secrets.token_hex(8)}")
        fd = os.open(offered, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, secrets.token_bytes(SALT_BYTES))
            os.fsync(fd)
            os.link(offered, path)
        except FileExistsError:
            pass
        finally:
            os.close(fd)
            offered.unlink(missing_ok=True)

    def destroy_old(self, today: date) -> int:
        """Destroy the salts whose time is over; return how many. Raises OSError.

        They are overwritten and unlinked. A file system that copies on write, a snapshot or a backup may still have
        them: leave the folder out of backups.
        """
        destroyed = 0
        for day, path in self._all():
            if day + timedelta(days=self._keep_days) < today:
                _destroy(path)
                destroyed += 1
        return destroyed

    def _all(self) -> Iterator[tuple[date, Path]]:
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            name = _NAME.fullmatch(path.name)
            if name is None:
                continue
            with suppress(ValueError):  # of the form of a day, and none: no salt of ours
                yield date.fromisoformat(name[1]), path


def _destroy(path: Path) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # another writer of the folder did it
    try:
        os.write(fd, b"\0" * SALT_BYTES)
        os.fsync(fd)
        os.ftruncate(fd, 0)  # whoever still finds the name must not take the zeros for a salt
    finally:
        os.close(fd)
    path.unlink(missing_ok=True)
