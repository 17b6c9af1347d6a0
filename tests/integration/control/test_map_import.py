"""Imports in batches: whole or not at all, once each, resumable, checked as single changes are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from tests.integration.control.caller import Caller, Refused
from tests.integration.control.conftest import Control, serving
from tests.integration.control.entries import collection, furnish, region, space, tenant
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.mesh.credentials import Issuer

from trunkline.control.v1 import approval_service_pb2, approval_service_pb2_grpc
from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import map_service_pb2 as map_pb
from trunkline.control.v1 import map_service_pb2_grpc as map_grpc
from trunkline.control.v1 import region_service_pb2 as regions_pb
from trunkline_mesh.deadline import Deadline
from trunkline_routing.control.bindings import Rules
from trunkline_routing.control.two_persons import Act, SecondPerson


class Importer:
    """Sends batches as operator."""

    def __init__(self, control: Control, channel: grpc.aio.Channel, caller: Caller) -> None:
        self.control = control
        self.call = caller
        self.stub = map_grpc.MapServiceStub(channel)
        self.approvals = approval_service_pb2_grpc.ApprovalServiceStub(channel)

    async def send(
        self, number: int, *changes: map_pb.ImportChange, import_id: str = "i-1", **options: object
    ) -> bytes:
        request = map_pb.ImportBatchRequest(
            import_id=import_id,
            batch_number=number,
            changes=changes,
            options=changes_pb.ChangeOptions(**options),  # type: ignore[arg-type]  # as each test names them
        )
        return (await self.call(self.stub.ImportBatch, request)).map_token

    async def state(self, import_id: str = "i-1") -> map_pb.GetImportResponse:
        return await self.call(self.stub.GetImport, map_pb.GetImportRequest(import_id=import_id))

    async def names(self) -> list[str]:
        """Names of the collections of `acme`."""
        request = collections_pb.ListCollectionsRequest(tenant_id="acme")
        found = await self.call(self.call.collections.ListCollections, request)
        return [each.collection_id for each in found.collections]


def put(name: str, *placement: str, **changes: object) -> map_pb.ImportChange:
    entry = collection("acme", name, *(placement or ("eu-west",)), **changes).collection
    return map_pb.ImportChange(put=changes_pb.MapEntry(collection=entry))


def remove(name: str, revision: int = 0) -> map_pb.ImportChange:
    entry = changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_COLLECTION, tenant_id="acme", entry_id=name)
    return map_pb.ImportChange(remove=entry, revision=revision)


@pytest.fixture
async def importer(control: Control) -> AsyncIterator[Importer]:
    await furnish(control.operator)
    async with grpc.aio.insecure_channel(control.endpoint) as channel:
        yield Importer(control, channel, control.operator)


async def test_a_batch_is_applied_and_noted(importer: Importer) -> None:
    """Everything in it, in one transaction; the note tells who, how far, and when."""
    token = await importer.send(1, put("a"), put("b"), comment="first")
    state = await importer.state()

    assert await importer.names() == ["a", "b"]
    assert (state.next_batch_number, state.applied_count, state.map_token) == (2, 2, token)
    assert state.actor
    assert state.update_time.seconds > 0
    assert (await importer.control.watcher.at_least(token, _soon())).collection("acme", "b") is not None


async def test_all_kinds_are_put_and_removed(control: Control, importer: Importer) -> None:
    """A map is built from the ground and taken down again, a step in each batch."""
    entries = [
        changes_pb.MapEntry(region=region("ap-south", "ap").region),
        changes_pb.MapEntry(space=space("large").space),
        changes_pb.MapEntry(tenant=tenant("umbra", "ap").tenant),
        changes_pb.MapEntry(collection=collection("umbra", "x", "ap-south", space_id="large").collection),
    ]
    for number, entry in enumerate(entries, 1):
        await importer.send(number, map_pb.ImportChange(put=entry))
    removals = [
        changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_COLLECTION, tenant_id="umbra", entry_id="x"),
        changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_TENANT, tenant_id="umbra"),
        changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_SPACE, entry_id="large"),
        changes_pb.EntryName(kind=changes_pb.ENTRY_KIND_REGION, entry_id="ap-south"),
    ]
    for number, name in enumerate(removals, 5):
        token = await importer.send(number, map_pb.ImportChange(remove=name))

    snapshot = await control.watcher.at_least(token, _soon())
    assert sorted(each.region_id for each in snapshot.regions()) == ["eu-west", "us-east"]
    assert [each.tenant_id for each in snapshot.tenants()] == ["acme"]
    assert (await importer.state()).applied_count == 8


async def test_a_repeat_of_the_last_batch_changes_nothing(importer: Importer) -> None:
    """It answers the same token; the entry keeps its revision, and the history has one account."""
    first = await importer.send(1, put("a"))
    second = await importer.send(1, put("a"))
    both = await asyncio.gather(*(importer.send(2, put("b")) for _ in range(4)))

    assert first == second
    assert len(set(both)) == 1
    assert (await importer.state()).applied_count == 2


@pytest.mark.parametrize(("number", "name"), [(1, "other"), (3, "c"), (9, "c")])
async def test_batches_out_of_their_order_are_refused(importer: Importer, number: int, name: str) -> None:
    """A number skipped, and the last one with other content; told where to go on."""
    await importer.send(1, put("a"))

    with pytest.raises(Refused) as caught:
        await importer.send(number, put(name))

    assert (caught.value.reason, caught.value.metadata["nextBatch"]) == ("IMPORT_OUT_OF_ORDER", "2")
    assert await importer.names() == ["a"]


async def test_one_bad_entry_keeps_the_whole_batch_out(importer: Importer) -> None:
    """The refusal is the one of the entry's own method, and names it; the import goes on with the same number."""
    bad = {
        "REGION_UNKNOWN": put("bad", "mars"),
        "SPACE_UNKNOWN": put("bad", space_id="none"),
        "RESIDENCY_VIOLATION": put("bad", "us-east", jurisdictions=["eu"]),
        "REVISION_CONFLICT": put("bad", revision=5),
        "COLLECTION_UNKNOWN": remove("bad"),
        "FIELD_INVALID": put("bad", "eu-west", "eu-west"),
    }
    for reason, change in bad.items():
        with pytest.raises(Refused) as caught:
            await importer.send(1, put("a"), change, put("z"))
        assert (caught.value.reason, caught.value.metadata["entry"]) == (reason, "collections/acme/bad")

    assert await importer.names() == []
    with pytest.raises(Refused) as caught:
        await importer.state()
    assert caught.value.reason == "IMPORT_UNKNOWN"
    await importer.send(1, put("a"))


