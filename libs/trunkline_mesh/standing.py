"""What is known of tenants that call a service without a map by themselves: their rank, or that they are refused."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from trunkline_mesh import metrics
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import DomainError, ResidencyRouterOutside, TenantSuspended, TenantUnknown

HOLDS_S: Final = 0.5
"""How long an answer holds. With the map's way to who answers, a suspension holds everywhere within a second."""
STANDS_S: Final = 60.0
"""How long the last answer stands in for one that does not come."""
MAX_KNOWN: Final = 10_000
"""Tenants that are remembered; the one that was asked about the longest ago makes room."""
MAX_ASKING: Final = 64
"""Tenants that are asked about at once; of one more the last answer counts, however old."""

REFUSING: Final = (TenantSuspended, TenantUnknown, ResidencyRouterOutside)
"""Answers that refuse the tenant. Any other error is none."""

Ask: TypeAlias = Callable[[str], Awaitable[int | None]]
"""Asks for a tenant's rank, None if it is served and its rank is not told. Raises one of `REFUSING`, or another
DomainError where no answer came. Ends by itself within a fraction of a second."""

_ASKED: Final = metrics.counter("standing_asks", "Questions for tenants' standing by how they ended.", ("outcome",))


@dataclass(frozen=True, slots=True)
class _Known:
    rank: int | None
    refusal: type[DomainError] | None
    answered_s: float
    holds_until_s: float


class StandingBook:
    """Asks about each tenant once in half a second, whatever the number of its calls, and remembers the answer.

    While no answer comes the last one stands for a minute; without one the tenant is served and its rank unknown.
    """

    def __init__(self, ask: Ask, clock: Clock = MONOTONIC) -> None:
        """Know nothing yet."""
        self._ask = ask
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Future[_Known]] = {}

    def __len__(self) -> int:
        """Return how many tenants are remembered."""
        return len(self._known)

    async def rank_of(self, tenant: str) -> int | None:
        """Return the rank of a tenant that is served; None while nobody can tell.

        Raises TenantSuspended, TenantUnknown, ResidencyRouterOutside.
        """
        known = self._known.get(tenant)
        if known is None or known.holds_until_s <= self._clock():
            asking = self._asking.get(tenant) or self._begin(tenant)
            if asking is not None:
                known = await asyncio.shield(asking)  # others wait for the same answer
        if known is not None and known.refusal is not None:
            raise known.refusal
        return None if known is None else known.rank

    async def aclose(self) -> None:
        """Cancel what is under way and wait for its end."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _begin(self, tenant: str) -> asyncio.Future[_Known] | None:
        if len(self._asking) >= MAX_ASKING:
            _ASKED.labels("unasked").inc()
            return None
        asking = self._asking[tenant] = asyncio.ensure_future(self._learn(tenant))

        def ended(task: asyncio.Future[_Known]) -> None:
            del self._asking[tenant]
            if not task.cancelled():
                task.exception()  # taken note of: who waited for it may have left

        asking.add_done_callback(ended)
        return asking

    async def _learn(self, tenant: str) -> _Known:
        rank, refusal, outcome = None, None, "answered"
        try:
            rank = await self._ask(tenant)
        except REFUSING as exc:
            refusal, outcome = type(exc), "refused"
        except DomainError:
            outcome = "silent"
        _ASKED.labels(outcome).inc()
        now_s, last = self._clock(), self._known.pop(tenant, None)
        if outcome != "silent":
            known = _Known(rank, refusal, now_s, now_s + HOLDS_S)
        elif last is not None and now_s - last.answered_s < STANDS_S:
            known = _Known(last.rank, last.refusal, last.answered_s, now_s + HOLDS_S)
        else:
            known = _Known(None, None, float("-inf"), now_s + HOLDS_S)
        self._known[tenant] = known
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return known
