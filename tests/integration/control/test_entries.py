"""Regions, spaces, tenants and collections through the real server and a real etcd."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc import StatusCode
from tests.integration.control.caller import Refused
from tests.integration.control.conftest import Control
from tests.integration.control.entries import collection, furnish, region, space, tenant

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.control.v1 import collection_map_service_pb2 as collection_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import map_service_pb2 as map_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline.control.v1 import space_service_pb2 as space_pb
from trunkline.control.v1 import tenant_service_pb2 as tenant_pb
from trunkline_map.keys import Kind, MapKey
from trunkline_map.store import Transaction
from trunkline_mesh.deadline import Deadline

NEWER_FIELD = b"\xf2\x06\x05later"  # field 110: no record of this version has it


def soon() -> Deadline:
    return Deadline.after(20)


async def test_what_is_put_is_got_and_its_token_is_served(control: Control) -> None:
    """Each kind: the entry comes back with its revision, and a watcher serves it by the change's token."""
    op = control.operator
    await furnish(op)
    put = await op(op.collections.PutCollection, collection("acme", "docs", "eu-west", "us-east", description="all"))

    got = await op(
        op.collections.GetCollection, collection_pb.GetCollectionRequest(tenant_id="acme", collection_id="docs")
    )
    assert got.collection == put.collection
    assert got.collection.revision > 0
    assert list(got.collection.jurisdictions) == ["eu", "us"]
    assert await control.watcher.wait_ready(20)
    snapshot = await control.watcher.at_least(put.map_token, soon())
    entry = snapshot.collection("acme", "docs")
    assert entry is not None
    assert (entry.placement, entry.revision) == (("eu-west", "us-east"), put.collection.revision)
    assert (await control.watcher.at_least(got.map_token, soon())).revision >= entry.revision


async def test_every_kind_is_read_as_written(control: Control) -> None:
    """Reads give the whole entry and a token."""
    op = control.operator
    put_region = await op(
        op.regions.PutRegion,
        region("eu-west", "eu", endpoints={"retrieval": ["h:1"], "routing": ["h:2"], "admission": ["h:3"]}),
    )
    put_space = await op(op.spaces.PutSpace, space())
    put_tenant = await op(op.tenants.PutTenant, tenant("acme", "us", "eu", quota_tokens_per_s=7))

    got_region = await op(op.regions.GetRegion, region_pb.GetRegionRequest(region_id="eu-west"))
    got_space = await op(op.spaces.GetSpace, space_pb.GetSpaceRequest(space_id="minilm"))
    got_tenant = await op(op.tenants.GetTenant, tenant_pb.GetTenantRequest(tenant_id="acme"))
    assert got_region.region == put_region.region
    assert got_space.space == put_space.space
    assert got_tenant.tenant == put_tenant.tenant
    assert got_tenant.tenant.state == entries_pb.TENANT_STATE_ACTIVE
    assert got_region.map_token
    assert got_space.map_token
    assert got_tenant.map_token


async def test_a_change_needs_the_current_revision(control: Control) -> None:
    """Two writers of one entry: the second is told that it changed, and what its revision is."""
    op = control.operator
    first = (await op(op.regions.PutRegion, region("eu-west", "eu"))).region
    second = (await op(op.regions.PutRegion, region("eu-west", "eu", revision=first.revision))).region

    for stale in (0, first.revision, second.revision + 1):
        with pytest.raises(Refused) as refused:
            await op(op.regions.PutRegion, region("eu-west", "eu", revision=stale))
        assert (refused.value.code, refused.value.reason) == (StatusCode.ABORTED, "REVISION_CONFLICT")
        assert refused.value.metadata["currentRevision"] == str(second.revision)


async def test_an_entry_that_is_not_there_has_no_revision(control: Control) -> None:
    """A change of what somebody removed does not bring it back."""
    op = control.operator

    with pytest.raises(Refused) as refused:
        await op(op.spaces.PutSpace, space(revision=5))

    assert refused.value.reason == "REVISION_CONFLICT"


