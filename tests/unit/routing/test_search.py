"""A search from decision to answer: partial answers, skipped stages, the bill and the account."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.world import (
    AP,
    EU,
    NORTH,
    POLICY,
    TENANT,
    US,
    FakeRetrieval,
    World,
    axis,
    degradations,
    endpoints,
    outcomes,
    query,
    same_ids,
    scope,
    stage_names,
)

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_lease.charge import Charge
from trunkline_lease.spent import TokenSource
from trunkline_map import testing as maps
from trunkline_map.entries import RegionState
from trunkline_map.token import decode, encode
from trunkline_mesh import errors
from trunkline_routing.edge import search as search_module
from trunkline_routing.edge.model import Hit
from trunkline_routing.edge.retrieving import MAX_SPACES

DOWN = errors.BackendUnavailable()
EMERGENCY = quota_pb.SERVICE_LEVEL_EMERGENCY


async def test_an_answer_is_found_merged_and_accounted_for() -> None:
    """Hits of two collections, and the trail of how."""
    world = World()
    answer = await world.ask_one(query("axis 0", collections=("both", "europe")))
    assert sorted(same_ids(list(answer.hits))) == ["b1", "b2", "e1"]
    trail = answer.trail
    assert stage_names(trail) == ["ADMISSION", "DECISION", "EMBEDDING", "RETRIEVAL", "MERGE"]
    assert [one.collection for one in trail.collections] == ["both", "europe"]
    assert [one.hit_count for one in trail.collections] == [2, 1]
    assert {one.served_region for one in trail.collections} == {EU}
    assert (trail.request_id, trail.router_region) == ("request-1", EU)
    assert trail.map.map_token == world.map.snapshot.token
    assert degradations(trail) == {}
    assert all(one.elapsed.ToTimedelta() <= trail.deadline.ToTimedelta() for one in trail.stages)


async def test_every_hop_gets_less_than_the_caller_has() -> None:
    """And a caller's map token travels along, so that no region answers from an older map."""
    world = World()
    await world.ask_one(query(collections=("both", "europe"), rerank=True), left_s=2.0)
    assert all(one["left_s"] < 2.0 for one in world.retrieval.searches)
    assert {one["map_token"] for one in world.retrieval.searches} == {b""}
    world.retrieval.searches.clear()
    token = world.map.snapshot.token
    await world.ask(query(collections=("both", "europe"), rerank=True), map_token=token)
    assert {one["map_token"] for one in world.retrieval.searches} == {encode(world.map.snapshot.epoch, 1)}
    assert {one["tenant"] for one in world.retrieval.searches} == {TENANT}


async def test_a_region_need_only_know_what_the_search_rests_on() -> None:
    """One that is cut off from the control store goes on serving what did not change."""
    world = World()
    world.map.put(*(maps.region(AP, "apac", **endpoints(AP)) for _ in range(3)))
    moved = replace(maps.collection(TENANT, "europe", [EU, NORTH], ["eu"]), revision=7)
    world.map.put(moved)
    token = world.map.snapshot.token
    await world.ask(query(collections=("both",)), map_token=token)
    await world.ask(query(collections=("europe",)), map_token=token)
    tokens = {one["collection"]: decode(one["map_token"]).revision for one in world.retrieval.searches}
    assert tokens == {"both": 1, "europe": 7}


async def test_a_region_whose_map_lacks_something_is_asked_to_catch_up() -> None:
    """Without a caller's token it answers from the map that it has; what it does not know yet is worth a wait."""
    world = World()
    behind = {"both": True}

    class Behind(FakeRetrieval):
        def _found(self, region_id: str, collection: str, limit: int) -> Sequence[Hit] | errors.DomainError:
            if self.searches[-1]["map_token"] or collection != "both" or not behind.pop("both", False):
                return super()._found(region_id, collection, limit)
            return errors.CollectionUnknown()

    world.retrieval = Behind()
    answer = await world.ask_one(query(collections=("both", "europe")))
    assert sorted(same_ids(list(answer.hits))) == ["b1", "b2", "e1"]
    asked = [(one["collection"], bool(one["map_token"])) for one in world.retrieval.searches]
    assert asked == [("both", False), ("europe", False), ("both", True)]


