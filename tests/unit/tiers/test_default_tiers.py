"""The tier file that is used without another one."""

import pytest

from trunkline_tiers import default_tiers, rank_table

FREE, PRO, ENTERPRISE = (default_tiers().tiers[name] for name in ("free", "pro", "enterprise"))


def test_there_are_three_tiers_by_rank() -> None:
    """Free stands below pro, pro below enterprise."""
    assert default_tiers().by_rank == ("free", "pro", "enterprise")
    assert default_tiers().lowest == "free"


def test_a_tenants_day_has_100_10_000_and_100_000_requests() -> None:
    """Enterprise alone borrows above."""
    assert [tier.tenant.requests_per_day for tier in (FREE, PRO, ENTERPRISE)] == [100, 10_000, 100_000]
    assert [tier.tenant.borrows_above_day for tier in (FREE, PRO, ENTERPRISE)] == [False, False, True]


def test_the_pools_have_55_thousand_4_million_and_10_million_a_day() -> None:
    """All tenants of a tier share them."""
    assert [tier.pool.requests_per_day for tier in (FREE, PRO, ENTERPRISE)] == [55_000, 4_000_000, 10_000_000]


def test_a_pool_holds_what_its_tenants_have_a_day() -> None:
    """With less, tenants that are each within their own day would use up what others of their tier have."""
    assert default_tiers().pool_burst_s == 86_400
    assert FREE.pool.requests_per_day == 550 * FREE.tenant.requests_per_day


def test_weights_queues_and_shares_of_the_gpus() -> None:
    """1:5:10 of the slots, 500, 1,000 and 100 may wait, 1:4:15 of the GPUs."""
    assert [tier.capacity.weight for tier in (FREE, PRO, ENTERPRISE)] == [1, 5, 10]
    assert [tier.capacity.queue_length for tier in (FREE, PRO, ENTERPRISE)] == [500, 1_000, 100]
    assert [tier.capacity.gpu_weight for tier in (FREE, PRO, ENTERPRISE)] == [1, 4, 15]


def test_rates_are_20_200_and_2_000_a_minute_with_bursts_of_five_times_for_30_s() -> None:
    """The bucket holds what a burst takes beyond the refill: four lasting rates for 30 s."""
    assert [tier.tenant.requests_per_minute for tier in (FREE, PRO, ENTERPRISE)] == [20, 200, 2_000]
    for tier in (FREE, PRO, ENTERPRISE):
        assert (tier.tenant.burst_factor, tier.tenant.burst_s) == (5, 30)
        in_a_burst = tier.tenant.burst_requests + tier.tenant.requests_per_s * 30
        assert in_a_burst == pytest.approx(5 * tier.tenant.requests_per_s * 30)


def test_in_flight_is_capped_by_key_and_by_instance() -> None:
    """A tenant may have more under way than one of its credentials."""
    for tier in (FREE, PRO, ENTERPRISE):
        assert 1 <= tier.capacity.in_flight_per_key <= tier.capacity.in_flight_per_instance


def test_promises() -> None:
    """p95 of 5 s, 1 s and 300 ms, with 95 %, 99 % and 99.9 %."""
    assert [tier.objective.p95_ms for tier in (FREE, PRO, ENTERPRISE)] == [5_000, 1_000, 300]
    assert [tier.objective.availability for tier in (FREE, PRO, ENTERPRISE)] == [0.95, 0.99, 0.999]


def test_levels_have_their_thresholds_and_times() -> None:
    """Reduced above 70 %, 1 s or 1 %; emergency above 90 %, 2 s or 2 %; down after 30 s, up after 5 minutes."""
    levels = default_tiers().levels
    assert (levels.reduced.utilisation, levels.reduced.p95_ms, levels.reduced.error_rate) == (0.7, 1_000, 0.01)
    assert (levels.emergency.utilisation, levels.emergency.p95_ms, levels.emergency.error_rate) == (0.9, 2_000, 0.02)
    assert (levels.down_after_s, levels.up_after_s) == (30, 300)


def test_promised_parts_add_up() -> None:
    """Every slot is promised to one rank."""
    for use in ("queue", "gpu"):
        table = rank_table(default_tiers(), use)
        assert sum(table.promised_part(share.rank) for share in table.shares) == pytest.approx(1)
