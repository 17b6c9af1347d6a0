"""Failover across regions: one attempt after another, each within a share of the deadline that leaves time for more.

Pieces of work (`Course`) whose next candidate is the same region share one call; regions are asked at the same time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Final, TypeVar

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry
from trunkline_mesh.breaker import Breaker, BreakerState
from trunkline_mesh.breaker_policy import BreakerPolicy
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, Draining, Overloaded, Preempted
from trunkline_mesh.retry_budget import RetryBudget
from trunkline_routing.edge.candidates import Candidate
from trunkline_routing.edge.course import Course, Lot, Outcome
from trunkline_routing.edge.evidence import guarded
from trunkline_routing.edge.groups import Group, Limits, raise_refusal, settle
from trunkline_routing.edge.hedged_call import Asking, Ended, hedged
from trunkline_routing.edge.hedging import Hedges
from trunkline_routing.edge.region_view import RegionView
from trunkline_routing.edge.together import together
from trunkline_routing.edge.trail_attempts import Known

T = TypeVar("T")

Attempt = Callable[[RegionEntry, Sequence[Course[T]], Deadline], Awaitable[Sequence[T | DomainError]]]
"""Asks one region for several pieces of work, and returns what became of each, in order. Raises what fails them all."""

MAX_ATTEMPTS: Final = 3
"""Attempts in all for one piece of work."""

_STATES: Final[Mapping[BreakerState, trail_pb.BreakerState.ValueType]] = {
    BreakerState.CLOSED: trail_pb.BREAKER_STATE_CLOSED,
    BreakerState.OPEN: trail_pb.BREAKER_STATE_OPEN,
    BreakerState.HALF_OPEN: trail_pb.BREAKER_STATE_HALF_OPEN,
}


class Failover:
    """Tries candidates for one kind of call until one serves."""

    def __init__(
        self,
        dependency: str,
        method: str,
        policy: BreakerPolicy,
        breakers: BreakerRegistry,
        budget: RetryBudget,
        *,
        view: RegionView | None = None,
        probed: bool = False,
        hedges: Hedges | None = None,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Guard `method` of `dependency` by one breaker in each region.

        `view` knows the regions; `probed` says that its health and pressure are this dependency's.
        """
        self._dependency = dependency
        self._method = method
        self._policy = policy
        self._breakers = breakers
        self._budget = budget
        self._view = view or RegionView()
        self._probed = probed
        self._hedges = hedges if hedges is not None and hedges.enabled else None
        self._rng = rng

    def tier(self, region_id: str) -> int | None:
        """Return how far a region is, for the order of candidates."""
        return self._view.tier(region_id)

    def lot(self, tenant_id: str) -> Lot:
        """Draw the lot of one request."""
        return Lot(tenant_id, self._rng())

    def skip(self, candidate: Candidate, lot: Lot, *, moved: bool) -> Outcome:
        """Return why the candidate would be passed over now; unspecified if it would be asked."""
        region = candidate.region
        if candidate.passed_over or region is None:
            return candidate.passed_over or trail_pb.ATTEMPT_OUTCOME_SKIPPED_RESIDENCY
        if self._breaker(candidate.region_id).is_open():
            return trail_pb.ATTEMPT_OUTCOME_SKIPPED_BREAKER
        if self._probed:
            skip = self._view.soft_skip(region, moved=moved, draw=lot.draw)
            if skip:
                return skip
        if self._view.is_away(self._dependency, candidate.region_id, lot.tenant_id):
            return trail_pb.ATTEMPT_OUTCOME_SKIPPED_OVERLOAD
        return trail_pb.ATTEMPT_OUTCOME_UNSPECIFIED

    def known(self, region_id: str) -> Known:
        """Return what the trail tells of a candidate."""
        state = _STATES[self._breaker(region_id).state]
        if not self._probed:
            return Known(state)
        return Known(state, self._view.pressure(region_id), self._view.round_trip_s(region_id))

    async def first(
        self,
        candidates: Sequence[Candidate],
        attempt: Callable[[RegionEntry, Deadline], Awaitable[T]],
        *,
        deadline: Deadline,
        subject: Mapping[str, str],
        budget: Deadline | None = None,
        trail: trail_pb.CollectionTrail | None = None,
        tenant_id: str = "",
        attempts: int = MAX_ATTEMPTS,
    ) -> tuple[RegionEntry, T]:
        """Return the first region that served one piece of work, and what it answered; as `serve`."""
        course = Course[T](candidates, subject=subject, lot=self.lot(tenant_id), account=trail)

        async def alone(region: RegionEntry, _courses: Sequence[Course[T]], share: Deadline) -> Sequence[T]:
            return (await attempt(region, share),)

        await self.serve((course,), alone, deadline=deadline, budget=budget, attempts=attempts)
        assert course.region is not None  # serve returns only when everything was served
        return course.region, course.result  # type: ignore[return-value]  # set with the region

    async def serve(
        self,
        courses: Sequence[Course[T]],
        attempt: Attempt[T],
        *,
        deadline: Deadline,
        budget: Deadline | None = None,
        attempts: int = MAX_ATTEMPTS,
        partial: bool = False,
    ) -> None:
        """Serve every course, or raise the first refusal; with `partial` leave refusals on the courses instead.

        `budget` is by when the work should be done: attempts that another one could follow share it, the last one may
        take until `deadline`. In each round every region is called at most once for each key of courses. Raises a
        caller's fault at once, and what `none_left` makes of the attempts when no candidate served.
        """
        self._budget.record_request()
        left: Sequence[Course[T]] = courses
        limits = Limits(deadline, budget or deadline, attempts)
        while left:
            groups = [group for group in self._grouped(left) if self._may_ask(group, limits)]
            raise_refusal(left, partial=partial)
            await together([self._call(group, attempt, limits) for group in groups])
            raise_refusal(left, partial=partial)
            left = [course for course in left if course.is_open]

    def _grouped(self, courses: Sequence[Course[T]]) -> list[Group[T]]:
        groups: dict[tuple[str, Hashable], Group[T]] = {}
        for course in courses:
            candidate = course.next(self)
            if candidate is None or candidate.region is None:
                continue
            group = groups.get((candidate.region_id, course.key))
            if group is None:
                group = groups[candidate.region_id, course.key] = Group(candidate, candidate.region, [])
            group.courses.append(course)
        return list(groups.values())

    def _may_ask(self, group: Group[T], limits: Limits) -> bool:
        """A first attempt is always made; another one only with time, tries and budget left."""
        tried = group.most_tried
        if not tried:
            return True
        if tried < limits.attempts and not limits.deadline.expired() and self._budget.try_spend():
            return True
        for course in group.courses:
            course.out_of_budget(group.candidate, self)
        return False

    def _share(self, group: Group[T], limits: Limits) -> Deadline:
        """Half of what is left if another candidate could follow, else all of it."""
        repeats = group.most_tried + 1 < limits.attempts
        if repeats and any(course.follower(self) is not None for course in group.courses):
            return limits.deadline.within((limits.budget.remaining_s() or limits.deadline.remaining_s()) / 2)
        return limits.deadline

    async def _call(self, group: Group[T], attempt: Attempt[T], limits: Limits) -> None:
        """Ask one region for a group, and another one beside it if that pays; note how that ended."""
        region, courses, hedges = group.region, group.courses, self._hedges
        share = self._share(group, limits)
        delay_s = None
        if hedges is not None:
            hedges.began()
            delay_s = hedges.delay_s(region.region_id) if group.most_tried + 1 < limits.attempts else None
        if delay_s is None:
            ended = [await self._ask(region, courses, attempt, share)]
        else:
            ended = await self._hedged(group, attempt, limits.deadline, share, delay_s)
        if hedges is not None and ended[0].is_good:
            hedges.took(region.region_id, ended[0].elapsed_s)
        for number, one in enumerate(ended):
            settle(courses, one, self, hedge=number > 0)

    async def _hedged(
        self, group: Group[T], attempt: Attempt[T], deadline: Deadline, share: Deadline, delay_s: float
    ) -> list[Ended[T]]:
        """Ask a group's region, and after `delay_s` the next one beside it, if all its courses have the same."""
        asked = [(group.region, time.perf_counter())]

        def second() -> Asking[T] | None:
            other = self._spare(group.courses)
            if other is None or self._hedges is None or not self._hedges.try_spend():
                return None
            for course in group.courses:
                course.next(self)
            asked.append((other, time.perf_counter()))
            return self._ask(other, group.courses, attempt, deadline)

        ended = await hedged(self._ask(group.region, group.courses, attempt, share), second, delay_s=delay_s)
        now_s = time.perf_counter()
        return [one or Ended(region, (), now_s - began_s) for one, (region, began_s) in zip(ended, asked, strict=True)]

    def _spare(self, courses: Sequence[Course[T]]) -> RegionEntry | None:
        """Return the one region that could serve all of the courses beside their present try."""
        spares = [course.spare(self) for course in courses]
        first = spares[0]
        if first is None or any(spare is None or spare.region_id != first.region_id for spare in spares):
            return None
        return first.region

    def _breaker(self, region_id: str) -> Breaker:
        return self._breakers.get(self._dependency, region_id, self._method, self._policy)

    async def _ask(
        self, region: RegionEntry, courses: Sequence[Course[T]], attempt: Attempt[T], share: Deadline
    ) -> Ended[T]:
        """Make one attempt; its failures are values, so that several can be compared."""
        known = self.known(region.region_id) if courses[0].explain else None
        began_s = time.perf_counter()
        region_id = region.region_id
        try:
            results = await guarded(
                self._breaker(region_id),
                lambda: attempt(region, courses, share),
                is_out=lambda: self._probed and self._view.is_out(region_id),
            )
        except DomainError as error:
            results = (error,) * len(courses)
        for result, course in zip(results, courses, strict=True):
            if isinstance(result, Overloaded | Preempted | Draining):
                tenant = "" if isinstance(result, Draining) else course.lot.tenant_id
                self._view.overloaded(self._dependency, region_id, tenant, result.retry_delay_s)
        return Ended(region, results, time.perf_counter() - began_s, known)