async def test_a_region_that_knows_a_later_map_moves_the_search_on() -> None:
    """The collection left it: another one serves, and where none does the caller is told to come back."""
    world = World()
    world.retrieval.failing = {EU: errors.CollectionNotPlaced()}
    answer = await world.ask_one(query(collections=("both",)))
    assert outcomes(answer.trail.collections[0]) == [(EU, "FAILED"), (US, "SERVED")]
    world.retrieval.failing = {"both": errors.CollectionNotPlaced()}
    with pytest.raises(errors.StaleMap) as refused:
        await world.ask_one(query(collections=("both",)))
    assert refused.value.retry_delay_s is not None


async def test_a_query_is_embedded_once_for_deciding_and_searching() -> None:
    """And not at all the next time."""
    world = World()
    await world.ask_one(query("axis 1"))
    queries = [text for _, texts, passages in world.inference.calls for text in texts if not passages]
    assert queries.count("axis 1") == 2, "once as the query, once as the policy's example"
    world.inference.calls.clear()
    answer = await world.ask_one(query("axis 1"))
    assert world.inference.calls == []
    assert "EMBEDDING" not in stage_names(answer.trail)
    assert answer.trail.decision.cached


async def test_each_collection_gets_the_vector_of_its_own_space() -> None:
    """One call carries the spaces of its own collections, and no others: spaces don't mix."""
    world = World()
    world.map.put(maps.space("other", model_id="other", dimension=4))
    world.map.put(maps.collection(TENANT, "europe", [EU], ["eu"], space_id="other"))
    world.map.put(maps.collection(TENANT, "north", [NORTH], ["eu"], space_id="other"))
    await world.ask_one(query("axis 0", collections=("both", "europe", "north")))
    assert sorted(world.retrieval.calls) == [
        (NORTH, ("north",), ("other",)),
        (EU, ("both", "europe"), ("minilm", "other")),
    ]


async def test_a_failed_region_is_told_and_another_serves() -> None:
    """Only within the placement."""
    world = World()
    world.retrieval.failing = {EU: DOWN}
    answer = await world.ask_one(query(collections=("both",)))
    assert {one.region for one in answer.hits} == {US}
    assert outcomes(answer.trail.collections[0]) == [(EU, "FAILED"), (US, "SERVED")]
    assert degradations(answer.trail) == {"SERVED_FROM_OTHER_REGION": {"both"}}


async def test_a_collection_of_one_jurisdiction_is_refused_rather_than_moved() -> None:
    """Residency beats availability."""
    world = World()
    world.retrieval.failing = {EU: DOWN, NORTH: DOWN}
    with pytest.raises(errors.NoAllowedRegion) as refused:
        await world.ask_one(query(collections=("europe",)))
    assert refused.value.metadata["collection"] == "europe"
    assert {region for _, region in world.retrieval.asked} == {EU, NORTH}


async def test_one_failed_collection_fails_the_search() -> None:
    """As one domain error, however many regions were asked."""
    world = World()
    world.retrieval.failing = {"europe": DOWN}
    with pytest.raises(errors.NoAllowedRegion) as failed:
        await world.ask_one(query(collections=("both", "europe")))
    assert failed.value.metadata["collection"] == "europe"


async def test_a_partial_answer_names_what_is_missing() -> None:
    """If the caller allows it."""
    world = World()
    world.retrieval.failing = {"europe": DOWN}
    answer = await world.ask_one(query(collections=("both", "europe"), allow_partial=True))
    assert same_ids(list(answer.hits)) == ["b1", "b2"]
    assert degradations(answer.trail) == {"COLLECTION_MISSING": {"europe"}}
    assert answer.trail.collections[1].served_region == ""
    assert [one for _, one in outcomes(answer.trail.collections[1])] == ["FAILED", "FAILED"]


async def test_without_a_vector_keywords_are_searched_and_that_is_told() -> None:
    """Half a search is better than none."""
    world = World()
    world.inference.failing = {EU: DOWN, NORTH: DOWN, US: DOWN}
    answer = await world.ask_one(query(collections=("both",)))
    assert same_ids(list(answer.hits)) == ["b1", "b2"]
    assert world.retrieval.searches[0]["vectors"] == {}
    assert degradations(answer.trail) == {"SPARSE_ONLY": {"minilm"}}


