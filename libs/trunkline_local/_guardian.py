"""Ends what a run left behind. Imported for `sweep`, and run as a file by `python -I -S` beside every process host.

    python -I -S _guardian.py RUN_ID < pipe

The parent-death signal reaches a host's own children, not their children (Triton's stubs, engine workers). So every
child carries RUN_ID in its environment, which its children inherit, and the guardian holds the read end of a pipe whose
only writer is the host. However the host ends, the pipe closes and the guardian kills whatever still carries the mark.
It is itself free of the mark, in its own session, and deaf to the signals of a terminal.
"""

import os
import signal
import sys
import time
from pathlib import Path

RUN_VARIABLE = "TRUNKLINE_LOCAL_RUN"
"""Environment variable that marks every process of a run."""
SWEEP_WITHIN_S = 5.0
_PAUSE_S = 0.02
_SHM = Path("/dev/shm")  # noqa: S108 - where Triton's Python backend keeps its regions, named by us


def shm_prefix(run_id: str) -> str:
    """Return how the names of the run's shared-memory regions begin."""
    return f"trunkline-{run_id}-"


def marked_processes(run_id: str) -> list[int]:
    """Return the ids of all processes whose environment carries the run's mark; zombies have none."""
    needle = b"\0" + f"{RUN_VARIABLE}={run_id}".encode() + b"\0"
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry.name}/environ", "rb") as environ:  # noqa: PTH123 - hot loop over all processes
                if needle in b"\0" + environ.read() + b"\0":
                    found.append(int(entry.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


def sweep(run_id: str, *, within_s: float = SWEEP_WITHIN_S) -> list[int]:
    """Kill all processes of a run, wait until they are gone, remove its shared memory; return the ids that were killed.

    Bounded by `within_s` seconds; a process in an uninterruptible wait may outlast it.
    """
    killed: list[int] = []
    deadline = time.monotonic() + within_s
    while (pids := marked_processes(run_id)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            if pid not in killed:
                killed.append(pid)
        time.sleep(_PAUSE_S)
    for region in _SHM.glob(shm_prefix(run_id) + "*") if _SHM.is_dir() else ():
        region.unlink(missing_ok=True)
    return killed


def main() -> None:
    """Wait until the host is gone, then sweep."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 4096):
        pass
    sweep(sys.argv[1])


if __name__ == "__main__":
    main()
