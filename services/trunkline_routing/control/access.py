"""Whose entries a caller may touch. The tenant comes from the credential; only operators may name another."""

from __future__ import annotations

from typing import NamedTuple

from trunkline_mesh.errors import MethodNotAllowed
from trunkline_mesh.request import ROLE_ADMIN, ROLE_OPERATOR, ROLE_SERVICE, current_principal, tenant_of
from trunkline_routing.control.messages import parse_id


def readable_tenant(requested: str) -> str:
    """Return the tenant to read: for operators the requested one, for anybody else its own.

    Raises FieldInvalid for a name that is none, TenantMismatch for a foreign one.
    """
    if current_principal().has_role(ROLE_OPERATOR):
        return parse_id("tenant_id", requested)
    return tenant_of(requested)


def writable_tenant(requested: str) -> str:
    """Return the tenant to change: for operators the requested one, for a tenant's `admin` its own.

    Raises as `readable_tenant`, and MethodNotAllowed without one of these roles.
    """
    principal = current_principal()
    if not principal.has_role(ROLE_OPERATOR) and not principal.has_role(ROLE_ADMIN):
        raise MethodNotAllowed
    return readable_tenant(requested)


def tended_tenant(requested: str) -> str:
    """Return the tenant whose policy to tend: as `writable_tenant`, and for the role `service` the one it acts for.

    Raises as `writable_tenant`.
    """
    if current_principal().has_role(ROLE_SERVICE):
        return readable_tenant(requested)
    return writable_tenant(requested)


class Reader(NamedTuple):
    """Who reads: what it may see of entries that are not its own depends on it."""

    operator: bool
    tenant_id: str | None


def current_reader() -> Reader:
    """Return who makes the current request."""
    principal = current_principal()
    return Reader(principal.has_role(ROLE_OPERATOR), principal.tenant_id)
