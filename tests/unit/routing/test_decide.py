"""Which collections a query goes to, why, and what is remembered of it."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.routing.world import EU, POLICY, TENANT, US, World, degradations, query, recorder

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map import testing as maps
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, CollectionUnknown, FieldInvalid, ResidencyRouterOutside
from trunkline_policy.cascade import FALLBACK_CONFIDENCE
from trunkline_routing.edge.model import Decision, Query
from trunkline_routing.edge.trail import TrailRecorder


async def decide(
    world: World, asked: Query, *, trail: TrailRecorder | None = None, within_s: float = 5.0
) -> tuple[str, list[str], Decision, dict[str, set[str]]]:
    """Return strategy, collections, the whole decision and what was degraded."""
    trail = trail or recorder()
    decision = await world.decider.decide(world.gate(), asked, deadline=Deadline.after(within_s), trail=trail)
    strategy = trail_pb.Strategy.Name(decision.strategy).removeprefix("STRATEGY_")
    names = [choice.entry.collection_id for choice in decision.choices]
    return strategy, names, decision, degradations(trail.message)


async def test_named_collections_are_taken_as_they_are() -> None:
    """Without asking policy, rules or models."""
    world = World()
    strategy, names, decision, _ = await decide(world, query("gdpr", collections=("europe", "both")))
    assert (strategy, names, decision.confidence) == ("EXPLICIT", ["europe", "both"], 1.0)
    assert world.inference.calls == []
    assert world.blobs.reads == []


async def test_a_collection_that_is_not_there_is_refused_by_name() -> None:
    """Another tenant's names are as unknown as anything else."""
    with pytest.raises(CollectionUnknown) as refused:
        await decide(World(), query(collections=("both", "others")))
    assert dict(refused.value.metadata) == {"collection": "others"}


async def test_rules_come_before_semantics() -> None:
    """A rule that matches costs no embedding."""
    world = World()
    strategy, names, decision, _ = await decide(world, query("what does gdpr say"))
    assert (strategy, names, decision.policy_version) == ("RULES", ["europe"], 1)
    assert decision.reasons == ("europe: keyword 'gdpr'",)
    assert world.inference.calls == []


async def test_semantics_come_where_no_rule_matches() -> None:
    """The nearest prototypes decide; the query is embedded once, behind the wall of what is compared."""
    world = World()
    strategy, names, decision, _ = await decide(world, query("axis 1"))
    assert (strategy, names) == ("SEMANTIC", ["europe"])
    assert decision.confidence == pytest.approx(1.0)
    assert world.inference.queries.count("axis 1") == 2, "once as the query, once as the example"
    assert {region for region, _, _ in world.inference.calls} == {EU}


async def test_what_nothing_decides_goes_to_the_fallback() -> None:
    """With a confidence that says so."""
    strategy, names, decision, told = await decide(World(), query("axis 3"))
    assert (strategy, names, decision.confidence) == ("FALLBACK", ["both"], FALLBACK_CONFIDENCE)
    assert "DECISION_WITHOUT_SEMANTICS" not in told


async def test_without_a_fallback_a_query_belongs_nowhere() -> None:
    """That is an answer, not an error."""
    world = World(policy=POLICY.replace("fallback: [both]\n", ""))
    strategy, names, decision, _ = await decide(world, query("axis 3"))
    assert (strategy, names, decision.confidence) == ("NONE", [], 0.0)


@pytest.mark.parametrize(
    ("strategy", "text", "expected"), [("rules", "axis 1", "FALLBACK"), ("semantics", "gdpr", "FALLBACK")]
)
async def test_a_policy_may_leave_one_of_the_two_out(strategy: str, text: str, expected: str) -> None:
    """Rules alone embed nothing, semantics alone match nothing."""
    world = World(policy=POLICY.replace("threshold", f"strategy: {strategy}\nthreshold"))
    told, _, _, _ = await decide(world, query(text))
    assert told == expected
    assert bool(world.inference.calls) == (strategy == "semantics")


async def test_without_a_policy_all_collections_are_searched() -> None:
    """As long as one search may hold them; those that may not be read here are left out, and told."""
    world = World(policy=None)
    strategy, names, _, told = await decide(world, query("gdpr"))
    assert (strategy, names) == ("FALLBACK", ["both", "europe"])
    assert told["COLLECTION_OUTSIDE_JURISDICTION"] == {"states"}
    world.map.put(*[maps.collection(TENANT, f"more-{n}", [EU], ["eu"]) for n in range(62)])
    with pytest.raises(FieldInvalid) as refused:
        await decide(world, query("gdpr"))
    assert [one.field for one in refused.value.violations] == ["collections"]


