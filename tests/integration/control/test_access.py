"""Who may read and change what, through the real server."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from tests.integration.control.caller import Refused
from tests.integration.control.conftest import Control
from tests.integration.control.entries import collection, furnish, policy, region, space, tenant

from trunkline.control.v1 import collection_map_service_pb2 as collection_pb
from trunkline.control.v1 import policy_service_pb2 as policy_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline.control.v1 import space_service_pb2 as space_pb
from trunkline.control.v1 import tenant_service_pb2 as tenant_pb


async def test_an_admin_keeps_its_own_tenants_collections_and_policy(control: Control) -> None:
    """Without naming the tenant, too."""
    await furnish(control.operator)
    admin = control.admin("acme")

    put = await admin(admin.collections.PutCollection, collection("", "docs", "eu-west"))
    assert put.collection.tenant_id == "acme"
    assert (await admin(admin.policies.PutPolicy, policy("", "docs"))).policy.tenant_id == "acme"
    await admin(admin.collections.DeleteCollection, collection_pb.DeleteCollectionRequest(collection_id="docs"))


async def test_a_tenant_reads_its_own(control: Control) -> None:
    """Itself, its collections and policy; regions and spaces are for all."""
    await furnish(control.operator)
    admin, member = control.admin("acme"), control.member("acme")
    await admin(admin.collections.PutCollection, collection("acme", "docs", "eu-west"))
    await admin(admin.policies.PutPolicy, policy("acme", "docs"))

    listed = await member(member.collections.ListCollections, collection_pb.ListCollectionsRequest())
    assert [each.collection_id for each in listed.collections] == ["docs"]
    get = collection_pb.GetCollectionRequest(collection_id="docs")
    assert (await member(member.collections.GetCollection, get)).collection.tenant_id == "acme"
    assert (await member(member.policies.GetPolicy, policy_pb.GetPolicyRequest())).policy.yaml == "docs"
    assert (await member(member.tenants.GetTenant, tenant_pb.GetTenantRequest())).tenant.tenant_id == "acme"
    assert len((await member(member.regions.ListRegions, region_pb.ListRegionsRequest())).regions) == 2
    assert len((await member(member.spaces.ListSpaces, space_pb.ListSpacesRequest())).spaces) == 1


async def test_nobody_touches_another_tenants_entries(control: Control) -> None:
    """A foreign name is refused before the store is asked, for members and admins alike."""
    await furnish(control.operator)
    for caller in (control.member("other"), control.admin("other")):
        foreign: list[tuple[Any, Any]] = [
            (caller.tenants.GetTenant, tenant_pb.GetTenantRequest(tenant_id="acme")),
            (caller.collections.ListCollections, collection_pb.ListCollectionsRequest(tenant_id="acme")),
            (
                caller.collections.GetCollection,
                collection_pb.GetCollectionRequest(tenant_id="acme", collection_id="docs"),
            ),
            (caller.policies.GetPolicy, policy_pb.GetPolicyRequest(tenant_id="acme")),
        ]
        for method, request in foreign:
            with pytest.raises(Refused) as refused:
                await caller(method, request)
            assert (refused.value.code, refused.value.reason) == (StatusCode.PERMISSION_DENIED, "TENANT_MISMATCH")
    admin = control.admin("other")
    changes: list[tuple[Any, Any]] = [
        (admin.collections.PutCollection, collection("acme", "docs", "eu-west")),
        (
            admin.collections.DeleteCollection,
            collection_pb.DeleteCollectionRequest(tenant_id="acme", collection_id="docs"),
        ),
        (admin.policies.PutPolicy, policy("acme", "docs")),
    ]
    for method, request in changes:
        with pytest.raises(Refused) as refused:
            await admin(method, request)
        assert refused.value.reason == "TENANT_MISMATCH"


async def test_changes_need_their_role(control: Control) -> None:
    """Members change nothing; admins change nothing of the operators'."""
    await furnish(control.operator)
    member, admin = control.member("acme"), control.admin("acme")
    denied: list[tuple[Any, Any, Any]] = [
        (member, member.collections.PutCollection, collection("acme", "docs", "eu-west")),
        (member, member.policies.PutPolicy, policy("acme", "docs")),
        (admin, admin.regions.PutRegion, region("x", "eu")),
        (admin, admin.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="eu-west")),
        (admin, admin.spaces.PutSpace, space("x")),
        (admin, admin.tenants.PutTenant, tenant("acme", "eu")),
        (admin, admin.tenants.DeleteTenant, tenant_pb.DeleteTenantRequest(tenant_id="acme")),
        (admin, admin.tenants.ListTenants, tenant_pb.ListTenantsRequest()),
    ]

    for caller, method, request in denied:
        with pytest.raises(Refused) as refused:
            await caller(method, request)
        assert (refused.value.code, refused.value.reason) == (StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")


async def test_without_a_credential_nothing_is_told(control: Control) -> None:
    """Not even the regions."""
    anonymous = control.caller()

    with pytest.raises(Refused) as refused:
        await anonymous(anonymous.regions.ListRegions, region_pb.ListRegionsRequest())

    assert (refused.value.code, refused.value.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")


async def test_an_operator_must_name_the_tenant(control: Control) -> None:
    """It has none of its own to mean."""
    op = control.operator

    with pytest.raises(Refused) as refused:
        await op(op.collections.ListCollections, collection_pb.ListCollectionsRequest())

    assert (refused.value.reason, refused.value.fields) == ("FIELD_INVALID", ["tenant_id"])