async def test_a_removal_is_read_with_its_token(control: Control) -> None:
    """By its current revision, or whatever is there; a wrong revision removes nothing."""
    op = control.operator
    first = (await op(op.regions.PutRegion, region("eu-west", "eu"))).region
    assert await control.watcher.wait_ready(20)
    with pytest.raises(Refused) as refused:
        await op(
            op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="eu-west", revision=first.revision + 1)
        )
    assert refused.value.reason == "REVISION_CONFLICT"

    removed = await op(
        op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="eu-west", revision=first.revision)
    )

    assert (await control.watcher.at_least(removed.map_token, soon())).region("eu-west") is None
    await op(op.spaces.PutSpace, space())
    await op(op.spaces.DeleteSpace, space_pb.DeleteSpaceRequest(space_id="minilm"))


async def test_what_is_not_there_is_named_by_its_reason(control: Control) -> None:
    """Reads and removals of nothing."""
    op = control.operator
    await furnish(op)
    unknown: list[tuple[Any, Any, str]] = [
        (op.regions.GetRegion, region_pb.GetRegionRequest(region_id="x"), "REGION_UNKNOWN"),
        (op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="x"), "REGION_UNKNOWN"),
        (op.spaces.GetSpace, space_pb.GetSpaceRequest(space_id="x"), "SPACE_UNKNOWN"),
        (op.spaces.DeleteSpace, space_pb.DeleteSpaceRequest(space_id="x"), "SPACE_UNKNOWN"),
        (op.tenants.GetTenant, tenant_pb.GetTenantRequest(tenant_id="x"), "TENANT_UNKNOWN"),
        (op.tenants.DeleteTenant, tenant_pb.DeleteTenantRequest(tenant_id="x"), "TENANT_UNKNOWN"),
        (
            op.collections.GetCollection,
            collection_pb.GetCollectionRequest(tenant_id="acme", collection_id="x"),
            "COLLECTION_UNKNOWN",
        ),
        (
            op.collections.DeleteCollection,
            collection_pb.DeleteCollectionRequest(tenant_id="acme", collection_id="x"),
            "COLLECTION_UNKNOWN",
        ),
        (op.collections.PutCollection, collection("x", "docs", "eu-west"), "TENANT_UNKNOWN"),
        (op.collections.PutCollection, collection("acme", "docs", "x"), "REGION_UNKNOWN"),
        (op.collections.PutCollection, collection("acme", "docs", "eu-west", space_id="x"), "SPACE_UNKNOWN"),
    ]

    for method, request, reason in unknown:
        with pytest.raises(Refused) as refused:
            await op(method, request)
        assert (refused.value.code, refused.value.reason) == (StatusCode.NOT_FOUND, reason)


async def test_a_placement_outside_the_jurisdictions_is_refused(control: Control) -> None:
    """The collection's jurisdictions bound its regions; the tenant's bound the collection's."""
    op = control.operator
    await furnish(op)
    await op(op.regions.PutRegion, region("ap-south", "apac"))
    outside = [
        collection("acme", "docs", "eu-west", "us-east", jurisdictions=["eu"]),
        collection("acme", "docs", "eu-west", jurisdictions=["eu", "apac"]),
        collection("acme", "docs", "ap-south"),
    ]

    for request in outside:
        with pytest.raises(Refused) as refused:
            await op(op.collections.PutCollection, request)
        assert (refused.value.code, refused.value.reason) == (StatusCode.FAILED_PRECONDITION, "RESIDENCY_VIOLATION")
    await op(op.collections.PutCollection, collection("acme", "docs", "eu-west", jurisdictions=["eu"]))


async def test_an_entry_in_use_stays(control: Control) -> None:
    """A collection holds its region, its space and its tenant; the refusal names it."""
    op = control.operator
    await furnish(op)
    await op(op.collections.PutCollection, collection("acme", "docs", "eu-west"))
    used: list[tuple[Any, Any]] = [
        (op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="eu-west")),
        (op.spaces.DeleteSpace, space_pb.DeleteSpaceRequest(space_id="minilm")),
        (op.tenants.DeleteTenant, tenant_pb.DeleteTenantRequest(tenant_id="acme")),
    ]

    for method, request in used:
        with pytest.raises(Refused) as refused:
            await op(method, request)
        assert (refused.value.code, refused.value.reason) == (StatusCode.FAILED_PRECONDITION, "ENTRY_IN_USE")
        assert refused.value.metadata["usedBy"] == "acme/docs"

    await op(op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="us-east"))
    gone = collection_pb.DeleteCollectionRequest(tenant_id="acme", collection_id="docs")
    await op(op.collections.DeleteCollection, gone)
    for method, request in used:
        await op(method, request)


