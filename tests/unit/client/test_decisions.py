"""How a decision came about, and what it picks for generating, as plain results; what feedback asks of a router."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import generation_pb2 as generation_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_client import (
    Assignment,
    Conflict,
    DecisionStep,
    Failure,
    FewShotExample,
    Generation,
    ModelClass,
    NotFound,
    PromptTemplate,
    Query,
    QuotaExhausted,
    RouterAddress,
    TrunklineError,
)
from trunkline_client.errors import error_class
from trunkline_client.methods import Repeat
from trunkline_client.requests import search_request
from trunkline_client.results import SearchResult, search_result
from trunkline_client.verdict import judge


def _result(response: routing_pb.SearchResponse) -> SearchResult:
    return search_result(response, RouterAddress("", "h:1"), ())


def test_a_decision_is_read_in_full() -> None:
    """Steps, comparisons, cost and the id by which feedback names it."""
    decision = trail_pb.Decision(
        strategy=trail_pb.STRATEGY_CLASSIFIER,
        decision_id="an-id",
        steps=[
            trail_pb.DecisionStep(
                stage=trail_pb.DECISION_STAGE_OWN_ROUTER,
                outcome=trail_pb.DECISION_STAGE_OUTCOME_SKIPPED_BREAKER,
                confidence=0.5,
                elapsed=Duration(nanos=250_000_000),
                cost_units=2.0,
            )
        ],
        assignments=[
            trail_pb.Assignment(experiment="a", arm="variant"),
            trail_pb.Assignment(experiment="b", arm="control", shadow=True, agrees=False),
        ],
        in_scope=0.0,
        cost_units=3.0,
        head_digest="ab",
    )

    result = _result(routing_pb.SearchResponse(trail=trail_pb.Trail(decision=decision)))

    read = result.trail.decision
    assert read is not None
    told = (read.strategy, result.decision_id, read.in_scope, read.cost_units, read.head_digest)
    assert told == ("CLASSIFIER", "an-id", 0.0, 3.0, "ab")
    assert read.steps == (DecisionStep("OWN_ROUTER", "SKIPPED_BREAKER", 0.5, 0.25, 2.0),)
    assert read.assignments == (Assignment("a", "variant", False, None), Assignment("b", "control", True, False))


def test_what_was_not_told_is_none() -> None:
    """An answer of an older router has neither an id nor a scope nor anything picked for generating."""
    result = _result(routing_pb.SearchResponse(trail=trail_pb.Trail(decision=trail_pb.Decision())))

    assert result.trail.decision is not None
    assert result.trail.decision.in_scope is None
    assert (result.decision_id, result.generation) == ("", None)
    assert _result(routing_pb.SearchResponse()).decision_id == ""


def test_what_is_picked_for_generating_is_plain() -> None:
    """Template with its examples, model class with its limits, and the reasons."""
    message = generation_pb.Generation(
        template=generation_pb.PromptTemplate(
            name="how-to",
            version=3,
            variables=["context"],
            text="Use {{context}}.",
            few_shot=[generation_pb.FewShotExample(input="i", output="o")],
            confidence=0.5,
        ),
        model_class=generation_pb.ModelClass(name="simple", max_context_tokens=4096, complexity=0.25),
        reasons=["short"],
    )

    assert _result(routing_pb.SearchResponse(generation=message)).generation == Generation(
        PromptTemplate("how-to", 3, ("context",), "Use {{context}}.", (FewShotExample("i", "o"),), 0.5),
        ModelClass("simple", 0.0, 4096, 0.25, 0.0),
        ("short",),
    )
    half = _result(routing_pb.SearchResponse(generation=generation_pb.Generation()))
    assert half.generation == Generation(None, None, ())


def test_a_session_names_its_decision_before() -> None:
    """Rules may look at it; the template's text is only sent where it is wanted."""
    request = search_request(Query(text="more", previous_decision_id="an-id", expand_template=True))

    assert (request.previous_decision_id, request.expand_template) == ("an-id", True)


@pytest.mark.parametrize(
    ("reason", "status", "kind"),
    [
        ("DECISION_UNKNOWN", "NOT_FOUND", NotFound),
        ("NO_COLLECTION_MATCHES", "NOT_FOUND", NotFound),
        ("POLICY_VERSION_UNKNOWN", "NOT_FOUND", NotFound),
        ("ROLLOUT_UNKNOWN", "NOT_FOUND", NotFound),
        ("ROLLOUT_ACTIVE", "FAILED_PRECONDITION", Conflict),
        ("FEEDBACK_LIMITED", "RESOURCE_EXHAUSTED", QuotaExhausted),
    ],
)
def test_refusals_about_decisions_say_what_to_do(reason: str, status: str, kind: type[TrunklineError]) -> None:
    """Each belongs to a family, whose own advice would not help here."""
    error = error_class(reason, status)(Failure(reason, status, "text"))

    assert isinstance(error, kind)
    assert error.hint != kind.advice


def test_who_has_said_enough_does_not_go_on_at_another_router() -> None:
    """The bound on one caller's feedback is not meant to grow with the routers."""
    failure = Failure("FEEDBACK_LIMITED", "RESOURCE_EXHAUSTED", "text")

    assert judge(failure, repeat=Repeat.FREELY, share_was_part=False, renewed_token=False).everywhere
