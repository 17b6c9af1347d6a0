"""Searches of many collections: one call for each region and round, and a way of its own for each collection."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.routing.world import EU, NORTH, TENANT, US, World, degradations, outcomes, query, same_ids, scope

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map import testing as maps
from trunkline_map.entries import Preference
from trunkline_mesh import errors
from trunkline_routing.edge.failover import MAX_ATTEMPTS
from trunkline_routing.edge.trail import MAX_ENTRIES

DOWN: errors.DomainError = errors.BackendUnavailable()
PLACED = Preference.PLACEMENT


def many(world: World, count: int, *placement: str) -> tuple[str, ...]:
    """Put collections of one placement into the world, with a document each."""
    names = tuple(f"c{number:02}-{placement[0]}" for number in range(count))
    world.map.put(*[maps.collection(TENANT, name, placement, ["us", "eu"], preference=PLACED) for name in names])
    world.retrieval.documents.update({name: [f"{name}-1"] for name in names})
    return names


async def test_the_collections_of_one_region_go_in_one_call() -> None:
    """64 of them, over two regions, are two calls."""
    world = World(EU)
    names = many(world, 32, EU, US) + many(world, 32, US, EU)
    answer = await world.ask_one(query(collections=names, top_k=100))
    assert Counter(region for region, _, _ in world.retrieval.calls) == {EU: 1, US: 1}
    assert len(answer.hits) == 64
    assert degradations(answer.trail) == {}


async def test_an_answer_that_no_message_can_carry_is_asked_for_in_halves() -> None:
    """Each with the vectors of its own collections; one that is too large alone is the caller's to change."""
    world = World(EU)
    names = many(world, 5, EU, US)
    world.map.put(maps.space("other", model_id="other", dimension=4))
    world.map.put(maps.collection(TENANT, names[0], [EU, US], ["us", "eu"], space_id="other"))
    world.retrieval.most_at_once = 2
    answer = await world.ask_one(query(collections=names))
    assert len(answer.hits) == 5
    assert [(len(asked), spaces) for _, asked, spaces in world.retrieval.calls] == [
        (5, ("minilm", "other")),
        (2, ("minilm", "other")),
        (3, ("minilm",)),
        (1, ("minilm",)),
        (2, ("minilm",)),
    ]
    world.retrieval.most_at_once = 0
    with pytest.raises(errors.FieldInvalid):
        await world.ask_one(query(collections=names[:1]))


async def test_what_fails_alone_moves_alone_and_together_again() -> None:
    """Collections whose stores fail regroup on their next region; the others keep what they got."""
    world = World(EU)
    names = many(world, 6, EU, US, NORTH)
    world.retrieval.failing = {f"{EU}/{names[0]}": DOWN, f"{EU}/{names[3]}": DOWN, f"{US}/{names[3]}": DOWN}
    answer = await world.ask_one(query(collections=names))
    assert [(region, asked) for region, asked, _ in world.retrieval.calls] == [
        (EU, names),
        (US, (names[0], names[3])),
        (NORTH, (names[3],)),
    ]
    assert outcomes(answer.trail.collections[3]) == [(EU, "FAILED"), (US, "FAILED"), (NORTH, "SERVED")]
    assert outcomes(answer.trail.collections[1]) == [(EU, "SERVED")]
    assert degradations(answer.trail) == {"SERVED_FROM_OTHER_REGION": {names[0], names[3]}}


async def test_partial_answers_say_what_is_missing_and_why() -> None:
    """In the trail of the collection, attempt by attempt."""
    world = World(EU)
    names = many(world, 3, EU, US)
    world.retrieval.failing = {names[1]: DOWN}
    answer = await world.ask_one(query(collections=names, allow_partial=True))
    assert degradations(answer.trail) == {"COLLECTION_MISSING": {names[1]}}
    account = answer.trail.collections[1]
    assert [one.error for one in account.attempts] == [DOWN.reason, DOWN.reason]
    assert len(answer.hits) == 2


async def test_a_search_of_all_collections_is_one_call_too() -> None:
    """Whatever the policy says."""
    world = World(EU)
    world.map.remove(maps.collection(TENANT, "states", [US], ["us"]).key)
    answer = await world.ask_one(query("gdpr", all_collections=True))
    assert answer.trail.decision.strategy == trail_pb.STRATEGY_ALL
    assert [(region, asked) for region, asked, _ in world.retrieval.calls] == [(EU, ("both", "europe"))]


async def test_collections_without_a_vector_go_in_a_call_of_their_own() -> None:
    """A region searches all collections of a call in the same way."""
    world = World(EU)
    world.map.put(maps.collection(TENANT, "europe", [EU], ["eu"], space_id="missing"))
    await world.ask_one(query(collections=("both", "europe")))
    assert sorted((asked, spaces) for _, asked, spaces in world.retrieval.calls) == [
        (("both",), ("minilm",)),
        (("europe",), ()),
    ]


