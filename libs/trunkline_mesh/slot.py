"""The slots of one call, held between enter and exit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, Preempted
from trunkline_mesh.rank_lane import RankLane

if TYPE_CHECKING:  # the limiter makes slots, and slots call the limiter
    from trunkline_mesh.limiter import CapacityLimiter


class Slot:
    """Made by `CapacityLimiter.slot`, used once."""

    __slots__ = (
        "_cancelling",
        "_deadline",
        "_held_s",
        "_holds",
        "_limiter",
        "_parked",
        "_preempted",
        "_preemptible",
        "_started_s",
        "_task",
        "cost",
        "kind",
        "lane",
        "tenant",
    )

    def __init__(
        self,
        limiter: CapacityLimiter,
        lane: RankLane,
        tenant: str,
        cost: int,
        deadline: Deadline,
        kind: str,
        preemptible: bool,
    ) -> None:
        """See `CapacityLimiter.slot`."""
        self.cost = cost
        self.kind = kind
        self.lane = lane
        self.tenant = tenant
        self._limiter = limiter
        self._deadline = deadline
        self._preemptible = preemptible and cost > 0
        self._preempted = False
        self._holds = False
        self._parked = False
        self._held_s = 0.0
        """Before it was parked."""
        self._started_s = 0.0

    async def __aenter__(self) -> float:
        """Take the slots and return the seconds waited.

        Raises Overloaded, DeadlineUnreachable or DeadlineExceeded, holding nothing.
        """
        self._task = asyncio.current_task()
        return await self._take(resumed=False)

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Give the slots back. Raises Preempted if that, and nothing else, is what ended the call."""
        if self._holds:
            self._held_s += self._let_go()
            self._limiter.give_back(self, self._held_s, exc_type)
        elif self._parked:
            self._limiter.parked.leave(self.lane, self.tenant)
        if self._preempted:
            self._take_back_the_cancellation(exc_type)

    def is_of_this_task(self) -> bool:
        """Return True in the call's own task while it holds its slots: what it has started beside uses them, too."""
        return self._holds and self._task is asyncio.current_task()

    def park(self) -> None:
        """Give the slots back while the call waits for something that costs this server nothing; see `parking`.

        Raises InFlightLimit or Overloaded, still holding them, if too many calls do so.
        """
        self._limiter.parked.enter(self.lane, self.tenant)
        self._parked = True
        self._held_s += self._let_go()
        self._limiter.free(self)

    async def resume(self) -> float:
        """Take the slots of a parked call again, and return the seconds waited for them; raises as entering does."""
        self._parked = False
        self._limiter.parked.leave(self.lane, self.tenant)
        try:
            return await self._take(resumed=True)
        except DomainError as refusal:
            refusal.counted = True
            raise

    def settle(self) -> None:
        """End it for nobody from now on. One whose end was decided before ends all the same."""
        if self._preemptible and not self._preempted:
            self._limiter.preemption.ended(self)
            self._preemptible = False

    async def _take(self, *, resumed: bool) -> float:
        limiter = self._limiter
        now_s = limiter.clock()
        if limiter.try_take(self.lane, self.tenant, self.cost, self._deadline.at_s, now_s):
            self._started_s = now_s
        else:
            self._started_s = await limiter.room.take_in_turn(
                self.lane, self.tenant, self.cost, self._deadline, now_s, resumed=resumed
            )
        self._holds = True
        if self._preemptible:
            limiter.preemption.started(self)
        return self._started_s - now_s

    def _let_go(self) -> float:
        """Note that it runs no more, and return for how many seconds it did since it took its slots."""
        self._holds = False
        if self._preemptible:
            self._limiter.preemption.ended(self)
        return self._limiter.clock() - self._started_s

    def can_end(self) -> bool:
        """Return False if the call's task ends anyway, or cannot be cancelled from here.

        A task that runs right now cannot: the cancellation would hit whatever it awaits after its slot.
        """
        task = self._task
        return not (task is None or task.done() or task.cancelling() or task is asyncio.current_task())

    def preempt(self) -> None:
        """Cancel the call's task, which `can_end`."""
        assert self._task is not None, "only a task is preempted"
        self._preempted = self._task.cancel()

    def _take_back_the_cancellation(self, exc_type: type[BaseException] | None) -> None:
        """Undo `preempt` as `asyncio.timeout` does: a cancellation by somebody else goes on, ours ends here."""
        assert self._task is not None, "only a task is preempted"
        others = self._task.uncancel()
        if others == 0 and exc_type is not None and issubclass(exc_type, asyncio.CancelledError):
            self._limiter.stats.preempted += 1
            self.lane.preemptions.inc()
            raise Preempted(retry_delay_s=self._limiter.room.come_back_s(self.lane)) from None
