"""Deciding by policies: who is asked, what it may cost, whose arm decides, what is told."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.unit.routing.test_decide import decide
from tests.unit.routing.world import EU, TENANT, World, axis, query, recorder, scope

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map import testing as maps
from trunkline_map.entries import HeadPointer, RolloutEntry, RolloutState
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.background import background
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, CircuitOpen, DomainError, FieldInvalid, NoCollectionMatches
from trunkline_mesh.request import Principal
from trunkline_policy.basis import basis_texts
from trunkline_policy.document import parse_policy, to_form
from trunkline_policy.prototypes import prototype_heads
from trunkline_policy.results import Candidate
from trunkline_routing.edge.decision_budget import DecisionBudget
from trunkline_routing.edge.head_book import HeadBook
from trunkline_routing.edge.model import Decision, Gate
from trunkline_routing.edge.policy_warming import keep_warm
from trunkline_routing.edge.render import generation_of
from trunkline_routing.feedback.records import ShadowRecord

BASE = """
version: 2
fallback: [both]
collections:
  both: {keywords: [shared topic], examples: ["axis 0"]}
  europe: {keywords: [gdpr], examples: ["axis 1"]}
  states: {keywords: [hipaa], examples: ["axis 2"]}
"""


def steps(decision: Decision) -> list[tuple[str, str]]:
    """Return stage and outcome of each step, without their prefixes."""
    return [
        (
            trail_pb.DecisionStage.Name(one.stage).removeprefix("DECISION_STAGE_"),
            trail_pb.DecisionStageOutcome.Name(one.outcome).removeprefix("DECISION_STAGE_OUTCOME_"),
        )
        for one in decision.steps
    ]


def somebody(*roles: str, attributes: Mapping[str, str] | None = None, subject: str = "ann") -> Principal:
    return Principal(subject, TENANT, frozenset(roles), "", 0.0, attributes or {})


async def decide_as(world: World, principal: Principal, text: str, **options: Any) -> Decision:
    return await world.decider.decide(
        world.gate(), query(text, **options), deadline=Deadline.after(5), trail=recorder(), principal=principal
    )


@dataclass
class FakeChooser:
    """Names what it is told to."""

    found: Sequence[Candidate] = ()
    failing: DomainError | None = None
    serving: bool = True
    calls: list[tuple[str, list[str], float]] = field(default_factory=list)

    def serves(self, gate: Gate) -> bool:
        return self.serving

    async def choose(
        self, gate: Gate, text: str, offered: Sequence[tuple[str, str]], *, limit: int, deadline: Deadline
    ) -> Sequence[Candidate]:
        self.calls.append((text, [name for name, _ in offered], deadline.remaining_s()))
        if self.failing is not None:
            raise self.failing
        return self.found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what does gdpr say", ("RULES", [("LOGICAL", "DECIDED")])),
        ("axis 1", ("SEMANTIC", [("LOGICAL", "UNSURE"), ("SEMANTIC", "DECIDED")])),
        ("axis 3", ("FALLBACK", [("LOGICAL", "UNSURE"), ("SEMANTIC", "OUT_OF_SCOPE"), ("FALLBACK", "DECIDED")])),
    ],
)
async def test_each_step_is_told(text: str, expected: tuple[str, list[tuple[str, str]]]) -> None:
    """With how it ended, and only an embedding costs something."""
    strategy, _, decision, _ = await decide(World(policy=BASE), query(text))
    assert (strategy, steps(decision)) == expected
    assert decision.cost_units == sum(stage == "SEMANTIC" for stage, _ in expected[1])


async def test_an_explicit_policy_wants_names() -> None:
    """It decides nothing by itself."""
    with pytest.raises(FieldInvalid) as refused:
        await decide(World(policy=BASE + "strategy: explicit\n"), query("gdpr"))
    assert [one.field for one in refused.value.violations] == ["collections"]


async def test_a_policy_may_search_everything() -> None:
    """What may not be read here is left out and told: the caller did not ask for it by name."""
    strategy, names, decision, told = await decide(World(policy=BASE + "strategy: all\n"), query("gdpr"))
    assert (strategy, names, decision.policy_version) == ("ALL", ["both", "europe"], 1)
    assert told["COLLECTION_OUTSIDE_JURISDICTION"] == {"states"}


async def test_refusing_is_an_error_of_search_and_an_answer_of_route() -> None:
    """Route tells that nothing decides."""
    world = World(policy=BASE.replace("[both]", "refuse"))
    with pytest.raises(NoCollectionMatches):
        await world.ask_one(query("axis 3"))
    answer = await world.route().run(TENANT, query("axis 3"), b"", scope())
    assert answer.trail.decision.strategy == trail_pb.STRATEGY_NONE
    assert answer.trail.decision.decision_id
    assert world.retrieval.calls == []


async def test_an_id_carries_the_decision() -> None:
    """Its receipt names policy, collections and text; explicit decisions have none."""
    world = World(policy=BASE)
    told = (await world.ask_one(query("gdpr"))).trail.decision
    receipt = world.receipts.open(told.decision_id, TENANT)
    assert (receipt.collections, receipt.policy_version) == (("europe",), 1)
    assert receipt.policy_digest == hashlib.sha256(BASE.encode()).hexdigest()
    assert (await world.ask_one(query("gdpr", collections=("both",)))).trail.decision.decision_id == ""


async def test_spellings_share_a_decision() -> None:
    """Case and white space do not make another query."""
    world = World(policy=BASE)
    await decide(world, query("What does  GDPR say"))
    assert (await decide(world, query("what does gdpr SAY")))[2].cached


async def test_callers_are_told_apart_only_where_rules_look_at_them() -> None:
    """Finance and engineering ask the same, and get different collections, each remembered for its own."""
    world = World(
        policy=BASE + "rules: [{name: fin, when: {attributes: {department: [finance]}}, collections: [europe]}]\n"
    )
    finance = somebody(attributes={"department": "finance", "floor": "3"})
    found = await decide_as(world, finance, "shared topic")
    assert found.choices[0].entry.collection_id == "europe"
    other = await decide_as(world, somebody(attributes={"department": "engineering"}), "shared topic")
    assert ([one.entry.collection_id for one in other.choices], other.cached) == (["both"], False)
    same = await decide_as(world, somebody(attributes={"department": "finance", "floor": "4"}), "shared topic")
    assert same.cached


async def test_a_session_goes_on_where_it_was() -> None:
    """By the id of the decision before; one that is unknown is left out of account, and told."""
    world = World(
        policy=BASE + "rules: [{name: stay, when: {previous: [europe]}, collections: [europe]}]\n",
    )
    before = (await world.ask_one(query("gdpr"))).trail.decision.decision_id
    assert (await decide(world, query("axis 3", previous_decision_id=before)))[1] == ["europe"]
    strategy, _, _, told = await decide(world, query("axis 3", previous_decision_id="forged"))
    assert strategy == "FALLBACK"
    assert "PREVIOUS_DECISION_UNKNOWN" in told


async def test_a_budget_leaves_embeddings_out_when_it_is_spent() -> None:
    """Half a unit a query: at most every other one is embedded, once the head start is gone. Never remembered."""
    world = World(policy=BASE + "budget: {cost_per_1000: 10}\n")
    told = [(await decide(world, query(f"axis 1{' ?' * n}")))[3] for n in range(5)]
    spent = ["DECISION_BUDGET_SPENT" in one for one in told]
    assert spent == [False, True, True, True, True]
    assert not (await decide(world, query("axis 1 ?")))[2].cached


def test_an_account_never_spends_more_than_it_earns() -> None:
    """But for its head start; and it saves up for 1,000 decisions at most."""
    budget = DecisionBudget()
    spent = 0
    for _ in range(2000):
        budget.earn("t", 500)
        spent += budget.spend("t", 1)
    assert 1000 <= spent <= 1050
    for _ in range(5000):
        budget.earn("t", 500)
    assert sum(budget.spend("t", 1) for _ in range(1000)) == 500


async def test_a_chooser_comes_first_and_is_offered_what_may_be_read() -> None:
    """Within its share of the time, and with what rules exclude left out."""
    chooser = FakeChooser([Candidate("europe", 0.9, "law")])
    world = World(policy=BASE + "own_router: {enabled: true, cost_units: 2}\n", own_router=chooser)
    strategy, names, decision, _ = await decide(world, query("shared topic"))
    assert (strategy, names, steps(decision)) == ("OWN_ROUTER", ["europe"], [("OWN_ROUTER", "DECIDED")])
    assert decision.cost_units == 2
    [(_, offered, left_s)] = chooser.calls
    assert offered == ["both", "europe"]
    assert left_s <= 2.5
    assert (await decide(world, query("shared topic")))[2].cached


@pytest.mark.parametrize(
    ("chooser", "outcome"),
    [
        (FakeChooser(failing=BackendUnavailable()), "FAILED"),
        (FakeChooser(failing=CircuitOpen()), "SKIPPED_BREAKER"),
        (FakeChooser(serving=False), "FAILED"),
        (None, "FAILED"),
    ],
)
async def test_without_the_chooser_the_cascade_decides(chooser: FakeChooser | None, outcome: str) -> None:
    """That is told, and not remembered."""
    world = World(policy=BASE + "own_router: {enabled: true}\n", own_router=chooser)
    strategy, _, decision, told = await decide(world, query("gdpr"))
    assert (strategy, steps(decision)) == ("RULES", [("OWN_ROUTER", outcome), ("LOGICAL", "DECIDED")])
    assert "OWN_ROUTER_UNAVAILABLE" in told
    assert not (await decide(world, query("gdpr")))[2].cached


async def test_a_classifier_may_be_kept_for_what_nothing_else_decides() -> None:
    """`when: unsure`."""
    chooser = FakeChooser([Candidate("europe", 0.9, "")])
    world = World(policy=BASE + "classifier: {enabled: true, when: unsure}\n", classifier=chooser)
    assert (await decide(world, query("gdpr")))[0] == "RULES"
    assert chooser.calls == []
    strategy, names, decision, _ = await decide(world, query("axis 3"))
    assert (strategy, names) == ("CLASSIFIER", ["europe"])
    assert steps(decision)[-1] == ("CLASSIFIER", "DECIDED")


def rollout(world: World, text: str, state: RolloutState, share: float = 1.0) -> None:
    """Put a rollout beside the live policy."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    world.blobs.texts[digest] = text
    entry = RolloutEntry("r1", state, share, digest, "", 1, 1, "ops", 0.0, 0.0)
    pointer = world.gate().snapshot.policy(TENANT)
    assert pointer is not None
    world.map.put(replace(pointer, rollout=entry))