async def test_a_minimum_score_cannot_be_kept_without_a_vector() -> None:
    """It is a bound on similarity, so the search fails rather than lie."""
    world = World()
    world.inference.failing = {EU: DOWN, NORTH: DOWN, US: DOWN}
    with pytest.raises(errors.NoAllowedRegion) as refused:
        await world.ask_one(query(collections=("both",), min_score=0.5))
    assert refused.value.metadata["space"] == "minilm"
    assert world.retrieval.searches == []


async def test_embedding_elsewhere_is_told() -> None:
    """Inside the wall, and not in silence."""
    world = World()
    world.inference.failing = {EU: DOWN}
    answer = await world.ask_one(query(collections=("europe",)))
    assert degradations(answer.trail) == {"EMBEDDED_IN_OTHER_REGION": {NORTH}}


async def test_the_number_of_spaces_is_bounded() -> None:
    """Collections of further spaces are searched by keywords alone, and that is told."""
    world = World()
    names = [f"space-{number}" for number in range(MAX_SPACES + 2)]
    world.map.put(*[maps.space(name, model_id=name, dimension=4) for name in names])
    world.map.put(*[maps.collection(TENANT, f"in-{name}", [EU], ["eu"], space_id=name) for name in names])
    collections = tuple(f"in-{name}" for name in names)
    answer = await world.ask_one(query(collections=collections))
    assert sorted(world.inference.spaces) == names[:MAX_SPACES]
    assert degradations(answer.trail) == {"SPARSE_ONLY": set(names[MAX_SPACES:])}
    with pytest.raises(errors.FieldInvalid):
        await world.ask_one(query(collections=collections, min_score=0.1))


async def test_spaces_are_embedded_at_the_same_time() -> None:
    """One that hangs costs its own collections their vectors, no others."""
    world = World()
    world.map.put(maps.space("gone-space", model_id="x", dimension=4))
    world.map.put(maps.collection(TENANT, "europe", [EU], ["eu"], space_id="missing"))
    answer = await world.ask_one(query(collections=("europe", "both")))
    assert degradations(answer.trail) == {"SPARSE_ONLY": {"missing"}}
    assert {one["collection"]: list(one["vectors"]) for one in world.retrieval.searches}["both"] == ["minilm"]


@pytest.mark.parametrize(
    ("vectors", "collections"),
    [
        ({"other": axis(0)}, ("both",)),
        ({"minilm": (1.0,)}, ("both",)),
        ({"minilm": (*axis(0), 0.0)}, ("both",)),
        ({"unknown": axis(0)}, ("both",)),
        ({"minilm": axis(0)}, ("both", "foreign")),
    ],
    ids=["another space", "too short", "too long", "unknown space", "one collection of another space"],
)
async def test_a_callers_vector_meets_only_its_own_space(vectors: Any, collections: tuple[str, ...]) -> None:
    """Even where the dimensions agree; and nothing is searched or charged."""
    world = World()
    world.map.put(maps.space("other", model_id="other", dimension=4))
    world.map.put(maps.collection(TENANT, "foreign", [EU], ["eu"], space_id="other"))
    with pytest.raises(errors.SpaceMismatch):
        await world.ask_one(query("", vectors=vectors, collections=collections))
    assert world.retrieval.searches == []
    assert world.quota.charged == 0


async def test_a_callers_vector_is_searched_as_it_is() -> None:
    """Neither embedded nor reranked."""
    world = World()
    answer = await world.ask_one(query("", vectors={"minilm": axis(2)}, collections=("both",), rerank=True))
    assert world.retrieval.searches[0]["vectors"] == {"minilm": axis(2)}
    assert world.inference.calls == []
    assert world.rerank.calls == []
    assert (answer.trail.cost.reserved_tokens, answer.trail.cost.charged_tokens) == (1, 1)


async def test_reranking_replaces_the_order_and_scores() -> None:
    """Of the first `rerank_depth`; the others follow."""
    world = World()
    world.retrieval.documents["both"] = ["a", "b", "c", "d"]
    answer = await world.ask_one(query(collections=("both",), rerank=True, rerank_depth=3))
    assert same_ids(list(answer.hits)) == ["c", "b", "a", "d"]
    kinds = [one.score_kind for one in answer.hits]
    assert kinds == [options_pb.SCORE_KIND_RERANK] * 3 + [options_pb.SCORE_KIND_RRF]
    assert stage_names(answer.trail)[-1] == "RERANK"


