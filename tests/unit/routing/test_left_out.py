"""Searches and writes while a level, a switch or a spent budget leaves work out; and the trail tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.routing.test_decide_policy import BASE, FakeChooser
from tests.unit.routing.test_write import documents
from tests.unit.routing.world import (
    EU,
    NORTH,
    TENANT,
    US,
    World,
    axis,
    degradations,
    endpoints,
    outcomes,
    query,
    same_ids,
    scope,
)

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map import testing as maps
from trunkline_mesh import errors
from trunkline_policy.results import Candidate
from trunkline_routing.edge.standing import Budget, Spending
from trunkline_usage.prices import parse_prices

REDUCED, EMERGENCY = quota_pb.SERVICE_LEVEL_REDUCED, quota_pb.SERVICE_LEVEL_EMERGENCY
SPENT = Budget(Spending.SPENT, 1.0, 0.0)
PAID = "currency: EUR\nversions: [{version: p, effective_from: 2020-01-01, micros: {%s}}]"


def left_out(trail: trail_pb.Trail) -> dict[str, set[str]]:
    """Return the degradations, without what this router may never read."""
    told = degradations(trail)
    told.pop("COLLECTION_OUTSIDE_JURISDICTION", None)
    return told


def switch(world: World, *stages: trail_pb.StageName.ValueType, region: str = "") -> None:
    """Switch stages off for the tenant, or in a region."""
    off = frozenset[int](stages)
    if region:
        world.map.put(replace(maps.region(region, "eu", **endpoints(region)), disabled_stages=off))
    else:
        world.map.put(replace(maps.tenant(TENANT, "us", "eu"), disabled_stages=off))


async def test_the_level_always_stands_in_the_trail() -> None:
    """NORMAL in quiet times; of a write and an explained search as well."""
    world = World()
    assert (await world.ask_one(query())).trail.level == quota_pb.SERVICE_LEVEL_NORMAL
    world.told(REDUCED)
    assert (await world.ask_one(query())).trail.level == REDUCED
    assert (await world.route().run(TENANT, query(), b"", scope())).trail.level == REDUCED
    assert (await world.write().delete(TENANT, "both", ["d"], b"", scope())).trail.level == REDUCED


async def test_another_tiers_level_changes_nothing() -> None:
    """Levels are per tier: a flood of free tenants never makes an answer of a higher tier less."""
    world = World()
    world.told(EMERGENCY, tier="free")
    answer = await world.ask_one(query(collections=("both",), rerank=True))
    assert left_out(answer.trail) == {}
    assert answer.trail.level == quota_pb.SERVICE_LEVEL_NORMAL


async def test_a_reduced_level_asks_for_less_and_reranks_nothing() -> None:
    """Several collections give a part each, and fill the answer together; one gives all of it."""
    world = World()
    world.told(REDUCED)
    world.retrieval.documents = {name: [f"{name}{n}" for n in range(30)] for name in ("both", "europe", "states")}
    answer = await world.ask_one(query(collections=("both", "europe"), rerank=True, top_k=9))
    assert [one["limit"] for one in world.retrieval.searches] == [5, 5]
    assert len(answer.hits) == 9
    assert world.rerank.calls == []
    assert left_out(answer.trail) == {"LEVEL": {"rerank", "candidates"}}
    assert answer.trail.cost.reserved_tokens == 2, "what is left out is not reserved"
    world.retrieval.searches.clear()
    answer = await world.ask_one(query(collections=("both",), rerank=True, top_k=9))
    assert [one["limit"] for one in world.retrieval.searches] == [9]
    assert left_out(answer.trail) == {"LEVEL": {"rerank"}}


async def test_at_a_reduced_level_decisions_are_remembered_for_longer() -> None:
    """And the trail says when one has outlived its time."""
    world, now_s = World(), [1_000.0]
    world.cache._clock = lambda: now_s[0]
    await world.ask_one(query("gdpr"))
    world.told(REDUCED)
    answer = await world.ask_one(query("gdpr"))
    assert (answer.trail.decision.cached, left_out(answer.trail)) == (True, {})
    now_s[0] += 5 * 3_600
    answer = await world.ask_one(query("gdpr"))
    assert (answer.trail.decision.cached, left_out(answer.trail)) == (True, {"LEVEL": {"cache"}})
    world.told()
    assert not (await world.ask_one(query("gdpr"))).trail.decision.cached


async def test_an_emergency_embeds_nothing() -> None:
    """Keywords alone, unless the vector is remembered; no semantics."""
    world = World()
    world.told(EMERGENCY)
    answer = await world.ask_one(query("axis 1"))
    assert world.inference.calls == []
    assert world.retrieval.searches[0]["vectors"] == {}
    told = left_out(answer.trail)
    assert told["LEVEL"] == {"semantics", "embedding"}
    assert told["SPARSE_ONLY"] == {"minilm"}
    assert answer.trail.decision.strategy == trail_pb.STRATEGY_FALLBACK
    assert answer.trail.cost.charged_tokens == 1


async def test_in_an_emergency_what_is_remembered_is_used() -> None:
    """Vectors and decisions, also those that semantics made."""
    world = World()
    await world.ask_one(query("axis 1"))
    world.inference.calls.clear()
    world.told(EMERGENCY)
    answer = await world.ask_one(query("axis 1"))
    assert world.inference.calls == []
    assert (answer.trail.decision.strategy, answer.trail.decision.cached) == (trail_pb.STRATEGY_SEMANTIC, True)
    assert world.retrieval.searches[-1]["vectors"] == {"minilm": axis(1)}
    assert left_out(answer.trail) == {}


@pytest.mark.parametrize("cause", ["level", "switch"])
async def test_nobody_outside_is_asked(cause: str) -> None:
    """Neither the tenant's own routing service nor a language model; each is told, and rules decide."""
    own_router, classifier = (FakeChooser([Candidate("europe", 0.9, "")]) for _ in range(2))
    policy = "own_router: {enabled: true}\nclassifier: {enabled: true, when: unsure}\n"
    world = World(policy=BASE + policy, own_router=own_router, classifier=classifier)
    if cause == "level":
        world.told(EMERGENCY)
    else:
        switch(world, trail_pb.STAGE_NAME_DECISION)
    answer = await world.ask_one(query("axis 3", vectors={"minilm": axis(3)}))
    told = left_out(answer.trail)
    assert told in ({"LEVEL": {"semantics"}}, {"STAGE_DISABLED": {"decision"}})
    steps = [trail_pb.DecisionStage.Name(one.stage) for one in answer.trail.decision.steps]
    assert [one.removeprefix("DECISION_STAGE_") for one in steps] == [
        "OWN_ROUTER",
        "LOGICAL",
        "SEMANTIC",
        "CLASSIFIER",
        "FALLBACK",
    ]
    assert (own_router.calls, classifier.calls, world.inference.calls) == ([], [], [])


