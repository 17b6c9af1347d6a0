"""Several replicas over one store: one limit; and a store that is lost, slow or away under open permits."""

from __future__ import annotations

import asyncio
import secrets

import grpc
import pytest
from redis.asyncio import Redis
from tests.integration.admission.conftest import Admission, Serve

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_local.valkey import Valkey
from trunkline_mesh.errors import DomainError, Overloaded, PermitUnknown, QuotaExhausted
from trunkline_mesh.status import from_rpc_error

REPLICAS = 3
BURST = 100


async def admit(admission: Admission, tokens: int = 1, request_id: str = "") -> admission_pb.Permit:
    request = admission_pb.AdmitRequest(cost_tokens=tokens)
    try:
        response = await admission.stub.Admit(request, metadata=admission.as_tenant("acme", request_id), timeout=20)
    except grpc.aio.AioRpcError as exc:
        raise _domain(exc) from None
    return response.permit


async def settle(admission: Admission, permit_id: str, charged: int) -> int:
    request = admission_pb.SettleRequest(permit_id=permit_id, charged_tokens=charged)
    try:
        response = await admission.stub.Settle(request, metadata=admission.as_tenant("acme"), timeout=20)
    except grpc.aio.AioRpcError as exc:
        raise _domain(exc) from None
    return response.refunded_tokens


def _domain(exc: grpc.aio.AioRpcError) -> DomainError:
    error = from_rpc_error(exc)
    assert error is not None
    return error


async def replicas_of(serve: Serve, url: str, count: int = REPLICAS) -> list[Admission]:
    prefix = f"test:{secrets.token_hex(6)}"
    return [await serve(url, key_prefix=prefix, replica=f"replica-{number}") for number in range(count)]


async def granted_by(admission: Admission, callers: int, each: int) -> int:
    """Have so many callers ask at once, each so many times; return how many permits they got."""
    granted = 0

    async def caller() -> None:
        nonlocal granted
        for _ in range(each):
            try:
                await admit(admission)
            except (QuotaExhausted, Overloaded):
                continue
            granted += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return granted


async def test_three_replicas_never_admit_more_than_the_limit(serve: Serve, valkey_url: str) -> None:
    """60 callers at once ask three replicas for far more than there is."""
    replicas = await replicas_of(serve, valkey_url)

    granted = sum(await asyncio.gather(*(granted_by(replica, 20, 4) for replica in replicas)))

    assert BURST / 2 <= granted <= BURST + 1


async def test_a_permit_is_known_to_its_replica_alone(serve: Serve, valkey_url: str) -> None:
    """The permit names who keeps it; another replica does not know it, nor its request id."""
    one, other = await replicas_of(serve, valkey_url, 2)
    permit = await admit(one, 10, "r-1")

    assert permit.replica == "replica-0"
    with pytest.raises(PermitUnknown):
        await settle(other, permit.permit_id, 5)
    assert (await admit(other, 10, "r-1")).permit_id != permit.permit_id
    assert await settle(one, permit.permit_id, 4) == 6


async def test_permits_outlive_the_store(serve: Serve, own_valkey: Valkey) -> None:
    """Frozen, then dead: what was admitted is settled all the same, and new requests go on from the local share."""
    (admission,) = await replicas_of(serve, own_valkey.url, 1)
    permit = await admit(admission, 20)
    own_valkey.child.kill()
    await own_valkey.child.wait()

    assert await settle(admission, permit.permit_id, 5) == 15
    sources = {(await admit(admission, 5)).source for _ in range(8)}
    assert admission_pb.QUOTA_SOURCE_LOCAL in sources


async def test_a_store_that_lost_everything_gives_one_more_burst(serve: Serve, own_valkey: Valkey) -> None:
    """The documented bound: what was used is forgotten once, and permits are kept by their replica."""
    (admission,) = await replicas_of(serve, own_valkey.url, 1)
    permit = await admit(admission, 1, "kept")
    first = 1 + await granted_by(admission, 4, 40)
    async with Redis.from_url(own_valkey.url) as client:
        await client.flushall()

    second = 0
    async with asyncio.timeout(30):
        while second == 0:
            await asyncio.sleep(0.25)
            second = await granted_by(admission, 4, 40)

    assert BURST / 2 <= first <= BURST + 1
    assert first + second <= 2 * BURST + 2
    assert await settle(admission, permit.permit_id, 1) == 0


async def test_a_store_that_freezes_costs_a_moment(serve: Serve, own_valkey: Valkey) -> None:
    """SIGSTOP: admissions go on within their deadline, and the store is used again when it answers."""
    (admission,) = [await serve(own_valkey.url, redis_timeout_s=0.05)]
    await admit(admission, 5)
    own_valkey.child.pause()

    permits = [await admit(admission, 5) for _ in range(6)]

    assert len({permit.permit_id for permit in permits}) == 6
    own_valkey.child.resume()
