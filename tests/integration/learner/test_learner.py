"""A learner over real etcd, control role, blobs and feedback: heads, evaluation, feedback to rollout, refusals."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import jwt
import pytest
from tests.integration.learner.place import Place, open_place, reason_of
from tests.integration.map.etcd_server import running_etcd
from tests.unit.learner.test_learning import feedback
from tests.unit.learner.world import text_of

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A region with a learner, for this module."""
    folder: Path = tmp_path_factory.mktemp("learner")
    async with running_etcd(folder) as etcd, open_place(etcd, folder) as opened:
        yield opened


async def test_feedback_becomes_a_rollout(place: Place) -> None:
    """A policy gets a head in every router's pointer; feedback teaches; the rollout's text gets a head too."""
    await place.put_policy(text_of("automatic"))
    head = await place.headed()
    for record in feedback():
        await place.store.append("eu", replace(record, at_s=time.time()))
    learned = await place.learner.Learn(learning_pb.LearnRequest(), metadata=place.admin(), timeout=60)

    assert learned.rollout_id, learned.outcome
    assert learned.proposal_success > learned.live_success
    policy = (await place.control.policy("acme")).value
    assert policy.rollout.rollout_id == learned.rollout_id
    assert policy.rollout.state == policies_pb.ROLLOUT_STATE_SHADOW
    assert policy.rollout.actor == "trunkline-learner@eu-west"
    assert policy.heads[0].digest == head.digest
    assert (await place.headed_rollout()).policy_digest == policy.rollout.digest
    await _report_tells(place)


async def _report_tells(place: Place) -> None:
    """The golden set went through the router, and the last outcome is told."""
    report = await place.learner.GetRoutingReport(
        learning_pb.GetRoutingReportRequest(), metadata=place.admin(), timeout=10
    )
    parts = {part.name: part for part in report.parts}
    assert (parts["golden"].value, parts["golden"].sample_count) == (0.5, 2)
    assert set(place.played.routed) == {"pay my invoice", "the router is broken"}
    assert report.feedback_count == 40
    assert report.objective == 0.95
    assert "shadow" in report.last_outcome


async def test_a_candidate_is_evaluated_beside_the_live_policy(place: Place) -> None:
    """Every stage's own answer, with what semantics rest on."""
    await place.put_policy(text_of())
    candidate = text_of().replace("keywords: [invoice]", "keywords: [bill]")
    request = learning_pb.EvaluatePolicyRequest(
        yaml=candidate,
        queries=[learning_pb.LabelledQuery(text=text) for text in ("send the bill", "the router is down")],
    )
    response = await place.learner.EvaluatePolicy(request, metadata=place.admin(), timeout=60)

    bill, router = response.results
    assert [each.name for each in bill.candidate.chosen] == ["billing"]
    assert bill.candidate.strategy == trail_pb.STRATEGY_RULES
    assert bill.live.strategy != trail_pb.STRATEGY_RULES
    assert router.live.logical[0].name == router.live.semantic[0].name == "network"
    assert response.head_kind == learning_pb.HEAD_KIND_PROTOTYPES
    assert response.example_count > 0


@pytest.mark.parametrize(
    ("claims", "tenant_id", "reason"),
    [
        ({"tenant": "acme"}, "", "METHOD_NOT_ALLOWED"),
        ({"tenant": "acme", "roles": ["admin"]}, "yank", "TENANT_MISMATCH"),
        ({"tenant": "yank", "roles": ["admin"]}, "", "RESIDENCY_ROUTER_OUTSIDE"),
        ({"roles": ["operator"]}, "nobody", "TENANT_UNKNOWN"),
    ],
)
async def test_whom_a_learner_refuses(place: Place, claims: dict[str, object], tenant_id: str, reason: str) -> None:
    """Other tenants, persons without the role, and tenants whose content may not come here."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await place.learner.Learn(
            learning_pb.LearnRequest(tenant_id=tenant_id), metadata=place.credential(**claims), timeout=10
        )
    assert reason_of(refused.value) == reason


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (learning_pb.EvaluatePolicyRequest(), "FIELD_INVALID"),
        (learning_pb.EvaluatePolicyRequest(queries=[learning_pb.LabelledQuery(text=" ")]), "FIELD_INVALID"),
        (learning_pb.EvaluatePolicyRequest(yaml="[", queries=[learning_pb.LabelledQuery(text="a")]), "FIELD_INVALID"),
        (
            learning_pb.EvaluatePolicyRequest(
                yaml="version: 2\ncollections: {gone: {keywords: [a]}}", queries=[learning_pb.LabelledQuery(text="a")]
            ),
            "COLLECTION_UNKNOWN",
        ),
    ],
)
async def test_what_cannot_be_evaluated(place: Place, request_: learning_pb.EvaluatePolicyRequest, reason: str) -> None:
    """Nothing, white space, no policy, a collection that is not there."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await place.learner.EvaluatePolicy(request_, metadata=place.admin(), timeout=10)
    assert reason_of(refused.value) == reason


async def test_a_learner_acts_for_one_tenant_at_a_time(place: Place) -> None:
    """Its credentials name the tenant, and no more roles than `service`."""
    await place.put_policy(text_of().replace("cable is cut", "cable was torn"))
    await place.headed()
    claims = [jwt.decode(each.split()[1], options={"verify_signature": False}) for each in place.played.credentials]
    assert claims
    assert {(each["act_tenant"], tuple(each["roles"])) for each in claims} == {("acme", ("service",))}