async def test_the_trail_keeps_to_its_limit_and_names_what_is_missing() -> None:
    """Accounts of collections that were served are left out first."""
    world = World(EU)
    names = many(world, 64, EU, US)
    world.retrieval.failing = {names[-1]: DOWN}
    trail = (await world.ask_one(query(collections=names, allow_partial=True))).trail
    assert trail.truncated
    listed = len(trail.stages) + len(trail.degradations) + sum(1 + len(one.attempts) for one in trail.collections)
    assert listed <= MAX_ENTRIES
    assert names[-1] in {one.collection for one in trail.collections}
    whole = (await world.ask_one(query(collections=names, allow_partial=True, explain=True))).trail
    assert len(whole.collections) == 64
    assert not whole.truncated


async def test_route_tells_the_same_way_without_going_it() -> None:
    """By the same code, for each collection."""
    world = World(EU)
    many(world, 2, US, EU)
    world.view.broke(US)
    asked = query("x", collections=("c00-us-east", "both"), explain=True)
    routed = (await world.route().run(TENANT, asked, b"", scope())).trail
    searched = (await world.ask_one(asked)).trail
    assert [outcomes(one) for one in routed.collections] == [outcomes(one) for one in searched.collections]
    assert outcomes(routed.collections[0]) == [(US, "SKIPPED_HEALTH"), (EU, "SERVED")]
    assert outcomes(routed.collections[1]) == [(EU, "SERVED"), (US, "NOT_NEEDED")]


async def test_a_region_just_undrained_takes_whole_searches_or_none() -> None:
    """One lot for a search: its collections stay together."""
    world = World(EU)
    names = many(world, 8, EU, US)
    world.map.put(replace(maps.region(EU, "eu", retrieval="x:1"), serving_since_s=4e9, ramp_s=60.0))
    for _ in range(20):
        world.retrieval.calls.clear()
        await world.ask_one(query(collections=names))
        assert len(world.retrieval.calls) == 1


@settings(max_examples=60)
@given(
    placements=st.lists(
        st.lists(st.sampled_from([EU, US, NORTH]), min_size=1, max_size=3, unique=True), min_size=1, max_size=20
    ),
    failing=st.frozensets(st.tuples(st.sampled_from([EU, US, NORTH]), st.integers(0, 19)), max_size=15),
    dead=st.frozensets(st.sampled_from([EU, US, NORTH]), max_size=2),
    consistency=st.sampled_from([options_pb.CONSISTENCY_ANY, options_pb.CONSISTENCY_PRIMARY]),
)
async def test_calls_are_bounded_by_regions_and_rounds(
    placements: list[list[str]],
    failing: frozenset[tuple[str, int]],
    dead: frozenset[str],
    consistency: options_pb.Consistency.ValueType,
) -> None:
    """And each collection is found wherever one of its regions has it."""
    world = World(EU)
    names = [f"c{number}" for number in range(len(placements))]
    world.map.put(
        *[
            maps.collection(TENANT, name, placement, ["us", "eu"], preference=PLACED)
            for name, placement in zip(names, placements, strict=True)
        ]
    )
    world.retrieval.documents.update({name: [name] for name in names})
    world.retrieval.failing = {f"{region}/c{number}": DOWN for region, number in failing} | dict.fromkeys(dead, DOWN)
    asked = query(collections=tuple(names), allow_partial=True, consistency=consistency, top_k=100)
    answer = await world.ask_one(asked)
    rounds = Counter(region for region, _, _ in world.retrieval.calls)
    assert all(count <= MAX_ATTEMPTS for count in rounds.values())
    primary = consistency == options_pb.CONSISTENCY_PRIMARY
    found = {
        name
        for number, (name, placement) in enumerate(zip(names, placements, strict=True))
        if any(
            region not in dead and (region, number) not in failing
            for region in (placement[:1] if primary else placement)
        )
    }
    assert set(same_ids(list(answer.hits))) == found
    assert degradations(answer.trail).get("COLLECTION_MISSING", set()) == set(names) - found


async def test_one_refusal_ends_the_search_unless_partial_answers_will_do() -> None:
    """As one domain error, which names the collection."""
    world = World(EU)
    names = many(world, 3, EU, US)
    world.retrieval.failing = {names[2]: errors.SpaceMismatch(metadata={"collection": names[2]})}
    with pytest.raises(errors.SpaceMismatch):
        await world.ask_one(query(collections=names))
    assert len(world.retrieval.calls) == 1
