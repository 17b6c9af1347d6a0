"""The store behind its breaker: who answers, and what happens to callers that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from trunkline_admission.guarded_quota import GuardedQuota
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.quota import (
    BucketLimit,
    Grant,
    Limits,
    LimitState,
    Period,
    QuotaSource,
    Refusal,
    Scope,
    TenantQuota,
    Unit,
)
from trunkline_lease.charge import NOTHING, Charge
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import QUOTA_POLICY
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable

QUOTA = TenantQuota("acme", "pro", 1, Limits(BucketLimit(100.0, 1000.0), None), 1.0)
ONE = Charge(1, 1)


class ScriptedStore:
    """A store that answers, hangs or fails as told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.refusal: Refusal | None = None
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

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        await self._answer()
        return Grant(NOTHING if self.refusal else wanted, QuotaSource.AUTHORITY, self.refusal)

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        await self._answer()
        return ()


class Guarded:
    """The parts of a guarded quota, and the breaker's clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.store = ScriptedStore()
        self.local = LocalQuota(replicas=1, max_tenants=10, clock=self._clock)
        self.breaker = Breaker("redis", QUOTA_POLICY, clock=self._clock)
        self.quotas = GuardedQuota(self.store, self.local, self.breaker)

    def _clock(self) -> float:
        return self.now_s


@pytest.fixture
async def guarded() -> Guarded:
    return Guarded()


@pytest.mark.parametrize("error", [BackendTimeout(), BackendUnavailable()], ids=["timeout", "unavailable"])
async def test_without_the_store_the_local_share_answers(guarded: Guarded, error: Exception) -> None:
    """Grants go on and say where they came from; states tell of the share."""
    guarded.store.error = error

    grant = await guarded.quotas.take(QUOTA, Charge(5, 5))
    states = await guarded.quotas.states(QUOTA)

    assert (grant.granted, grant.source) == (Charge(5, 5), QuotaSource.LOCAL)
    assert [(state.used, state.source) for state in states] == [(5, QuotaSource.LOCAL)]


async def test_once_the_breaker_is_open_the_store_is_left_alone(guarded: Guarded) -> None:
    """Three failures, and nothing asks the store again until the rest is over."""
    guarded.store.error = BackendTimeout()

    for _ in range(100):
        await guarded.quotas.take(QUOTA, ONE)

    assert guarded.store.begun == 3
    assert not guarded.quotas.authority_ready()


async def test_the_store_is_used_again_after_the_rest(guarded: Guarded) -> None:
    """Probes that succeed close the breaker."""
    guarded.store.error = BackendTimeout()
    for _ in range(5):
        await guarded.quotas.take(QUOTA, ONE)

    guarded.store.error = None
    guarded.now_s += 60.0
    sources = [(await guarded.quotas.take(QUOTA, ONE)).source for _ in range(5)]

    assert sources == [QuotaSource.AUTHORITY] * 5
    assert guarded.quotas.authority_ready()


async def test_a_refusal_of_the_store_is_final(guarded: Guarded) -> None:
    """An exhausted quota is not topped up from the local share, and speaks not against the store."""
    guarded.store.refusal = Refusal(Scope.TENANT, Period.DAY, Unit.REQUESTS, 60.0)

    grants = [await guarded.quotas.take(QUOTA, ONE) for _ in range(10)]

    assert {(grant.granted, grant.source) for grant in grants} == {(NOTHING, QuotaSource.AUTHORITY)}
    assert guarded.quotas.authority_ready()


async def test_an_operation_ends_although_its_caller_left(guarded: Guarded) -> None:
    """A cancelled caller cancels no command under way; closing waits for it."""
    guarded.store.gate.clear()
    leaving = asyncio.ensure_future(guarded.quotas.take(QUOTA, ONE))
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
        leaving = asyncio.ensure_future(guarded.quotas.take(QUOTA, ONE))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

    guarded.store.gate.set()
    await guarded.quotas.aclose()

    assert not guarded.quotas.authority_ready()
