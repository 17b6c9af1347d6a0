"""The store behind its breaker: who answers, and what happens to callers that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.unit.admission.test_local_quota import local

from trunkline_admission.guarded_quota import GuardedQuota
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.quota import Grant, Quota, QuotaSource, Reservation
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import QUOTA_POLICY
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, CircuitOpen, PermitUnknown, QuotaExhausted

QUOTA = Quota("acme", "pro", 1, 100.0, 1000.0, 1.0)


class ScriptedStore:
    """A store that answers, hangs or fails as told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = 0
        self.ended = 0

    async def _answer(self) -> None:
        self.begun += 1
        await self.gate.wait()
        self.ended += 1
        if self.error is not None:
            raise self.error

    async def reserve(self, quota: Quota, request_id: str, cost_tokens: int) -> Reservation:
        await self._answer()
        return Reservation(f"a.{request_id}.n", cost_tokens, 0.0, QuotaSource.AUTHORITY)

    async def settle(self, tenant_id: str, permit_id: str, charged_tokens: int) -> int:
        await self._answer()
        return 1

    async def take(self, quota: Quota, wanted_tokens: int, returned_tokens: int) -> Grant:
        await self._answer()
        return Grant(wanted_tokens, None, QuotaSource.AUTHORITY)


class Guarded:
    """The parts of a guarded quota, and the breaker's clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        clock: Callable[[], float] = lambda: self.now_s  # noqa: E731 - one clock for both
        self.store = ScriptedStore()
        self.local: LocalQuota = local(clock=clock)
        self.breaker = Breaker("redis", QUOTA_POLICY, clock=clock)
        self.quotas = GuardedQuota(self.store, self.local, self.breaker)


@pytest.fixture
async def guarded() -> Guarded:
    return Guarded()


@pytest.mark.parametrize("error", [BackendTimeout(), BackendUnavailable()], ids=["timeout", "unavailable"])
async def test_without_the_store_the_local_share_answers(guarded: Guarded, error: Exception) -> None:
    """Admissions and leases go on, and say where their tokens came from."""
    guarded.store.error = error

    permit = await guarded.quotas.reserve(QUOTA, "r1", 5)
    grant = await guarded.quotas.take(QUOTA, 5, 0)

    assert (permit.source, grant.source) == (QuotaSource.LOCAL, QuotaSource.LOCAL)
    assert await guarded.quotas.settle("acme", permit.permit_id, 2) == 3


async def test_once_the_breaker_is_open_the_store_is_left_alone(guarded: Guarded) -> None:
    """Three failures, and nothing asks the store again until the rest is over."""
    guarded.store.error = BackendTimeout()

    for number in range(100):
        await guarded.quotas.reserve(QUOTA, f"r{number}", 1)

    assert guarded.store.begun == 3
    assert not guarded.quotas.authority_ready()


async def test_the_store_is_used_again_after_the_rest(guarded: Guarded) -> None:
    """Probes that succeed close the breaker."""
    guarded.store.error = BackendTimeout()
    for _ in range(5):
        await guarded.quotas.take(QUOTA, 1, 0)

    guarded.store.error = None
    guarded.now_s += 60.0
    sources = [(await guarded.quotas.take(QUOTA, 1, 0)).source for _ in range(5)]

    assert sources == [QuotaSource.AUTHORITY] * 5
    assert guarded.quotas.authority_ready()


async def test_a_refusal_of_the_store_is_final(guarded: Guarded) -> None:
    """An exhausted quota is not topped up from the local share, and speaks not against the store."""
    guarded.store.error = QuotaExhausted(retry_delay_s=1.0)

    for number in range(10):
        with pytest.raises(QuotaExhausted):
            await guarded.quotas.reserve(QUOTA, f"r{number}", 1)

    assert guarded.quotas.authority_ready()


async def test_a_store_permit_cannot_be_settled_while_the_store_is_away(guarded: Guarded) -> None:
    """The caller learns that the settlement did not happen, at once when the breaker is open."""
    permit = await guarded.quotas.reserve(QUOTA, "r1", 5)
    guarded.store.error = BackendUnavailable()

    for _ in range(3):
        with pytest.raises(BackendUnavailable):
            await guarded.quotas.settle("acme", permit.permit_id, 1)
    with pytest.raises(CircuitOpen):
        await guarded.quotas.settle("acme", permit.permit_id, 1)


async def test_a_request_keeps_its_local_permit_when_the_store_is_back(guarded: Guarded) -> None:
    """A retry across the recovery is not charged a second time."""
    guarded.store.error = BackendUnavailable()
    permit = await guarded.quotas.reserve(QUOTA, "r1", 5)

    guarded.store.error = None

    assert await guarded.quotas.reserve(QUOTA, "r1", 5) == permit


async def test_another_replicas_local_permit_is_unknown(guarded: Guarded) -> None:
    """Local permits are kept by the replica that made them; the store is not asked for them."""
    with pytest.raises(PermitUnknown):
        await guarded.quotas.settle("acme", "l.0123456789abcdef", 1)

    assert guarded.store.begun == 0


async def test_an_operation_ends_although_its_caller_left(guarded: Guarded) -> None:
    """A cancelled caller cancels no command under way; closing waits for it."""
    guarded.store.gate.clear()
    leaving = asyncio.ensure_future(guarded.quotas.reserve(QUOTA, "r1", 5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    assert (guarded.store.begun, guarded.store.ended) == (1, 0)
    guarded.store.gate.set()
    await guarded.quotas.aclose()

    assert guarded.store.ended == 1


async def test_callers_that_leave_do_not_hide_a_dead_store(guarded: Guarded) -> None:
    """The breaker opens from calls whose callers did not wait for the store's timeout."""
    guarded.store.gate.clear()
    guarded.store.error = BackendTimeout()
    for _ in range(3):
        leaving = asyncio.ensure_future(guarded.quotas.take(QUOTA, 1, 0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

    guarded.store.gate.set()
    await guarded.quotas.aclose()

    assert not guarded.quotas.authority_ready()
