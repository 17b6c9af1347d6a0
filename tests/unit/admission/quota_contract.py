"""What every keeper of quotas does, whatever it keeps them in. Subclassed for each adapter."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from trunkline_admission.quota import Quota, QuotaAuthority, QuotaSource
from trunkline_mesh.errors import FieldInvalid, PermitUnknown, QuotaExhausted, RequestIdReused


class QuotaSubject(ABC):
    """An adapter under test and its time."""

    quotas: QuotaAuthority
    source: QuotaSource
    permit_ttl_s: float = 60.0
    slack_s: float = 0.0
    """Real time that may pass in the store while a test runs, on top of what the test lets pass."""

    @abstractmethod
    def quota(self, *, rate: float, burst: float, tenant_id: str = "") -> Quota:
        """Return a quota under which this adapter grants `rate` and `burst`; a new tenant unless one is named."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Move the adapter's clock; negative to step back."""


async def granted(wish: Awaitable[Any]) -> bool:
    """Return True if the wish was granted, False if the quota is exhausted."""
    try:
        await wish
    except QuotaExhausted:
        return False
    return True


class QuotaAuthorityContract(ABC):
    """The suite. A subclass gives the fixture `subject`."""

    async def test_a_burst_is_granted_and_no_more(self, subject: QuotaSubject) -> None:
        """A full bucket grants its burst; the next request learns when enough is back."""
        quota = subject.quota(rate=0.5, burst=10)

        first = await subject.quotas.reserve(quota, "r1", 10)
        with pytest.raises(QuotaExhausted) as refusal:
            await subject.quotas.reserve(quota, "r2", 4)

        assert (first.reserved_tokens, first.source) == (10, subject.source)
        delay_s = refusal.value.retry_delay_s
        assert delay_s is not None
        assert 8.0 - subject.slack_s <= delay_s <= 8.001

    async def test_after_the_told_delay_the_request_is_granted(self, subject: QuotaSubject) -> None:
        """The delay is exact: coming back then succeeds."""
        quota = subject.quota(rate=0.5, burst=10)
        await subject.quotas.reserve(quota, "r1", 10)
        with pytest.raises(QuotaExhausted) as refusal:
            await subject.quotas.reserve(quota, "r2", 4)

        subject.pass_time(refusal.value.retry_delay_s or 0.0)

        assert (await subject.quotas.reserve(quota, "r2", 4)).reserved_tokens == 4

    async def test_what_never_fits_is_refused_without_a_delay(self, subject: QuotaSubject) -> None:
        """More than the burst at once can never be granted, so there is no time to come back."""
        quota = subject.quota(rate=100, burst=10)

        with pytest.raises(QuotaExhausted) as refusal:
            await subject.quotas.reserve(quota, "r1", 11)

        assert refusal.value.retry_delay_s is None
        assert refusal.value.metadata == {"costTokens": "11", "burstTokens": "10"}

    async def test_one_request_id_is_charged_once(self, subject: QuotaSubject) -> None:
        """Repeats get the same permit, also when they come at the same time."""
        quota = subject.quota(rate=0.001, burst=10)

        permits = await asyncio.gather(*(subject.quotas.reserve(quota, "r1", 6) for _ in range(8)))

        assert {permit.permit_id for permit in permits} == {permits[0].permit_id}
        assert {permit.expires_at_s for permit in permits} == {permits[0].expires_at_s}
        assert await granted(subject.quotas.reserve(quota, "r2", 4))
        assert not await granted(subject.quotas.reserve(quota, "r3", 1))

    async def test_request_ids_belong_to_their_tenant(self, subject: QuotaSubject) -> None:
        """The same request id of two tenants means two permits, and neither settles the other's."""
        one, other = subject.quota(rate=1, burst=10), subject.quota(rate=1, burst=10)

        permit = await subject.quotas.reserve(one, "r1", 6)
        theirs = await subject.quotas.reserve(other, "r1", 6)

        assert permit.permit_id != theirs.permit_id
        with pytest.raises(PermitUnknown):
            await subject.quotas.settle(other.tenant_id, permit.permit_id, 0)

    async def test_a_request_id_with_another_cost_is_refused(self, subject: QuotaSubject) -> None:
        """The caller repeats an id with different content: a mistake that must not be charged as the first."""
        quota = subject.quota(rate=1, burst=10)
        await subject.quotas.reserve(quota, "r1", 6)

        with pytest.raises(RequestIdReused):
            await subject.quotas.reserve(quota, "r1", 5)

    async def test_settling_gives_the_difference_back(self, subject: QuotaSubject) -> None:
        """What was reserved and not used can be reserved again."""
        quota = subject.quota(rate=0.001, burst=10)
        permit = await subject.quotas.reserve(quota, "r1", 10)

        assert await subject.quotas.settle(quota.tenant_id, permit.permit_id, 3) == 7

        assert await granted(subject.quotas.reserve(quota, "r2", 7))
        assert not await granted(subject.quotas.reserve(quota, "r3", 1))

    async def test_settling_twice_changes_nothing(self, subject: QuotaSubject) -> None:
        """The same cost again gets the same answer; another cost is an unknown permit."""
        quota = subject.quota(rate=0.001, burst=10)
        permit = await subject.quotas.reserve(quota, "r1", 10)

        assert [await subject.quotas.settle(quota.tenant_id, permit.permit_id, 8) for _ in range(3)] == [2, 2, 2]
        with pytest.raises(PermitUnknown):
            await subject.quotas.settle(quota.tenant_id, permit.permit_id, 7)
        assert not await granted(subject.quotas.reserve(quota, "r2", 3))

    async def test_more_than_reserved_cannot_be_charged(self, subject: QuotaSubject) -> None:
        """A settlement above the reservation names the field and leaves the permit open."""
        quota = subject.quota(rate=0.001, burst=10)
        permit = await subject.quotas.reserve(quota, "r1", 5)

        with pytest.raises(FieldInvalid) as refusal:
            await subject.quotas.settle(quota.tenant_id, permit.permit_id, 6)

        assert [violation.field for violation in refusal.value.violations] == ["charged_tokens"]
        assert await subject.quotas.settle(quota.tenant_id, permit.permit_id, 5) == 0

    @pytest.mark.parametrize("permit_id", ["", "x", "a.", "a..", "a.b.c", "l.b", "a.b." + "c" * 100, "{other}", "\x00"])
    async def test_foreign_permits_are_unknown(self, subject: QuotaSubject, permit_id: str) -> None:
        """Whatever was not made here is unknown."""
        quota = subject.quota(rate=1, burst=10)

        with pytest.raises(PermitUnknown):
            await subject.quotas.settle(quota.tenant_id, permit_id, 0)

    async def test_taking_is_partial_and_whole_tokens_only(self, subject: QuotaSubject) -> None:
        """A wish gets what is there; an empty bucket says when all that was wanted is there."""
        quota = subject.quota(rate=0.5, burst=10)

        first = await subject.quotas.take(quota, 7, 0)
        second = await subject.quotas.take(quota, 7, 0)
        third = await subject.quotas.take(quota, 2, 0)

        assert (first.granted_tokens, second.granted_tokens, third.granted_tokens) == (7, 3, 0)
        assert (first.retry_delay_s, second.retry_delay_s) == (None, None)
        assert third.retry_delay_s is not None
        assert 4.0 - subject.slack_s <= third.retry_delay_s <= 4.001
        assert first.source is subject.source

    async def test_a_refused_wish_above_the_burst_is_told_of_a_full_bucket(self, subject: QuotaSubject) -> None:
        """Nobody is told to wait for what the bucket cannot hold."""
        quota = subject.quota(rate=1, burst=10)
        await subject.quotas.take(quota, 10, 0)

        grant = await subject.quotas.take(quota, 1000, 0)

        assert grant.retry_delay_s is not None
        assert 10.0 - subject.slack_s <= grant.retry_delay_s <= 10.001

    async def test_returned_tokens_are_there_for_the_same_wish(self, subject: QuotaSubject) -> None:
        """Returning comes before taking, and never fills the bucket above its burst."""
        quota = subject.quota(rate=0.001, burst=10)
        await subject.quotas.take(quota, 10, 0)

        assert (await subject.quotas.take(quota, 5, 4)).granted_tokens == 4
        assert (await subject.quotas.take(quota, 0, 500)).granted_tokens == 0
        assert (await subject.quotas.take(quota, 100, 0)).granted_tokens == 10

    async def test_permits_and_leases_share_one_bucket(self, subject: QuotaSubject) -> None:
        """A tenant has one quota, however it spends it."""
        quota = subject.quota(rate=0.001, burst=10)
        await subject.quotas.take(quota, 8, 0)

        assert not await granted(subject.quotas.reserve(quota, "r1", 3))
        assert await granted(subject.quotas.reserve(quota, "r1", 2))

    async def test_a_smaller_quota_takes_effect_at_once(self, subject: QuotaSubject) -> None:
        """A change in the map cuts what is left in the bucket."""
        quota = subject.quota(rate=1, burst=100)
        await subject.quotas.take(quota, 1, 0)

        smaller = subject.quota(rate=1, burst=20, tenant_id=quota.tenant_id)

        assert (await subject.quotas.take(smaller, 100, 0)).granted_tokens == 20

    async def test_a_clock_that_steps_back_locks_nobody_out(self, subject: QuotaSubject) -> None:
        """After an hour back, tokens flow at once at the usual rate."""
        quota = subject.quota(rate=1, burst=10)
        await subject.quotas.take(quota, 10, 0)

        subject.pass_time(-3600.0)
        nothing = await subject.quotas.take(quota, 10, 0)
        subject.pass_time(5.0)
        some = await subject.quotas.take(quota, 10, 0)

        assert nothing.granted_tokens == 0
        assert 5 <= some.granted_tokens <= 5 + subject.slack_s

    async def test_a_clock_that_leaps_ahead_fills_the_bucket_once(self, subject: QuotaSubject) -> None:
        """An hour ahead is worth one burst."""
        quota = subject.quota(rate=0.1, burst=10)
        await subject.quotas.take(quota, 10, 0)

        subject.pass_time(3600.0)

        assert (await subject.quotas.take(quota, 100, 0)).granted_tokens == 10
        assert (await subject.quotas.take(quota, 100, 0)).granted_tokens == 0

    @pytest.mark.parametrize("seed", range(8))
    async def test_never_more_than_burst_and_what_flowed_in(self, subject: QuotaSubject, seed: int) -> None:
        """Over random histories with repeats, settlements and returns: net grants <= burst + rate * t."""
        rng = random.Random(seed)
        rate, burst = rng.choice([0.5, 5.0, 50.0]), rng.choice([10.0, 40.0])
        quota = subject.quota(rate=rate, burst=burst)
        net, elapsed_s, leased, permits = 0, 0.0, 0, {}
        for number in range(60):
            act = rng.random()
            if act < 0.4:
                request_id, cost = f"r{number}", rng.randint(1, 12)
                if await granted(subject.quotas.reserve(quota, request_id, cost)):
                    permit = await subject.quotas.reserve(quota, request_id, cost)
                    permits[permit.permit_id] = cost
                    net += cost
            elif act < 0.6 and permits:
                permit_id, cost = permits.popitem()
                net -= await subject.quotas.settle(quota.tenant_id, permit_id, rng.randint(0, cost))
            elif act < 0.8:
                returned = rng.randint(0, leased)
                grant = await subject.quotas.take(quota, rng.randint(0, 12), returned)
                leased += grant.granted_tokens - returned
                net += grant.granted_tokens - returned
            else:
                pause_s = rng.uniform(0, 2)
                subject.pass_time(pause_s)
                elapsed_s += pause_s

            assert net <= burst + rate * (elapsed_s + subject.slack_s) + 1e-6

    async def test_an_unsettled_permit_is_spent_when_it_expires(self, subject: QuotaSubject) -> None:
        """An orphan gives nothing back, and its request id is free again."""
        quota = replace(subject.quota(rate=0.001, burst=10))
        permit = await subject.quotas.reserve(quota, "r1", 4)

        await self.outlive_permits(subject)

        with pytest.raises(PermitUnknown):
            await subject.quotas.settle(quota.tenant_id, permit.permit_id, 0)
        again = await subject.quotas.reserve(quota, "r1", 4)
        assert again.permit_id != permit.permit_id
        assert not await granted(subject.quotas.reserve(quota, "r2", 4))

    @abstractmethod
    async def outlive_permits(self, subject: QuotaSubject) -> None:
        """Let every permit made so far expire."""
