"""One writer for each folder: the lock, and how a second process of the same name finds a folder of its own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trunkline_usage.segments import LOCK_NAME

MAX_FOLDERS: Final = 16
"""Processes of one name that may write at once; more than two only overlap while something restarts in a loop."""


class UsageBusyError(OSError):
    """All folders of this name are being written by other processes."""


@contextmanager
def writer_folder(root: Path, replica: str) -> Iterator[Path]:
    """Hold `root/REPLICA`, or `root/REPLICA.2` and so on where another process still holds that, until the end.

    The kernel lets go of the lock when a process dies, however it dies. Raises UsageBusyError and OSError.
    """
    for attempt in range(1, MAX_FOLDERS + 1):
        folder = root / (replica if attempt == 1 else f"{replica}.{attempt}")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        except OSError:
            os.close(lock)
            raise
        try:
            yield folder
        finally:
            os.close(lock)
        return
    raise UsageBusyError(f"{root}: {MAX_FOLDERS} processes already write as {replica}")


@contextmanager
def unwritten(folder: Path) -> Iterator[bool]:
    """Keep writers out of a folder until the end, and yield True; False where one is at work. Raises OSError."""
    lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)
