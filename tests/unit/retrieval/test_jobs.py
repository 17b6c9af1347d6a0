"""The worker's queue."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_retrieval.engine.jobs import MAX_GROUP_JOBS, WRITES, Job, JobQueue
from trunkline_retrieval.engine.wire import Op

OPS = st.sampled_from([Op.ENSURE, Op.UPSERT, Op.DELETE, Op.SEARCH, Op.SCROLL, Op.COUNT])


def queue_of(*ops: int, deadline_s: float = 100.0, size_bytes: int = 10) -> JobQueue:
    """Return a queue of jobs numbered from 0."""
    queue = JobQueue()
    for number, op in enumerate(ops):
        queue.push(Job(number, op, deadline_s, None, size_bytes))
    return queue


def test_reads_are_taken_one_at_a_time_in_order() -> None:
    """A read is taken alone, oldest first."""
    queue = queue_of(Op.SEARCH, Op.COUNT)

    assert [[job.job_id for job in queue.take()] for _ in range(2)] == [[0], [1]]


def test_waiting_writes_share_a_turn() -> None:
    """The oldest write takes the other writes along, past reads that keep their order."""
    queue = queue_of(Op.UPSERT, Op.SEARCH, Op.DELETE, Op.COUNT, Op.ENSURE)

    assert [job.job_id for job in queue.take()] == [0, 2, 4]
    assert [job.job_id for _ in range(2) for job in queue.take()] == [1, 3]


def test_group_of_writes_is_bounded() -> None:
    """A group ends at its number of jobs or at its size, so that reads get their turn."""
    many = queue_of(*[Op.UPSERT] * (MAX_GROUP_JOBS + 5))
    large = queue_of(*[Op.UPSERT] * 10, size_bytes=400_000)

    assert len(many.take()) == MAX_GROUP_JOBS
    assert len(large.take()) == 3


def test_cancelled_job_is_taken_out_once() -> None:
    """Cancelling removes a waiting job; one that is not waiting is left alone."""
    queue = queue_of(Op.SEARCH, Op.UPSERT)

    cancelled = queue.cancel(1)

    assert cancelled is not None
    assert cancelled.job_id == 1
    assert queue.cancel(1) is None
    assert len(queue) == 1


def test_expired_jobs_are_dropped() -> None:
    """Jobs whose deadline has passed are taken out, others stay."""
    queue = queue_of(Op.SEARCH, deadline_s=5.0)
    queue.push(Job(7, Op.SEARCH, 20.0, None, 1))

    assert [job.job_id for job in queue.drop_expired(10.0)] == [0]
    assert [job.job_id for job in queue.take()] == [7]


@settings(deadline=None)  # time decides nothing here
@given(st.lists(OPS, max_size=60))
def test_every_job_is_taken_exactly_once_and_kinds_keep_their_order(ops: list[Op]) -> None:
    """Nothing is lost or doubled; reads stay in order among reads, and writes among writes."""
    queue = queue_of(*ops)
    taken: list[Job] = []
    while queue:
        taken += queue.take()

    assert sorted(job.job_id for job in taken) == list(range(len(ops)))
    for writes in (True, False):
        numbers = [job.job_id for job in taken if (job.op in WRITES) is writes]
        assert numbers == sorted(numbers)
