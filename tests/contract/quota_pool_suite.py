"""What an authority does with the region's pools, whatever store runs its scripts. Subclassed for each store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.contract.quota_subject import QuotaSubject, day_limits, pool_tiers, searches

from trunkline_admission.quota import Limits, Period, Refusal, Scope, TenantQuota, Unit
from trunkline_admission.redis_quota import RedisQuota
from trunkline_lease.charge import NOTHING

SLOW = 0.01
"""Requests a second: what flows in while a test runs does not count."""
UNBOUND = Limits(None, None)


def tenant_of(subject: QuotaSubject, tier: str) -> TenantQuota:
    return subject.quota(tier=tier, limits=UNBOUND)


async def drain(quotas: RedisQuota, quota: TenantQuota) -> int:
    """Take until nothing is left; return how much it was."""
    total = 0
    while granted := (await quotas.take(quota, searches(1000))).granted.requests:
        total += granted
    return total


class PoolSuite:
    """Pools of tiers. A subclass gives the fixture `subject`."""

    async def test_all_tenants_of_a_tier_share_its_pool(self, subject: QuotaSubject) -> None:
        """The pool refuses whom his own limit would not; the refusal says that it is the tier's."""
        tiers = pool_tiers({"low": {"per_s": SLOW}, "high": {"per_s": SLOW}}, burst_s=3000)
        replicas = [subject.replica(tiers), subject.replica(tiers)]

        taken = [await drain(replicas[n % 2], tenant_of(subject, "low")) for n in range(3)]
        refused = await replicas[0].take(tenant_of(subject, "low"), searches(1))

        assert sum(taken) == 30
        assert refused.refusal is not None
        assert replace(refused.refusal, retry_delay_s=0) == Refusal(Scope.TIER, Period.RATE, Unit.REQUESTS, 0)
        assert 100 - subject.slack_s <= (refused.refusal.retry_delay_s or 0) <= 100.001
        for replica in replicas:
            await replica.aclose()

    async def test_an_empty_region_refuses_whatever_a_tiers_pool_holds(self, subject: QuotaSubject) -> None:
        """What all tiers share is the last word."""
        tiers = pool_tiers({"low": {"per_s": SLOW}, "high": {"per_s": SLOW}}, burst_s=3000, service_per_s=SLOW)
        quotas = subject.replica(tiers)

        assert await drain(quotas, tenant_of(subject, "low")) == 30
        refused = await quotas.take(tenant_of(subject, "high"), searches(1))

        assert refused.refusal is not None
        assert refused.refusal.scope is Scope.SERVICE
        await quotas.aclose()

    async def test_a_tier_borrows_up_to_its_limit_and_the_lenders_floor(self, subject: QuotaSubject) -> None:
        """Of 100 the lender lends 60 to a higher rank and 30 to a lower one, and keeps the rest for itself."""
        pools = {
            "low": {"per_s": SLOW, "lendable": 0, "borrowing": 100},
            "mid": {"per_s": SLOW, "lendable": 60, "borrowing": 0},
            "high": {"per_s": SLOW, "lendable": 0, "borrowing": 40},
        }
        quotas = subject.replica(pool_tiers(pools, burst_s=10_000))

        low = await drain(quotas, tenant_of(subject, "low"))
        high = await drain(quotas, tenant_of(subject, "high"))
        mid = await drain(quotas, tenant_of(subject, "mid"))

        assert (low, high, mid) == (100 + 30, 100 + 30, 40)
        await quotas.aclose()

    async def test_the_borrowing_limit_bounds_what_is_lent(self, subject: QuotaSubject) -> None:
        """A tier borrows no more than its part of its own pool, whatever others could lend."""
        pools = {"low": {"per_s": 10 * SLOW, "lendable": 100}, "high": {"per_s": SLOW, "borrowing": 20}}
        quotas = subject.replica(pool_tiers(pools, burst_s=10_000))

        assert await drain(quotas, tenant_of(subject, "high")) == 100 + 20
        await quotas.aclose()

    async def test_a_lender_has_what_was_lent_and_not_spent_back_within_the_bound(self, subject: QuotaSubject) -> None:
        """A share that another replica drew from the lender's pool and left goes back by itself."""
        pools = {"low": {"per_s": SLOW, "lendable": 100}, "high": {"per_s": SLOW, "borrowing": 100}}
        tiers = pool_tiers(pools, burst_s=100_000)
        borrower = subject.replica(tiers, share_valid_s=0.2)
        lender = subject.replica(tiers, share_valid_s=0.2)
        high, low = tenant_of(subject, "high"), tenant_of(subject, "low")
        assert (await borrower.take(high, searches(1000))).granted.requests == 1000

        assert (await borrower.take(high, searches(100))).granted.requests == 100  # lent, and more ahead
        await borrower.take(high, NOTHING)
        async with asyncio.timeout(30):
            while (await lender.pools.levels())["low"] < 900:
                subject.pass_time(borrower.pools.reclaim_bound_s / 20)
                await asyncio.sleep(0.01)

        assert await drain(lender, low) == 900
        await borrower.aclose()
        await lender.aclose()

    async def test_what_a_lease_gives_back_of_lent_requests_is_the_lenders(self, subject: QuotaSubject) -> None:
        """As much as was lent to it; what is more is the borrower's own."""
        pools = {"low": {"per_s": SLOW, "lendable": 100}, "high": {"per_s": SLOW, "borrowing": 100}}
        tiers = pool_tiers(pools, burst_s=100_000)
        borrower = subject.replica(tiers)
        high = tenant_of(subject, "high")
        assert (await borrower.take(high, searches(1000))).granted.requests == 1000
        assert (await borrower.take(high, searches(100))).granted.requests == 100  # lent

        await borrower.take(high, NOTHING, searches(150))
        await borrower.aclose()

        other = subject.replica(tiers)
        assert (await other.pools.levels()) == {"low": 1000, "high": 50}
        await other.aclose()

    async def test_a_dry_pool_still_grants_each_tenant_its_even_part_of_the_day(self, subject: QuotaSubject) -> None:
        """What one has left of it, once, whoever emptied the pool; beyond it the tier refuses, also him who did."""
        tiers = pool_tiers({"low": {"per_s": SLOW}, "high": {"per_s": SLOW}}, burst_s=10_000)
        quotas = subject.replica(tiers, tenants_of=lambda _tier: 10)
        part = 86  # a day of 864 for ten
        loud, quiet = tenant_of(subject, "low"), tenant_of(subject, "low")
        assert await drain(quotas, loud) == 100

        got = [(await quotas.take(quiet, searches(50))).granted.requests for _ in range(2)]
        refused = [await quotas.take(tenant, searches(1)) for tenant in (quiet, loud)]

        assert got == [50, part - 50]
        assert [each.granted for each in refused] == [NOTHING, NOTHING]
        assert {each.refusal and each.refusal.scope for each in refused} == {Scope.TIER}
        await quotas.aclose()

    async def test_a_pool_owes_what_it_granted_while_it_was_dry(self, subject: QuotaSubject) -> None:
        """Others of the tier wait until that has flowed in, other tiers do not; what comes back is owed no more."""
        tiers = pool_tiers({"low": {"per_s": SLOW}, "high": {"per_s": SLOW}}, burst_s=10_000)
        quotas = subject.replica(tiers, tenants_of=lambda _tier: 10)
        loud, quiet = tenant_of(subject, "low"), tenant_of(subject, "low")
        assert await drain(quotas, loud) == 100
        assert (await quotas.take(quiet, searches(60))).granted.requests == 60
        await quotas.take(quiet, NOTHING, searches(20))
        await quotas.aclose()

        other = subject.replica(tiers)
        assert (await other.pools.levels()) == {"low": -40, "high": 100}
        subject.pass_time(5000)
        assert await drain(other, loud) == 50 - 40
        assert await drain(other, tenant_of(subject, "high")) == 100
        await other.aclose()

    async def test_limits_of_its_own_bind_a_tenant_whose_pool_is_dry(self, subject: QuotaSubject) -> None:
        """Its even part is no more than it may have; and where all tiers together are dry, nobody has one."""
        tiers = pool_tiers({"low": {"per_s": SLOW}, "high": {"per_s": SLOW}}, burst_s=10_000)
        quotas = subject.replica(tiers, tenants_of=lambda _tier: 10)
        small = subject.quota(tier="low", rate=0.001, burst=5)
        assert await drain(quotas, tenant_of(subject, "low")) == 100
        assert (await quotas.take(small, searches(20))).granted.requests == 5
        refusal = (await quotas.take(small, searches(1))).refusal
        assert refusal is not None
        assert refusal.scope is Scope.TENANT
        await quotas.aclose()

        scarce = pool_tiers({"low": {"per_s": SLOW}, "high": {"per_s": SLOW}}, burst_s=3000, service_per_s=SLOW)
        subject.prefix += "-scarce"
        dry = subject.replica(scarce, tenants_of=lambda _tier: 10)
        assert await drain(dry, tenant_of(subject, "high")) == 30
        assert (await dry.take(tenant_of(subject, "low"), searches(1))).granted == NOTHING
        await dry.aclose()

    async def test_unspent_shares_go_back_when_a_replica_stops(self, subject: QuotaSubject) -> None:
        """A replica that is closed leaves the pool as if it had taken only what was granted."""
        tiers = pool_tiers({"low": {"per_s": SLOW}}, burst_s=100_000)
        quotas = subject.replica(tiers)
        await quotas.take(tenant_of(subject, "low"), searches(7))

        await quotas.aclose()

        other = subject.replica(tiers)
        assert await drain(other, tenant_of(subject, "low")) == 993
        await other.aclose()

    async def test_a_refused_wish_costs_the_pool_nothing(self, subject: QuotaSubject) -> None:
        """A tenant beyond its own limit takes nothing from the others of its tier, however often it asks."""
        tiers = pool_tiers({"low": {"per_s": SLOW}}, burst_s=10_000)
        quotas = subject.replica(tiers)
        flooder = subject.quota(tier="low", rate=0.001, burst=5)

        for _ in range(50):
            await quotas.take(flooder, searches(20))

        assert await drain(quotas, tenant_of(subject, "low")) == 95
        await quotas.aclose()

    async def test_returned_requests_are_the_pools_again(self, subject: QuotaSubject) -> None:
        """What a router did not spend can be granted to another tenant."""
        tiers = pool_tiers({"low": {"per_s": SLOW}}, burst_s=10_000)
        quotas, quota = subject.replica(tiers), tenant_of(subject, "low")
        assert await drain(quotas, quota) == 100

        await quotas.take(quota, NOTHING, searches(30))

        assert await drain(quotas, tenant_of(subject, "low")) == 30
        await quotas.aclose()

    async def test_a_tenant_goes_on_above_its_day_while_its_pool_has_more_than_the_reserve(
        self, subject: QuotaSubject
    ) -> None:
        """Half of a full pool is left to the others; what was granted above the day is told."""
        tiers = pool_tiers({"low": {"per_s": SLOW}}, burst_s=1_000_000)
        quotas = subject.replica(tiers)
        day_only = Limits(None, None, day_limits(100).counts)
        big = subject.quota(tier="low", limits=day_only, borrows_above_day=True)

        grants = [await quotas.take(big, searches(50)) for _ in range(400)]

        granted = sum(grant.granted.requests for grant in grants)
        assert sum(grant.borrowed for grant in grants) == granted - 100
        assert 0.45 <= granted / 10_000 <= 0.55
        last = grants[-1].refusal
        assert last is not None
        assert (last.scope, last.period) == (Scope.TENANT, Period.DAY)
        await quotas.aclose()

    async def test_a_pool_that_nobody_looked_at_is_looked_at_before_the_day_refuses(
        self, subject: QuotaSubject
    ) -> None:
        """After a pause, with a share still at hand, a tenant above its day is not sent away until midnight."""
        tiers = pool_tiers({"low": {"per_s": SLOW}}, burst_s=1_000_000)
        quotas = subject.replica(tiers)
        day_only = Limits(None, None, day_limits(100).counts)
        big = subject.quota(tier="low", limits=day_only, borrows_above_day=True)
        await quotas.take(big, searches(100))
        subject.pass_time(60.0)
        await quotas.take(big, NOTHING, searches(40))

        grants = [await quotas.take(big, searches(40)) for _ in range(2)]

        assert [(grant.granted.requests, grant.borrowed) for grant in grants] == [(40, 0), (40, 40)]
        await quotas.aclose()

    async def test_most_decisions_cost_one_round_trip(self, subject: QuotaSubject) -> None:
        """Shares of the pool are drawn ahead: beside the tenant's script few others run."""
        calls: list[str] = []

        class Counting:
            async def run(self, script: str, keys: object, args: object) -> object:
                calls.append(script)
                return await subject.runner.run(script, keys, args)  # type: ignore[arg-type]  # as they came

        quotas = RedisQuota(
            Counting(),
            pool_tiers({"low": {"per_s": 1e5}}),
            key_prefix=subject.prefix,
            wall_clock=subject.now_s,
            clock_offset_s=subject.store_offset_s,
        )
        quota = tenant_of(subject, "low")

        for _ in range(200):
            await quotas.take(quota, searches(5))

        assert calls.count("tenant") == 200
        assert calls.count("pool") <= 60
        await quotas.aclose()

    async def test_many_that_ask_at_once_share_a_draw(self, subject: QuotaSubject) -> None:
        """Nobody is refused for being late while the pool has plenty, and nobody draws for himself alone."""
        tiers = pool_tiers({"low": {"per_s": 1e5}})
        quotas, quota = subject.replica(tiers), tenant_of(subject, "low")

        grants = await asyncio.gather(*(quotas.take(quota, searches(50)) for _ in range(200)))

        assert {grant.granted.requests for grant in grants} == {50}
        await quotas.aclose()

    async def test_many_that_ask_at_once_get_what_a_scarce_pool_has(self, subject: QuotaSubject) -> None:
        """All of it is granted, no more, and the others are told the tier's refusal with a time to come back."""
        tiers = pool_tiers({"low": {"per_s": SLOW}}, burst_s=10_000, service_per_s=1)
        quotas, quota = subject.replica(tiers), tenant_of(subject, "low")

        grants = await asyncio.gather(*(quotas.take(quota, searches(7)) for _ in range(40)))

        assert sum(grant.granted.requests for grant in grants) == 100
        refusals = [grant.refusal for grant in grants if not grant.granted]
        assert {refusal and refusal.scope for refusal in refusals} == {Scope.TIER}
        assert all(refusal and 90 <= (refusal.retry_delay_s or 0) <= 101 for refusal in refusals)
        await quotas.aclose()