async def test_all_collections_are_all_or_a_refusal() -> None:
    """What may not be read here is left out only if the caller allows that; too many are counted for the caller."""
    world = World(EU)
    with pytest.raises(ResidencyRouterOutside):
        await decide(world, query("gdpr", all_collections=True))
    strategy, names, _, told = await decide(world, query("gdpr", all_collections=True, allow_partial=True))
    assert (strategy, names) == ("ALL", ["both", "europe"])
    assert told["COLLECTION_OUTSIDE_JURISDICTION"] == {"states"}
    assert world.inference.calls == [], "no policy decides"
    world.map.put(*[maps.collection(TENANT, f"more-{n}", [EU], ["eu"]) for n in range(62)])
    with pytest.raises(FieldInvalid) as refused:
        await decide(world, query("gdpr", all_collections=True))
    [violation] = refused.value.violations
    assert violation.field == "all_collections"
    assert "65" in violation.description


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", "version: 2", "version: 1\ncollections: {a: &x {}, b: *x}"],
    ids=["no UTF-8", "another version", "alias"],
)
async def test_a_policy_that_cannot_be_read_is_told(content: str | bytes) -> None:
    """Damaged, of a later format, or refused now: the built-in fallback works, and the trail says why."""
    world = World(policy=None)
    world.set_policy(content)
    strategy, _, _, told = await decide(world, query("gdpr"))
    assert strategy == "FALLBACK"
    assert "POLICY_UNAVAILABLE" in told


@pytest.mark.parametrize("missing", [True, False])
async def test_a_blob_store_that_fails_is_told_and_tried_again(*, missing: bool) -> None:
    """A failure is not remembered: the next query reads again."""
    world = World()
    texts = dict(world.blobs.texts)
    if missing:
        world.blobs.texts.clear()
    else:
        world.blobs.failing = BackendUnavailable()
    assert "POLICY_UNAVAILABLE" in (await decide(world, query("gdpr")))[3]
    world.blobs.texts, world.blobs.failing = texts, None
    assert (await decide(world, query("gdpr")))[0] == "RULES"


async def test_a_policy_is_read_from_this_routers_jurisdiction() -> None:
    """Its text lies where the tenant's data may."""
    world = World(US)
    await decide(world, query("hipaa"))
    assert [jurisdiction for jurisdiction, _ in world.blobs.reads] == ["us"]


async def test_a_blob_is_read_once_for_all_who_wait() -> None:
    """A new version must not be read by every request at once."""
    world = World()
    await asyncio.gather(*(decide(world, query("gdpr")) for _ in range(20)))
    assert len(world.blobs.reads) == 1


async def test_lost_semantics_are_told_and_not_remembered() -> None:
    """The next query tries again; a rule still decides."""
    world = World()
    world.inference.failing = {name: BackendUnavailable() for name in ("eu-west", "eu-north")}
    strategy, names, _, told = await decide(world, query("axis 1"))
    assert (strategy, names) == ("FALLBACK", ["both"])
    assert "DECISION_WITHOUT_SEMANTICS" in told
    assert (await decide(world, query("gdpr")))[0] == "RULES"
    world.inference.failing.clear()
    strategy, names, decision, told = await decide(world, query("axis 1"))
    assert (strategy, names, decision.cached) == ("SEMANTIC", ["europe"], False)
    assert "DECISION_WITHOUT_SEMANTICS" not in told


async def test_semantics_that_are_late_are_told() -> None:
    """The decision keeps to its budget; embedding the prototypes goes on for the next query."""
    world = World()
    await decide(world, query("gdpr"))
    await world.vectors.of(
        world.gate(), maps.space("minilm", dimension=4), ["axis 1"], wall=frozenset({"eu"}),
        deadline=Deadline.after(5), trail=recorder(),
    )  # fmt: skip
    world.inference.hanging = {EU}
    strategy, _, _, told = await decide(world, query("axis 1"), within_s=0.05)
    assert strategy == "FALLBACK"
    assert "DECISION_WITHOUT_SEMANTICS" in told
    await world.policies.close()


async def test_a_routing_space_that_is_gone_is_told() -> None:
    """Not a silent way round semantics."""
    world = World(policy=POLICY.replace("threshold", "space: gone\nthreshold"))
    assert "DECISION_WITHOUT_SEMANTICS" in (await decide(world, query("axis 1")))[3]


async def test_a_remembered_decision_costs_nothing() -> None:
    """And says that it was remembered."""
    world = World()
    await decide(world, query("axis 1"))
    calls = len(world.inference.calls)
    strategy, names, decision, _ = await decide(world, query("axis 1"))
    assert (strategy, names, decision.cached) == ("SEMANTIC", ["europe"], True)
    assert len(world.inference.calls) == calls


async def test_a_decision_is_remembered_for_its_tenant_alone() -> None:
    """The same text under another policy version is decided anew."""
    world = World()
    await decide(world, query("axis 1"))
    world.set_policy(POLICY + "# changed\n", version=2)
    decision = (await decide(world, query("axis 1")))[2]
    assert (decision.cached, decision.policy_version) == (False, 2)


