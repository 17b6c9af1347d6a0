"""Writes a fresh stack's regions and embedding space to the map, through the control role like anybody else.

Repeating it changes nothing: entries that are there and equal are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc

from trunkline.control.v1 import (
    collection_map_service_pb2,
    collection_map_service_pb2_grpc,
    map_entries_pb2,
    policy_service_pb2,
    policy_service_pb2_grpc,
    region_service_pb2,
    region_service_pb2_grpc,
    space_service_pb2,
    space_service_pb2_grpc,
    tenant_service_pb2,
    tenant_service_pb2_grpc,
)
from trunkline_local.spec import Service
from trunkline_local.state import RegionRecord, StackState

SPACE_ID: Final = "minilm"
"""Embedding space of the encoder that the local stack serves."""
MODEL_ID: Final = "all-minilm-l6-v2"
MODEL_REVISION: Final = "int8-1"
DIMENSION: Final = 384
CALL_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class TenantSeed:
    """A tenant to write."""

    tenant_id: str
    tier: str
    jurisdictions: Sequence[str]


@dataclass(frozen=True, slots=True)
class CollectionSeed:
    """A collection to write."""

    tenant_id: str
    collection_id: str
    placement: Sequence[str]
    jurisdictions: Sequence[str] = ()
    description: str = ""
    dedicated: bool = False
    shard: int = 0


class MapSeeder:
    """Writes entries with an operator's credential. Raises grpc.aio.AioRpcError with a reason of the contract."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        """Call the control role at the other end of `channel`."""
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._regions = region_service_pb2_grpc.RegionServiceStub(channel)
        self._spaces = space_service_pb2_grpc.SpaceServiceStub(channel)
        self._tenants = tenant_service_pb2_grpc.TenantServiceStub(channel)
        self._collections = collection_map_service_pb2_grpc.CollectionMapServiceStub(channel)
        self._policies = policy_service_pb2_grpc.PolicyServiceStub(channel)

    async def stack(self, state: StackState) -> bytes:
        """Write the stack's regions and its embedding space; return a token that covers them."""
        token = b""
        for region in state.regions:
            token = await self.region(region)
        space = map_entries_pb2.Space(
            space_id=SPACE_ID, model_id=MODEL_ID, model_revision=MODEL_REVISION, dimension=DIMENSION
        )
        present = await self._found(self._spaces.GetSpace, space_service_pb2.GetSpaceRequest(space_id=SPACE_ID))
        if present is None:
            put = space_service_pb2.PutSpaceRequest(space=space)
            token = (await self._call(self._spaces.PutSpace, put)).map_token
        return token

    async def region(self, region: RegionRecord) -> bytes:
        """Write one region with the addresses it has now."""
        entry = map_entries_pb2.Region(
            region_id=region.region_id,
            jurisdiction=region.jurisdiction,
            state=map_entries_pb2.REGION_STATE_SERVING,
            endpoints=_endpoints(region.endpoints),
        )
        get = region_service_pb2.GetRegionRequest(region_id=region.region_id)
        present = await self._found(self._regions.GetRegion, get)
        if present is not None:
            entry.revision = present.region.revision
            if present.region == entry:
                return bytes(present.map_token)
        put = region_service_pb2.PutRegionRequest(region=entry)
        return bytes((await self._call(self._regions.PutRegion, put)).map_token)

    async def tenant(self, seed: TenantSeed) -> bytes:
        """Write one tenant."""
        entry = map_entries_pb2.Tenant(
            tenant_id=seed.tenant_id,
            tier=seed.tier,
            jurisdictions=seed.jurisdictions,
            state=map_entries_pb2.TENANT_STATE_ACTIVE,
        )
        get = tenant_service_pb2.GetTenantRequest(tenant_id=seed.tenant_id)
        present = await self._found(self._tenants.GetTenant, get)
        if present is not None:
            entry.revision = present.tenant.revision
        put = tenant_service_pb2.PutTenantRequest(tenant=entry)
        return bytes((await self._call(self._tenants.PutTenant, put)).map_token)

    async def collection(self, seed: CollectionSeed) -> bytes:
        """Write one collection."""
        entry = map_entries_pb2.Collection(
            tenant_id=seed.tenant_id,
            collection_id=seed.collection_id,
            space_id=SPACE_ID,
            placement=seed.placement,
            jurisdictions=seed.jurisdictions,
            description=seed.description,
        )
        if seed.dedicated:
            entry.dedicated.SetInParent()
        else:
            entry.shared_shard.shard = seed.shard
        get = collection_map_service_pb2.GetCollectionRequest(
            tenant_id=seed.tenant_id, collection_id=seed.collection_id
        )
        present = await self._found(self._collections.GetCollection, get)
        if present is not None:
            entry.revision = present.collection.revision
        put = collection_map_service_pb2.PutCollectionRequest(collection=entry)
        return bytes((await self._call(self._collections.PutCollection, put)).map_token)

    async def policy(self, tenant_id: str, yaml: str) -> bytes:
        """Write a tenant's policy."""
        entry = policy_service_pb2.Policy(tenant_id=tenant_id, yaml=yaml)
        get = policy_service_pb2.GetPolicyRequest(tenant_id=tenant_id)
        present = await self._found(self._policies.GetPolicy, get)
        if present is not None:
            entry.revision = present.policy.revision
        put = policy_service_pb2.PutPolicyRequest(policy=entry)
        return bytes((await self._call(self._policies.PutPolicy, put)).map_token)

    async def _call(self, method: Any, request: Any) -> Any:
        return await method(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)

    async def _found(self, method: Any, request: Any) -> Any:
        try:
            return await self._call(method, request)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise


async def seed_map(
    state: StackState,
    token: str,
    *,
    tenants: Iterable[TenantSeed] = (),
    collections: Iterable[CollectionSeed] = (),
    policies: Mapping[str, str] | None = None,
) -> bytes:
    """Write everything a stack needs to serve, in the order of references; return a token that covers all of it."""
    async with grpc.aio.insecure_channel(state.control_endpoint) as channel:
        seeder = MapSeeder(channel, token)
        last = await seeder.stack(state)
        for tenant in tenants:
            last = await seeder.tenant(tenant)
        for collection in collections:
            last = await seeder.collection(collection)
        for tenant_id, yaml in (policies or {}).items():
            last = await seeder.policy(tenant_id, yaml)
        return last


def _endpoints(endpoints: Mapping[Service, str]) -> map_entries_pb2.RegionEndpoints:
    return map_entries_pb2.RegionEndpoints(
        routing=[endpoints[Service.ROUTING]],
        retrieval=[endpoints[Service.RETRIEVAL]],
        rerank=[endpoints[Service.RERANK]],
        inference=[endpoints[Service.INFERENCE]],
        admission=[endpoints[Service.ADMISSION]],
    )
