"""A deadline in virtual time."""

from __future__ import annotations

from dataclasses import dataclass

from tests.sim.loop import VirtualLoop
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class VirtualDeadline(Deadline):
    """A deadline in the running loop's time."""

    loop: VirtualLoop

    def remaining_s(self) -> float:
        """Return the seconds left; never negative."""
        return max(0.0, self.at_s - self.loop.time())

    def expired(self) -> bool:
        """Return True once no time is left."""
        return self.loop.time() >= self.at_s

    def within(self, cap_s: float, *, reserve_s: float = 0.0) -> VirtualDeadline:
        """Return the earlier of `cap_s` from now and this deadline less `reserve_s`."""
        return VirtualDeadline(min(self.loop.time() + cap_s, self.at_s - reserve_s), self.loop)

    def require(self, floor_s: float = 0.0) -> float:
        """Return the seconds left; raise DeadlineExceeded if none or fewer than `floor_s` are."""
        left = self.at_s - self.loop.time()
        if left <= 0.0 or left < floor_s:
            raise DeadlineExceeded
        return left
