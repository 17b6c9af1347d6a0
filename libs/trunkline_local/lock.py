"""One stack for one run directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from trunkline_local.errors import StackRunningError
from trunkline_local.files import make_private_folder

LOCK_FILE: Final = "owner.lock"


class RunLock:
    """A file lock that the kernel drops when its holder ends, however it ends. Children do not inherit it."""

    def __init__(self, run_dir: Path) -> None:
        """Take it at once. Raises StackRunningError if another stack holds it."""
        path = make_private_folder(run_dir) / LOCK_FILE
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 64).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise StackRunningError(
                f"a stack already runs in {run_dir} (process {owner or 'unknown'}); stop it first"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another stack have the run directory."""
        os.close(self._descriptor)
