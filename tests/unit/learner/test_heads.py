"""Heads of policies: made once for each basis, noted where they are missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.learner.test_learning import feedback
from tests.unit.learner.world import DIMENSION, World, text_of, world

from trunkline_map.testing import collection, space
from trunkline_mesh.deadline import Deadline
from trunkline_policy.document import parse_policy
from trunkline_policy.head import HeadSet
from trunkline_policy.results import NOBODY
from trunkline_routing.learner.evaluating import Question
from trunkline_routing.learner.heads import basis_of
from trunkline_routing.learner.scene import scene_of


async def opened(*tenants: str) -> World:
    """Return a world in which every tenant has a policy."""
    there = world(*tenants)
    for tenant_id in tenants:
        await there.control.put_policy(tenant_id, text_of())
    return there


async def test_a_policy_without_a_head_gets_one() -> None:
    """Its blob lies in the tenant's jurisdictions before the pointer tells of it."""
    there = await opened("acme")
    assert await there.learner.upkeep.turn("acme")
    [head] = there.control.pointer("acme").heads
    read = HeadSet.from_bytes(there.blobs.blobs["eu", head.digest])
    assert read.basis_digest == head.basis_digest
    assert head.policy_digest == there.control.pointer("acme").digest
    assert not await there.learner.upkeep.turn("acme")
    assert there.trainer.count == 1


async def test_a_head_is_made_anew_when_its_basis_changes() -> None:
    """Another text, another description, another model."""
    there = await opened("acme")
    await there.learner.upkeep.turn("acme")
    for change in (
        collection("acme", "billing", ["eu-west"], ["eu"], description="unused: the policy has its own"),
        space(dimension=DIMENSION, model_revision="2"),
    ):
        there.source.put(change)
        await there.learner.upkeep.turn("acme")
    assert there.trainer.count == 2
    await there.control.put_policy("acme", text_of().replace("cable is cut", "cable was cut"))
    assert await there.learner.upkeep.turn("acme")
    assert there.trainer.count == 3


async def test_two_tenants_with_one_policy_share_the_work() -> None:
    """The same texts and model give the same head."""
    there = await opened("acme", "bolt")
    assert await there.learner.upkeep.turn("acme")
    assert await there.learner.upkeep.turn("bolt")
    assert there.trainer.count == 1
    assert there.control.pointer("bolt").heads[0].digest == there.control.pointer("acme").heads[0].digest


@pytest.mark.parametrize("strategy", ["logical", "explicit", "all"])
def test_policies_that_ask_no_semantics_get_no_head(strategy: str) -> None:
    """Nothing would read it."""

    policy = parse_policy(text_of()).model_copy(update={"strategy": strategy})
    assert basis_of(scene_of(world("acme").source.snapshot, "acme"), policy) is None


async def test_a_tenant_that_is_gone_costs_nothing() -> None:
    """It may go while it waits."""
    there = world("acme")
    assert not await there.learner.upkeep.turn("acme")
    assert not await there.learner.upkeep.turn("nobody")


async def test_a_rollouts_text_gets_a_head_too() -> None:
    """So that its shadow decides as it will when it is live."""

    there = await opened("acme")
    await there.learner.upkeep.turn("acme")
    await there.say(feedback())
    await there.learner.learning.look("acme", Deadline.after(30))
    assert await there.learner.upkeep.turn("acme")
    rollout = there.control.pointer("acme").rollout
    assert rollout is not None
    assert rollout.heads[0].policy_digest == rollout.digest


async def test_an_evaluation_in_several_calls_trains_once() -> None:
    """The candidate's head is kept by its basis, and the live one's is read."""
    there = await opened("acme")
    await there.learner.upkeep.turn("acme")
    candidate = text_of().replace("cable is cut", "cable was cut")
    questions = [Question("pay my invoice", NOBODY), Question("the router is down", NOBODY)]
    for _ in range(3):
        evaluated = await there.learner.evaluation.evaluate("acme", candidate, questions, Deadline.after(30))
    assert there.trainer.count == 2
    assert evaluated.candidate is not None
    assert evaluated.live is not None
    assert [outcome.chosen[0].name for outcome in evaluated.candidate] == ["billing", "network"]
    assert evaluated.live_version == 1


async def test_a_tenants_texts_are_embedded_in_its_own_name() -> None:
    """So that quotas and logs name who it was for."""
    there = await opened("acme", "bolt")
    await there.learner.upkeep.turn("bolt")
    assert there.embedder.tenants == {"bolt"}


async def test_a_head_whose_policy_changed_meanwhile_is_no_failure() -> None:
    """Its text is of no use any more; the next one is looked at when the map tells of it."""
    there = await opened("acme")
    snapshot = there.source.snapshot
    await there.control.put_policy("acme", text_of() + "\n# changed\n")
    current = there.source.snapshot
    there.source.publish(snapshot)
    stale = replace(there.control.pointer("acme"))
    there.source.publish(current)
    assert stale.digest != there.control.pointer("acme").digest
    assert await there.learner.upkeep.turn("acme")
