"""The store where it answers, the local share where it does not, and a breaker between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from trunkline_admission.errors import AUTHORITY_AWAY
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.quota import Grant, LimitState, QuotaAuthority, TenantQuota
from trunkline_lease.charge import NOTHING, Charge
from trunkline_mesh.breaker import Breaker

T = TypeVar("T")


class GuardedQuota:
    """A `QuotaAuthority` that always answers. Once the breaker is open, nothing waits for the store.

    An operation on the store runs to its (bounded) end even if its caller is cancelled. A cancelled command would cost
    its connection; and a breaker that learned nothing from calls whose callers gave up before the store's timeout
    would never open, which is the case it is for. What was taken for a caller who has left goes unspent, as what a
    router took that died.
    """

    def __init__(
        self, authority: QuotaAuthority, local: LocalQuota, breaker: Breaker, *, max_under_way: int = 8
    ) -> None:
        """Guard `authority`, asking it `max_under_way` things at a time: others wait, and not on the breaker's time.

        When the store hangs, those that wait learn it from the breaker as soon as the first ones time out.
        """
        self._slots = asyncio.Semaphore(max_under_way)
        self._authority = authority
        self._local = local
        self._breaker = breaker
        self._running: set[asyncio.Future[Any]] = set()

    def authority_ready(self) -> bool:
        """Return True unless the breaker refuses calls to the store."""
        return not self._breaker.is_open()

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        """As `QuotaAuthority.take`; from the local share while the store is away.

        What is returned or was advanced and whose fate in the store is not known goes to the local share's buckets, and
        is not booked in the store later.
        """
        try:
            return await self._guarded(
                lambda: self._authority.take(quota, wanted, returned, key=key, advanced=advanced)
            )
        except AUTHORITY_AWAY:
            return await self._local.take(quota, wanted, returned, key=key, advanced=advanced)

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """As `QuotaAuthority.states`; of the local share while the store is away."""
        try:
            return await self._guarded(lambda: self._authority.states(quota, key))
        except AUTHORITY_AWAY:
            return await self._local.states(quota, key)

    async def aclose(self) -> None:
        """Wait for operations whose callers have left; each is bounded by the store's timeout."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _guarded(self, operation: Callable[[], Awaitable[T]]) -> T:
        task = asyncio.ensure_future(self._ask(operation))
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    async def _ask(self, operation: Callable[[], Awaitable[T]]) -> T:
        if self._breaker.is_open():
            return await self._breaker.call(operation)  # refuses at once; nobody queues for that
        async with self._slots:
            return await self._breaker.call(operation)

    def _finished(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # taken note of: its caller may have left
