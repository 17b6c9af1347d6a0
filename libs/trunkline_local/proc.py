"""Telling one process from another that got the same id later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process id with what makes it unique: when it started, in which boot of the machine."""

    pid: int
    start_ticks: int
    """Clock ticks since boot, field 22 of /proc/PID/stat (proc(5))."""
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """Return the mark of a process; None if it is gone or a zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()  # the name, in parentheses, may hold anything
        if fields[0] in ("Z", "X"):
            return None
        return cls(pid, int(fields[19]), boot_id())

    @classmethod
    def own(cls) -> ProcessMark:
        """Return the mark of this process."""
        mark = cls.of(os.getpid())
        assert mark is not None
        return mark

    def alive(self) -> bool:
        """Tell whether that very process still runs."""
        return ProcessMark.of(self.pid) == self


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