OTHER = BASE.replace("keywords: [gdpr]", "keywords: [nothing]").replace("[shared topic]", "[gdpr]")


async def test_a_canary_decides_its_share() -> None:
    """By the rollout's policy, and the trail says in which arm the query is."""
    world = World(policy=BASE)
    rollout(world, OTHER, RolloutState.CANARY)
    _, names, decision, _ = await decide(world, query("gdpr"))
    assert names == ["both"]
    assert [(one.experiment, one.variant, one.shadow) for one in decision.assignments] == [("r1", True, False)]
    rollout(world, OTHER, RolloutState.CANARY, share=0.0)
    _, names, decision, _ = await decide(world, query("gdpr"))
    assert (names, decision.assignments[0].variant) == (["europe"], False)


async def test_a_proposal_does_nothing() -> None:
    """It waits for a person."""
    world = World(policy=BASE)
    rollout(world, OTHER, RolloutState.PROPOSED)
    _, names, decision, _ = await decide(world, query("gdpr"))
    assert (names, decision.assignments) == (["europe"], ())


async def test_a_canary_that_cannot_be_read_is_no_canary() -> None:
    """The live policy decides, the trail names the rollout, and the query takes no part in the comparison."""
    world = World(policy=BASE)
    rollout(world, OTHER, RolloutState.CANARY)
    world.blobs.texts.pop(hashlib.sha256(OTHER.encode()).hexdigest())
    _, names, decision, told = await decide(world, query("gdpr"))
    assert (names, decision.assignments) == (["europe"], ())
    assert told["POLICY_UNAVAILABLE"] == {"r1"}