async def test_what_an_emergency_decided_is_not_remembered() -> None:
    """Afterwards semantics decide again."""
    world = World()
    world.told(EMERGENCY)
    await world.ask_one(query("axis 1"))
    world.told()
    answer = await world.ask_one(query("axis 1"))
    assert answer.trail.decision.strategy == trail_pb.STRATEGY_SEMANTIC


async def test_a_batch_embeds_nothing_in_an_emergency() -> None:
    """Each query is told by itself; a remembered vector is used."""
    world = World()
    await world.ask_one(query("axis 0", collections=("both",)))
    world.inference.calls.clear()
    world.told(EMERGENCY)
    known, unknown = await world.ask(*(query(f"axis {n}", collections=("both",)) for n in (0, 1)))
    assert world.inference.calls == []
    assert left_out(known.trail) == {}
    assert left_out(unknown.trail) == {"LEVEL": {"embedding"}, "SPARSE_ONLY": {"minilm"}}


async def test_a_bound_on_similarity_cannot_be_kept_in_an_emergency() -> None:
    """It is refused, and comes back later."""
    world = World()
    world.told(EMERGENCY)
    with pytest.raises(errors.Overloaded) as refused:
        await world.ask_one(query(collections=("both",), min_score=0.5))
    assert refused.value.retry_delay_s is not None
    assert world.quota.charged == 1, "the search had begun"


