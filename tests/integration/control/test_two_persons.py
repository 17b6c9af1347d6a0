"""Acts that need a second person, and drains, through the real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import StatusCode
from tests.integration.control.caller import Caller, Refused
from tests.integration.control.conftest import Control, serving
from tests.integration.control.entries import collection, furnish
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.mesh.credentials import Issuer

from trunkline.control.v1 import approval_service_pb2 as approval_pb
from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline_routing.control.bindings import Rules
from trunkline_routing.control.two_persons import SecondPerson, parse_acts


@pytest.fixture
async def guarded(etcd: EtcdServer, issuer: Issuer, tmp_path: Path) -> AsyncIterator[Control]:
    """A control role whose drains need a second person."""
    rules = Rules(second=SecondPerson(parse_acts("drain-region,undrain-region")))
    async with serving(etcd, issuer, tmp_path / "blobs", rules=rules) as opened:
        yield opened


def operator(control: Control, subject: str) -> Caller:
    return control.caller(tenant=None, roles=["operator"], sub=subject)


def drain(region_id: str, approval_id: str = "", comment: str = "") -> region_pb.DrainRegionRequest:
    options = changes_pb.ChangeOptions(approval_id=approval_id, comment=comment)
    return region_pb.DrainRegionRequest(region_id=region_id, options=options)


async def test_a_drain_takes_two(guarded: Control) -> None:
    """Asked for by one, approved by another, carried out once, and both stand in the history."""
    olga, otto = operator(guarded, "olga"), operator(guarded, "otto")
    await furnish(olga)
    with pytest.raises(Refused) as refused:
        await olga(olga.regions.DrainRegion, drain("eu-west", comment="works on the roof"))
    assert (refused.value.code, refused.value.reason) == (StatusCode.FAILED_PRECONDITION, "APPROVAL_REQUIRED")
    approval_id = refused.value.metadata["approvalId"]
    [waiting] = (await otto(otto.approvals.ListApprovals, approval_pb.ListApprovalsRequest())).approvals
    assert (waiting.approval_id, waiting.requester, waiting.summary) == (approval_id, "olga", "drain region eu-west")
    assert (waiting.state, waiting.comment) == (approval_pb.APPROVAL_STATE_PENDING, "works on the roof")
    assert waiting.method == "/trunkline.control.v1.RegionService/DrainRegion"
    approve = approval_pb.ApproveChangeRequest(approval_id=approval_id)
    with pytest.raises(Refused) as refused:
        await olga(olga.approvals.ApproveChange, approve)
    assert refused.value.reason == "METHOD_NOT_ALLOWED"
    given = await otto(otto.approvals.ApproveChange, approve)
    assert (given.approval.state, given.approval.decider) == (approval_pb.APPROVAL_STATE_APPROVED, "otto")

    for wrong in (drain("us-east", approval_id), drain("eu-west", "0" * 32)):
        with pytest.raises(Refused) as refused:
            await olga(olga.regions.DrainRegion, wrong)
        assert (refused.value.code, refused.value.reason) == (StatusCode.FAILED_PRECONDITION, "APPROVAL_INVALID")
    done = await olga(olga.regions.DrainRegion, drain("eu-west", approval_id, comment="other words"))

    assert done.region.state == entries_pb.REGION_STATE_DRAINING
    with pytest.raises(Refused):
        await olga(olga.regions.UndrainRegion, region_pb.UndrainRegionRequest(region_id="eu-west"))
    asked = region_pb.ListRegionChangesRequest(region_id="eu-west", page_size=1)
    [change] = (await olga(olga.regions.ListRegionChanges, asked)).changes
    assert (change.actor, change.approver, change.comment) == ("olga", "otto", "other words")


async def test_a_rejected_drain_is_not_made(guarded: Control) -> None:
    """Nor by an id that is none."""
    olga, otto = operator(guarded, "olga"), operator(guarded, "otto")
    await furnish(olga)
    with pytest.raises(Refused) as refused:
        await olga(olga.regions.DrainRegion, drain("eu-west"))
    approval_id = refused.value.metadata["approvalId"]

    left = await otto(otto.approvals.RejectChange, approval_pb.RejectChangeRequest(approval_id=approval_id))

    assert left.approval.state == approval_pb.APPROVAL_STATE_REJECTED
    with pytest.raises(Refused) as refused:
        await olga(olga.regions.DrainRegion, drain("eu-west", approval_id))
    assert refused.value.reason == "APPROVAL_INVALID"
    with pytest.raises(Refused) as refused:
        await otto(otto.approvals.ApproveChange, approval_pb.ApproveChangeRequest(approval_id="../x"))
    assert refused.value.reason == "FIELD_INVALID"


async def test_tenants_decide_nothing(guarded: Control) -> None:
    """Approvals are the operators' own."""
    admin = guarded.admin("acme")

    for method, request in (
        (admin.approvals.ListApprovals, approval_pb.ListApprovalsRequest()),
        (admin.regions.DrainRegion, drain("eu-west")),
    ):
        with pytest.raises(Refused) as refused:
            await admin(method, request)
        assert refused.value.reason == "METHOD_NOT_ALLOWED"


async def test_of_two_operators_who_drain_two_regions_at_once_one_loses(control: Control) -> None:
    """Again and again: a collection of both always keeps one that serves."""
    op = control.operator
    await furnish(op)
    await op(op.collections.PutCollection, collection("acme", "docs", "eu-west", "us-east"))

    for _ in range(8):
        outcomes = await asyncio.gather(
            *(op(op.regions.DrainRegion, drain(name)) for name in ("eu-west", "us-east")), return_exceptions=True
        )
        [refused] = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        assert refused.reason == "LAST_ALLOWED_REGION"
        assert refused.metadata == {"usedBy": "acme/docs", "count": "1"}
        for name in ("eu-west", "us-east"):
            await op(op.regions.UndrainRegion, region_pb.UndrainRegionRequest(region_id=name))


async def test_a_region_comes_back_gradually(control: Control) -> None:
    """Over 60 s unless the operator says otherwise."""
    op = control.operator
    await furnish(op)
    await op(op.regions.DrainRegion, drain("eu-west"))

    back = (await op(op.regions.UndrainRegion, region_pb.UndrainRegionRequest(region_id="eu-west"))).region

    assert (back.state, back.ramp.seconds) == (entries_pb.REGION_STATE_SERVING, 60)
    assert back.serve_time.seconds > 0
    await op(op.regions.DrainRegion, drain("eu-west"))
    at_once = region_pb.UndrainRegionRequest(region_id="eu-west")
    at_once.ramp.SetInParent()
    assert not (await op(op.regions.UndrainRegion, at_once)).region.HasField("ramp")
    at_once.ramp.seconds = 3601
    with pytest.raises(Refused) as refused:
        await op(op.regions.UndrainRegion, at_once)
    assert (refused.value.reason, refused.value.fields) == ("FIELD_INVALID", ["ramp"])