async def test_no_decision_outlives_the_map_that_it_rests_on() -> None:
    """Whoever brings the token of a change is not answered from before it: a new, a moved and a removed collection."""
    world = World(policy=POLICY.replace("  states:", "  later: {keywords: [gdpr]}\n  states:"))
    assert (await decide(world, query("gdpr")))[1] == ["europe"]
    world.map.put(maps.collection(TENANT, "later", [EU], ["eu"]))
    _, names, decision, _ = await decide(world, query("gdpr"))
    assert (names, decision.cached) == (["europe", "later"], False)
    world.map.put(maps.collection(TENANT, "later", ["eu-north"], ["eu"]))
    _, _, decision, _ = await decide(world, query("gdpr"))
    assert decision.choices[1].entry.placement == ("eu-north",)
    world.map.remove(MapKey(Kind.COLLECTION, TENANT, "later"))
    assert (await decide(world, query("gdpr")))[1] == ["europe"]


async def test_prototypes_follow_the_map() -> None:
    """A collection that came after the policy was first used is compared too, by its description."""
    world = World(policy=POLICY.replace("  states:", "  later: {}\n  states:"))
    assert (await decide(world, query("axis 3")))[0] == "FALLBACK"
    world.map.put(maps.collection(TENANT, "later", [EU], ["eu"], description="axis 3"))
    assert (await decide(world, query("axis 3")))[1] == ["later"]
    world.map.put(maps.collection(TENANT, "later", [EU], ["eu"], description="axis 2"))
    assert (await decide(world, query("axis 3")))[0] == "FALLBACK"


async def test_prototypes_of_one_space_never_meet_queries_of_another() -> None:
    """The policy's first collection gets another space, of another dimension: everything is embedded anew in it."""
    world = World(policy=POLICY.replace("  both:", "  aaa: {examples: [axis 3]}\n  both:"))
    assert (await decide(world, query("axis 1")))[0] == "SEMANTIC"
    world.map.put(maps.space("other", model_id="other", dimension=4))
    world.map.put(maps.collection(TENANT, "aaa", [EU], ["eu"], space_id="other"))
    world.inference.spaces.clear()
    assert (await decide(world, query("axis 3")))[:2] == ("SEMANTIC", ["aaa"])
    assert set(world.inference.spaces) == {"other"}


async def test_a_new_model_under_the_same_space_makes_vectors_void() -> None:
    """Remembered vectors of the old revision are not compared with those of the new."""
    world = World()
    await decide(world, query("axis 1"))
    world.inference.calls.clear()
    world.map.put(maps.space("minilm", model_revision="2", dimension=4))
    world.map.put(maps.tenant(TENANT, "us", "eu", tier="enterprise"))
    assert (await decide(world, query("axis 1")))[1] == ["europe"]
    assert sorted(world.inference.queries) == ["axis 0", "axis 1", "axis 1"]


async def test_collections_that_may_not_be_read_here_are_not_compared_and_that_is_told() -> None:
    """Their prototypes do not come here; the answer says that they were left out, also when it is remembered."""
    world = World(EU)
    for _ in range(2):
        _, _, _, told = await decide(world, query("axis 1"))
        assert told["COLLECTION_OUTSIDE_JURISDICTION"] == {"states"}
    assert "axis 2" not in world.inference.queries


async def test_the_best_one_outside_is_refused_with_where_to_ask() -> None:
    """Rules name a collection of {us} alone: the router in the EU sends the caller there."""
    with pytest.raises(ResidencyRouterOutside) as refused:
        await decide(World(EU), query("hipaa"))
    assert dict(refused.value.metadata) == {"allowedRegions": US, "allowedEndpoints": f"{US}.routing.test:1"}


async def test_a_lesser_one_outside_is_left_out_and_told() -> None:
    """`both` matches as well as `states`, and may be read here."""
    world = World(EU, policy=POLICY.replace("shared topic", "shared topic, hipaa"))
    _, names, decision, told = await decide(world, query("hipaa law"))
    assert names == ["both"]
    assert decision.confidence == pytest.approx(4 / 9)
    assert told["COLLECTION_OUTSIDE_JURISDICTION"] == {"states"}


@pytest.mark.parametrize("partial", [True, False])
async def test_a_named_one_outside_is_refused_unless_part_is_enough(*, partial: bool) -> None:
    """The caller asked for it by name."""
    asked = query(collections=("both", "states"), allow_partial=partial)
    if partial:
        _, names, _, told = await decide(World(EU), asked)
        assert names == ["both"]
        assert told["COLLECTION_OUTSIDE_JURISDICTION"] == {"states"}
        return
    with pytest.raises(ResidencyRouterOutside) as refused:
        await decide(World(EU), asked)
    assert refused.value.metadata["allowedRegions"] == US, "the region that may read all of them"


async def test_nothing_readable_is_refused_even_if_part_is_enough() -> None:
    """An empty answer would be a lie."""
    with pytest.raises(ResidencyRouterOutside):
        await decide(World(EU), query(collections=("states",), allow_partial=True))


async def test_the_book_is_bounded() -> None:
    """A thousand tenants do not stay in memory for ever."""
    world = World()
    for version in range(12):
        world.set_policy(POLICY + f"# {version}\n", version=version + 1)
        await decide(world, query("gdpr"))
    assert len(world.policies._prepared) == 8
    assert world.policies._loading == {}
