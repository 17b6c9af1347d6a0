"""The store where it answers, the local share where it does not, and a breaker between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from trunkline_admission.errors import AUTHORITY_AWAY
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.quota import Grant, Quota, QuotaAuthority, Reservation
from trunkline_mesh.breaker import Breaker

T = TypeVar("T")


class GuardedQuota:
    """A `QuotaAuthority` that always answers. Once the breaker is open, nothing waits for the store.

    An operation on the store runs to its (bounded) end even if its caller is cancelled. A cancelled command would cost
    its connection; and a breaker that learned nothing from calls whose callers gave up before the store's timeout
    would never open, which is the case it is for. What a caller who left had reserved stays reserved: its retry with
    the same request id gets that permit, else it expires as spent. Tokens taken for a lease whose stream is gone go
    unspent, as those of a router that died.
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

    async def reserve(self, quota: Quota, request_id: str, cost_tokens: int) -> Reservation:
        """As `QuotaAuthority.reserve`; from the local share while the store is away.

        A request that holds a local permit keeps it when the store is back.
        """
        earlier = self._local.recall(quota, request_id, cost_tokens)
        if earlier is not None:
            return earlier
        try:
            return await self._guarded(lambda: self._authority.reserve(quota, request_id, cost_tokens))
        except AUTHORITY_AWAY:
            return await self._local.reserve(quota, request_id, cost_tokens)

    async def settle(self, tenant_id: str, permit_id: str, charged_tokens: int) -> int:
        """As `QuotaAuthority.settle`, at whoever made the permit.

        Raises CircuitOpen, BackendUnavailable or BackendTimeout for a permit of the store while it is away.
        """
        if self._local.owns(permit_id):
            return await self._local.settle(tenant_id, permit_id, charged_tokens)
        return await self._guarded(lambda: self._authority.settle(tenant_id, permit_id, charged_tokens))

    async def take(self, quota: Quota, wanted_tokens: int, returned_tokens: int) -> Grant:
        """As `QuotaAuthority.take`; from the local share while the store is away.

        Returned tokens whose fate in the store is not known are given to the local bucket, which is small.
        """
        try:
            return await self._guarded(lambda: self._authority.take(quota, wanted_tokens, returned_tokens))
        except AUTHORITY_AWAY:
            return await self._local.take(quota, wanted_tokens, returned_tokens)

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