async def test_bounds_are_checked_before_anything_is_read(importer: Importer) -> None:
    """Ids that are none, numbers below one, no changes, too many, two of one entry, and changes of nothing."""
    too_many = [put(f"c{number}") for number in range(25)]
    requests = [
        (1, [put("a")], {"import_id": "a/b"}, "import_id"),
        (1, [put("a")], {"import_id": ""}, "import_id"),
        (0, [put("a")], {}, "batch_number"),
        (1, [], {}, "changes"),
        (1, too_many, {}, "changes"),
        (1, [put("a"), put("a")], {}, "changes"),
        (1, [map_pb.ImportChange()], {}, "changes[0].kind"),
    ]
    for number, changes, how, field in requests:
        with pytest.raises(Refused) as caught:
            await importer.send(number, *changes, **how)
        assert (caught.value.reason, caught.value.fields) == ("FIELD_INVALID", [field])


async def test_the_largest_batch_fits(importer: Importer) -> None:
    """24 collections of one tenant, with descriptions as long as may be."""
    await importer.send(1, *(put(f"c{number:02}", description="x" * 1024) for number in range(24)))

    assert len(await importer.names()) == 24


async def test_a_dry_run_checks_and_changes_nothing(importer: Importer) -> None:
    """It refuses as the real one would, and notes nothing."""
    await importer.send(1, put("a"), dry_run=True)
    with pytest.raises(Refused, match="REGION_UNKNOWN"):
        await importer.send(1, put("a", "mars"), dry_run=True)

    assert await importer.names() == []
    await importer.send(1, put("a"))


async def test_only_operators_import(control: Control, importer: Importer) -> None:
    """A tenant's admin changes its collections one by one, within its tier."""
    importer.call = control.admin("acme")

    with pytest.raises(Refused, match="METHOD_NOT_ALLOWED"):
        await importer.send(1, put("a"))


async def test_another_control_process_goes_on(
    etcd: EtcdServer, issuer: Issuer, tmp_path: Path, importer: Importer
) -> None:
    """What one process remembers of an import is never trusted over the store."""
    await importer.send(1, put("a"))
    async with (
        serving(etcd, issuer, tmp_path / "others") as other,
        grpc.aio.insecure_channel(other.endpoint) as channel,
    ):
        others = Importer(other, channel, other.operator)
        assert await others.send(1, put("a")) == (await importer.state()).map_token
        token = await others.send(2, put("b"))
        assert await importer.send(2, put("b")) == token
        await importer.send(3, put("c"))
        await others.send(4, put("d"))

    assert await importer.names() == ["a", "b", "c", "d"]
    assert (await importer.state()).applied_count == 4


async def test_a_batch_may_need_a_second_person(etcd: EtcdServer, issuer: Issuer, tmp_path: Path) -> None:
    """It waits as a whole; approved, it is applied once, and its repeat is known although the approval is used up."""
    rules = Rules(second=SecondPerson([Act.DRAIN_REGION]))
    async with (
        serving(etcd, issuer, tmp_path / "blobs", rules=rules) as control,
        grpc.aio.insecure_channel(control.endpoint) as channel,
    ):
        await furnish(control.operator)
        importer = Importer(control, channel, control.caller(sub="olga", tenant=None, roles=["operator"]))
        down = region("us-east", "us", state=entries_pb.REGION_STATE_DOWN).region
        down.revision = (await _region(control.operator, "us-east")).revision
        change = map_pb.ImportChange(put=changes_pb.MapEntry(region=down))
        with pytest.raises(Refused) as caught:
            await importer.send(1, change)
        approval_id = caught.value.metadata["approvalId"]
        second = control.caller(sub="peter", tenant=None, roles=["operator"])
        await second(
            importer.approvals.ApproveChange, approval_service_pb2.ApproveChangeRequest(approval_id=approval_id)
        )

        first = await importer.send(1, change, approval_id=approval_id)
        again = await importer.send(1, change, approval_id=approval_id)

        assert caught.value.reason == "APPROVAL_REQUIRED"
        assert first == again
        assert (await _region(control.operator, "us-east")).state == entries_pb.REGION_STATE_DOWN


async def _region(operator: Caller, region_id: str) -> entries_pb.Region:
    found: regions_pb.GetRegionResponse = await operator(
        operator.regions.GetRegion, regions_pb.GetRegionRequest(region_id=region_id)
    )
    return found.region


def _soon() -> Deadline:
    return Deadline.after(5)
