"""What an authority does with one tenant's limits, whatever store runs its scripts. Subclassed for each store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.contract.quota_subject import DAY_S, NOON_S, QuotaSubject, day_limits, searches

from trunkline_admission.quota import BucketLimit, CountLimit, Limits, Period, QuotaSource, Refusal, Scope, Unit
from trunkline_lease.charge import NOTHING, Charge


class BucketSuite:
    """Rates. A subclass gives the fixture `subject`."""

    async def test_a_burst_is_granted_and_no_more(self, subject: QuotaSubject) -> None:
        """A wish gets what is there, in whole requests; an empty bucket says when all that was wanted is there."""
        quota = subject.quota(rate=0.01, burst=10)

        first = await subject.quotas.take(quota, searches(7))
        second = await subject.quotas.take(quota, searches(7))
        third = await subject.quotas.take(quota, searches(2))

        assert (first.granted.requests, second.granted.requests, third.granted) == (7, 3, NOTHING)
        assert (first.refusal, second.refusal, first.source) == (None, None, QuotaSource.AUTHORITY)
        assert third.refusal is not None
        assert replace(third.refusal, retry_delay_s=0) == Refusal(Scope.TENANT, Period.RATE, Unit.REQUESTS, 0, 10)
        assert 200.0 - subject.slack_s <= (third.refusal.retry_delay_s or 0) <= 200.001

    async def test_after_the_told_delay_the_wish_is_granted(self, subject: QuotaSubject) -> None:
        """The delay is exact: coming back then succeeds."""
        quota = subject.quota(rate=0.01, burst=10)
        await subject.quotas.take(quota, searches(10))
        refused = await subject.quotas.take(quota, searches(4))

        assert refused.refusal is not None
        subject.pass_time(refused.refusal.retry_delay_s or 0)

        assert (await subject.quotas.take(quota, searches(4))).granted.requests == 4

    async def test_a_refused_wish_above_the_burst_is_told_that_it_never_fits(self, subject: QuotaSubject) -> None:
        """Nobody is told to wait for what the bucket cannot hold: the most that it ever holds is told instead."""
        quota = subject.quota(rate=0.01, burst=10.9)
        await subject.quotas.take(quota, searches(10))

        full, above = [(await subject.quotas.take(quota, searches(count))).refusal for count in (10, 11)]

        assert full is not None
        assert 910.0 - subject.slack_s <= (full.retry_delay_s or 0) <= 910.001
        assert above == Refusal(Scope.TENANT, Period.RATE, Unit.REQUESTS, None, 10)

    @pytest.mark.parametrize("period", [Period.DAY, Period.MONTH])
    @pytest.mark.parametrize("unit", [Unit.REQUESTS, Unit.TOKENS])
    async def test_a_wish_above_a_periods_number_never_fits(
        self, subject: QuotaSubject, period: Period, unit: Unit
    ) -> None:
        """Of a day and a month; of several that refuse it is told before one that only takes long."""
        quota = subject.quota(limits=day_limits(5, unit=unit, period=period), keys={"k": day_limits(7)})
        await subject.quotas.take(quota, searches(5), key="k")

        refused = await subject.quotas.take(quota, searches(6), key="k")

        assert refused.refusal == Refusal(Scope.TENANT, period, unit, None, 5)

    @pytest.mark.parametrize("limits", [Limits(BucketLimit(0.01, 1), BucketLimit(9, 99)),
                                        Limits(BucketLimit(9, 99), BucketLimit(0.01, 1))])  # fmt: skip
    async def test_requests_without_tokens_are_no_grant(self, subject: QuotaSubject, limits: Limits) -> None:
        """Neither of both is granted alone where both were wanted; either alone may be wanted."""
        quota = subject.quota(limits=limits)
        await subject.quotas.take(quota, Charge(1, 1))

        refused = await subject.quotas.take(quota, Charge(1, 1))

        assert refused.granted == NOTHING
        scarce = Charge(0, 5) if limits.requests == BucketLimit(0.01, 1) else Charge(5, 0)
        assert (await subject.quotas.take(quota, scarce)).granted == scarce

    async def test_returned_requests_are_there_for_the_same_wish(self, subject: QuotaSubject) -> None:
        """Returning comes before taking, and never fills the bucket above its burst."""
        quota = subject.quota(rate=0.001, burst=10)
        await subject.quotas.take(quota, searches(10))

        assert (await subject.quotas.take(quota, searches(5), searches(4))).granted.requests == 4
        assert (await subject.quotas.take(quota, NOTHING, searches(500))).granted == NOTHING
        assert (await subject.quotas.take(quota, searches(100))).granted.requests == 10

    async def test_what_was_advanced_is_booked_first_and_is_a_debt_of_a_burst_at_most(
        self, subject: QuotaSubject
    ) -> None:
        """Spent before it was granted: it is taken off, below nothing, but nobody is locked out for hours."""
        quota = subject.quota(rate=1, burst=10)

        assert (await subject.quotas.take(quota, searches(10), advanced=searches(4))).granted.requests == 6
        refused = await subject.quotas.take(quota, searches(1), advanced=Charge(10**9, 10**9))

        assert refused.refusal is not None
        assert 11 - subject.slack_s <= (refused.refusal.retry_delay_s or 0) <= 11.001
        subject.pass_time(13.0)
        assert (await subject.quotas.take(quota, searches(2))).granted.requests == 2

    @pytest.mark.parametrize("charge", [NOTHING, Charge(10**30, 10**30)])
    async def test_nothing_and_the_absurd_are_answered(self, subject: QuotaSubject, charge: Charge) -> None:
        """No wish is no refusal; an absurd one gets what is there, and what is put back fills the bucket, no more."""
        quota = subject.quota(rate=0.001, burst=10)

        grant = await subject.quotas.take(quota, charge, charge)

        assert grant.granted.requests == min(10, charge.requests)
        assert grant.refusal is None

    async def test_a_smaller_quota_takes_effect_at_once(self, subject: QuotaSubject) -> None:
        """A change in the map cuts what is left in the bucket."""
        quota = subject.quota(rate=1, burst=100)
        await subject.quotas.take(quota, searches(1))

        smaller = replace(quota, limits=Limits(BucketLimit(1, 20), None))

        assert (await subject.quotas.take(smaller, searches(100))).granted.requests == 20

    async def test_a_limit_that_is_new_starts_full(self, subject: QuotaSubject) -> None:
        """What a tenant did without a limit is not held against it."""
        quota = subject.quota(limits=Limits(None, BucketLimit(1, 100)))
        await subject.quotas.take(quota, Charge(50, 50))

        limited = replace(quota, limits=Limits(BucketLimit(0.001, 5), BucketLimit(1, 100)))

        assert (await subject.quotas.take(limited, Charge(9, 9))).granted == Charge(5, 9)

    async def test_a_clock_that_steps_back_locks_nobody_out(self, subject: QuotaSubject) -> None:
        """After an hour back, requests flow at once at the usual rate."""
        quota = subject.quota(rate=1, burst=10)
        await subject.quotas.take(quota, searches(10))

        subject.pass_time(-3600.0)
        nothing = await subject.quotas.take(quota, searches(10))
        subject.pass_time(5.0)
        some = await subject.quotas.take(quota, searches(10))

        assert nothing.granted.requests <= subject.slack_s
        assert 5 <= nothing.granted.requests + some.granted.requests <= 5 + subject.slack_s

    async def test_a_clock_that_leaps_ahead_fills_the_bucket_once(self, subject: QuotaSubject) -> None:
        """An hour ahead is worth one burst."""
        quota = subject.quota(rate=0.1, burst=10)
        await subject.quotas.take(quota, searches(10))

        subject.pass_time(3600.0)

        assert (await subject.quotas.take(quota, searches(100))).granted.requests == 10
        assert (await subject.quotas.take(quota, searches(100))).granted == NOTHING

    async def test_replicas_share_one_count(self, subject: QuotaSubject) -> None:
        """However many ask at once, and through whom, they get what there is and no more."""
        quota = subject.quota(rate=0.001, burst=50)
        replicas = [subject.quotas, subject.replica(), subject.replica()]

        grants = await asyncio.gather(*(replicas[n % 3].take(quota, searches(3)) for n in range(60)))

        assert sum(grant.granted.requests for grant in grants) == 50
        for replica in replicas:
            await replica.aclose()

    async def test_a_key_has_limits_of_its_own_below_its_tenants(self, subject: QuotaSubject) -> None:
        """A key is refused by its own limit, its tenant goes on; and the tenant's limit holds for all keys together."""
        keys = {name: Limits(BucketLimit(0.001, 4), None, day_limits(3).counts) for name in ("a", "b")}
        quota = subject.quota(rate=0.001, burst=5, keys=keys)

        assert (await subject.quotas.take(quota, searches(9), key="a")).granted.requests == 3
        refused = await subject.quotas.take(quota, searches(1), key="a")
        assert (await subject.quotas.take(quota, searches(9), key="b")).granted.requests == 2

        assert refused.refusal is not None
        assert replace(refused.refusal, retry_delay_s=0) == Refusal(Scope.KEY, Period.DAY, Unit.REQUESTS, 0, 3)

    async def test_a_limit_on_trial_tells_and_refuses_nobody(self, subject: QuotaSubject) -> None:
        """What it would have refused stands in a warning, with more than all used."""
        trial = Limits(BucketLimit(0.001, 5), None, (CountLimit(Period.DAY, Unit.REQUESTS, 8, 0.5),))
        quota = subject.quota(rate=0.001, burst=20, shadow=trial)

        grants = [await subject.quotas.take(quota, searches(5)) for _ in range(5)]

        assert [grant.granted.requests for grant in grants] == [5, 5, 5, 5, 0]
        told = [{(w.period, w.shadow) for w in grant.warnings if w.used_part > 1} for grant in grants]
        rate, day = (Period.RATE, True), (Period.DAY, True)
        assert told == [set(), {rate}, {rate, day}, {rate, day}, {rate, day}]