async def test_writes_go_on_in_an_emergency() -> None:
    """What is not embedded now would be embedded never."""
    world = World()
    world.told(EMERGENCY)
    await world.write().upsert(TENANT, "both", documents(), b"", scope())
    assert world.retrieval.written.keys() == {US, EU}


@pytest.mark.parametrize("region", ["", EU])
async def test_reranking_can_be_switched_off(region: str) -> None:
    """For a tenant or in a region, by the next request."""
    world = World()
    switch(world, trail_pb.STAGE_NAME_RERANK, region=region)
    answer = await world.ask_one(query(collections=("both",), rerank=True))
    assert world.rerank.calls == []
    assert left_out(answer.trail) == {"STAGE_DISABLED": {"rerank"}}
    assert world.retrieval.searches[0]["limit"] == 5, "nobody looks at more than the answer holds"
    switch(world, region=region)
    assert left_out((await world.ask_one(query(collections=("both",), rerank=True))).trail) == {}


async def test_embedding_can_be_switched_off() -> None:
    """Upserts need it and are refused; searches go on by keywords."""
    world = World()
    switch(world, trail_pb.STAGE_NAME_EMBEDDING)
    answer = await world.ask_one(query("axis 1"))
    assert world.inference.calls == []
    assert left_out(answer.trail) == {"STAGE_DISABLED": {"embedding"}, "SPARSE_ONLY": {"minilm"}}
    with pytest.raises(errors.StageDisabled):
        await world.write().upsert(TENANT, "both", documents(), b"", scope())
    await world.write().delete(TENANT, "both", ["d1"], b"", scope())
    gate, space = world.gate(), world.map.snapshot.space("minilm")
    assert space is not None
    with pytest.raises(errors.StageDisabled):  # background work that has no terms, too
        await world.embedding.embed(gate, space, ["x"], wall=frozenset({"eu"}), deadline=scope().deadline)


async def test_deciding_can_be_switched_off() -> None:
    """Rules and the fallback stay; what semantics decided before is not used either, and comes back afterwards."""
    world = World()
    await world.ask_one(query("axis 1"))
    switch(world, trail_pb.STAGE_NAME_DECISION)
    answer = await world.ask_one(query("axis 1"))
    assert answer.trail.decision.strategy == trail_pb.STRATEGY_FALLBACK
    assert left_out(answer.trail) == {"STAGE_DISABLED": {"decision"}}
    by_rules = await world.ask_one(query("gdpr"))
    assert by_rules.trail.decision.strategy == trail_pb.STRATEGY_RULES
    assert left_out(by_rules.trail) == {}
    switch(world)
    assert (await world.ask_one(query("axis 1"))).trail.decision.strategy == trail_pb.STRATEGY_SEMANTIC


@pytest.mark.parametrize("region", ["", EU])
async def test_searching_and_writing_can_be_switched_off(region: str) -> None:
    """They are refused before anything is charged."""
    world = World()
    switch(world, trail_pb.STAGE_NAME_RETRIEVAL, trail_pb.STAGE_NAME_WRITE, region=region)
    with pytest.raises(errors.StageDisabled) as refused:
        await world.ask_one(query())
    assert refused.value.metadata == {"stage": "retrieval"}
    with pytest.raises(errors.StageDisabled):
        await world.route().run(TENANT, query(), b"", scope())
    with pytest.raises(errors.StageDisabled):
        await world.write().delete(TENANT, "both", ["d1"], b"", scope())
    assert (world.quota.spent, world.retrieval.deleted) == ([], {})


