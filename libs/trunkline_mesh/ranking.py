"""The stage that finds out of which rank a call is: by the map, by a ticket of who has one, or by asking."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from trunkline_mesh.hop_ticket import HopTickets
from trunkline_mesh.method_policy import Access
from trunkline_mesh.request import ROLE_OPERATOR, ROLE_SERVICE, RequestScope, current_request
from trunkline_mesh.stage import Context, Handler, MethodStages

_OURS: Final = frozenset({ROLE_OPERATOR, ROLE_SERVICE})


def rank_stage(method: MethodStages, inner: Handler) -> Handler:
    """Find the request's rank and keep it for its hops, with the ticket that proves it to them where there are keys.

    A server with a map looks the tenant up. One without believes a valid ticket, and operators and services; else the
    caller has come by itself, and its tenant's standing is asked for, which refuses suspended tenants. Without keys it
    believes everybody.
    """
    policy, tickets = method.policy, method.tickets
    if policy is None or policy.access is Access.PUBLIC:
        return inner
    if method.rank_of is not None:
        return _by_map(method.rank_of, tickets, inner)
    return inner if tickets is None else _by_ticket(tickets, method.standing_of, method.lowest_rank, inner)


def _by_map(rank_of: Callable[[str], int], tickets: HopTickets | None, inner: Handler) -> Handler:
    async def ranked(request: Any, context: Context) -> Any:
        scope = current_request()
        tenant = (scope.principal.tenant_id if scope.principal is not None else None) or ""
        rank = scope.rank = rank_of(tenant)
        if tickets is not None and tenant:
            scope.hop = tickets.issue(tenant, rank)
        return await inner(request, context)

    return ranked


def _by_ticket(
    tickets: HopTickets, standing_of: Callable[[str], Awaitable[int | None]] | None, lowest: int, inner: Handler
) -> Handler:
    async def ranked(request: Any, context: Context) -> Any:
        scope = current_request()
        tenant = _tenant_to_prove(scope)
        if tenant is not None and (scope.rank is None or not tickets.accepts(scope.hop, tenant, scope.rank)):
            found = await standing_of(tenant) if standing_of is not None and tenant else None
            rank = scope.rank = lowest if found is None else found
            scope.hop = tickets.issue(tenant, rank) if tenant else ""
        return await inner(request, context)

    return ranked


def _tenant_to_prove(scope: RequestScope) -> str | None:
    """Return the tenant whose rank must be proven, empty for a caller that has none; None for operators and services.

    Their credentials say that they are ours, so what they tell is true.
    """
    principal = scope.principal
    assert principal is not None, "this stage stands behind auth"
    if not principal.roles.isdisjoint(_OURS):
        return None
    return principal.tenant_id or ""
