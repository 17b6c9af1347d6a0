"""Lists: in order, page by page at one revision, within their folder."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from tests.integration.control.caller import Caller, Refused
from tests.integration.control.conftest import Control
from tests.integration.control.entries import collection, furnish, region, space, tenant
from tests.integration.map.etcd_server import EtcdServer

from trunkline.control.v1 import collection_map_service_pb2 as collection_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline.control.v1 import space_service_pb2 as space_pb
from trunkline.control.v1 import tenant_service_pb2 as tenant_pb
from trunkline_map.entries import EpochEntry
from trunkline_map.keys import EPOCH_KEY
from trunkline_map.records import encode
from trunkline_map.store import Transaction

NAMES = ["a", "a-b", "ab", "b", "c"]


async def write_regions(op: Caller, names: list[str]) -> None:
    for name in names:
        await op(op.regions.PutRegion, region(name, "eu"))


async def list_regions(op: Caller, page_size: int = 0, page_token: str = "") -> region_pb.ListRegionsResponse:
    return await op(op.regions.ListRegions, region_pb.ListRegionsRequest(page_size=page_size, page_token=page_token))


@pytest.mark.parametrize("page_size", [1, 2, 4, 5, 6, 500])
async def test_pages_together_are_the_list(control: Control, page_size: int) -> None:
    """Whatever the page size: every entry once, in the order of names, one token for all pages."""
    op = control.operator
    await write_regions(op, NAMES)
    found: list[str] = []
    tokens = set()
    page = await list_regions(op, page_size)
    while True:
        found += [each.region_id for each in page.regions]
        tokens.add(page.map_token)
        if not page.next_page_token:
            break
        page = await list_regions(op, page_size, page.next_page_token)

    assert found == NAMES
    assert len(tokens) == 1


async def test_all_pages_are_of_the_first_ones_revision(control: Control) -> None:
    """What is added or removed between two pages does not show."""
    op = control.operator
    await write_regions(op, NAMES)
    first = await list_regions(op, 2)
    await write_regions(op, ["d"])
    await op(op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="c"))

    rest = await list_regions(op, 10, first.next_page_token)

    assert [each.region_id for each in rest.regions] == NAMES[2:]


async def test_an_empty_list_is_one_empty_page(control: Control) -> None:
    """With a token of the state that was read."""
    page = await list_regions(control.operator)

    assert (list(page.regions), page.next_page_token) == ([], "")
    assert page.map_token


async def test_every_kind_is_listed(control: Control) -> None:
    """Spaces, tenants and one tenant's collections, apart from a tenant whose name begins alike."""
    op = control.operator
    await furnish(op)
    await op(op.spaces.PutSpace, space("other"))
    await op(op.tenants.PutTenant, tenant("acme-2", "eu"))
    await op(op.collections.PutCollection, collection("acme", "docs", "eu-west"))
    await op(op.collections.PutCollection, collection("acme-2", "else", "eu-west"))

    spaces = await op(op.spaces.ListSpaces, space_pb.ListSpacesRequest())
    tenants = await op(op.tenants.ListTenants, tenant_pb.ListTenantsRequest())
    listed = await op(op.collections.ListCollections, collection_pb.ListCollectionsRequest(tenant_id="acme"))

    assert [each.space_id for each in spaces.spaces] == ["minilm", "other"]
    assert [each.tenant_id for each in tenants.tenants] == ["acme", "acme-2"]
    assert [each.collection_id for each in listed.collections] == ["docs"]


async def test_a_compacted_page_has_expired(control: Control, etcd: EtcdServer) -> None:
    """The list must be begun anew: the rest of that state is gone."""
    op = control.operator
    await write_regions(op, NAMES)
    first = await list_regions(op, 2)
    await write_regions(op, ["d"])
    await etcd.compact()

    with pytest.raises(Refused) as refused:
        await list_regions(op, 2, first.next_page_token)

    assert (refused.value.code, refused.value.reason) == (StatusCode.FAILED_PRECONDITION, "PAGE_EXPIRED")


async def test_a_page_of_another_epoch_has_expired(control: Control) -> None:
    """Its revision means nothing in a restored store."""
    op = control.operator
    await write_regions(op, NAMES)
    first = await list_regions(op, 2)
    renewed = {EPOCH_KEY.encode(): encode(EpochEntry(b"restored"))}
    await control.store.commit(Transaction(puts=renewed), timeout_s=5)

    with pytest.raises(Refused) as refused:
        await list_regions(op, 2, first.next_page_token)

    assert refused.value.reason == "PAGE_EXPIRED"


async def test_a_page_token_is_of_one_list_only(control: Control) -> None:
    """One tenant's place in the map leads nobody into another's."""
    op = control.operator
    await furnish(op)
    await op(op.tenants.PutTenant, tenant("other", "eu"))
    for name in ("a", "b"):
        await op(op.collections.PutCollection, collection("acme", name, "eu-west"))
    own = collection_pb.ListCollectionsRequest(tenant_id="acme", page_size=1)
    token = (await op(op.collections.ListCollections, own)).next_page_token
    elsewhere: list[tuple[Any, Any]] = [
        (
            op.collections.ListCollections,
            collection_pb.ListCollectionsRequest(tenant_id="other", page_token=token),
        ),
        (op.regions.ListRegions, region_pb.ListRegionsRequest(page_token=token)),
    ]

    for method, request in elsewhere:
        with pytest.raises(Refused) as refused:
            await op(method, request)
        assert (refused.value.reason, refused.value.fields) == ("FIELD_INVALID", ["page_token"])


@pytest.mark.parametrize(
    ("page_size", "page_token", "field"),
    [(-1, "", "page_size"), (501, "", "page_size"), (0, "garbage", "page_token"), (0, "x" * 513, "page_token")],
)
async def test_bad_pages_are_refused(control: Control, page_size: int, page_token: str, field: str) -> None:
    """Sizes and tokens beyond the contract."""
    with pytest.raises(Refused) as refused:
        await list_regions(control.operator, page_size, page_token)

    assert (refused.value.reason, refused.value.fields) == ("FIELD_INVALID", [field])
