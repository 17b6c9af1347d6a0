"""The bill of a search that is only explained: what deciding used, and nothing for rules."""

from __future__ import annotations

import pytest
from tests.unit.routing.test_decide_policy import BASE, FakeChooser
from tests.unit.routing.world import TENANT, World, query, scope

from trunkline_lease.charge import NOTHING, Charge
from trunkline_mesh import errors
from trunkline_policy.results import Candidate
from trunkline_routing.edge.model import Answer, Query
from trunkline_usage.records import StageUse


async def route(world: World, asked: Query) -> Answer:
    return await world.route().run(TENANT, asked, b"", scope())


async def test_an_embedding_is_charged_as_a_search_is() -> None:
    """A request, its token and its price; what was reserved beside it goes back."""
    world = World()
    answer = await route(world, query("axis 1"))
    assert world.quota.spent == [Charge(1, 2)]
    assert world.quota.total == Charge(1, 1)
    cost = answer.trail.cost
    assert (cost.reserved_tokens, cost.charged_tokens, cost.charged_micros) == (2, 1, 20)
    [record] = world.journal.records
    assert (record.kind, record.outcome, record.stages) == ("route", "ok", (StageUse("embedding", "", 1, 1, 20),))
    assert world.books.sums.take().tenants[TENANT].cost_micros == 20


async def test_a_vector_is_paid_for_once() -> None:
    """The search that follows finds it, and the decision, remembered."""
    world = World()
    await route(world, query("axis 1"))
    await route(world, query("axis 1"))
    await world.ask_one(query("axis 1"))
    assert world.quota.total == Charge(1, 1) + Charge(1, 1)
    assert [record.kind for record in world.journal.records] == ["route", "search"]


async def test_rules_cost_nothing() -> None:
    """Neither a request nor a token; there is no record."""
    world = World()
    answer = await route(world, query("a gdpr question"))
    assert (world.quota.total, world.journal.records) == (NOTHING, [])
    assert (answer.trail.cost.reserved_tokens, answer.trail.cost.charged_tokens) == (2, 0)


@pytest.mark.parametrize(
    "asked", [query(collections=("both",)), query(all_collections=True, allow_partial=True)], ids=["named", "all"]
)
async def test_where_nothing_is_decided_no_quota_is_needed(asked: Query) -> None:
    """It is not even asked for."""
    world = World()
    world.quota.failing = errors.QuotaExhausted()
    await route(world, asked)
    assert (world.quota.spent, world.journal.records) == ([], [])


async def test_without_a_policy_no_quota_is_needed() -> None:
    """There is nobody to be asked."""
    world = World(policy=None)
    world.quota.failing = errors.QuotaExhausted()
    await route(world, query("axis 1"))
    assert world.quota.spent == []


async def test_with_nothing_left_it_is_refused_as_a_search_is() -> None:
    """Before a model is asked."""
    world = World()
    world.quota.failing = errors.QuotaExhausted()
    with pytest.raises(errors.QuotaExhausted):
        await route(world, query("axis 1"))
    assert world.inference.queries == []


async def test_asking_outside_takes_a_searchs_token() -> None:
    """Whatever comes of it; one that did not answer is free."""
    chooser = FakeChooser([Candidate("europe", 0.9, "law")])
    world = World(policy=BASE + "own_router: {enabled: true}\n", own_router=chooser)
    await route(world, query("gdpr"))
    assert world.quota.total == Charge(1, 1)
    assert world.journal.records[-1].stages == (StageUse("search", "", 0, 1, 0),)
    chooser.failing = errors.BackendUnavailable()
    await route(world, query("gdpr again"))
    assert world.quota.total == Charge(1, 1)
