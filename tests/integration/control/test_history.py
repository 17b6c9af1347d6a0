"""Changes with their accounts through the real server: options, lists, and who may read them."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from tests.integration.control.caller import Refused
from tests.integration.control.conftest import Control
from tests.integration.control.entries import collection, furnish, region
from tests.integration.map.etcd_server import EtcdServer

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import collection_map_service_pb2 as collection_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline.control.v1 import space_service_pb2 as space_pb
from trunkline.control.v1 import tenant_service_pb2 as tenant_pb


async def test_every_change_is_told_latest_first(control: Control) -> None:
    """Who, why and from what to what; also after the entry is gone."""
    op = control.operator
    await furnish(op)
    request = collection("acme", "docs", "eu-west")
    request.options.comment = "for the launch"
    put = await op(op.collections.PutCollection, request)
    gone = collection_pb.DeleteCollectionRequest(tenant_id="acme", collection_id="docs")
    removed = await op(op.collections.DeleteCollection, gone)

    asked = collection_pb.ListCollectionChangesRequest(tenant_id="acme", collection_id="docs")
    last, first = (await op(op.collections.ListCollectionChanges, asked)).changes

    assert first.after.collection == put.collection
    assert (first.HasField("before"), first.map_token, first.comment) == (False, put.map_token, "for the launch")
    assert first.method == "/trunkline.control.v1.CollectionMapService/PutCollection"
    assert (list(first.roles), bool(first.actor), bool(first.request_id)) == (["operator"], True, True)
    assert first.change_time.seconds > 0
    assert (last.HasField("after"), last.map_token) == (False, removed.map_token)
    assert last.before.collection.placement == ["eu-west"]
    name = changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_COLLECTION, tenant_id="acme", entry_id="docs")
    assert first.entry == last.entry == name


async def test_pages_of_a_kind_are_at_one_revision(control: Control, etcd: EtcdServer) -> None:
    """Whatever happens between them."""
    op = control.operator
    for name in ("a", "b", "c", "d"):
        await op(op.regions.PutRegion, region(name, "eu"))
    names: list[str] = []
    token = ""
    for _ in range(4):
        page = await op(op.regions.ListRegionChanges, region_pb.ListRegionChangesRequest(page_size=1, page_token=token))
        names += [change.entry.entry_id for change in page.changes]
        token = page.next_page_token
        await op(op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id=names[-1]))

    assert (names, token) == (["d", "c", "b", "a"], "")
    first = await op(op.regions.ListRegionChanges, region_pb.ListRegionChangesRequest(region_id="a", page_size=1))
    await op(op.regions.PutRegion, region("a", "eu"))
    await etcd.compact()
    with pytest.raises(Refused) as refused:
        await op(
            op.regions.ListRegionChanges,
            region_pb.ListRegionChangesRequest(region_id="a", page_token=first.next_page_token),
        )
    assert (refused.value.code, refused.value.reason) == (StatusCode.FAILED_PRECONDITION, "PAGE_EXPIRED")


async def test_each_kind_has_its_history(control: Control) -> None:
    """Of one entry and of all."""
    op = control.operator
    await furnish(op)
    asked: list[tuple[Any, Any, int]] = [
        (op.regions.ListRegionChanges, region_pb.ListRegionChangesRequest(), 2),
        (op.regions.ListRegionChanges, region_pb.ListRegionChangesRequest(region_id="eu-west"), 1),
        (op.spaces.ListSpaceChanges, space_pb.ListSpaceChangesRequest(), 1),
        (op.spaces.ListSpaceChanges, space_pb.ListSpaceChangesRequest(space_id="minilm"), 1),
        (op.tenants.ListTenantChanges, tenant_pb.ListTenantChangesRequest(), 1),
        (op.tenants.ListTenantChanges, tenant_pb.ListTenantChangesRequest(tenant_id="acme"), 1),
        (op.collections.ListCollectionChanges, collection_pb.ListCollectionChangesRequest(tenant_id="acme"), 0),
    ]

    for method, request, count in asked:
        assert len((await op(method, request)).changes) == count


async def test_tenants_read_their_own_history(control: Control) -> None:
    """Nobody else's; and who changed a region is told to operators alone."""
    op, member, other = control.operator, control.member("acme"), control.member("other")
    await furnish(op)
    await op(op.collections.PutCollection, collection("acme", "docs", "eu-west"))

    own = await member(member.collections.ListCollectionChanges, collection_pb.ListCollectionChangesRequest())
    assert [change.entry.entry_id for change in own.changes] == ["docs"]
    itself = await member(member.tenants.ListTenantChanges, tenant_pb.ListTenantChangesRequest())
    assert [change.entry.tenant_id for change in itself.changes] == ["acme"]
    regions = await member(member.regions.ListRegionChanges, region_pb.ListRegionChangesRequest())
    assert [(change.actor, change.comment, change.request_id) for change in regions.changes] == [("", "", "")] * 2
    foreign: list[tuple[Any, Any]] = [
        (other.collections.ListCollectionChanges, collection_pb.ListCollectionChangesRequest(tenant_id="acme")),
        (other.tenants.ListTenantChanges, tenant_pb.ListTenantChangesRequest(tenant_id="acme")),
    ]
    for method, request in foreign:
        with pytest.raises(Refused) as refused:
            await other(method, request)
        assert refused.value.reason == "TENANT_MISMATCH"
    watch = collection_pb.WatchCollectionsRequest(tenant_id="acme")
    with pytest.raises(Refused) as refused:
        await anext(other.stream(other.collections.WatchCollections, watch))
    assert refused.value.reason == "TENANT_MISMATCH"