async def test_reranking_looks_at_more_than_is_returned() -> None:
    """20 to 5 by default."""
    world = World()
    world.retrieval.documents["both"] = [f"d{number:02}" for number in range(40)]
    answer = await world.ask_one(query(collections=("both",), rerank=True, top_k=5))
    assert world.retrieval.searches[0]["limit"] == 20
    assert same_ids(list(answer.hits)) == ["d19", "d18", "d17", "d16", "d15"]


async def test_a_partial_rerank_is_told() -> None:
    """What was scored comes first."""
    world = World()
    world.retrieval.documents["both"] = ["a", "b", "c"]
    world.rerank.scored = 2
    answer = await world.ask_one(query(collections=("both",), rerank=True))
    assert same_ids(list(answer.hits)) == ["b", "a", "c"]
    assert degradations(answer.trail) == {"RERANK_PARTIAL": {""}}


async def test_without_time_for_reranking_it_is_left_out_and_told() -> None:
    """Before it is begun."""
    world = World(rerank_min_s=10.0)
    answer = await world.ask_one(query(collections=("both",), rerank=True))
    assert same_ids(list(answer.hits)) == ["b1", "b2"]
    assert world.rerank.calls == []
    assert degradations(answer.trail) == {"RERANK_SKIPPED_DEADLINE": {""}}
    assert answer.trail.stages[-1].skipped


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.BackendUnavailable(), "RERANK_SKIPPED_UNAVAILABLE"),
        (errors.Overloaded(), "RERANK_SKIPPED_UNAVAILABLE"),
        (errors.Internal(), "RERANK_SKIPPED_UNAVAILABLE"),
        (errors.DeadlineExceeded(), "RERANK_SKIPPED_DEADLINE"),
    ],
)
async def test_a_reranker_that_fails_costs_its_stage_alone(error: errors.DomainError, told: str) -> None:
    """The answer stands in its old order."""
    world = World()
    world.rerank.failing = {EU: error, NORTH: error, US: error}
    answer = await world.ask_one(query(collections=("both",), rerank=True))
    assert same_ids(list(answer.hits)) == ["b1", "b2"]
    assert degradations(answer.trail) == {told: {""}}
    assert answer.trail.stages[-1].skipped


async def test_a_reranker_elsewhere_is_told() -> None:
    """A second region is tried, a third not."""
    world = World()
    world.rerank.failing = {EU: DOWN}
    answer = await world.ask_one(query(collections=("both",), rerank=True))
    assert degradations(answer.trail) == {"SERVED_FROM_OTHER_REGION": {"rerank"}}
    world.rerank.calls.clear()
    world.rerank.failing = {EU: DOWN, NORTH: DOWN, US: DOWN}
    await world.ask_one(query(collections=("both",), rerank=True))
    assert len(world.rerank.calls) == 2


async def test_a_rerank_region_that_is_down_takes_no_try_from_others() -> None:
    """Regions that the map passes over do not count."""
    world = World()
    for name in (EU, NORTH):
        world.map.put(maps.region(name, "eu", state=RegionState.DOWN, retrieval="x:1"))
    world.map.put(maps.collection(TENANT, "both", [US], ["us", "eu"]))
    answer = await world.ask_one(query(collections=("both",), rerank=True))
    assert [region for region, _, _ in world.rerank.calls] == [US]
    assert "RERANK_SKIPPED_UNAVAILABLE" not in degradations(answer.trail)


async def test_a_query_that_belongs_nowhere_gets_an_empty_answer() -> None:
    """With the strategy that says so."""
    world = World(policy=POLICY.replace("fallback: [both]\n", ""))
    answer = await world.ask_one(query("axis 3", rerank=True))
    assert answer.hits == []
    assert answer.trail.decision.strategy == trail_pb.STRATEGY_NONE
    assert world.retrieval.searches == []


