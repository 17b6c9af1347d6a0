"""What an operator does by hand: the real grpcurl binary against a running router."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.e2e import world
from tests.e2e.place import Place
from tests.fixtures.servers import unavailable

from trunkline_local.binaries import find_grpcurl
from trunkline_local.errors import BinaryMissingError


def _grpcurl() -> Path:
    try:
        return find_grpcurl()
    except BinaryMissingError as exc:
        unavailable(exc)


async def _run(program: Path, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(program), "-plaintext", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_grpcurl_lists_checks_and_searches(place: Place) -> None:
    """`list` and health need no credential; `Search` does, and answers with the trail."""
    grpcurl, router = _grpcurl(), place.endpoint(world.US)
    search = ("-d", '{"text": "Where do I set a breakpoint?", "top_k": 3}', router)
    method = "trunkline.routing.v1.RoutingService/Search"
    credential = ("-H", f"authorization: Bearer {place.token()}")

    _, listed = await _run(grpcurl, router, "list")
    _, control = await _run(grpcurl, place.stack.state.control_endpoint, "list")
    _, healthy = await _run(grpcurl, router, "grpc.health.v1.Health/Check")
    code, found = await _run(grpcurl, "-max-time", "30", *credential, *search, method)
    refused, why = await _run(grpcurl, *search, method)

    assert "trunkline.routing.v1.RoutingService" in listed.split()
    assert "trunkline.control.v1.CollectionMapService" in control.split()
    assert json.loads(healthy) == {"status": "SERVING"}
    assert code == 0, found
    answer = json.loads(found)
    assert answer["hits"][0]["document"]["document_id"] == "pdb"
    assert answer["trail"]["decision"]["strategy"] == "STRATEGY_RULES"
    assert "DEGRADATION_REASON_DEADLINE_CAPPED" in {each["reason"] for each in answer["trail"]["degradations"]}
    assert refused != 0
    assert "Unauthenticated" in why
    assert "CREDENTIAL_MISSING" in why
