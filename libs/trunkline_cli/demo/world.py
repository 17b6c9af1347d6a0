"""Makes the demonstration's world: the map, the policies and the documents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from trunkline_cli.demo.scenario import TENANTS, TenantPlan
from trunkline_cli.ingest.run import insistently
from trunkline_cli.output import progress
from trunkline_client import (
    ClientSettings,
    ControlClient,
    Document,
    LearningClient,
    RouterAddress,
    TrunklineClient,
    upsert_batches,
)

if TYPE_CHECKING:
    from trunkline_local import LocalStack

# Small batches and few writers: one encoder on a laptop's cores serves them all, and a long queue is only a wait.
_WRITERS: Final = 2
_BATCH: Final = 16
_WRITE_DEADLINE_S: Final = 30.0
# A region that is back shall be seen to be used within the demonstration.
_SETTINGS: Final = ClientSettings(max_rest_s=2.0)


async def seed(stack: LocalStack) -> bytes:
    """Write regions, space, tenants, collections and policies; return a token that covers all of it."""
    from trunkline_local.seeding import CollectionSeed, TenantSeed, seed_map

    token = await asyncio.to_thread(stack.state.tokens["operator"].read_text)
    return await seed_map(
        stack.state,
        token,
        tenants=[TenantSeed(tenant.tenant_id, tenant.tier, tenant.jurisdictions) for tenant in TENANTS],
        collections=[
            CollectionSeed(tenant.tenant_id, name, plan.placement, plan.jurisdictions)
            for tenant in TENANTS
            for name, plan in tenant.collections.items()
        ],
        policies={tenant.tenant_id: tenant.policy() for tenant in TENANTS},
    )


def client_of(stack: LocalStack, tenant: TenantPlan) -> TrunklineClient:
    """Return a client with the tenant's token that knows all routers and prefers the near one."""
    return client_for(stack, tenant.tenant_id, "demo")


def client_for(
    stack: LocalStack, tenant_id: str, subject: str, attributes: Mapping[str, str] | None = None
) -> TrunklineClient:
    """Return a client of somebody of a tenant, with what the identity provider vouches for."""
    from trunkline_local import Service

    near = next(tenant.near for tenant in TENANTS if tenant.tenant_id == tenant_id)
    routers = sorted(
        (RouterAddress(region.region_id, region.endpoints[Service.ROUTING]) for region in stack.state.regions),
        key=lambda address: address.region != near,
    )
    token = stack.identity.mint(subject, tenant=tenant_id, attributes=attributes or {})
    return TrunklineClient(routers, token, settings=_SETTINGS)


def control_of(stack: LocalStack) -> ControlClient:
    """Return a client of the control role, as operator."""
    return ControlClient([stack.state.control_endpoint], stack.state.tokens["operator"].read_text)


def learning_of(stack: LocalStack, tenant_id: str) -> LearningClient:
    """Return a client of the learners inside the tenant's jurisdictions, as its admin."""
    allowed = next(tenant.jurisdictions for tenant in TENANTS if tenant.tenant_id == tenant_id)
    learners = [
        RouterAddress(region.region_id, region.learning_endpoint)
        for region in stack.state.regions
        if region.jurisdiction in allowed and region.learning_endpoint is not None
    ]
    return LearningClient(learners, stack.identity.mint("demo", tenant=tenant_id, roles=["admin"]))


def _batches(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    for start in range(0, len(documents), _BATCH):
        yield from upsert_batches(documents[start : start + _BATCH])


async def fill(clients: Mapping[str, TrunklineClient], documents: Mapping[str, Sequence[Document]]) -> int:
    """Write every collection's documents and return their number. Raises TrunklineError."""
    work: list[tuple[TrunklineClient, str, Sequence[Document]]] = [
        (clients[tenant.tenant_id], name, batch)
        for tenant in TENANTS
        for name in tenant.collections
        for batch in _batches(documents[name])
    ]
    total = sum(len(batch) for _, _, batch in work)
    written = 0
    pending = iter(work)
    with progress("ingesting") as view:

        async def write() -> None:
            nonlocal written
            for client, name, batch in pending:
                await insistently(partial(client.upsert, name, batch, deadline_s=_WRITE_DEADLINE_S))
                written += len(batch)
                view.update(written, total, "documents")

        async with asyncio.TaskGroup() as group:
            for _ in range(_WRITERS):
                group.create_task(write())
    return written
