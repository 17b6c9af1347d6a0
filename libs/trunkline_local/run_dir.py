"""The folder of a stack: claimed once, so that no other folder is ever emptied, and locked while a stack runs in it."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

from trunkline_local import _guardian
from trunkline_local.errors import LocalError, SpecError, StackRunningError
from trunkline_local.files import make_private_folder
from trunkline_local.state import read_state

LOCK_FILE: Final = "owner.lock"
"""Marks a folder as ours, is locked by the stack's owner and names its process."""
_PER_RUN: Final = ("logs", "triton", "identity")
_DATA: Final = "data"


def claim(path: Path) -> None:
    """Make a folder ours, mode 0700, if it is new, empty or was ours before. Raises SpecError for any other."""
    if path.is_dir() and not (path / LOCK_FILE).exists() and any(path.iterdir()):
        raise SpecError(f"{path} holds other files; name a folder of its own for the stack")
    make_private_folder(path).chmod(0o700)
    (path / LOCK_FILE).touch(mode=0o600)


class RunDir:
    """A locked run directory. The kernel drops the lock when its holder ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Claim and lock a folder that is new, empty or was a run directory before.

        Raises SpecError for any other folder and StackRunningError if a stack runs in it.
        """
        claim(path)
        self.path: Final = path
        self._lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock, 64).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise StackRunningError(f"a stack already runs in {path} (process {owner}); stop it first") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def prepare(self, *, keep_data: bool) -> None:
        """End what an earlier run may have left, remove its files, and its data unless they are to be kept."""
        try:
            stale = read_state(self.path)
        except LocalError:  # of another version; its processes died with their owner
            stale = None
        if stale is not None:
            _guardian.sweep(stale.run_id)
        for name in _PER_RUN if keep_data else (*_PER_RUN, _DATA):
            shutil.rmtree(self.path / name, ignore_errors=True)
        make_private_folder(self.path / _DATA / "blobs")

    def release(self) -> None:
        """Let another stack have it."""
        os.close(self._lock)