async def settled(world: World) -> list[ShadowRecord]:
    """Wait until no shadow runs, and return what was kept."""
    await asyncio.gather(*world.deciding.shadows._running)
    return [record for _, record in world.store.records if isinstance(record, ShadowRecord)]


async def test_a_shadow_decides_beside_and_changes_nothing() -> None:
    """Once for each decision that is made."""
    world = World(policy=BASE)
    rollout(world, OTHER, RolloutState.SHADOW)
    for _ in range(3):
        _, names, decision, _ = await decide(world, query("gdpr"))
        assert names == ["europe"]
        assert [(one.experiment, one.variant, one.shadow) for one in decision.assignments] == [("r1", True, True)]
    [record] = await settled(world)
    assert (record.experiment, record.agrees) == ("r1", False)


async def test_shadows_fail_and_are_dropped_without_anybody_waiting() -> None:
    """Full, or with a store that is away, the request has its decision all the same."""
    world = World(policy=BASE, shadow_concurrency=0)
    rollout(world, OTHER, RolloutState.SHADOW)
    assert (await decide(world, query("gdpr")))[1] == ["europe"]
    assert await settled(world) == []
    world = World(policy=BASE)
    rollout(world, OTHER, RolloutState.SHADOW)
    world.store.failing = BackendUnavailable()
    assert (await decide(world, query("gdpr")))[1] == ["europe"]
    assert await settled(world) == []
    await world.deciding.close()