async def test_a_space_in_use_does_not_change(control: Control) -> None:
    """Vectors are made already; the same entry again is no change."""
    op = control.operator
    await furnish(op)
    await op(op.collections.PutCollection, collection("acme", "docs", "eu-west"))
    now = (await op(op.spaces.GetSpace, space_pb.GetSpaceRequest(space_id="minilm"))).space

    with pytest.raises(Refused) as refused:
        await op(op.spaces.PutSpace, space(revision=now.revision, model_revision="2"))
    assert refused.value.reason == "ENTRY_IN_USE"
    await op(op.spaces.PutSpace, space(revision=now.revision))


async def test_a_regions_jurisdiction_stays_while_collections_rely_on_it(control: Control) -> None:
    """Its state and addresses may change meanwhile."""
    op = control.operator
    await furnish(op)
    await op(op.collections.PutCollection, collection("acme", "docs", "eu-west", "us-east"))
    now = (await op(op.regions.GetRegion, region_pb.GetRegionRequest(region_id="eu-west"))).region

    with pytest.raises(Refused) as refused:
        await op(op.regions.PutRegion, region("eu-west", "us", revision=now.revision))
    assert refused.value.reason == "ENTRY_IN_USE"
    drained = region("eu-west", "eu", revision=now.revision, state=entries_pb.REGION_STATE_DRAINING)
    assert (await op(op.regions.PutRegion, drained)).region.state == entries_pb.REGION_STATE_DRAINING


async def test_a_tenant_does_not_shrink_under_its_collections(control: Control) -> None:
    """Taking a jurisdiction away would leave data outside."""
    op = control.operator
    await furnish(op)
    now = (await op(op.tenants.GetTenant, tenant_pb.GetTenantRequest(tenant_id="acme"))).tenant
    docs = (await op(op.collections.PutCollection, collection("acme", "docs", "eu-west"))).collection

    with pytest.raises(Refused) as refused:
        await op(op.tenants.PutTenant, tenant("acme", "eu", revision=now.revision))
    assert refused.value.reason == "RESIDENCY_VIOLATION"
    assert refused.value.metadata["collections"] == "acme/docs"

    only_eu = collection("acme", "docs", "eu-west", jurisdictions=["eu"], revision=docs.revision)
    await op(op.collections.PutCollection, only_eu)
    await op(op.tenants.PutTenant, tenant("acme", "eu", revision=now.revision))


async def test_a_collections_body_stays_where_its_documents_are(control: Control) -> None:
    """Space and layout cannot change under stored documents; the rest can."""
    op = control.operator
    await furnish(op)
    await op(op.spaces.PutSpace, space("other"))
    now = (await op(op.collections.PutCollection, collection("acme", "docs", "eu-west"))).collection
    refused_changes = [
        (collection("acme", "docs", "eu-west", revision=now.revision, space_id="other"), "collection.space_id"),
        (
            collection("acme", "docs", "eu-west", revision=now.revision, dedicated=entries_pb.DedicatedLayout()),
            "collection.layout",
        ),
    ]

    for request, field in refused_changes:
        with pytest.raises(Refused) as refused:
            await op(op.collections.PutCollection, request)
        assert refused.value.fields == [field]
    wider = collection("acme", "docs", "eu-west", "us-east", revision=now.revision, description="new")
    assert (await op(op.collections.PutCollection, wider)).collection.description == "new"


async def test_a_primary_that_does_not_hold_the_documents_is_refused(control: Control) -> None:
    """A region is placed further back and filled first; then it may lead."""
    op = control.operator
    await furnish(op)
    now = (await op(op.collections.PutCollection, collection("acme", "docs", "eu-west"))).collection

    for placement in (("us-east",), ("us-east", "eu-west")):
        with pytest.raises(Refused) as refused:
            await op(op.collections.PutCollection, collection("acme", "docs", *placement, revision=now.revision))
        assert (refused.value.reason, refused.value.fields) == ("FIELD_INVALID", ["collection.placement"])

    wider = collection("acme", "docs", "eu-west", "us-east", revision=now.revision)
    now = (await op(op.collections.PutCollection, wider)).collection
    led = collection("acme", "docs", "us-east", "eu-west", revision=now.revision)
    assert (await op(op.collections.PutCollection, led)).collection.placement == ["us-east", "eu-west"]


