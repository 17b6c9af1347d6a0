# ruff: noqa: N802  # method names are the contract's
"""A tenant's own routing service, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.contract.chooser_suite import ChooserSuite, Role, Said, choose

from trunkline.routing.v1 import own_router_service_pb2 as own_pb
from trunkline.routing.v1 import own_router_service_pb2_grpc as own_grpc
from trunkline_mesh.errors import BackendUnavailable, CredentialExpired, DomainError, Overloaded, invalid_field
from trunkline_mesh.status import to_trailers
from trunkline_routing.edge.chooser_files import OwnRouterPlace, read_own_routers
from trunkline_routing.edge.own_router_client import OwnRouterClient

Context = grpc.aio.ServicerContext[Any, Any]


class OwnRouter(own_grpc.OwnRouterServiceServicer):
    """Plays a role on the real contract."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.refusal: DomainError | None = None

    async def ChooseCollections(
        self, request: own_pb.ChooseCollectionsRequest, context: Context
    ) -> own_pb.ChooseCollectionsResponse:
        role = self.role
        role.asked.append(f"{request} {context.invocation_metadata()}")
        if role.hangs or role.hangs_midway:
            await asyncio.Event().wait()
        if self.refusal is not None:
            code, message, trailers = to_trailers(self.refusal)
            context.set_trailing_metadata(trailers)
            await context.abort(code, message)
        if role.fails:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "I have secrets")
        response = own_pb.ChooseCollectionsResponse()
        for said in role.says:
            response.choices.add(collection=said.name, confidence=said.confidence, reason=said.reason)
        if role.answer_bytes:
            response.choices.add(collection="billing", reason="x" * role.answer_bytes)
        return response


class OwnRouterOutside:
    """The service of two tenants, and the client that knows it."""

    def __init__(self) -> None:
        self.role = Role()
        self.service = OwnRouter(self.role)
        self._server = grpc.aio.server()
        own_grpc.add_OwnRouterServiceServicer_to_server(self.service, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        place = OwnRouterPlace(target=f"127.0.0.1:{port}", jurisdiction="us", tls=False)
        self.chooser = OwnRouterClient({"acme": place, "cedar": place})

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)


@pytest.fixture
async def outside() -> AsyncIterator[OwnRouterOutside]:
    played = OwnRouterOutside()
    await played.start()
    yield played
    await played.chooser.close()
    await played.stop()


class TestOwnRouter(ChooserSuite):
    """The contract, and what only this one can do."""

    async def test_several_are_sorted_and_bounded(self, outside: OwnRouterOutside) -> None:
        """Surest first, each once, as many as were asked for."""
        outside.role.says = [Said("billing", 0.25), Said("support", 0.5), Said("billing", 0.75)]
        assert await choose(outside.chooser) == [("support", 0.5), ("billing", 0.25)]
        assert await choose(outside.chooser, limit=1) == [("support", 0.5)]

    @pytest.mark.parametrize("refusal", [invalid_field("text", "no"), CredentialExpired(), Overloaded()])
    async def test_it_cannot_speak_for_us(self, outside: OwnRouterOutside, refusal: DomainError) -> None:
        """A refusal in the words of our own contract does not reach the caller as one of ours."""
        outside.service.refusal = refusal
        with pytest.raises(BackendUnavailable):
            await choose(outside.chooser)


def test_places_come_from_a_file(tmp_path: Path) -> None:
    """Checked when the router starts; without a file nobody has one."""
    path = tmp_path / "own.yaml"
    path.write_text("acme: {target: 'router.acme.example:443', jurisdiction: eu}")
    assert read_own_routers(path) == {"acme": OwnRouterPlace(target="router.acme.example:443", jurisdiction="eu")}
    assert read_own_routers(path)["acme"].tls
    assert read_own_routers(None) == {}


@pytest.mark.parametrize(
    "text",
    [
        "acme",
        "[1]",
        "Acme: {}",
        "acme: {target: here, jurisdiction: eu}",
        "a: {target: 'h:1', jurisdiction: eu, x: 1}",
        "{",
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """By its name, before anything is served."""
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"own\.yaml"):
        read_own_routers(path)
