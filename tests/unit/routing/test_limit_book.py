"""What never fits into a tenant's limits: a router tells the same as admission, which keeps them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trunkline_admission.fitting import bounds_of
from trunkline_admission.tenants import TenantQuotas
from trunkline_map.entries import KeyLimit, LimitOverride, TenantEntry, TenantLimits
from trunkline_map.testing import static_map
from trunkline_routing.edge.limit_book import LimitBook
from trunkline_tiers import default_tiers

TIERS = default_tiers()
NOW_S = 1_795_262_400.0
NUMBERS = st.sampled_from([0, 1, 7, 100, 12_345])
LIMITS = st.builds(
    TenantLimits,
    requests_per_minute=NUMBERS,
    requests_per_day=NUMBERS,
    requests_per_month=NUMBERS,
    tokens_per_day=NUMBERS,
    tokens_per_month=NUMBERS,
)
ENTRIES = st.builds(
    TenantEntry,
    st.just("acme"),
    st.sampled_from(["free", "pro", "enterprise", "unheard-of"]),
    st.just(frozenset({"eu"})),
    quota_tokens_per_s=st.sampled_from([0, 3]),
    limits=LIMITS,
    overrides=st.lists(
        st.builds(LimitOverride, limits=LIMITS, ends_at_s=st.sampled_from([NOW_S - 1, NOW_S, NOW_S + 1])), max_size=2
    ).map(tuple),
    key_limits=st.lists(st.builds(KeyLimit, st.just("robot"), NUMBERS, NUMBERS), max_size=1).map(tuple),
)


@given(ENTRIES, st.sampled_from(["", "robot", "other"]))
def test_routers_and_admission_agree_on_what_never_fits(entry: TenantEntry, key: str) -> None:
    """For every tier, own limit, override and credential."""
    source = static_map(entry)
    tenants = TenantQuotas(source, TIERS, lambda: NOW_S)
    told = LimitBook(source, TIERS, wall_clock=lambda: NOW_S).of("acme", key)

    assert set(told) == set(bounds_of(tenants)("acme", key))


def test_a_tenant_that_is_not_known_has_no_bounds() -> None:
    """It is refused for that, and not for its wish."""
    source = static_map()
    assert LimitBook(source, TIERS).of("acme", "") == ()
    assert bounds_of(TenantQuotas(source, TIERS))("acme", "") == ()