async def test_fields_of_a_newer_version_survive_a_change(control: Control) -> None:
    """An older binary changes what it knows and keeps what it does not."""
    op = control.operator
    await furnish(op)
    key = MapKey(Kind.TENANT, "acme").encode()
    stored = (await control.store.read([key], timeout_s=5)).items[key]
    newer = await control.store.commit(Transaction(puts={key: stored.value + NEWER_FIELD}), timeout_s=5)

    await op(op.tenants.PutTenant, tenant("acme", "eu", "us", "apac", revision=newer.revision))

    rewritten = (await control.store.read([key], timeout_s=5)).items[key].value
    assert NEWER_FIELD in rewritten
    got = await op(op.tenants.GetTenant, tenant_pb.GetTenantRequest(tenant_id="acme"))
    assert list(got.tenant.jurisdictions) == ["apac", "eu", "us"]


async def test_everything_of_a_tenant_is_kept_and_told(control: Control) -> None:
    """Limits, overrides, trials, keys, zone, labels and switches come back, are in the history and survive a change."""
    op = control.operator
    limits = entries_pb.TenantLimits(requests_per_day=50, budget_micros_per_month=7, soft_percent=90)
    override = entries_pb.LimitOverride(limits=limits, note="a fair")
    override.end_time.FromJsonString("2099-01-01T00:00:00.25Z")
    wanted = tenant(
        "acme",
        "eu",
        limits=limits,
        overrides=[override],
        shadow_limits=entries_pb.TenantLimits(requests_per_minute=5),
        key_limits=[entries_pb.KeyLimit(subject="ci", requests_per_minute=3)],
        time_zone="Europe/Berlin",
        labels={"team": "search"},
        disabled_stages=[trail_pb.STAGE_NAME_RERANK],
        state=entries_pb.TENANT_STATE_ACTIVE,
    )
    made = (await op(op.tenants.PutTenant, wanted)).tenant
    read = (await op(op.tenants.GetTenant, tenant_pb.GetTenantRequest(tenant_id="acme"))).tenant
    again = tenant_pb.PutTenantRequest(tenant=read)
    again.tenant.state = entries_pb.TENANT_STATE_SUSPENDED
    await op(op.tenants.PutTenant, again)
    changes = (await op(op.tenants.ListTenantChanges, tenant_pb.ListTenantChangesRequest(tenant_id="acme"))).changes

    wanted.tenant.revision = made.revision
    assert made == read == wanted.tenant
    before, after = changes[0].before.tenant, changes[0].after.tenant
    assert (before.state, after.state) == (entries_pb.TENANT_STATE_ACTIVE, entries_pb.TENANT_STATE_SUSPENDED)
    before.state, after.revision = after.state, before.revision
    assert before == after


async def test_a_malformed_entry_is_told_and_can_be_removed(control: Control) -> None:
    """Reading it is a defect of ours, removing it repairs the map, and it counts as a user of anything."""
    op = control.operator
    await furnish(op)
    assert await control.watcher.wait_ready(20)  # its status has nothing to tell before
    key = MapKey(Kind.COLLECTION, "acme", "docs").encode()
    await control.store.commit(Transaction(puts={key: b"\xff\xff"}), timeout_s=5)
    get = collection_pb.GetCollectionRequest(tenant_id="acme", collection_id="docs")

    with pytest.raises(Refused) as refused:
        await op(op.collections.GetCollection, get)
    assert refused.value.reason == "INTERNAL"
    async with asyncio.timeout(10):  # what was not written by the control role is known once its watch has told it
        while not (await op(op.map.GetMapStatus, map_pb.GetMapStatusRequest())).malformed_count:
            pass
    with pytest.raises(Refused) as refused:
        await op(op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="us-east"))
    assert refused.value.reason == "ENTRY_IN_USE"

    gone = collection_pb.DeleteCollectionRequest(tenant_id="acme", collection_id="docs")
    await op(op.collections.DeleteCollection, gone)
    await op(op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="us-east"))


async def test_bad_fields_are_refused_before_the_store_is_asked(control: Control) -> None:
    """The refusal names the fields."""
    op = control.operator

    with pytest.raises(Refused) as refused:
        await op(op.spaces.PutSpace, space("UPPER", dimension=0))

    assert (refused.value.code, refused.value.reason) == (StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert refused.value.fields == ["space.space_id", "space.dimension"]
