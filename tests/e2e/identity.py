"""Who may call: every method of every running service, found through reflection."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tests.e2e import world
from tests.e2e.place import LONG_S, Place, health
from tests.integration.mesh.caller import Answer, Caller

from trunkline_local import DevIdentity, Service

OPEN = frozenset({"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"})
"""Health needs no credential anywhere; reflection none on the loopback of a local stack."""
CHANGES = ("Put", "Delete", "Drain", "Undrain", "Approve", "Reject", "Import", "Renew", "RollBack", "End")
"""How the names of methods begin that change the map."""
CONTROL_METHODS, CONTROL_CHANGES, LEARNER_METHODS = 41, 19, 3


@dataclass(frozen=True)
class Found:
    """A method of a running service."""

    endpoint: str
    path: str
    shape: str


def _methods(endpoint: str) -> list[Found]:
    with grpc.insecure_channel(endpoint) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool: Any = DescriptorPool(database)
        found = []
        for name in set(database.get_services()) - OPEN:
            for method in pool.FindServiceByName(name).methods:
                shape = {
                    (False, False): "Unary",
                    (False, True): "ServerStream",
                    (True, False): "ClientStream",
                    (True, True): "Bidi",
                }[method.client_streaming, method.server_streaming]
                found.append(Found(endpoint, f"/{name}/{method.name}", shape))
        return found


def _endpoints(place: Place) -> list[str]:
    regions = [place.endpoint(region, service) for region in world.REGIONS for service in Service]
    learners = [region.learning_endpoint for region in place.stack.state.regions if region.learning_endpoint]
    return [*regions, place.stack.state.control_endpoint, *learners]


async def _call_all(methods: list[Found], token: str) -> dict[str, Answer]:
    async def call(method: Found) -> Answer:
        async with grpc.aio.insecure_channel(method.endpoint) as channel:
            while True:
                answer = await Caller(channel).call(
                    path=method.path, shape=method.shape, raw=b"", token=token, timeout_s=LONG_S
                )
                # grpc.aio's own client says so when a server refuses a stream before the request was written.
                if answer.text != "Internal error from Core":
                    return answer

    answers = await asyncio.gather(*map(call, methods))
    return {f"{method.endpoint}{method.path}": answer for method, answer in zip(methods, answers, strict=True)}


async def test_no_method_answers_without_a_good_credential(place: Place, tmp_path: Path) -> None:
    """None, a foreign, an expired, a garbled one: UNAUTHENTICATED from every method; health answers everybody."""
    listed = await asyncio.gather(*(asyncio.to_thread(_methods, endpoint) for endpoint in _endpoints(place)))
    methods = [method for found in listed for method in found]
    stranger = DevIdentity(tmp_path, DevIdentity.create(tmp_path).key, place.stack.identity.key_id)
    claims: dict[str, Any] = {"tenant": world.ACME, "roles": ("operator", "admin")}
    expired = place.stack.identity.mint("late", lifetime_s=60, now=lambda: time.time() - 3600, **claims)
    credentials = {
        "": "CREDENTIAL_MISSING",
        stranger.mint("stranger", **claims): "CREDENTIAL_INVALID",
        expired: "CREDENTIAL_EXPIRED",
        "not.a.token": "CREDENTIAL_INVALID",
    }
    per_region = {path for found in listed[: len(Service)] for path in (method.path for method in found)}
    assert len(per_region) == 7 + 4 + 1 + 3 + 6 + 4
    assert len(methods) == 3 * (len(per_region) + LEARNER_METHODS) + CONTROL_METHODS
    unauthenticated_ok = 0
    for token, reason in credentials.items():
        answers = await _call_all(methods, token)
        unauthenticated_ok += sum(answer.code is grpc.StatusCode.OK for answer in answers.values())
        got = {path: (answer.code, answer.reason, answer.infos) for path, answer in answers.items()}
        assert got == dict.fromkeys(got, (grpc.StatusCode.UNAUTHENTICATED, reason, 1))
        assert not any(token and token in answer.everything for answer in answers.values())
    assert unauthenticated_ok == 0
    assert all(await asyncio.gather(*map(health, _endpoints(place))))


async def test_a_tenants_credential_changes_no_map(place: Place) -> None:
    """The roles decide: a tenant without one changes nothing, an admin only its own, and nobody leases but services."""
    methods = await asyncio.to_thread(_methods, place.stack.state.control_endpoint)
    changes = [method for method in methods if method.path.rpartition("/")[2].startswith(CHANGES)]
    assert len(changes) == CONTROL_CHANGES
    answers = await _call_all(changes, place.token())
    admission = await asyncio.to_thread(_methods, place.endpoint(world.US, Service.ADMISSION))
    lease = [method for method in admission if method.path.endswith("/Lease")]
    answers |= await _call_all(lease, place.token(roles=["admin"]))
    got = {path: (answer.code, answer.reason) for path, answer in answers.items()}
    assert got == dict.fromkeys(got, (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED"))


@pytest.mark.parametrize("service", [Service.ROUTING, Service.RETRIEVAL, Service.INFERENCE, Service.RERANK])
async def test_an_operator_without_a_tenant_sees_no_data(place: Place, service: Service) -> None:
    """An operator's credential names no tenant, so no method that touches a tenant's data takes it."""
    methods = await asyncio.to_thread(_methods, place.endpoint(world.US, service))
    data = [method for method in methods if not method.path.endswith("/ListModels")]
    answers = await _call_all(data, place.operator())
    # Samples are for operators too, of a tenant that the credential must name.
    samples = {path: answer.reason for path, answer in answers.items() if path.endswith("/SampleDocuments")}
    assert set(samples.values()) <= {"TENANT_MISMATCH"}
    assert {answer.reason for path, answer in answers.items() if path not in samples} == {"METHOD_NOT_ALLOWED"}
