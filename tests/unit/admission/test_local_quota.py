"""The local share as a keeper of quotas, and how large it is."""

from __future__ import annotations

import itertools

import pytest
from tests.unit.admission.quota_contract import QuotaAuthorityContract, QuotaSubject

from trunkline_admission.local_quota import MIN_BURST_TOKENS, LocalQuota
from trunkline_admission.quota import Quota, QuotaSource
from trunkline_mesh.errors import PermitUnknown, QuotaExhausted, RequestIdReused


class LocalSubject(QuotaSubject):
    """The local adapter on a clock of the test's."""

    source = QuotaSource.LOCAL

    def __init__(self) -> None:
        self.now_s = 10_000.0
        self.quotas: LocalQuota = local(clock=lambda: self.now_s)
        self._numbers = itertools.count()

    def quota(self, *, rate: float, burst: float, tenant_id: str = "") -> Quota:
        # Half of what is guaranteed is granted here, so a full guarantee of twice the figures gives them.
        return Quota(tenant_id or f"tenant-{next(self._numbers)}", "pro", 1, rate * 2, burst * 2, 1.0)

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds


def local(*, replicas: int = 1, clock: object = None, max_tenants: int = 100, max_permits: int = 1000) -> LocalQuota:
    return LocalQuota(
        replicas=replicas,
        permit_ttl_s=60.0,
        max_tenants=max_tenants,
        max_permits=max_permits,
        clock=clock if callable(clock) else lambda: 0.0,
    )


class TestLocalQuota(QuotaAuthorityContract):
    """The contract on the local share."""

    @pytest.fixture
    def subject(self) -> LocalSubject:
        return LocalSubject()

    async def outlive_permits(self, subject: QuotaSubject) -> None:
        subject.pass_time(subject.permit_ttl_s)


@pytest.mark.parametrize(
    ("share", "replicas", "rate", "burst"),
    [(1.0, 1, 50.0, 500), (0.8, 1, 40.0, 400), (0.8, 4, 10.0, 100), (0.2, 2, 5.0, 50), (0.01, 10, 0.05, 10)],
)
async def test_a_replica_grants_half_of_the_guaranteed_share_over_the_replicas(
    share: float, replicas: int, rate: float, burst: int
) -> None:
    """guaranteed share x 0.5 / replicas, with room for an ordinary search."""
    now_s = [0.0]
    quotas = local(replicas=replicas, clock=lambda: now_s[0])
    quota = Quota("acme", "pro", 1, 100.0, 1000.0, share)

    first = await quotas.take(quota, 10_000, 0)
    now_s[0] = 20.0
    second = await quotas.take(quota, 10_000, 0)

    assert first.granted_tokens == burst
    assert second.granted_tokens == min(burst, int(rate * 20))


async def test_all_replicas_together_grant_at_most_half_of_the_guarantee() -> None:
    """However tenants spread over replicas, the sum of rates is half of the guaranteed share."""
    quota = Quota("acme", "pro", 1, 1000.0, 10_000.0, 0.6)
    now_s = [0.0]
    replicas = [local(replicas=5, clock=lambda: now_s[0]) for _ in range(5)]
    for quotas in replicas:
        await quotas.take(quota, 10_000, 0)
    now_s[0] = 1.0

    total = sum([(await quotas.take(quota, 10_000, 0)).granted_tokens for quotas in replicas])

    assert total == 300


async def test_a_tier_without_a_share_gets_nothing_and_no_time_to_come_back() -> None:
    """A share of zero is honoured: no minimum burst is added to it."""
    quota = Quota("acme", "free", 0, 100.0, 1000.0, 0.0)
    quotas = local()

    with pytest.raises(QuotaExhausted) as refusal:
        await quotas.reserve(quota, "r1", 1)

    assert refusal.value.retry_delay_s is None
    assert (await quotas.take(quota, 5, 0)).granted_tokens == 0


async def test_tenants_are_bounded_and_the_least_recently_used_one_goes() -> None:
    """One tenant too many pushes out the one that was not used lately."""
    quotas = local(max_tenants=2)
    quota = {name: Quota(name, "pro", 1, 0.001, 100.0, 1.0) for name in "abc"}
    for name in "abac":
        await quotas.take(quota[name], 50, 0)

    assert (await quotas.take(quota["a"], 50, 0)).granted_tokens == 0
    assert (await quotas.take(quota["b"], 50, 0)).granted_tokens == 50


async def test_permits_are_bounded_and_the_oldest_is_taken_as_spent() -> None:
    """One permit too many ends the oldest as if it had expired."""
    quotas = local(max_permits=2)
    quota = Quota("acme", "pro", 1, 100.0, 1000.0, 1.0)
    first, second, third = [await quotas.reserve(quota, f"r{number}", 1) for number in range(3)]

    with pytest.raises(PermitUnknown):
        await quotas.settle("acme", first.permit_id, 1)
    for permit in (second, third):
        assert await quotas.settle("acme", permit.permit_id, 0) == 1


async def test_recall_finds_only_what_was_reserved_here() -> None:
    """A request that holds a local permit is known, with its cost."""
    quotas = local()
    quota = Quota("acme", "pro", 1, 100.0, 1000.0, 1.0)

    assert quotas.recall(quota, "r1", 5) is None
    permit = await quotas.reserve(quota, "r1", 5)
    assert quotas.recall(quota, "r1", 5) == permit
    with pytest.raises(RequestIdReused):
        quotas.recall(quota, "r1", 6)


async def test_a_small_share_still_lets_an_ordinary_search_through() -> None:
    """The burst is at least `MIN_BURST_TOKENS` where there is a share at all."""
    quotas = local(replicas=100)
    quota = Quota("acme", "free", 0, 10.0, 20.0, 0.1)

    permit = await quotas.reserve(quota, "r1", int(MIN_BURST_TOKENS))

    assert permit.source is QuotaSource.LOCAL
