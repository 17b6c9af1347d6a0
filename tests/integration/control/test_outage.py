"""Losing etcd is not losing control's reads; only changes stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode
from tests.integration.control.caller import Refused
from tests.integration.control.conftest import Control
from tests.integration.control.entries import collection, furnish, policy, region, tenant
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.map.writing import recovered, seen

from trunkline.control.v1 import collection_map_service_pb2 as collection_pb
from trunkline.control.v1 import policy_service_pb2 as policy_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline_mesh.deadline import Deadline
from trunkline_routing.control.app import open_control
from trunkline_routing.settings import RoutingSettings


async def test_reads_go_on_and_changes_are_refused(fragile_control: Control, fragile_etcd: EtcdServer) -> None:
    """The last good map answers reads and lists; it is current again when etcd is back."""
    control, op = fragile_control, fragile_control.operator
    await furnish(op)
    await op(op.policies.PutPolicy, policy("acme", "#"))
    put = await op(op.collections.PutCollection, collection("acme", "docs", "eu-west"))
    assert await control.watcher.wait_ready(20)
    await control.watcher.at_least(put.map_token, Deadline.after(20))
    get = collection_pb.GetCollectionRequest(tenant_id="acme", collection_id="docs")
    await fragile_etcd.kill()

    got = await op(op.collections.GetCollection, get)
    assert got.collection == put.collection
    assert got.map_token == control.watcher.snapshot.token
    listed = await op(op.regions.ListRegions, region_pb.ListRegionsRequest())
    assert [each.region_id for each in listed.regions] == ["eu-west", "us-east"]
    assert (await op(op.policies.GetPolicy, policy_pb.GetPolicyRequest(tenant_id="acme"))).policy.yaml == "#"
    with pytest.raises(Refused) as refused:
        await op(op.regions.PutRegion, region("ap-south", "apac"))
    assert (refused.value.code, refused.value.reason) == (StatusCode.UNAVAILABLE, "MAP_UNWRITABLE")
    assert refused.value.metadata["outcome"] == "NONE"

    await fragile_etcd.start()
    await recovered(control.store)
    await op(op.regions.PutRegion, region("ap-south", "apac"))


async def test_pages_go_on_while_etcd_is_away(fragile_control: Control, fragile_etcd: EtcdServer) -> None:
    """The last good map's own pages; a page of a state that only etcd has is refused."""
    control, op = fragile_control, fragile_control.operator
    for name in ("a", "b", "c"):
        put = await op(op.regions.PutRegion, region(name, "eu"))
    assert await control.watcher.wait_ready(20)
    begun = await op(op.regions.ListRegions, region_pb.ListRegionsRequest(page_size=1))
    later = await op(op.tenants.PutTenant, tenant("acme", "eu"))
    await control.watcher.at_least(later.map_token, Deadline.after(20))
    await fragile_etcd.kill()
    found: list[str] = []
    token = ""
    while True:
        page = await op(op.regions.ListRegions, region_pb.ListRegionsRequest(page_size=2, page_token=token))
        found += [each.region_id for each in page.regions]
        token = page.next_page_token
        if not token:
            break

    assert found == ["a", "b", "c"]
    assert put.region.region_id in found
    with pytest.raises(Refused) as refused:
        await op(op.regions.ListRegions, region_pb.ListRegionsRequest(page_token=begun.next_page_token))
    assert refused.value.reason == "MAP_UNWRITABLE"


async def test_a_frozen_etcd_holds_nobody_beyond_the_deadline(
    fragile_control: Control, fragile_etcd: EtcdServer
) -> None:
    """Reads are answered from the last good map within the caller's time, changes refused within it."""
    control, op = fragile_control, fragile_control.operator
    put = await op(op.regions.PutRegion, region("eu-west", "eu"))
    assert await control.watcher.wait_ready(20)
    await control.watcher.at_least(put.map_token, Deadline.after(20))
    fragile_etcd.child.pause()
    requests: list[tuple[Any, Any]] = [
        (op.regions.GetRegion, region_pb.GetRegionRequest(region_id="eu-west")),
        (op.regions.ListRegions, region_pb.ListRegionsRequest()),
    ]

    for method, request in requests:
        await op(method, request, timeout_s=2.0)
    with pytest.raises(Refused) as refused:
        await op(op.regions.PutRegion, region("us-east", "us"), timeout_s=2.0)
    assert refused.value.reason == "MAP_UNWRITABLE"


async def test_control_opens_without_etcd_and_sets_a_new_one_up(fragile_etcd: EtcdServer, tmp_path: Path) -> None:
    """The composition root serves at once, and is ready when etcd comes, though nobody asks it for anything."""
    await fragile_etcd.kill()
    settings = RoutingSettings(role="control", etcd_endpoints=fragile_etcd.endpoint, blob_dir=tmp_path / "blobs")
    async with open_control(settings) as app:
        assert not app.checks["map"]()
        assert not app.soft_checks["etcd"]()

        await fragile_etcd.start()

        await seen(app.checks["map"])
        await seen(app.soft_checks["etcd"])
