"""A local stack's map is seeded through the real control role."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.integration.control.conftest import Control

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_client import ControlClient, InvalidRequest, NotFound, PermissionDenied
from trunkline_local.proc import ProcessMark
from trunkline_local.seeding import DIMENSION, SPACE_ID, CollectionSeed, TenantSeed, seed_map
from trunkline_local.spec import Layout, Service
from trunkline_local.state import FORMAT, Phase, RegionRecord, StackState

ACME: Final = TenantSeed("acme", "pro", ("us", "eu"))
FILES: Final = CollectionSeed("acme", "files", ("eu-west", "us-east"), description="Files")


def _region(region_id: str, jurisdiction: str, port: int) -> RegionRecord:
    endpoints = {service: f"127.0.0.1:{port + number}" for number, service in enumerate(Service)}
    return RegionRecord(
        region_id=region_id, jurisdiction=jurisdiction, valkey_url="redis://x", endpoints=endpoints, metrics={}
    )


@pytest.fixture
def state(control: Control, tmp_path: Path) -> StackState:
    """The record of a stack with two regions whose control role is the one that serves."""
    return StackState(
        format=FORMAT,
        run_id="run",
        owner=ProcessMark.own(),
        phase=Phase.RUNNING,
        layout=Layout.PER_SERVICE,
        started_at_s=0.0,
        run_dir=tmp_path,
        etcd_endpoints=(),
        triton_endpoint="",
        triton_http_endpoint="",
        control_endpoint=control.endpoint,
        control_metrics="",
        regions=(_region("eu-west", "eu", 100), _region("us-east", "us", 200)),
        processes=(),
        identity_dir=tmp_path,
        issuer="",
        tokens={},
    )


@pytest.fixture
def operator(control: Control) -> str:
    """An operator's credential."""
    return control.issuer.token(tenant=None, roles=["operator"])


async def test_everything_is_written(state: StackState, operator: str) -> None:
    """Regions with their addresses, the space, the tenant, the collection and the policy, with the last one's token."""
    token = await seed_map(state, operator, tenants=[ACME], collections=[FILES], policies={"acme": "files"})

    async with ControlClient([state.control_endpoint], operator) as client:
        regions, space = (await client.regions()).value, (await client.space(SPACE_ID)).value
        tenant, collection = (await client.tenant("acme")).value, (await client.collection("acme", "files")).value
        policy = await client.policy("acme")
    assert [(each.region_id, each.jurisdiction) for each in regions] == [("eu-west", "eu"), ("us-east", "us")]
    assert list(regions[0].endpoints.routing) == [state.regions[0].endpoints[Service.ROUTING]]
    assert space.dimension == DIMENSION
    assert (tenant.tier, list(tenant.jurisdictions)) == ("pro", ["eu", "us"])
    assert list(collection.placement) == ["eu-west", "us-east"]
    assert list(collection.jurisdictions) == ["eu", "us"]
    assert policy.value.yaml == "files"
    assert policy.map_token == token


async def test_a_repeat_changes_nothing(state: StackState, operator: str) -> None:
    """Equal entries keep their revisions, and the policy its version."""

    async def seed() -> bytes:
        return await seed_map(state, operator, tenants=[ACME], collections=[FILES], policies={"acme": "files"})

    first, second = await seed(), await seed()

    assert first == second


async def test_what_changed_is_written_over_what_is_there(state: StackState, operator: str) -> None:
    """A region's new addresses and a tenant's new tier replace the old ones; a collection keeps its jurisdictions."""
    eu_only = replace(FILES, placement=("eu-west",), jurisdictions=("eu",))
    await seed_map(state, operator, tenants=[ACME], collections=[eu_only])
    moved = state.model_copy(update={"regions": (_region("eu-west", "eu", 300), state.regions[1])})

    again = replace(eu_only, jurisdictions=())
    token = await seed_map(moved, operator, tenants=[replace(ACME, tier="free")], collections=[again])

    async with ControlClient([state.control_endpoint], operator) as client:
        region, tenant = (await client.region("eu-west")).value, (await client.tenant("acme")).value
        collection = await client.collection("acme", "files")
    assert list(region.endpoints.routing) == [moved.regions[0].endpoints[Service.ROUTING]]
    assert tenant.tier == "free"
    assert list(collection.value.jurisdictions) == ["eu"]
    assert collection.map_token == token


async def test_refusals_are_the_clients_own_errors(control: Control, state: StackState, operator: str) -> None:
    """A seed that the credential or the map does not allow is refused with its reason."""
    with pytest.raises(PermissionDenied):
        await seed_map(state, control.issuer.token(roles=[]), tenants=[ACME])
    with pytest.raises(NotFound, match="REGION_UNKNOWN"):
        await seed_map(state, operator, tenants=[ACME], collections=[replace(FILES, placement=("mars",))])
    with pytest.raises(InvalidRequest, match="policy"):
        await seed_map(state, operator, tenants=[ACME], policies={"acme": "!"})


async def test_a_layout_is_kept(state: StackState, operator: str) -> None:
    """A dedicated collection stays one, also when it is seeded again."""
    dedicated = replace(FILES, dedicated=True)
    await seed_map(state, operator, tenants=[ACME], collections=[dedicated])
    await seed_map(state, operator, tenants=[ACME], collections=[dedicated])

    async with ControlClient([state.control_endpoint], operator) as client:
        entry = (await client.collection("acme", "files")).value
    assert entry.WhichOneof("layout") == "dedicated"


async def test_a_smaller_stack_goes_on_with_an_earlier_ones_map(state: StackState, operator: str) -> None:
    """A region that is not there any more is down until it is back; the tenant may still be everywhere."""
    everywhere = replace(ACME, jurisdictions=())
    await seed_map(state, operator, tenants=[everywhere], collections=[FILES])
    smaller = state.model_copy(update={"regions": state.regions[:1]})

    await seed_map(smaller, operator, tenants=[everywhere])

    async with ControlClient([state.control_endpoint], operator) as client:
        states = {each.region_id: each.state for each in (await client.regions()).value}
        jurisdictions = list((await client.tenant("acme")).value.jurisdictions)
        await seed_map(state, operator, tenants=[everywhere])
        back = (await client.region("us-east")).value
    assert states == {"eu-west": entries_pb.REGION_STATE_SERVING, "us-east": entries_pb.REGION_STATE_DOWN}
    assert jurisdictions == ["eu", "us"]
    assert back.state == entries_pb.REGION_STATE_SERVING


async def test_a_region_that_a_collection_has_alone_stays_without_addresses(state: StackState, operator: str) -> None:
    """The control role lets nobody take it out of service; and nobody waits for where it listened."""
    everywhere = replace(ACME, jurisdictions=())
    there = replace(FILES, placement=("us-east",))
    await seed_map(state, operator, tenants=[everywhere], collections=[there])
    smaller = state.model_copy(update={"regions": state.regions[:1]})

    await seed_map(smaller, operator, tenants=[everywhere])

    async with ControlClient([state.control_endpoint], operator) as client:
        left = (await client.region("us-east")).value
    assert left.state == entries_pb.REGION_STATE_SERVING
    assert not left.endpoints.ListFields()
