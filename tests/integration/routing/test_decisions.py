"""Decisions over real gRPC: their ids, what callers say of them, and who may read documents for a policy."""

from __future__ import annotations

import grpc
from tests.integration.routing.front_door import FrontDoor

from trunkline.routing.v1 import routing_service_pb2 as routing_pb


async def test_feedback_finds_its_decision(front_door: FrontDoor) -> None:
    """By the id of a search's trail, for its own tenant alone, and kept in the router's jurisdiction."""
    decided = (await front_door.search("what does gdpr say")).response.trail.decision
    request = routing_pb.RecordFeedbackRequest(
        decision_id=decided.decision_id, text="what does gdpr say", corrected_collection="both"
    )
    answer = await front_door.call("RecordFeedback", request)
    assert (answer.code, answer.response.kept) == (grpc.StatusCode.OK, True)
    other = await front_door.call("RecordFeedback", request, token=front_door.token(tenant="globex"))
    assert other.reason == "DECISION_UNKNOWN"


async def test_a_remembered_decision_has_an_id_of_its_own(front_door: FrontDoor) -> None:
    """Each request can be told of apart, and the steps of the first are told again."""
    first, second = [
        (await front_door.call("Route", routing_pb.RouteRequest(text="gdpr once more"))).response.trail.decision
        for _ in range(2)
    ]
    assert second.cached
    assert first.decision_id != second.decision_id
    assert len(second.steps) == len(first.steps) + 1


async def test_an_oversized_previous_id_is_refused(front_door: FrontDoor) -> None:
    """Before any work is done."""
    answer = await front_door.search("gdpr", previous_decision_id="x" * 513)
    assert (answer.reason, list(answer.fields)) == ("FIELD_INVALID", ["previous_decision_id"])


async def test_documents_are_for_admins(front_door: FrontDoor) -> None:
    """Reading them for a policy needs the tenant's role."""
    answer = await front_door.call("SampleDocuments", routing_pb.SampleDocumentsRequest(collection="both"))
    assert answer.code is grpc.StatusCode.PERMISSION_DENIED
