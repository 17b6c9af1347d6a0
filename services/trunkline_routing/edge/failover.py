"""Failover across regions: one attempt after another, each within a share of the deadline that leaves time for more."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry
from trunkline_mesh.breaker_policy import BreakerPolicy
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_mesh.retry_budget import RetryBudget
from trunkline_routing.edge.candidates import Candidate
from trunkline_routing.edge.trail import add_attempt
from trunkline_routing.errors import moves_on, none_left

T = TypeVar("T")

MAX_ATTEMPTS: Final = 3
"""Attempts in all for one piece of work."""


class Failover:
    """Tries candidates for one kind of call until one serves."""

    def __init__(
        self, dependency: str, method: str, policy: BreakerPolicy, breakers: BreakerRegistry, budget: RetryBudget
    ) -> None:
        """Guard `method` of `dependency` by one breaker in each region."""
        self._dependency = dependency
        self._method = method
        self._policy = policy
        self._breakers = breakers
        self._budget = budget

    def would_skip(self, candidate: Candidate) -> trail_pb.AttemptOutcome.ValueType:
        """Return why the candidate would be passed over now; unspecified if it would be asked."""
        if candidate.passed_over:
            return candidate.passed_over
        if self._breakers.get(self._dependency, candidate.region_id, self._method, self._policy).is_open():
            return trail_pb.ATTEMPT_OUTCOME_SKIPPED_BREAKER
        return trail_pb.ATTEMPT_OUTCOME_UNSPECIFIED

    async def first(
        self,
        candidates: Sequence[Candidate],
        attempt: Callable[[RegionEntry, Deadline], Awaitable[T]],
        *,
        deadline: Deadline,
        subject: Mapping[str, str],
        budget: Deadline | None = None,
        trail: trail_pb.CollectionTrail | None = None,
    ) -> tuple[RegionEntry, T]:
        """Return the first region that served, and what it answered.

        `budget` is by when the work should be done: attempts that another one could follow share it, the last one may
        take until `deadline`. `subject` names the work in refusals. Raises a caller's fault at once, and what
        `none_left` makes of the attempts when no candidate served.
        """
        self._budget.record_request()
        tried: list[str] = []
        last: DomainError | None = None
        for index, candidate in enumerate(candidates):
            skip = self.would_skip(candidate)
            if skip or candidate.region is None:
                add_attempt(trail, candidate.region_id, skip)
                continue
            if tried and not self._may_go_on(len(tried), deadline):
                add_attempt(trail, candidate.region_id, trail_pb.ATTEMPT_OUTCOME_SKIPPED_BUDGET)
                continue
            tried.append(candidate.region_id)
            share = self._share(deadline, budget or deadline, candidates[index + 1 :])
            began_s = time.perf_counter()
            try:
                result = await self._guarded(candidate.region, attempt, share)
            except DomainError as error:
                add_attempt(
                    trail,
                    candidate.region_id,
                    trail_pb.ATTEMPT_OUTCOME_FAILED,
                    error=error,
                    elapsed_s=time.perf_counter() - began_s,
                )
                if not moves_on(error):
                    raise
                last = error
                continue
            add_attempt(
                trail,
                candidate.region_id,
                trail_pb.ATTEMPT_OUTCOME_SERVED,
                elapsed_s=time.perf_counter() - began_s,
            )
            return candidate.region, result
        raise none_left(subject, tried, last) from last

    async def _guarded(
        self, region: RegionEntry, attempt: Callable[[RegionEntry, Deadline], Awaitable[T]], share: Deadline
    ) -> T:
        breaker = self._breakers.get(self._dependency, region.region_id, self._method, self._policy)
        return await breaker.call(lambda: attempt(region, share))

    def _may_go_on(self, attempts: int, deadline: Deadline) -> bool:
        return attempts < MAX_ATTEMPTS and not deadline.expired() and self._budget.try_spend()

    def _share(self, deadline: Deadline, budget: Deadline, later: Sequence[Candidate]) -> Deadline:
        """Half of what is left if another candidate could follow, else all of it."""
        if any(not self.would_skip(candidate) for candidate in later):
            return deadline.within((budget.remaining_s() or deadline.remaining_s()) / 2)
        return deadline