async def test_experiments_of_the_policy_vary_it() -> None:
    """An A/B test's variant decides; a shadowed one is compared alone."""
    ab = BASE + "experiments: [{name: e1, share: 1.0, variant: {strategy: all}}]\n"
    strategy, _, decision, _ = await decide(World(policy=ab), query("gdpr"))
    assert (strategy, decision.assignments[0].variant) == ("ALL", True)
    world = World(policy=ab.replace("share: 1.0", "kind: shadow, share: 1.0"))
    assert (await decide(world, query("gdpr")))[0] == "RULES"
    assert [one.agrees for one in await settled(world)] == [False]


def put_head(world: World, *, revision: str = "1", spoil: bool = False) -> str:
    """Train a head in which `axis 3` belongs to `europe`, and note it for the live policy."""
    policy = parse_policy(BASE.replace('["axis 1"]', '["axis 3"]'))
    texts = basis_texts(policy, {})
    vectors = [axis(int(one.text.split()[1])) for one in texts]
    head = prototype_heads(texts, vectors, space_id="minilm", model_id="minilm", model_revision=revision)
    content = head.to_bytes()
    digest = hashlib.sha256(content).hexdigest()
    world.blobs.texts[digest] = b"spoiled" if spoil else content
    pointer = world.gate().snapshot.policy(TENANT)
    assert pointer is not None
    noted = HeadPointer(pointer.digest, digest, len(content), "minilm", "minilm", revision, head.basis_digest)
    world.map.put(replace(pointer, heads=(noted,)))
    return digest


async def test_a_trained_head_decides_without_embedding_the_examples() -> None:
    """Read lazily; collections that may not be read here have no row in it; what was remembered before is void."""
    world = World(policy=BASE)
    assert (await decide(world, query("axis 3")))[0] == "FALLBACK"
    world.inference.calls.clear()
    digest = put_head(world)
    _, names, decision, told = await decide(world, query("axis 3"))
    assert (names, decision.head_digest, decision.cached) == (["europe"], digest, False)
    assert world.inference.calls == [], "the query's vector is remembered"
    assert "HEAD_UNAVAILABLE" not in told
    assert (await decide(world, query("axis 2")))[1] == ["both"], "`states` may not be read here"


async def test_a_spoiled_head_is_told_and_prototypes_decide() -> None:
    """It is not read again for each query."""
    world = World(policy=BASE)
    digest = put_head(world, spoil=True)
    for text in ("axis 1", "axis 1 ", "axis 1"):
        strategy, names, decision, told = await decide(world, query(text))
        assert (strategy, names, decision.head_digest, decision.cached) == ("SEMANTIC", ["europe"], "", False)
        assert "HEAD_UNAVAILABLE" in told
    assert [read for _, read in world.blobs.reads].count(digest) == 1


async def test_a_head_of_another_model_is_no_head() -> None:
    """Nothing was promised for this space as it is now, so nothing is missing."""
    world = World(policy=BASE)
    put_head(world, revision="2")
    _, names, decision, told = await decide(world, query("axis 1"))
    assert (names, decision.head_digest) == (["europe"], "")
    assert "HEAD_UNAVAILABLE" not in told


async def test_heads_are_bounded_by_their_bytes() -> None:
    """The one that was used last always stays."""
    world = World(policy=BASE)
    world.deciding.heads._max_bytes = 1
    for version in range(3):
        world.set_policy(BASE + f"# {version}\n", version=version + 1)
        assert (await decide(world, query("axis 1")))[0] == "SEMANTIC"
    assert len(world.deciding.heads._places) == 1


async def test_the_form_is_read_before_the_text() -> None:
    """And the text where the form cannot be read."""
    world = World(policy=BASE)
    form = to_form(parse_policy(BASE))
    form_digest = hashlib.sha256(form).hexdigest()
    pointer = world.gate().snapshot.policy(TENANT)
    assert pointer is not None
    world.map.put(replace(pointer, form_digest=form_digest))
    world.blobs.texts[form_digest] = form
    assert (await decide(world, query("gdpr")))[0] == "RULES"
    assert world.blobs.reads == [("eu", form_digest)]
    world = World(policy=BASE)
    world.map.put(replace(pointer, form_digest=form_digest))
    world.blobs.texts[form_digest] = b"{}"
    assert (await decide(world, query("gdpr")))[0] == "RULES"
    assert world.blobs.reads == [("eu", form_digest), ("eu", pointer.digest)]


