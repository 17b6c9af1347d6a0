"""Use case: score as many candidates as fit into the time, best first, and put those in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, DeadlineExceeded, DomainError
from trunkline_rerank.pace import MIN_PACE_S, Pace
from trunkline_rerank.ports import PassageScorer, Scores

FIRST_BATCH: Final = 2
"""Candidates of a request's first batch: what it measures is lost with it if it does not fit."""
BATCH_GROWTH: Final = 3
"""Each batch is at most so many times its predecessor."""
MAX_BATCH: Final = 32
SAFETY: Final = 1.5
"""A batch is expected to take this many times its mean, because one that is cut off was for nothing."""


class Candidate(NamedTuple):
    """One candidate."""

    candidate_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """One candidate in its new place."""

    candidate_id: str
    score: float
    scored: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """The new order: at most as many as were wanted."""

    results: Sequence[Ranked]
    scored_count: int
    partial: bool
    """True if not all candidates were scored."""
    model: str


class RerankCandidates:
    """Works in small batches that grow as long as they are quick, so that the time runs out between two of them."""

    def __init__(self, scorer: PassageScorer, *, pace: Pace, reserve_s: float, clock: Clock = MONOTONIC) -> None:
        """Keep back `reserve_s` of the time for the answer's way."""
        self._scorer = scorer
        self._pace = pace
        self._reserve_s = reserve_s
        self._clock = clock

    async def __call__(
        self, query: str, candidates: Sequence[Candidate], *, top_n: int, model_id: str, deadline: Deadline
    ) -> Ranking:
        """Return a prefix, `top_n` long, of an order of all candidates.

        Those that were scored come first, by score, ties in their old order; then the others in their old order. If the
        scorer fails after some were scored, the answer is partial. Raises DeadlineExceeded if none could be scored in
        time, and the scorer's error if it failed before any was.
        """
        work_until = Deadline(deadline.at_s - self._reserve_s)
        scores: list[float] = []
        model, pace_s, batch_size = "", self._pace.s_per_passage, FIRST_BATCH
        while len(scores) < len(candidates):
            fitting = self._fitting(work_until.at_s - self._clock(), pace_s, first=not scores)
            batch = candidates[len(scores) : len(scores) + min(batch_size, fitting)]
            if not batch:
                break
            try:
                answer, pace_s = await self._score(query, batch, model_id, work_until)
            except DomainError as exc:
                if not scores or exc.fault == reasons_pb.FAULT_INTERNAL:
                    raise
                break
            scores += answer.values
            model = answer.model
            batch_size = min(batch_size * BATCH_GROWTH, MAX_BATCH)
        if not scores:
            raise DeadlineExceeded
        return Ranking(order(candidates, scores)[:top_n], len(scores), len(scores) < len(candidates), model)

    @staticmethod
    def _fitting(left_s: float, pace_s: float, *, first: bool) -> int:
        """How many passages are expected to fit. The first one is always tried: it may be one that costs nothing."""
        fitting = int(max(0.0, left_s) / (pace_s * SAFETY))
        return max(1, fitting) if first and left_s > 0 else fitting

    async def _score(
        self, query: str, batch: Sequence[Candidate], model_id: str, deadline: Deadline
    ) -> tuple[Scores, float]:
        """Score one batch; return its scores and the seconds that each passage took."""
        texts = [candidate.text for candidate in batch]
        started_s = self._clock()
        try:
            answer = await self._scorer.score(query, texts, model_id=model_id, deadline=deadline)
        except (BackendTimeout, DeadlineExceeded) as exc:
            self._pace.learn_at_least(self._clock() - started_s, len(batch))
            # A scorer that did not answer within our whole time is the end of our caller's time as well.
            raise DeadlineExceeded from exc
        elapsed_s = max(self._clock() - started_s, MIN_PACE_S)
        self._pace.learn(elapsed_s, len(batch))
        return answer, elapsed_s / len(batch)


def order(candidates: Sequence[Candidate], scores: Sequence[float]) -> list[Ranked]:
    """Return all candidates: the first `len(scores)` by their scores, the others behind them as they were."""
    best_first = sorted(range(len(scores)), key=lambda index: -scores[index])  # stable: ties keep their order
    scored = [Ranked(candidates[index].candidate_id, scores[index], scored=True) for index in best_first]
    rest = [Ranked(candidate.candidate_id, 0.0, scored=False) for candidate in candidates[len(scores) :]]
    return scored + rest
