"""Whose entries a caller may touch."""

from __future__ import annotations

import pytest

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import FieldInvalid, MethodNotAllowed, TenantMismatch
from trunkline_mesh.request import Principal, RequestScope, enter_request
from trunkline_routing.control.access import readable_tenant, tended_tenant, writable_tenant


def as_caller(tenant_id: str | None, *roles: str) -> None:
    """Make this test's task that of a request by such a caller."""
    principal = Principal("tester", tenant_id, frozenset(roles), "", 0.0)
    enter_request(RequestScope("r", 1, "/m", Deadline.after(1), False, principal))


async def test_operators_name_any_tenant() -> None:
    """Also when their credential has a tenant of its own."""
    as_caller("ops", "operator")

    assert readable_tenant("acme") == "acme"
    assert writable_tenant("acme") == "acme"


async def test_operators_must_name_one() -> None:
    """There is no tenant to fall back to."""
    as_caller(None, "operator")

    with pytest.raises(FieldInvalid):
        readable_tenant("")


async def test_tenants_read_their_own() -> None:
    """Named or not."""
    as_caller("acme")

    assert readable_tenant("") == "acme"
    assert readable_tenant("acme") == "acme"
    with pytest.raises(TenantMismatch):
        readable_tenant("other")


async def test_admins_change_their_own() -> None:
    """And nobody else's."""
    as_caller("acme", "admin")

    assert writable_tenant("") == "acme"
    with pytest.raises(TenantMismatch):
        writable_tenant("other")


@pytest.mark.parametrize("roles", [(), ("service",), ("reader",)])
async def test_others_change_nothing(roles: tuple[str, ...]) -> None:
    """Not even their own tenant's entries."""
    as_caller("acme", *roles)

    with pytest.raises(MethodNotAllowed):
        writable_tenant("acme")


async def test_an_admin_without_a_tenant_changes_nothing() -> None:
    """The role is of a tenant; without one it is worth nothing."""
    as_caller(None, "admin")

    with pytest.raises(TenantMismatch):
        writable_tenant("acme")


async def test_services_tend_the_policy_of_the_tenant_that_they_act_for() -> None:
    """And of no other; one that acts for nobody tends none."""
    as_caller("acme", "service")
    assert tended_tenant("acme") == tended_tenant("") == "acme"
    with pytest.raises(TenantMismatch):
        tended_tenant("other")

    as_caller(None, "service")
    with pytest.raises(TenantMismatch):
        tended_tenant("acme")


async def test_policies_are_tended_by_those_who_may_change_them() -> None:
    """Operators and admins, and nobody without a role."""
    as_caller(None, "operator")
    assert tended_tenant("acme") == "acme"
    as_caller("acme", "admin")
    assert tended_tenant("") == "acme"

    as_caller("acme")
    with pytest.raises(MethodNotAllowed):
        tended_tenant("acme")