async def test_a_map_that_changes_while_a_decision_is_made_leaves_no_stale_memory() -> None:
    """The policy changes while the query is embedded: what is remembered is of the old one alone."""
    world = World(policy=BASE)
    gate = world.gate()
    deciding = asyncio.create_task(
        world.decider.decide(gate, query("axis 1"), deadline=Deadline.after(5), trail=recorder())
    )
    await asyncio.sleep(0)
    world.set_policy(OTHER.replace('["axis 1"]', '["axis 3"]'), version=2)
    world.map.put(maps.collection(TENANT, "late", [EU], ["eu"]))
    assert [one.entry.collection_id for one in (await deciding).choices] == ["europe"]
    strategy, _, decision, _ = await decide(world, query("axis 1"))
    assert (strategy, decision.cached, decision.policy_version) == ("FALLBACK", False, 2)


@pytest.mark.parametrize("text", ["?!…", "como se llama", "\uff27\uff24", "x" * 100_000, "\u200b\u0301"])
async def test_odd_queries_get_an_answer(text: str) -> None:
    """Another language, punctuation alone, 100 KB, signs that cannot be seen: nothing decides, nothing breaks."""
    assert (await decide(World(policy=BASE + "strategy: logical\n"), query(text)))[0] == "FALLBACK"
    assert (await decide(World(policy=BASE), query(text)))[1]


async def test_a_fallback_that_was_deleted_belongs_nowhere() -> None:
    """Not an error."""
    world = World(policy=BASE)
    world.map.remove(MapKey(Kind.COLLECTION, TENANT, "both"))
    assert (await decide(world, query("axis 3")))[:2] == ("NONE", [])


async def test_templates_and_model_classes_come_with_the_decision() -> None:
    """The template's text only where it is asked for."""
    world = World(
        policy=BASE
        + """
templates: {steps: {version: 3, text: "Answer {{q}}", variables: [q], keywords: [gdpr]}}
model_classes: {simple: {max_context_tokens: 4096}}
"""
    )
    for expand in (False, True):
        asked = query("gdpr", expand_template=expand)
        told = generation_of(await world.ask_one(asked), asked)
        assert told is not None
        assert (told.template.name, told.template.version, told.model_class.name) == ("steps", 3, "simple")
        assert told.template.text == ("Answer {{q}}" if expand else "")
    plain = query("gdpr")
    assert generation_of(await World(policy=BASE).ask_one(plain), plain) is None


def _ready(heads: HeadBook) -> set[str]:
    """Return the digests of heads that are kept; that one was read does not make it ready."""
    return {place.ready.digest for place in heads._places.values() if place.ready is not None}


async def test_a_changed_policy_is_ready_before_anybody_asks() -> None:
    """The router follows the map for policies in use, and reads no others."""
    world = World(policy=BASE)
    deciding = world.deciding
    assert list(deciding.policies.changed(world.map.snapshot)) == []
    await decide(world, query("gdpr"))
    assert list(deciding.policies.changed(world.map.snapshot)) == []
    world.set_policy(OTHER, version=2)
    digest = put_head(world)
    async with background(keep_warm(world.map, deciding.policies, deciding.lanes, EU)):
        async with asyncio.timeout(10):
            while digest not in _ready(deciding.heads):  # noqa: ASYNC110 - the book tells nobody
                await asyncio.sleep(0.01)
    reads = len(world.blobs.reads)
    assert (await decide(world, query("gdpr")))[1] == ["both"]
    assert (await decide(world, query("axis 3")))[2].head_digest == digest
    assert len(world.blobs.reads) == reads


async def test_a_spoiled_head_does_not_end_the_warming() -> None:
    """Prototypes are left to the first query, whose caller's credential they are embedded with."""
    world = World(policy=BASE)
    await decide(world, query("gdpr"))
    world.set_policy(OTHER, version=2)
    put_head(world, spoil=True)
    [pointer] = world.deciding.policies.changed(world.map.snapshot)
    await world.deciding.lanes.warm(world.gate(), pointer)
    assert world.inference.calls == []
    assert (await decide(world, query("axis 1")))[0] == "SEMANTIC"


async def test_a_tenant_that_is_gone_is_forgotten() -> None:
    """Nothing is made ready for it."""
    world = World(policy=BASE)
    await decide(world, query("gdpr"))
    world.map.remove(MapKey(Kind.POLICY, TENANT))
    assert list(world.deciding.policies.changed(world.map.snapshot)) == []
    assert world.deciding.policies._used == {}
    assert (await decide(world, query("gdpr")))[2].policy_digest == "", "all collections, as without a policy"
