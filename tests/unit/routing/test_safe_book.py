"""What tenants keep in a router while admission is away: a part of their own limits, by their tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from trunkline_lease import SafeLimits, SafeRate
from trunkline_map import testing as maps
from trunkline_map.entries import KeyLimit, LimitOverride, TenantLimits
from trunkline_map.testing import static_map
from trunkline_routing.edge.safe_book import DAY_S, SafeBook
from trunkline_tiers import default_tiers

TIERS = default_tiers()
NOW_S = 1_795_262_400.0


def share(routers: int = 1, key: str = "", **changed: Any) -> SafeLimits:
    source = static_map(replace(maps.tenant("acme", "eu"), **{"tier": "pro", **changed}))
    return SafeBook(source, TIERS, routers=routers, wall_clock=lambda: NOW_S).of("acme", key)


def pairs(rates: Sequence[SafeRate]) -> list[tuple[float, float]]:
    return [(each.per_s, each.burst) for each in rates]


@pytest.mark.parametrize("name", TIERS.tiers)
def test_a_tenant_keeps_its_tiers_part(name: str) -> None:
    """`without_store_share` x 0.5 of its rate, with its burst, and of its day."""
    tier = TIERS.tiers[name]
    part = tier.without_store_share * 0.5
    found = share(tier=name)
    assert found.rank == tier.rank
    day = tier.tenant.requests_per_day * part
    assert pairs(found.requests) == [
        pytest.approx((tier.tenant.requests_per_s * part, tier.tenant.burst_requests * part)),
        pytest.approx((day / DAY_S, day)),
    ]
    [tokens] = found.tokens
    assert tokens.per_s == pytest.approx(tier.tenant.requests_per_s * tier.tenant.tokens_per_request * part)


def test_routers_divide_it() -> None:
    """To the last whole search."""
    one, many, most = share(), share(4), share(100_000)
    assert many.requests[0].per_s == pytest.approx(one.requests[0].per_s / 4)
    assert many.requests[1].burst == pytest.approx(one.requests[1].burst / 4)
    assert [each.burst for each in (*most.requests, *most.tokens)] == [1, 1, 10]


def test_a_tenants_own_limits_stand_for_its_tiers() -> None:
    """Those of an override for both, until it ends; a token limit of the day is one more."""
    own = TenantLimits(requests_per_minute=60, requests_per_day=1_000, tokens_per_day=4_000)
    assert [each.per_s for each in share(limits=own).requests] == pytest.approx([0.25, 250 / DAY_S])
    assert pairs(share(limits=own).tokens)[1] == pytest.approx((1_000 / DAY_S, 1_000))
    raised = TenantLimits(requests_per_minute=120)
    for ends_at_s, per_s in ((NOW_S + 1, 0.5), (NOW_S, 0.25)):
        found = share(limits=own, overrides=(LimitOverride(raised, ends_at_s),))
        assert [each.per_s for each in found.requests] == pytest.approx([per_s, 250 / DAY_S])


def test_a_limited_credential_keeps_a_part_of_its_own_limits() -> None:
    """Beside those of its tenant."""
    limit = KeyLimit("batch", requests_per_minute=6, requests_per_day=40)
    found = share(key="batch", key_limits=(limit,))
    assert found.requests[:2] == share().requests
    assert pairs(found.requests[2:]) == [pytest.approx((0.025, 3)), pytest.approx((10 / DAY_S, 10))]
    assert share(key="other", key_limits=(limit,)) == share()


def test_who_is_not_served_keeps_nothing() -> None:
    """A suspended tenant, one that the map does not have, and those of a tier that keeps nothing."""
    assert share(suspended=True).requests == ()
    assert SafeBook(static_map(), TIERS, routers=1).of("acme", "").requests == ()
    none = TIERS.model_copy(
        update={"tiers": {"free": TIERS.tiers["free"].model_copy(update={"without_store_share": 0.0})}}
    )
    source = static_map(replace(maps.tenant("acme", "eu"), tier="free"))
    assert SafeBook(source, none, routers=1).of("acme", "").requests == ()