CASES: list[tuple[str, dict[str, Any], dict[str, Any], int, int]] = [
    ("all of it", {"rerank": True}, {}, 5, 5),
    ("no rerank wanted", {}, {}, 2, 2),
    ("rerank failed", {"rerank": True}, {"rerank": {EU: DOWN, NORTH: DOWN, US: DOWN}}, 5, 2),
    ("nothing to rerank", {"rerank": True, "collections": ("europe",)}, {"empty": True}, 5, 2),
    ("embedding failed", {}, {"inference": {EU: DOWN, NORTH: DOWN, US: DOWN}}, 2, 1),
]


@pytest.mark.parametrize(
    ("options", "failing", "reserved", "charged"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
async def test_the_bill_is_what_was_done(
    options: dict[str, Any], failing: dict[str, Any], reserved: int, charged: int
) -> None:
    """Skipped stages are refunded; trail and quota agree."""
    world = World()
    world.rerank.failing = failing.get("rerank", {})
    world.inference.failing = failing.get("inference", {})
    if "empty" in failing:
        world.retrieval.documents.clear()
    answer = await world.ask_one(query(**({"collections": ("both",)} | options)))
    assert (answer.trail.cost.reserved_tokens, answer.trail.cost.charged_tokens) == (reserved, charged)
    assert world.quota.spent == [Charge(1, reserved)]
    assert world.quota.total == Charge(1, charged)


async def test_a_remembered_embedding_is_not_charged() -> None:
    """It cost nothing."""
    world = World()
    first = await world.ask_one(query(collections=("both",)))
    second = await world.ask_one(query(collections=("both",)))
    assert (first.trail.cost.charged_tokens, second.trail.cost.charged_tokens) == (2, 1)


async def test_a_failed_search_pays_for_what_it_did() -> None:
    """Searches that fail late do not get models for nothing; those that are refused early pay nothing."""
    world = World()
    world.retrieval.failing = {"both": DOWN}
    with pytest.raises(errors.NoAllowedRegion):
        await world.ask_one(query(collections=("both",), rerank=True))
    assert world.quota.charged == 2
    with pytest.raises(errors.CollectionUnknown):
        await world.ask_one(query(collections=("unknown",), rerank=True))
    assert world.quota.charged == 2


async def test_a_cancelled_search_gives_back_what_it_did_not_use() -> None:
    """The caller hung up while the query was being embedded."""
    world = World()
    world.inference.hanging = {EU}
    task = asyncio.ensure_future(world.ask_one(query(collections=("both",), rerank=True)))
    while not world.inference.calls:  # noqa: ASYNC110 - the fake has no event to wait for
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert world.quota.charged == 2  # the model was asked; the rerank goes back


async def test_a_spent_quota_is_refused_before_any_work() -> None:
    """And nothing is refunded that was not taken."""
    world = World()
    world.quota.failing = errors.QuotaExhausted(retry_delay_s=3.0)
    with pytest.raises(errors.QuotaExhausted):
        await world.ask_one(query("axis 1"))
    assert world.inference.calls == []
    assert world.quota.refunded == []


async def test_what_is_less_than_asked_for_is_told() -> None:
    """A local quota, an aged map, a capped deadline: each stands in the trail."""
    world = World()
    world.quota.source = TokenSource.LOCAL
    world.map.age = 61.0
    made = scope(5.0, capped=True)
    [answer] = await world.search().run(TENANT, [query(collections=("both",))], b"", made)
    assert set(degradations(answer.trail)) == {"QUOTA_LOCAL", "MAP_AGED", "DEADLINE_CAPPED"}
    assert answer.trail.map.age.seconds == 61


async def test_an_answer_is_cut_to_what_a_response_can_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC would fail the call instead."""
    monkeypatch.setattr(search_module, "MAX_RESPONSE_BYTES", 2500)
    world = World()
    world.retrieval.text = "x" * 1000
    world.retrieval.documents["both"] = ["a", "b", "c"]
    answer = await world.ask_one(query(collections=("both",)))
    assert same_ids(list(answer.hits)) == ["a", "b"]
    assert degradations(answer.trail) == {"RESPONSE_TRUNCATED": {""}}


async def test_a_batch_is_one_permit_and_one_embedding() -> None:
    """Each query has an answer, a trail and a bill of its own."""
    world = World()
    answers = await world.ask(
        query("axis 0", collections=("both",)),
        query("axis 1", collections=("europe",), rerank=True),
        query("axis 0", collections=("both",)),
        query("", vectors={"minilm": axis(0)}, collections=("both",)),
    )
    assert world.inference.calls == [(EU, ("axis 0", "axis 1"), False)]
    assert world.quota.spent == [Charge(4, 2 + 5 + 2 + 1)]
    assert [answer.trail.cost.charged_tokens for answer in answers] == [2, 5, 2, 1]
    assert world.quota.charged == 10
    assert [same_ids(list(answer.hits)) for answer in answers] == [["b1", "b2"], ["e1"], ["b1", "b2"], ["b1", "b2"]]


async def test_what_was_done_for_the_batch_stands_in_every_trail() -> None:
    """Nothing is degraded in silence, whoever's query happened to be first."""
    world = World()
    world.inference.failing = {EU: DOWN}
    answers = await world.ask(query("axis 0", collections=("europe",)), query("axis 1", collections=("europe",)))
    for answer in answers:
        assert degradations(answer.trail) == {"EMBEDDED_IN_OTHER_REGION": {NORTH}}
        assert "EMBEDDING" in stage_names(answer.trail)


async def test_one_failed_query_fails_the_batch_and_the_rest_is_charged() -> None:
    """As the contract says."""
    world = World()
    with pytest.raises(ExceptionGroup) as failed:
        await world.ask(query("axis 0", collections=("both",)), query("axis 1", collections=("unknown",)))
    assert isinstance(errors.first_domain_error(failed.value), errors.CollectionUnknown)
    assert world.quota.charged <= 2


async def test_a_batch_that_cannot_be_embedded_is_searched_by_keywords() -> None:
    """Each query meets the failure itself, and its trail tells."""
    world = World()
    world.inference.failing = {EU: DOWN, NORTH: DOWN, US: DOWN}
    answers = await world.ask(query("x", collections=("both",)), query("y", collections=("both",)))
    assert [set(degradations(answer.trail)) for answer in answers] == [{"SPARSE_ONLY"}] * 2
    assert [answer.trail.cost.charged_tokens for answer in answers] == [1, 1]


@given(
    failing=st.frozensets(st.sampled_from([EU, NORTH, US, AP])),
    no_inference=st.frozensets(st.sampled_from([EU, NORTH, US])),
    no_rerank=st.frozensets(st.sampled_from([EU, NORTH, US])),
    collections=st.lists(st.sampled_from(["both", "europe", "states"]), unique=True, max_size=3),
    text=st.sampled_from(["axis 0", "axis 1", "axis 2", "gdpr", "hipaa", "nothing"]),
    partial=st.booleans(),
    level=st.sampled_from([quota_pb.SERVICE_LEVEL_NORMAL, quota_pb.SERVICE_LEVEL_REDUCED, EMERGENCY]),
)
async def test_whatever_fails_data_and_text_stay_inside_and_the_books_balance(
    failing: frozenset[str],
    no_inference: frozenset[str],
    no_rerank: frozenset[str],
    collections: list[str],
    text: str,
    partial: bool,
    level: quota_pb.ServiceLevel.ValueType,
) -> None:
    """The laws of a search: residency, one domain error or an answer, and a bill and a record that add up."""
    world = World(EU)
    world.told(level)
    world.retrieval.failing = dict.fromkeys(failing, DOWN)
    world.inference.failing = dict.fromkeys(no_inference, DOWN)
    world.rerank.failing = dict.fromkeys(no_rerank, DOWN)
    asked = query(text, collections=tuple(collections), allow_partial=partial, rerank=True)
    charged, refused = None, None
    try:
        charged = (await world.ask_one(asked)).trail.cost.charged_tokens
    except errors.DomainError as exc:
        refused = exc
    except ExceptionGroup as exc:
        refused = errors.first_domain_error(exc)
    allowed = {"both": {EU, US}, "europe": {EU, NORTH}}
    assert all(region in allowed[collection] for collection, region in world.retrieval.asked)
    assert AP not in {region for region, _, _ in [*world.inference.calls, *world.rerank.calls]}
    assert world.quota.total.within(Charge(1, 5))
    billed = [use for record in world.journal.records for use in record.stages]
    assert sum(use.tokens for use in billed) == world.quota.charged
    assert level < EMERGENCY or not world.inference.calls
    assert (charged is None) == (refused is not None)
    assert charged is None or charged == world.quota.charged
