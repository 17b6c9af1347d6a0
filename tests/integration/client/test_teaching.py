# ruff: noqa: N802  # method names are the contract's
"""Feedback, samples of documents and the learner, over real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from tests.integration.client.fake_router import Cut, FakeRouter, Refuse, refusal_status, running

from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline.routing.v1 import learning_service_pb2_grpc as learning_grpc
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_client import (
    Document,
    FeedbackResult,
    InvalidRequest,
    LearningClient,
    NotFound,
    PermissionDenied,
    QuotaExhausted,
    TrunklineClient,
    Unavailable,
)

Context = grpc.aio.ServicerContext[Any, Any]


@pytest.fixture
async def routers() -> AsyncIterator[list[FakeRouter]]:
    async with running("near", "far") as started:
        yield started


@pytest.fixture
async def client(routers: list[FakeRouter]) -> AsyncIterator[TrunklineClient]:
    async with TrunklineClient([router.address for router in routers], token="jwt") as connected:
        yield connected


async def test_feedback_arrives_as_it_was_said(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """Results with their documents where they are named, each with its signal."""
    first = await client.feedback(
        "an-id", text="query", accepted=["files", ("notes", "n#1")], clicked=["files"], rejected=[("old", "o")]
    )
    second = await client.feedback("an-id", corrected="notes")

    told, corrected = (seen.request for seen in routers[0].seen)
    signals = routing_pb.FeedbackSignal
    assert (first, second) == (FeedbackResult(kept=True, replaced=False), FeedbackResult(kept=True, replaced=True))
    assert (told.decision_id, told.text, told.corrected_collection) == ("an-id", "query", "")
    assert [(one.collection, one.document_id, signals.Name(one.signal)) for one in told.results] == [
        ("files", "", "FEEDBACK_SIGNAL_ACCEPTED"),
        ("notes", "n#1", "FEEDBACK_SIGNAL_ACCEPTED"),
        ("files", "", "FEEDBACK_SIGNAL_CLICKED"),
        ("old", "o", "FEEDBACK_SIGNAL_REJECTED"),
    ]
    assert corrected.corrected_collection == "notes"


async def test_feedback_goes_on_at_another_router(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """A repeat replaces what was said, so it is harmless; what no message can hold is not sent."""
    routers[0].script = [Cut()]
    assert (await client.feedback("an-id", corrected="notes")).kept
    assert len(routers[1].seen) == 1
    with pytest.raises(InvalidRequest):
        await client.feedback("an-id", corrected=7)  # type: ignore[arg-type]  # wrong on purpose


async def test_whoever_said_enough_is_told_so(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """The client does not turn to another router, which counts for itself."""
    routers[0].script = [Refuse("FEEDBACK_LIMITED", retry_delay_s=30.0)]
    with pytest.raises(QuotaExhausted) as limited:
        await client.feedback("an-id", corrected="notes", deadline_s=2.0)
    assert limited.value.retry_delay_s == 30.0
    assert routers[1].seen == []


async def test_an_unknown_decision_is_not_found(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """Nor would it be anywhere else."""
    routers[0].script = [Refuse("DECISION_UNKNOWN")]
    with pytest.raises(NotFound, match="7 days"):
        await client.feedback("an-id", corrected="notes")


async def test_samples_are_documents(client: TrunklineClient, routers: list[FakeRouter]) -> None:
    """Read after the client's own changes."""
    client.read_after(b"token")
    assert await client.sample_documents("files", 2) == [Document("d0", "t"), Document("d1", "t")]
    [seen] = routers[0].seen
    assert (seen.request.collection, seen.request.map_token) == ("files", b"token")


class Learner(learning_grpc.LearningServiceServicer):
    """Answers, or refuses by a script."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.refusals: list[grpc.Status] = []

    async def _meet(self, request: Any, context: Context) -> None:
        self.asked.append(request)
        if self.refusals:
            await context.abort_with_status(self.refusals.pop(0))

    async def EvaluatePolicy(
        self, request: learning_pb.EvaluatePolicyRequest, context: Context
    ) -> learning_pb.EvaluatePolicyResponse:
        await self._meet(request, context)
        return learning_pb.EvaluatePolicyResponse(live_version=len(request.queries))

    async def GetRoutingReport(
        self, request: learning_pb.GetRoutingReportRequest, context: Context
    ) -> learning_pb.GetRoutingReportResponse:
        await self._meet(request, context)
        return learning_pb.GetRoutingReportResponse(tenant_id=request.tenant_id)

    async def Learn(self, request: learning_pb.LearnRequest, context: Context) -> learning_pb.LearnResponse:
        await self._meet(request, context)
        return learning_pb.LearnResponse(outcome="nothing")


@pytest.fixture
async def learner() -> AsyncIterator[tuple[Learner, LearningClient]]:
    played, server = Learner(), grpc.aio.server()
    learning_grpc.add_LearningServiceServicer_to_server(played, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with LearningClient([f"127.0.0.1:{port}"], token="jwt") as client:
        yield played, client
    await server.stop(None)


async def test_the_learner_answers(learner: tuple[Learner, LearningClient]) -> None:
    """With the contract's own messages."""
    played, client = learner
    queries = [learning_pb.LabelledQuery(text="q", collections=["files"])]

    assert (await client.evaluate(queries, tenant_id="acme", yaml="version: 2")).live_version == 1
    assert (await client.report(tenant_id="acme")).tenant_id == "acme"
    assert (await client.learn(tenant_id="acme")).outcome == "nothing"
    assert played.asked[0].yaml == "version: 2"


async def test_the_learner_refuses_as_all_others_do(learner: tuple[Learner, LearningClient]) -> None:
    """A look at the feedback is never asked for twice, because each is a step."""
    played, client = learner
    played.refusals = [refusal_status(Refuse("METHOD_NOT_ALLOWED"))]
    with pytest.raises(PermissionDenied):
        await client.report()
    played.refusals = [refusal_status(Refuse("BACKEND_UNAVAILABLE"))]
    with pytest.raises(Unavailable):
        await client.learn()
    assert len(played.asked) == 2
