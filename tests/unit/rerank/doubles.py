"""A clock that only work moves, and a scorer that takes its time on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout
from trunkline_rerank.ports import Scores


class Clock:
    """Monotonic seconds, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class TimedScorer:
    """Scores a text by its own number; a passage takes as long as `cost_s` says, and the deadline cuts it off."""

    def __init__(self, clock: Clock, cost_s: Callable[[str], float], *, call_s: float = 0.0) -> None:
        self._clock = clock
        self._cost_s = cost_s
        self._call_s = call_s
        self.batches: list[int] = []
        self.failure_at: tuple[int, Exception] | None = None
        """Fails the batch of this number, counted from 0."""

    async def score(self, query: str, passages: Sequence[str], *, model_id: str, deadline: Deadline) -> Scores:
        self.batches.append(len(passages))
        if self.failure_at is not None and self.failure_at[0] == len(self.batches) - 1:
            raise self.failure_at[1]
        end_s = self._clock.now_s + self._call_s + sum(map(self._cost_s, passages))
        self._clock.now_s = min(end_s, deadline.at_s)
        if end_s > deadline.at_s:
            raise BackendTimeout
        return Scores([float(passage) for passage in passages], model_id or "default@1")
