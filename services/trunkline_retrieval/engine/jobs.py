"""What waits in a worker: a queue in order of arrival, from which writes are taken in groups."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from trunkline_retrieval.engine.wire import Op

WRITES: Final = frozenset({Op.ENSURE, Op.UPSERT, Op.DELETE})

MAX_GROUP_JOBS: Final = 32
MAX_GROUP_BYTES: Final = 1 << 20
"""Writes that share one flush. Bounds how long a search waits behind them: about 50 ms."""


@dataclass(slots=True)
class Job:
    """One request that waits for its turn."""

    job_id: int
    op: int
    deadline_s: float
    """Value of `time.monotonic()` after which nobody waits for it."""
    body: Any
    size_bytes: int


class JobQueue:
    """Waiting jobs, oldest first. The service bounds how many and how large they are."""

    def __init__(self) -> None:
        """Start empty."""
        self._jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def push(self, job: Job) -> None:
        """Add a job at the end."""
        self._jobs.append(job)

    def cancel(self, job_id: int) -> Job | None:
        """Take a waiting job out; return None if it is not waiting (its answer is on its way)."""
        for job in self._jobs:
            if job.job_id == job_id:
                self._jobs.remove(job)
                return job
        return None

    def drop_expired(self, now_s: float) -> list[Job]:
        """Take out the jobs that nobody waits for any more."""
        expired = [job for job in self._jobs if job.deadline_s <= now_s]
        for job in expired:
            self._jobs.remove(job)
        return expired

    def take(self) -> Sequence[Job]:
        """Take the oldest job and, if it writes, the other writes that may share its flush, in their order."""
        first = self._jobs.popleft()
        if first.op not in WRITES:
            return (first,)
        group, size_bytes, kept = [first], first.size_bytes, deque[Job]()
        while self._jobs and len(group) < MAX_GROUP_JOBS and size_bytes < MAX_GROUP_BYTES:
            job = self._jobs.popleft()
            if job.op in WRITES:
                group.append(job)
                size_bytes += job.size_bytes
            else:
                kept.append(job)
        kept.extend(self._jobs)
        self._jobs = kept
        return group
