"""Whom a learner looks at, before anything else."""

from __future__ import annotations

import contextvars

import pytest

from trunkline_map.testing import region, static_map, tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import TenantSuspended
from trunkline_mesh.request import Principal, RequestScope, enter_request
from trunkline_routing.learner.admittance import Admittance, Admitted

WORLD = static_map(region("eu-west", "eu"), tenant("gone", "eu", suspended=True))


def admitted_to(roles: frozenset[str], tenant_id: str | None) -> Admitted:
    """Ask for the tenant `gone`, in a request of its own."""

    def ask() -> Admitted:
        principal = Principal("anna", tenant_id, roles, "token", 1e12)
        enter_request(RequestScope("r", 1, "/m", Deadline.after(5), False, principal))
        return Admittance(WORLD, "eu-west").of("gone")

    return contextvars.copy_context().run(ask)


def test_a_suspended_tenant_s_own_people_are_refused() -> None:
    """Evaluating and learning embed texts, so they are use of the service."""
    with pytest.raises(TenantSuspended):
        admitted_to(frozenset({"admin"}), "gone")


def test_operators_still_see_what_is_wrong() -> None:
    """They look after the tenant while it is suspended."""
    assert admitted_to(frozenset({"operator"}), None).tenant_id == "gone"
