"""Choosing the collections, through everything real: who asks, sessions, templates, feedback, versions, learners."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import pytest
from tests.e2e import world
from tests.e2e.place import LONG_S, Place, until

from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.policy.live import live_policy, upon_version
from trunkline_client import LearningClient, NotFound, RouterAddress, RouteResult, TrunklineClient, Versioned

POLICY: Final = """
version: 2
fallback: none
collections:
  alpha:
    description: Money of the company.
    keywords: [invoice]
    examples: [Which invoices are overdue?, How long does our cash last?, Who approves a purchase?]
  beta:
    description: Running the services.
    keywords: [incident]
    examples: [Who is on call this week?, Which alert wakes somebody up?, What caused the outage?]
rules:
  - {name: money, when: {attributes: {department: [finance]}, keywords: [burn rate]}, collections: [alpha]}
  - {name: errors, when: {attributes: {department: [engineering]}, keywords: [burn rate]}, collections: [beta]}
  - {name: more-of-alpha, when: {previous: [alpha], keywords: [tell me more]}, collections: [alpha]}
templates:
  table: {keywords: [compare], text: "A table for {{question}}", variables: [question]}
model_classes:
  simple: {max_context_tokens: 4096}
default_model_class: simple
golden:
  - {query: Which invoice is overdue?, collections: [alpha]}
  - {query: Who declares an incident?, collections: [beta]}
"""
SWAPPED: Final = """
version: 2
fallback: none
collections:
  alpha: {keywords: [incident]}
  beta: {keywords: [invoice]}
"""


def _client(place: Place, region: str, **attributes: str) -> TrunklineClient:
    token = place.stack.identity.mint("somebody", tenant=world.INITECH, attributes=attributes)
    return TrunklineClient([RouterAddress(region, place.endpoint(region))], token)


def _learner(place: Place) -> LearningClient:
    regions = [place.stack.state.region(region_id) for region_id in (world.US, world.EU)]
    addresses = [
        RouterAddress(region.region_id, region.learning_endpoint)
        for region in regions
        if region is not None and region.learning_endpoint is not None
    ]
    return LearningClient(addresses, place.token(world.INITECH, roles=["admin"]))


async def _put(place: Place, yaml: str) -> tuple[int, bytes]:
    async with place.control() as control:
        found = await live_policy(control, world.INITECH)

        def put(entry: policies_pb.Policy) -> Awaitable[Versioned[policies_pb.Policy]]:
            entry.yaml = yaml
            return control.put_policy(entry)

        written = await upon_version(control, world.INITECH, found.value.version if found else 0, put)
    return written.value.version, written.map_token


def _chosen(result: RouteResult) -> list[str]:
    return [item.collection for item in result.trail.collections]


async def test_the_same_words_go_where_the_caller_s_department_sends_them(place: Place) -> None:
    """What the credential vouches for decides, in every region's router; a decision of one is not another's."""
    _, token = await _put(place, POLICY)
    for region in (world.US, world.EU):
        async with AsyncExitStack() as stack:
            finance = await stack.enter_async_context(_client(place, region, department="finance"))
            engineering = await stack.enter_async_context(_client(place, region, department="engineering"))
            for _ in range(2):  # fresh, then remembered
                money = await finance.route("What is our burn rate?", map_token=token, deadline_s=4.0)
                errors = await engineering.route("What is our burn rate?", map_token=token, deadline_s=4.0)
                assert (_chosen(money), _chosen(errors)) == (["alpha"], ["beta"])


async def test_a_session_a_template_and_a_class_of_models(place: Place) -> None:
    """The decision before decides a follow-up; what a caller needs for generating comes with the decision."""
    _, token = await _put(place, POLICY)
    async with _client(place, world.US) as client:
        client.read_after(token)
        first = await client.route("Compare invoice and receipt", expand_template=True, deadline_s=4.0)
        assert first.trail.decision is not None
        follow = await client.route(
            "Please tell me more", previous_decision_id=first.trail.decision.decision_id, deadline_s=4.0
        )
        lost = await client.route("Please tell me more", previous_decision_id="made up", deadline_s=4.0)
    assert _chosen(first) == _chosen(follow) == ["alpha"]
    assert "PREVIOUS_DECISION_UNKNOWN" in {item.reason for item in lost.trail.degradations}
    assert first.generation is not None
    assert first.generation.template is not None
    assert first.generation.model_class is not None
    assert (first.generation.template.name, first.generation.model_class.name) == ("table", "simple")
    assert "{{question}}" in first.generation.template.text
    assert [step.stage for step in first.trail.decision.steps][-1] == "LOGICAL"


async def test_feedback_is_kept_and_reported(place: Place) -> None:
    """Once for each caller and decision; only by whoever knows the decision and its text."""
    _, token = await _put(place, POLICY)
    async with _client(place, world.US) as client, _learner(place) as learner:
        client.read_after(token)
        decided = await client.route("Which invoice is overdue?", deadline_s=4.0)
        assert decided.trail.decision is not None
        decision_id = decided.trail.decision.decision_id
        text = "Which invoice is overdue?"
        first = await client.feedback(decision_id, text=text, accepted=[("alpha", "")])
        second = await client.feedback(decision_id, text=text, corrected="beta")
        with pytest.raises(NotFound, match="DECISION_UNKNOWN"):
            await client.feedback(decision_id[:-4] + "AAAA", text=text, corrected="beta")
        report = await until(lambda: learner.report(tenant_id=world.INITECH), lambda found: found.feedback_count >= 1)
    assert (first.kept, first.replaced, second.replaced) == (True, False, True)
    assert report.tenant_id == world.INITECH


async def test_a_learner_evaluates_a_policy_beside_the_live_one(place: Place) -> None:
    """Every stage's own answer for each query, and what the live policy says."""
    version, _ = await _put(place, POLICY)
    queries = [
        learning_pb.LabelledQuery(text="Which invoice is overdue?", collections=["alpha"]),
        learning_pb.LabelledQuery(text="Who gets up when a server fails at night?", collections=["beta"]),
    ]
    async with _learner(place) as learner:
        found = await learner.evaluate(queries, tenant_id=world.INITECH, yaml=SWAPPED, deadline_s=LONG_S * 4)
    assert found.live_version >= version
    assert [item.candidate.chosen[0].name for item in found.results[:1]] == ["beta"]
    assert [item.live.chosen[0].name for item in found.results] == ["alpha", "beta"]


async def test_a_bad_policy_is_rolled_back(place: Place) -> None:
    """The text of before is live again in every router, under a new version, without anybody's map token."""
    good, _ = await _put(place, POLICY)
    bad, token = await _put(place, SWAPPED)
    text = "Which invoice was paid twice?"
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(place.control())
        clients = [await stack.enter_async_context(_client(place, region)) for region in (world.US, world.EU)]
        for client in clients:
            assert _chosen(await client.route(text, map_token=token, deadline_s=4.0)) == ["beta"]
        back = await upon_version(
            control, world.INITECH, bad, lambda entry: control.roll_back_policy(world.INITECH, good, entry.revision)
        )
        for client in clients:
            await until(partial(client.route, text, deadline_s=4.0), lambda found: _chosen(found) == ["alpha"])
        versions = await control.policy_versions(world.INITECH, limit=2)
    assert back.value.version == bad + 1
    assert [(item.version, item.restored_version) for item in versions] == [(bad + 1, good), (bad, 0)]
