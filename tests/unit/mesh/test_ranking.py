"""The stage `rank`: whose word counts for what a call's rank is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.unit.mesh.test_stages import method

from trunkline_mesh.calls import forwarded_metadata
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import TenantSuspended
from trunkline_mesh.hop_ticket import HopTickets
from trunkline_mesh.method_policy import Access, MethodPolicy
from trunkline_mesh.ranking import rank_stage
from trunkline_mesh.request import (
    HOP_KEY,
    RANK_KEY,
    ROLE_OPERATOR,
    ROLE_SERVICE,
    Principal,
    RequestScope,
    current_request,
    enter_request,
)
from trunkline_mesh.stage import Context

TICKETS = HopTickets(["a-key-of-24-characters-a"])
POLICY = MethodPolicy(Access.TENANT, cap_s=1, floor_s=0)


class Standing:
    """Says rank 1 of every tenant, or refuses; and counts."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.asked: list[str] = []
        self._refusal = refusal

    async def __call__(self, tenant: str) -> int:
        self.asked.append(tenant)
        if self._refusal is not None:
            raise self._refusal
        return 1


async def ranked(
    *,
    rank: int | None = None,
    hop: str = "",
    tenant: str | None = "acme",
    roles: Iterable[str] = (),
    rank_of: Callable[[str], int] | None = None,
    tickets: HopTickets | None = TICKETS,
    standing_of: Callable[[str], Awaitable[int]] | None = None,
) -> tuple[int | None, str | None]:
    """Return the rank of a call and the ticket that its hops get."""
    stages = replace(method(POLICY), rank_of=rank_of, tickets=tickets, standing_of=standing_of)
    scope = RequestScope("id", 1, stages.name, Deadline.after(1), deadline_capped=False)
    scope.principal = Principal("somebody", tenant, frozenset(roles), "token", 2e9)
    scope.rank, scope.hop = rank, hop
    enter_request(scope)

    async def handler(_request: Any, _context: Context) -> Any:
        told = dict(forwarded_metadata())
        assert told.get(RANK_KEY) == (None if current_request().rank is None else str(current_request().rank))
        return current_request().rank, told.get(HOP_KEY)

    return cast("tuple[int | None, str | None]", await rank_stage(stages, handler)("request", cast("Context", None)))


async def test_with_a_map_the_map_is_right() -> None:
    """Whatever the caller tells; the ticket that goes on proves what the map says."""
    assert await ranked(rank=9, hop="1.x", rank_of=lambda _: 2) == (2, TICKETS.issue("acme", 2))


async def test_with_a_map_and_no_keys_nothing_is_proven() -> None:
    """The rank goes on alone."""
    assert await ranked(rank_of=lambda _: 2, tickets=None) == (2, None)


async def test_who_has_no_tenant_gets_no_ticket() -> None:
    """Tickets are tenants'; operators and services are known by their roles."""
    assert await ranked(tenant=None, roles=[ROLE_OPERATOR], rank_of=lambda _: 2) == (2, None)


async def test_a_ticket_is_believed_and_goes_on() -> None:
    """Nobody is asked."""
    standing, ticket = Standing(), TICKETS.issue("acme", 2)
    assert await ranked(rank=2, hop=ticket, standing_of=standing) == (2, ticket)
    assert standing.asked == []


@pytest.mark.parametrize("hop", ["", "1.x", TICKETS.issue("acme", 1), TICKETS.issue("rival", 2)])
async def test_a_rank_without_its_ticket_is_worth_nothing(hop: str) -> None:
    """The tenant's standing is asked for, and what it is goes on with a ticket of ours."""
    standing = Standing()
    assert await ranked(rank=2, hop=hop, standing_of=standing) == (1, TICKETS.issue("acme", 1))
    assert standing.asked == ["acme"]


async def test_who_tells_nothing_is_asked_about() -> None:
    """As any tenant that calls directly."""
    assert (await ranked(standing_of=Standing()))[0] == 1


async def test_who_is_refused_comes_no_further() -> None:
    """Suspended tenants."""
    with pytest.raises(TenantSuspended):
        await ranked(rank=2, standing_of=Standing(TenantSuspended()))


async def test_with_nobody_to_ask_it_is_the_lowest_rank() -> None:
    """Served, after everybody else."""
    assert (await ranked(rank=2))[0] == 0


@pytest.mark.parametrize("role", [ROLE_SERVICE, ROLE_OPERATOR])
async def test_our_own_are_believed(role: str) -> None:
    """Also for a tenant that they act for, suspended or not: their credential proves them."""
    standing = Standing(TenantSuspended())
    assert (await ranked(rank=2, roles=[role], standing_of=standing))[0] == 2
    assert (await ranked(rank=2, roles=[role], tenant=None, standing_of=standing))[0] == 2


async def test_a_stranger_without_a_tenant_is_of_the_lowest_rank() -> None:
    """There is nobody to ask about."""
    standing = Standing()
    assert await ranked(rank=2, tenant=None, standing_of=standing) == (0, None)
    assert standing.asked == []


async def test_without_keys_everybody_is_believed() -> None:
    """And what came goes on: the next service may have keys."""
    assert await ranked(rank=2, hop="1.x", tickets=None, standing_of=Standing()) == (2, "1.x")
