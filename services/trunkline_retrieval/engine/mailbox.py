"""The worker's end of its socket to the service."""

from __future__ import annotations

import select
import socket
import time
from typing import Any, Final

from trunkline_retrieval.engine.faults import Fault
from trunkline_retrieval.engine.jobs import Job, JobQueue
from trunkline_retrieval.engine.wire import FrameError, FrameReader, Notice, Op, pack_frame, unpack

_READ_BYTES: Final = 256 << 10


class Mailbox:
    """Takes in requests and cancellations, sends answers and notices. Used by one thread."""

    def __init__(self, connection: socket.socket) -> None:
        """Use `connection`, which the caller closes."""
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._reader = FrameReader()
        self.queue: Final = JobQueue()

    def collect(self, wait_s: float | None) -> bool:
        """Take in everything that has arrived, waiting up to `wait_s` (None: for ever) for the first of it.

        Answers cancelled and expired jobs on the way. Returns False once the service has hung up.
        """
        if not self._poll.poll(None if wait_s is None else max(0.0, wait_s) * 1000):
            return True
        while True:
            try:
                data = self._connection.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionError:
                return False
            if not data:
                return False
            for body in self._reader.feed(data):
                self._take_in(unpack(body), len(body))
            if len(data) < _READ_BYTES:
                break
        return True

    def answer_expired(self) -> None:
        """Drop the jobs whose time has passed, without running them."""
        for job in self.queue.drop_expired(time.monotonic()):
            self.answer(job, Fault.EXPIRED)

    def answer(self, job: Job, fault: Fault, body: Any = None) -> None:
        """Answer a job. An answer that is larger than a frame becomes TOO_LARGE."""
        try:
            frame = pack_frame((job.job_id, int(fault), body))
        except FrameError:
            frame = pack_frame((job.job_id, int(Fault.TOO_LARGE), None))
        self._connection.sendall(frame)

    def announce(self, notice: Notice) -> None:
        """Tell the service something unasked."""
        self._connection.sendall(pack_frame((0, int(notice), None)))

    def _take_in(self, message: Any, size_bytes: int) -> None:
        job_id, op, deadline_s, body = message
        if op == Op.CANCEL:
            cancelled = self.queue.cancel(job_id)
            if cancelled is not None:
                self.answer(cancelled, Fault.CANCELLED)
            return
        self.queue.push(Job(job_id, op, deadline_s, body, size_bytes))
