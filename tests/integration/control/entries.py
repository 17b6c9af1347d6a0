"""Requests of the control role, as short as a test can read them."""

from __future__ import annotations

from typing import Any

from tests.integration.control.caller import Caller

from trunkline.control.v1 import collection_map_service_pb2 as collection_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import policy_service_pb2 as policy_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline.control.v1 import space_service_pb2 as space_pb
from trunkline.control.v1 import tenant_service_pb2 as tenant_pb


def region(region_id: str, jurisdiction: str, **changes: Any) -> region_pb.PutRegionRequest:
    fields: dict[str, Any] = {"state": entries_pb.REGION_STATE_SERVING} | changes
    return region_pb.PutRegionRequest(
        region=entries_pb.Region(region_id=region_id, jurisdiction=jurisdiction, **fields)
    )


def tenant(tenant_id: str, *jurisdictions: str, **changes: Any) -> tenant_pb.PutTenantRequest:
    return tenant_pb.PutTenantRequest(
        tenant=entries_pb.Tenant(tenant_id=tenant_id, tier="pro", jurisdictions=jurisdictions, **changes)
    )


def space(space_id: str = "minilm", **changes: Any) -> space_pb.PutSpaceRequest:
    fields: dict[str, Any] = {"model_id": "minilm", "model_revision": "1", "dimension": 384} | changes
    return space_pb.PutSpaceRequest(space=entries_pb.Space(space_id=space_id, **fields))


def collection(
    tenant_id: str, collection_id: str, *placement: str, **changes: Any
) -> collection_pb.PutCollectionRequest:
    fields: dict[str, Any] = {"space_id": "minilm"} | changes
    return collection_pb.PutCollectionRequest(
        collection=entries_pb.Collection(
            tenant_id=tenant_id, collection_id=collection_id, placement=placement, **fields
        )
    )


def policy(tenant_id: str, yaml: str, revision: int = 0) -> policy_pb.PutPolicyRequest:
    return policy_pb.PutPolicyRequest(policy=policy_pb.Policy(tenant_id=tenant_id, yaml=yaml, revision=revision))


async def furnish(operator: Caller) -> None:
    """Two regions, one space, and the tenant `acme` of both jurisdictions."""
    await operator(operator.regions.PutRegion, region("eu-west", "eu"))
    await operator(operator.regions.PutRegion, region("us-east", "us"))
    await operator(operator.spaces.PutSpace, space())
    await operator(operator.tenants.PutTenant, tenant("acme", "eu", "us"))
