"""`trunkline policy test`, `report` and `learn` against a learner behind a real server, and `trunkline feedback`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import grpc
import pytest
from tests.integration.cli.command import Command

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline.routing.v1 import learning_service_pb2_grpc as learning_grpc

POLICY: Final = "version: 2\nslo: {accuracy: 0.9}\ncollections: {a: {keywords: [x]}, b: {keywords: [y]}}\n"
QUESTIONS: Final = "text,collection\n" + "".join(f"question {number},{'ab'[number % 2]}\n" for number in range(300))


class Learner(learning_grpc.LearningServiceServicer):
    """Decides by the last letter's number: even to `a`, odd to `b`; the live policy sends everything to `a`."""

    async def EvaluatePolicy(  # noqa: N802  # the contract's name
        self, request: learning_pb.EvaluatePolicyRequest, context: object
    ) -> learning_pb.EvaluatePolicyResponse:
        response = learning_pb.EvaluatePolicyResponse(
            live_version=2, head_kind=learning_pb.HEAD_KIND_PROTOTYPES, example_count=8
        )
        for query in request.queries:
            name = "ab"[int(query.text.split()[-1]) % 2]
            response.results.append(learning_pb.EvaluatedQuery(candidate=_decided(name, 0.7), live=_decided("a", 0.9)))
        return response

    async def GetRoutingReport(  # noqa: N802  # the contract's name
        self, request: learning_pb.GetRoutingReportRequest, context: object
    ) -> learning_pb.GetRoutingReportResponse:
        return learning_pb.GetRoutingReportResponse(tenant_id=request.tenant_id, objective=0.95, feedback_count=3)

    async def Learn(  # noqa: N802  # the contract's name
        self, request: learning_pb.LearnRequest, context: object
    ) -> learning_pb.LearnResponse:
        return learning_pb.LearnResponse(
            outcome="a policy is proposed", rollout_id="r1", live_success=0.5, proposal_success=0.9, sample_count=20
        )


def _decided(name: str, confidence: float) -> learning_pb.EvaluatedDecision:
    target = learning_pb.ScoredTarget(name=name, confidence=confidence)
    return learning_pb.EvaluatedDecision(
        strategy=trail_pb.STRATEGY_SEMANTIC, chosen=[target], semantic=[target], in_scope=0.9, similarity=0.6
    )


@pytest.fixture
async def trunkline(tmp_path: Path) -> AsyncIterator[Command]:
    """The command with files to test, and where the learner is."""
    server = grpc.aio.server()
    learning_grpc.add_LearningServiceServicer_to_server(Learner(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "questions.csv").write_text(QUESTIONS)
    yield Command(tmp_path, {"TRUNKLINE_TOKEN": "token", "LEARNER": f"127.0.0.1:{port}"})
    await server.stop(None)


def _arguments(trunkline: Command, *arguments: str) -> tuple[str, ...]:
    return ("policy", *arguments, "--tenant", "acme", "--learner", trunkline.env["LEARNER"])


async def test_labelled_queries_are_decided_and_compared(trunkline: Command) -> None:
    """In batches; figures of both policies; below the least accuracy the command fails."""
    test = _arguments(trunkline, "test", "questions.csv", "--policy", "policy.yaml")
    done = await trunkline(*test, "--json")
    shown = await trunkline(*test)
    beyond = await trunkline(
        *_arguments(trunkline, "test", "questions.csv", "--policy", "policy.yaml"), "--min-accuracy", "1.01"
    )
    strict = await trunkline(*test, "--min-accuracy", "1.0")

    assert done.code == 0, done.err
    assert (done.data["figures"]["accuracy"], done.data["live_figures"]["accuracy"]) == (1.0, 0.5)
    assert (done.data["better"], len(done.data["results"])) == (150, 300)
    assert "against the live policy 150 queries would be decided otherwise: 150 better, 0 worse" in shown.out
    assert "... and 130 more" in shown.out
    assert (beyond.code, strict.code) == (2, 0)


async def test_what_is_too_bad_fails_a_build(trunkline: Command) -> None:
    """With the figures all the same."""
    (trunkline.home / "wrong.csv").write_text("question 0,b\nquestion 1,b\n")
    done = await trunkline(
        *_arguments(trunkline, "test", "wrong.csv", "--policy", "policy.yaml"), "--min-accuracy", "0.9", "--json"
    )

    assert done.code == 1
    assert (done.data["failed"], done.data["figures"]["accuracy"]) == (True, 0.5)


async def test_fitted_thresholds_are_written_into_the_file(trunkline: Command) -> None:
    """What the file says otherwise stays; without --policy there is no file to write to."""
    test = _arguments(trunkline, "test", "questions.csv")
    done = await trunkline(*test, "--policy", "policy.yaml", "--fit", "--write", "--json")
    nowhere = await trunkline(*test, "--fit", "--write")
    text = (trunkline.home / "policy.yaml").read_text()

    assert done.code == 0, done.err
    assert done.data["written"]
    assert text.startswith("version: 2\nthresholds:\n  logical: ")
    assert text.endswith(POLICY.removeprefix("version: 2\n"))
    assert nowhere.code == 2


async def test_a_report_and_a_look_at_the_feedback(trunkline: Command) -> None:
    """As lines, and as data."""
    report = await trunkline(*_arguments(trunkline, "report"))
    learned = await trunkline(*_arguments(trunkline, "learn"))
    data = await trunkline(*_arguments(trunkline, "learn"), "--json")

    assert report.out.startswith("accuracy    not measured yet; objective 95%")
    assert "held-back feedback, 20 samples: live policy 50.0% right, proposal 90.0%" in learned.out
    assert "rollout r1; `trunkline policy rollout show --tenant acme` tells more" in learned.out
    assert data.data["outcome"]["rollout_id"] == "r1"


async def test_wrong_uses_are_told(trunkline: Command) -> None:
    """Before anything is asked."""
    address = await trunkline("policy", "report", "--tenant", "acme", "--learner", "nowhere")
    nothing = await trunkline("feedback", "id", "--router", "127.0.0.1:1")
    form = await trunkline("feedback", "id", "--accepted", "/document", "--router", "127.0.0.1:1")

    assert (address.code, nothing.code, form.code) == (2, 2, 2)
    assert "needs --accepted, --clicked, --rejected or --corrected" in nothing.err
