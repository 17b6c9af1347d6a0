"""What a call's end says of its region: to the breaker, unless the region's health knows better."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from trunkline_mesh.breaker import Breaker
from trunkline_mesh.errors import DomainError

T = TypeVar("T")


class _NoEvidenceError(BaseException):
    """Carries a failure past a breaker, which takes only exceptions for evidence."""

    def __init__(self, failure: DomainError) -> None:
        super().__init__()
        self.failure = failure


async def guarded(breaker: Breaker, attempt: Callable[[], Awaitable[T]], *, is_out: Callable[[], bool]) -> T:
    """Await `attempt` through the breaker. What fails while the region is out by its own health is not counted.

    Health notices a region that is gone, or that starts, within a moment, and its return within two seconds; counting
    the refused connections too would keep the region out for the breaker's rest. Raises what `attempt` raises, and
    CircuitOpen.
    """

    async def witnessed() -> T:
        try:
            return await attempt()
        except DomainError as error:
            if is_out():
                raise _NoEvidenceError(error) from error
            raise

    try:
        return await breaker.call(witnessed)
    except _NoEvidenceError as told:
        raise told.failure from told.failure.__cause__
