"""Who may call what, and that nothing is open by accident."""

from __future__ import annotations

import math

import pytest

from trunkline_mesh.errors import MethodNotAllowed
from trunkline_mesh.method_policy import Access, MethodPolicy, authorize
from trunkline_mesh.request import Principal


def principal(tenant: str | None = None, *roles: str) -> Principal:
    return Principal("someone", tenant, frozenset(roles), "token", math.inf)


CALLERS = {
    "nobody's": principal(),
    "tenant": principal("acme"),
    "tenant admin": principal("acme", "admin"),
    "admin without tenant": principal(None, "admin"),
    "operator": principal(None, "operator"),
    "service": principal(None, "service"),
    "service for a tenant": principal("acme", "service"),
    "unknown role": principal(None, "root"),
}
TENANTS = {"tenant", "tenant admin", "service for a tenant"}
ALLOWED = {
    Access.PUBLIC: set(CALLERS),
    Access.AUTHENTICATED: set(CALLERS),
    Access.TENANT: TENANTS,
    Access.TENANT_ADMIN: {"tenant admin", "operator"},
    Access.OPERATOR: {"operator"},
    Access.SERVICE: {"service", "service for a tenant"},
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("access", Access, ids=lambda access: access.value)
def test_access_is_exactly_what_the_table_says(access: Access, caller: str) -> None:
    """Every kind of caller against every kind of access."""
    if caller in ALLOWED[access]:
        authorize(access, CALLERS[caller])
    else:
        with pytest.raises(MethodNotAllowed):
            authorize(access, CALLERS[caller])


def test_no_call_may_take_more_than_an_hour_and_no_bound_is_negative() -> None:
    """An endless stream begins anew; a bound below zero would refuse, or allow, everything."""
    MethodPolicy(Access.TENANT, cap_s=3600, floor_s=0, weight=0, ends_at_drain=True, max_open=64)
    for wrong in ({"cap_s": 3601.0}, {"weight": -1.0}, {"max_open": -1}, {"max_open_per_caller": -1}):
        with pytest.raises(ValueError, match="caps end"):
            MethodPolicy(Access.TENANT, **({"cap_s": 10.0, "floor_s": 0.0} | wrong))


@pytest.mark.parametrize(("cap_s", "floor_s"), [(1, 1), (1, 2), (0, 0), (1, -0.1), (math.nan, 0)])
def test_bounds_that_do_not_nest_are_refused(cap_s: float, floor_s: float) -> None:
    """A floor at or above the cap would refuse every call."""
    with pytest.raises(ValueError, match="nest"):
        MethodPolicy(Access.TENANT, cap_s=cap_s, floor_s=floor_s)