class PeriodSuite:
    """Days and months."""

    async def test_a_days_number_is_granted_and_the_next_day_anew(self, subject: QuotaSubject) -> None:
        """The refusal says whose day is over, and when it ends; then all of it is there again."""
        quota = subject.quota(limits=day_limits(20))

        assert (await subject.quotas.take(quota, searches(25))).granted.requests == 20
        refusal = (await subject.quotas.take(quota, searches(1))).refusal

        assert refusal is not None
        assert replace(refusal, retry_delay_s=0) == Refusal(Scope.TENANT, Period.DAY, Unit.REQUESTS, 0, 20)
        assert DAY_S / 2 - subject.slack_s <= (refusal.retry_delay_s or 0) <= DAY_S / 2
        subject.pass_time(refusal.retry_delay_s or 0)
        assert (await subject.quotas.take(quota, searches(25))).granted.requests == 20

    async def test_a_months_tokens_last_a_month(self, subject: QuotaSubject) -> None:
        """A day does not renew them, the next month does."""
        quota = subject.quota(limits=day_limits(50, unit=Unit.TOKENS, period=Period.MONTH))
        assert (await subject.quotas.take(quota, Charge(5, 70))).granted == Charge(5, 50)

        subject.pass_time(DAY_S)
        refusal = (await subject.quotas.take(quota, Charge(1, 1))).refusal
        subject.pass_time(15 * DAY_S)

        assert refusal is not None
        assert (refusal.period, refusal.unit) == (Period.MONTH, Unit.TOKENS)
        assert 14.5 * DAY_S - subject.slack_s <= (refusal.retry_delay_s or 0) <= 14.5 * DAY_S
        assert (await subject.quotas.take(quota, Charge(5, 70))).granted == Charge(5, 50)

    async def test_the_day_is_the_tenants(self, subject: QuotaSubject) -> None:
        """At noon UTC it is 21:00 in Tokyo: the day ends in three hours."""
        quota = subject.quota(limits=day_limits(1), time_zone="Asia/Tokyo")
        await subject.quotas.take(quota, searches(1))

        refusal = (await subject.quotas.take(quota, searches(1))).refusal

        assert refusal is not None
        assert 3 * 3600 - subject.slack_s <= (refusal.retry_delay_s or 0) <= 3 * 3600

    async def test_of_limits_that_contradict_each_other_the_tightest_refuses(self, subject: QuotaSubject) -> None:
        """More a day than a month, twice the same day: all hold, and the refusal that lasts longest is told."""
        counts = (*day_limits(50).counts, *day_limits(40).counts, *day_limits(30, period=Period.MONTH).counts)
        quota = subject.quota(limits=Limits(BucketLimit(1, 99), None, counts))

        assert (await subject.quotas.take(quota, searches(99))).granted.requests == 30
        refusal = (await subject.quotas.take(quota, searches(1))).refusal

        assert refusal is not None
        assert refusal.period is Period.MONTH

    async def test_returned_requests_come_off_the_count_and_never_below_nothing(self, subject: QuotaSubject) -> None:
        """A search that was not made is not counted; nobody earns a credit."""
        quota = subject.quota(limits=day_limits(20))
        await subject.quotas.take(quota, searches(20))

        assert (await subject.quotas.take(quota, searches(9), searches(4))).granted.requests == 4
        await subject.quotas.take(quota, NOTHING, searches(500))
        assert (await subject.quotas.take(quota, searches(50))).granted.requests == 20

    async def test_what_comes_back_after_midnight_is_of_the_day_before(self, subject: QuotaSubject) -> None:
        """In the first two minutes of a day nothing is taken off its count."""
        quota = subject.quota(limits=day_limits(20))
        await subject.quotas.take(quota, searches(20))
        subject.pass_time(DAY_S / 2 + 1)

        assert (await subject.quotas.take(quota, searches(20))).granted.requests == 20
        assert (await subject.quotas.take(quota, searches(5), searches(20))).granted == NOTHING

    async def test_a_clock_that_goes_back_over_midnight_does_not_renew_the_day(self, subject: QuotaSubject) -> None:
        """The day that had begun is counted on until it begins again."""
        quota = subject.quota(limits=day_limits(20))
        subject.pass_time(DAY_S / 2 + 120)
        await subject.quotas.take(quota, searches(15))

        subject.pass_time(-3600)
        assert (await subject.quotas.take(quota, searches(20))).granted.requests == 5
        subject.pass_time(3600)
        assert (await subject.quotas.take(quota, searches(20))).granted == NOTHING

    @pytest.mark.parametrize("ahead_s", [-13 * 3600.0, -3600.0, 3600.0, 13 * 3600.0, 400.0 * DAY_S])
    async def test_the_stores_clock_says_which_day_it_is(self, subject: QuotaSubject, ahead_s: float) -> None:
        """A replica whose own clock is wrong books on the right day, the same as all others."""
        quota = subject.quota(limits=day_limits(20))
        wrong = subject.replica(ahead_s=ahead_s)
        subject.pass_time(DAY_S / 2 - 1800)

        assert (await wrong.take(quota, searches(15))).granted.requests == 15
        assert (await subject.quotas.take(quota, searches(15))).granted.requests == 5
        subject.pass_time(3600)
        assert (await wrong.take(quota, searches(30))).granted.requests == 20
        assert (await subject.quotas.take(quota, searches(15))).granted == NOTHING
        await wrong.aclose()

    async def test_what_is_nearly_used_up_is_warned_of(self, subject: QuotaSubject) -> None:
        """From the soft part on each grant says how much is used and when it begins anew."""
        quota = subject.quota(limits=day_limits(20, soft=0.75))

        grants = [await subject.quotas.take(quota, searches(7)) for _ in range(4)]

        assert [[warning.used_part for warning in grant.warnings] for grant in grants] == [[], [], [1.0], [1.0]]
        assert grants[2].warnings[0].resets_at_s == NOON_S + DAY_S / 2
        assert not grants[2].warnings[0].shadow

    async def test_states_tell_every_limit_and_change_nothing(self, subject: QuotaSubject) -> None:
        """Limits of the tenant, those on trial and the key's, with what is used."""
        keys = {"a": Limits(None, None, day_limits(9).counts)}
        quota = subject.quota(limits=day_limits(20), shadow=day_limits(30), keys=keys)
        await subject.quotas.take(quota, Charge(4, 6), key="a")

        for _ in range(2):
            states = await subject.quotas.states(quota, "a")

        told = {(s.scope, s.period, s.unit, s.shadow): (s.limit, s.used) for s in states if s.period is Period.DAY}
        assert told == {
            (Scope.TENANT, Period.DAY, Unit.REQUESTS, False): (20, 4),
            (Scope.TENANT, Period.DAY, Unit.REQUESTS, True): (30, 4),
            (Scope.KEY, Period.DAY, Unit.REQUESTS, False): (9, 4),
        }
        rates = [s for s in states if s.period is Period.RATE and not s.shadow]
        assert [(s.unit, s.limit, s.burst) for s in rates] == [
            (Unit.REQUESTS, 60_000, 1000),
            (Unit.TOKENS, 60_000, 1000),
        ]
        assert all(0 <= s.used <= 6 for s in rates)

    async def test_lost_data_is_worth_one_more_burst_and_day(self, subject: QuotaSubject) -> None:
        """A store that comes back empty has full buckets and new counts, once."""
        quota = subject.quota(limits=Limits(BucketLimit(0.001, 10), None, day_limits(15).counts))
        assert (await subject.quotas.take(quota, searches(99))).granted.requests == 10

        await subject.lose_everything()

        assert (await subject.quotas.take(quota, searches(99))).granted.requests == 10
        assert (await subject.quotas.take(quota, searches(99))).granted == NOTHING

    async def test_what_says_nothing_any_more_is_forgotten(self, subject: QuotaSubject) -> None:
        """A full bucket goes at once, a count with its month; and all keys of a tenant share its tag."""
        rate_only = subject.quota(rate=10, burst=50)
        quota = subject.quota(limits=day_limits(20), keys={"a": day_limits(5)})
        await subject.quotas.take(rate_only, NOTHING)
        await subject.quotas.take(quota, searches(1), key="a")

        stays = {key: seconds for key, seconds in (await subject.keys()).items() if "{pool}" not in key}

        assert {key.split("{")[1].split("}")[0] for key in stays} == {rate_only.tenant_id, quota.tenant_id}
        assert len(stays) == 3
        month_s = 15.5 * DAY_S
        for key, seconds in stays.items():
            most_s, least_s = (month_s + 2 * 3600 + 2, month_s) if quota.tenant_id in key else (2, 0)
            assert least_s - subject.slack_s <= seconds <= most_s
