"""Log files of children, bounded in size.

Children append to their file themselves, so that a stopped or dead parent never blocks them. `trim` is run from time to
time: a file above its limit has its end copied to `NAME.1` and is emptied. Between two runs a file can pass the limit
by what is written in that time; lines written during the copy itself may be lost.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

LOG_LIMIT_BYTES: Final = 8 << 20
"""A child's log is emptied when it is larger than this."""
KEPT_BYTES: Final = 1 << 20
"""How much of its end then stays in `NAME.1`."""
TAIL_BYTES: Final = 4096
TRIM_EVERY_S: Final = 5.0


def open_log(path: Path) -> int:
    """Open a log for appending, readable by its owner alone, and return the descriptor; the caller closes it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def read_tail(path: Path, max_bytes: int = TAIL_BYTES) -> str:
    """Return the end of a file as text, at most `max_bytes`, whole lines where possible; empty if there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            data = file.read(max_bytes)
    except FileNotFoundError:
        return ""
    if size > max_bytes:
        data = data.partition(b"\n")[2] or data
    return data.decode("utf-8", errors="replace").rstrip()


def trim(path: Path, *, limit_bytes: int = LOG_LIMIT_BYTES, kept_bytes: int = KEPT_BYTES) -> bool:
    """Empty a log that is larger than its limit, after copying its end to `NAME.1`; return whether it was.

    Writers opened it with O_APPEND, so they go on at the new end and leave no hole.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    if size <= limit_bytes:
        return False
    with path.open("rb+") as file:
        file.seek(max(0, size - kept_bytes))
        kept = path.with_name(path.name + ".1")
        with open(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:  # noqa: PTH123 - mode 0600
            target.write(file.read(kept_bytes))
        file.truncate(0)
    return True


async def keep_trimmed(paths: Callable[[], Iterable[Path]], *, limit_bytes: int, every_s: float = TRIM_EVERY_S) -> None:
    """Trim the logs that `paths` names at that time, again and again until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        for path in paths():
            trim(path, limit_bytes=limit_bytes)