async def test_a_tenant_does_not_see_other_tenants_stores(control: Control) -> None:
    """In reads, lists and the history of regions."""
    op, member = control.operator, control.member("acme")
    stores = [
        entries_pb.Store(store_id="own", endpoint="h:1", tenant_id="acme"),
        entries_pb.Store(store_id="theirs", endpoint="h:2", tenant_id="other"),
    ]
    await op(op.regions.PutRegion, region("eu-west", "eu", stores=stores))

    got = (await member(member.regions.GetRegion, region_pb.GetRegionRequest(region_id="eu-west"))).region
    [listed] = (await member(member.regions.ListRegions, region_pb.ListRegionsRequest())).regions
    [change] = (await member(member.regions.ListRegionChanges, region_pb.ListRegionChangesRequest())).changes
    event = await anext(member.stream(member.regions.WatchRegions, region_pb.WatchRegionsRequest()))

    for shown in (got, listed, change.after.region, event.event.written.region):
        assert [store.store_id for store in shown.stores] == ["own"]
    whole = (await op(op.regions.GetRegion, region_pb.GetRegionRequest(region_id="eu-west"))).region
    assert list(whole.stores) == stores


async def test_a_dry_run_leaves_no_trace(control: Control) -> None:
    """For each kind of change; what would be refused is."""
    op = control.operator
    await furnish(op)
    dry = changes_pb.ChangeOptions(dry_run=True)
    put = collection("acme", "docs", "eu-west")
    put.options.CopyFrom(dry)

    answer = await op(op.collections.PutCollection, put)

    assert (list(answer.collection.jurisdictions), answer.collection.revision) == (["eu", "us"], 0)
    assert answer.map_token
    drained = await op(op.regions.DrainRegion, region_pb.DrainRegionRequest(region_id="eu-west", options=dry))
    assert drained.region.state == entries_pb.REGION_STATE_DRAINING
    await op(op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="us-east", options=dry))
    await op(op.tenants.DeleteTenant, tenant_pb.DeleteTenantRequest(tenant_id="acme", options=dry))
    listed = await op(op.regions.ListRegions, region_pb.ListRegionsRequest())
    assert [each.state for each in listed.regions] == [entries_pb.REGION_STATE_SERVING] * 2
    assert len((await op(op.regions.ListRegionChanges, region_pb.ListRegionChangesRequest())).changes) == 2
    put.collection.space_id = "none"
    with pytest.raises(Refused) as refused:
        await op(op.collections.PutCollection, put)
    assert refused.value.reason == "SPACE_UNKNOWN"


async def test_refused_changes_leave_no_account(control: Control) -> None:
    """They are logged, and the history tells what happened."""
    op = control.operator
    await furnish(op)

    with pytest.raises(Refused):
        await op(op.regions.PutRegion, region("eu-west", "eu"))

    assert len((await op(op.regions.ListRegionChanges, region_pb.ListRegionChangesRequest())).changes) == 2
