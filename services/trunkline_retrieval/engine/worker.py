"""A worker process: one thread that owns some physical collections and does one thing after another.

Started by the service as `python -m trunkline_retrieval.engine.worker FD NUMBER CONFIG`, with its end of a socket
pair as FD. It ends when that socket does, so it never outlives the service for long.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Sequence

from trunkline_retrieval.engine.collections import Collections
from trunkline_retrieval.engine.config import EngineConfig
from trunkline_retrieval.engine.faults import Fault, fault_of
from trunkline_retrieval.engine.jobs import WRITES, Job
from trunkline_retrieval.engine.mailbox import Mailbox
from trunkline_retrieval.engine.reads import count, scroll, search_each
from trunkline_retrieval.engine.requests import CountBody, Place, ScrollBody, SearchBody, WireFilter
from trunkline_retrieval.engine.wire import Notice, Op
from trunkline_retrieval.engine.writes import Writer


class Worker:
    """The loop: take in, drop what is late, do the oldest thing, and optimize when there is nothing else to do."""

    def __init__(self, connection: socket.socket, number: int, config: EngineConfig) -> None:
        """Open nothing yet."""
        self._mailbox = Mailbox(connection)
        self._collections = Collections(config, number, self._mailbox.announce)
        self._writer = Writer(self._collections, config)
        self._optimize_idle_s = config.optimize_idle_s
        self._last_job_s = time.monotonic()

    def run(self) -> None:
        """Work until the service hangs up, then close the collections."""
        try:
            self._mailbox.announce(Notice.READY)
            while self._mailbox.collect(self._patience_s()):
                self._mailbox.answer_expired()
                if self._mailbox.queue:
                    self._do(self._mailbox.queue.take())
                    self._last_job_s = time.monotonic()
                else:
                    self._use_idle_time()
        except ConnectionError:
            pass  # the service hung up while it was being answered
        finally:
            self._collections.close()

    def _patience_s(self) -> float | None:
        """Return how long to wait for the next request: not at all with work at hand, else until it is idle time."""
        if self._mailbox.queue:
            return 0.0
        if self._collections.due_for_optimizing() is None:
            return None
        return self._last_job_s + self._optimize_idle_s - time.monotonic()

    def _use_idle_time(self) -> None:
        due = self._collections.due_for_optimizing()
        if due is not None and time.monotonic() >= self._last_job_s + self._optimize_idle_s:
            self._collections.optimize(due)

    def _do(self, jobs: Sequence[Job]) -> None:
        if jobs[0].op in WRITES:
            for job, fault, text in self._writer.run(jobs):
                self._mailbox.answer(job, fault, text)
            return
        job = jobs[0]
        try:
            body = self._read(job)
        except Exception as exc:  # noqa: BLE001 - the engine raises bare `Exception`
            self._mailbox.answer(job, fault_of(exc), str(exc))
        else:
            self._mailbox.answer(job, Fault.NONE, body)

    def _read(self, job: Job) -> object:
        """Run a read. A physical collection that does not exist holds nothing."""
        raw_place, raw_filter, *rest = job.body
        place = Place(*raw_place)
        collection = self._collections.find(place)
        if job.op == Op.SEARCH:
            body = SearchBody(place, [WireFilter(*each) for each in raw_filter], *rest)
            return [[] for _ in body.filters] if collection is None else search_each(collection, body)
        wire_filter = WireFilter(*raw_filter)
        if job.op == Op.SCROLL:
            return ([], None) if collection is None else scroll(collection, ScrollBody(place, wire_filter, *rest))
        return 0 if collection is None else count(collection, CountBody(place, wire_filter))


def main(arguments: Sequence[str]) -> None:
    """Run a worker on the socket whose file descriptor is the first argument."""
    # A terminal's Ctrl-C and a supervisor's SIGTERM go to the whole process group. The service drains first; this
    # process ends when the service closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    descriptor, number, config = arguments
    with socket.socket(fileno=int(descriptor)) as connection:
        Worker(connection, int(number), EngineConfig.from_json(config)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