async def test_a_stage_that_is_off_in_another_region_is_not_looked_for_there() -> None:
    """Its searches and embeddings go elsewhere; a write that it should have is refused whole."""
    world = World()
    switch(world, trail_pb.STAGE_NAME_RETRIEVAL, trail_pb.STAGE_NAME_WRITE, region=NORTH)
    world.retrieval.failing = {EU: errors.BackendUnavailable()}
    with pytest.raises(errors.NoAllowedRegion):
        await world.ask_one(query(collections=("europe",)))
    assert {region for _, region in world.retrieval.asked} == {EU}
    explained = await world.route().run(TENANT, query(collections=("europe",), explain=True), b"", scope())
    assert (NORTH, "SKIPPED_STATE") in outcomes(explained.trail.collections[0])
    with pytest.raises(errors.StageDisabled) as refused:
        await world.write().delete(TENANT, "europe", ["d1"], b"", scope())
    assert refused.value.metadata == {"stage": "write", "region": NORTH}
    world.inference.failing = {EU: errors.BackendUnavailable()}
    switch(world, trail_pb.STAGE_NAME_EMBEDDING, region=NORTH)
    world.retrieval.failing = {}
    answer = await world.ask_one(query("axis 2", collections=("europe",)))
    assert left_out(answer.trail) == {"SPARSE_ONLY": {"minilm"}}


async def test_a_spent_budget_leaves_free_searches() -> None:
    """By words, with what is remembered; writes are refused."""
    world = World()
    world.told(budget=SPENT)
    answer = await world.ask_one(query("axis 1", rerank=True))
    assert same_ids(list(answer.hits)) == ["b1", "b2"]
    assert left_out(answer.trail) == {
        "BUDGET_SPENT": {"rerank", "embedding", "semantics"},
        "SPARSE_ONLY": {"minilm"},
    }
    assert (answer.trail.cost.charged_tokens, answer.trail.cost.charged_micros) == (1, 0)
    assert [note.unit for note in answer.trail.limit_notes] == [quota_pb.LIMIT_UNIT_MICROS]
    with pytest.raises(errors.BudgetSpent):
        await world.write().upsert(TENANT, "both", documents(), b"", scope())
    world.told()
    assert left_out((await world.ask_one(query("axis 1", rerank=True))).trail) == {}


async def test_where_searching_costs_a_spent_budget_ends_it() -> None:
    """Nothing is left to do."""
    world = World(prices=parse_prices(PAID % "search: 1, embedding: 0, rerank: 0, write: 0"))
    world.told(budget=SPENT)
    with pytest.raises(errors.BudgetSpent) as refused:
        await world.ask_one(query())
    assert refused.value.metadata == {"stage": "search"}
    await world.write().upsert(TENANT, "both", documents(), b"", scope())


async def test_a_warned_budget_is_noted_before_other_limits() -> None:
    """At most eight notes in all."""
    world = World()
    world.told(budget=Budget(Spending.WARNED, 0.9, 0.0))
    world.quota.notes = tuple(quota_pb.LimitNote(unit=quota_pb.LIMIT_UNIT_REQUESTS, used_part=0.8) for _ in range(9))
    notes = (await world.ask_one(query())).trail.limit_notes
    assert [note.unit for note in notes] == [quota_pb.LIMIT_UNIT_MICROS] + [quota_pb.LIMIT_UNIT_REQUESTS] * 7


@pytest.mark.parametrize("method", ["Search", "SearchBatch", "Route", "Upsert", "Delete", "RecordFeedback", "Sample"])
async def test_a_suspended_tenant_is_refused_everywhere(method: str) -> None:
    """By the next request after the map says so."""
    world = World()
    world.map.put(maps.tenant(TENANT, "us", "eu", suspended=True))
    with pytest.raises(errors.TenantSuspended):
        await _call(world, method)
    assert world.quota.spent == []


async def _call(world: World, method: str) -> Any:
    from trunkline_routing.edge.feedback_request import FeedbackCommand
    from trunkline_routing.edge.sample import SampleCommand

    servicer, made = world.servicer(), scope()
    if method in ("Search", "SearchBatch"):
        return await world.ask(*[query()] * (2 if method == "SearchBatch" else 1))
    if method == "Route":
        return await world.route().run(TENANT, query(), b"", made)
    if method == "Upsert":
        return await world.write().upsert(TENANT, "both", documents(), b"", made)
    if method == "Delete":
        return await world.write().delete(TENANT, "both", ["d1"], b"", made)
    if method == "RecordFeedback":
        return await servicer._feedback.run(TENANT, FeedbackCommand("id", "", (), ""), made)
    return await servicer._samples.run(TENANT, SampleCommand("both", 1, b""), made)
