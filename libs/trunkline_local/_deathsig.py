"""Exec shim: dies with its parent, then becomes the given program. Run as a file, by `python -I -S`, never imported.

    python -I -S _deathsig.py PARENT_PID PROGRAM ARGUMENT...

PR_SET_PDEATHSIG survives execve, so the program gets SIGKILL as soon as the thread that started it ends, also when
its process was killed by `kill -9`. A `preexec_fn` would do the same but is unsafe in a process with threads; this
costs the start of a bare interpreter instead (about 12 ms of CPU), so it imports next to nothing.
"""

import _signal as signal  # type: ignore[import-not-found]  # without `enum`, a third less to load; has no stub
import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the parent-death signal, make sure that the parent is still there, and exec."""
    parent_pid, program = int(sys.argv[1]), sys.argv[2]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")
    # The parent may have died before prctl; then nobody would ever send the signal.
    if os.getppid() != parent_pid:
        sys.exit("the parent is gone")
    # Python ignores these two at start-up, and ignored signals stay ignored through execve.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execve(program, sys.argv[2:], os.environ)  # noqa: S606 - the caller names the program, there is no shell
    except OSError as exc:
        sys.exit(f"{program} cannot be started: {exc.strerror}")


if __name__ == "__main__":
    main()
