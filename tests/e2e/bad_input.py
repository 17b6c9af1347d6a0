"""Everything that a caller can get wrong, against the running stack: one status with one reason each, and no harm."""

from __future__ import annotations

import asyncio
from typing import Final

import grpc
import pytest
from tests.e2e import world
from tests.e2e.bad_input_cases import CASES, CONTROL, MARK, Bad, search
from tests.e2e.place import LONG_S, Place, undisturbed
from tests.integration.mesh.caller import Answer, Caller

from trunkline_local import ProcessState, Service

_SERVICE: Final = {
    Service.ROUTING: "trunkline.routing.v1.RoutingService/",
    Service.RETRIEVAL: "trunkline.retrieval.v1.RetrievalService/",
    Service.RERANK: "trunkline.rerank.v1.RerankService/",
    Service.INFERENCE: "trunkline.inference.v1.InferenceService/",
    Service.ADMISSION: "trunkline.admission.v1.AdmissionService/",
    CONTROL: "trunkline.control.v1.",
}


async def _ask(place: Place, bad: Bad) -> Answer:
    endpoint = place.stack.state.control_endpoint
    if bad.where != CONTROL:
        endpoint = place.endpoint(world.US, Service(bad.where))
    payload = bad.request if isinstance(bad.request, bytes) else bad.request.SerializeToString()
    async with grpc.aio.insecure_channel(endpoint) as channel:
        return await Caller(channel).call(
            path=f"/{_SERVICE[bad.where]}{bad.method}",
            shape="ServerStream" if bad.method == "Export" else "Unary",
            raw=payload,
            token=bad.credential(place),
            metadata=bad.metadata,
            timeout_s=LONG_S,
        )


@pytest.mark.parametrize("name", CASES)
async def test_bad_input_gets_its_reason(place: Place, name: str) -> None:
    """The code and the reason of the contract, exactly one ErrorInfo, and none of the caller's own text."""
    answer = await _ask(place, CASES[name])
    assert ((answer.code, answer.reason), answer.infos) == (CASES[name].expected, 1), answer.text
    assert MARK not in answer.everything


async def test_a_message_that_is_too_large_is_refused_by_the_transport(place: Place) -> None:
    """9 MiB are not read: gRPC itself says RESOURCE_EXHAUSTED, on every service."""
    payload = search(text="x" * (9 << 20)).SerializeToString()
    for service, prefix in _SERVICE.items():
        if service == CONTROL:
            continue
        method = {"admission": "Admit", "inference": "Embed", "rerank": "Rerank"}.get(service, "Search")
        endpoint = place.endpoint(world.US, Service(service))
        answer = await place.raw(endpoint, f"/{prefix}{method}", payload, token=place.token())
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_method_that_does_not_exist(place: Place) -> None:
    """It is UNIMPLEMENTED, with or without a credential."""
    for token in ("", place.token()):
        answer = await place.raw(
            place.endpoint(world.US), "/trunkline.routing.v1.RoutingService/Nothing", b"", token=token
        )
        assert answer.code is grpc.StatusCode.UNIMPLEMENTED


async def test_the_stack_is_unharmed(place: Place) -> None:
    """All of it at once, twice over: every process lives, and the next question is answered as before."""
    answers = await asyncio.gather(*(_ask(place, bad) for bad in (*CASES.values(), *CASES.values())))
    assert {answer.code for answer in answers} & {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN} == set()
    assert {each.state for each in place.stack.state.processes} == {ProcessState.RUNNING}
    async with place.client(world.US) as client:
        result = await undisturbed(
            lambda: client.search("Where do I set a breakpoint?", deadline_s=LONG_S),
        )
    assert result.hits[0].document_id == "pdb"
