"""Whoever changes the map reads the change at once, anywhere, with the token of the change."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import pytest
from tests.e2e import world
from tests.e2e.place import LONG_S, Place

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.policy.live import live_policy, upon_version
from trunkline_client import ControlClient, NotFound, StaleMap, TrunklineClient, Versioned
from trunkline_local.seeding import SPACE_ID

CHANGES = 50


def _policy(word: str, collection: str) -> str:
    other = {"alpha": "beta", "beta": "alpha"}[collection]
    return f"version: 1\nstrategy: rules\ncollections:\n  {collection}: {{keywords: [{word}]}}\n  {other}: {{}}\n"


async def _put(control: ControlClient, yaml: str, entry: policies_pb.Policy) -> Versioned[policies_pb.Policy]:
    entry.yaml = yaml
    return await control.put_policy(entry)


async def _clients(place: Place, stack: AsyncExitStack, tenant: str = world.ACME) -> list[TrunklineClient]:
    return [await stack.enter_async_context(place.client(region, tenant=tenant)) for region in world.REGIONS]


async def test_fifty_new_collections_are_searched_at_once_from_other_regions(place: Place) -> None:
    """Put, then search through another region's router with the token: found every time, never stale or unknown."""
    served: list[str] = []
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(place.control())
        clients = await _clients(place, stack)
        for number in range(CHANGES):
            home, asked = world.REGIONS[number % 3], clients[(number + 1) % 3]
            name = f"fresh-{number}"
            entry = entries_pb.Collection(tenant_id=world.ACME, collection_id=name, space_id=SPACE_ID, placement=[home])
            token = (await control.put_collection(entry)).map_token
            result = await asked.search("anything", collections=[name], map_token=token, deadline_s=LONG_S)
            served += [item.served_region for item in result.trail.collections]
        for number in range(CHANGES):
            token = await control.delete_collection(world.ACME, f"fresh-{number}")
        for client in clients:
            with pytest.raises(NotFound, match="COLLECTION_UNKNOWN"):
                await client.search("anything", collections=["fresh-0"], map_token=token, deadline_s=LONG_S)
    assert served == [world.REGIONS[number % 3] for number in range(CHANGES)]


async def test_a_policy_is_used_at_once(place: Place) -> None:
    """With the token of its change a policy decides in every region's router, and the trail names its version."""
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(place.control())
        us, eu, _ = await _clients(place, stack, world.INITECH)
        found = await live_policy(control, world.INITECH)
        version = found.value.version if found is not None else 0
        for number in range(10):
            collection = ("alpha", "beta")[number % 2]
            put = partial(_put, control, _policy("zeppelin", collection))
            written = await upon_version(control, world.INITECH, version, put)
            version = written.value.version
            for client in (us, eu):
                routed = await client.route("Who flies a zeppelin?", map_token=written.map_token, deadline_s=4.0)
                assert routed.trail.decision is not None
                assert routed.trail.decision.policy_version == written.value.version
                assert [item.collection for item in routed.trail.collections] == [collection]


async def test_a_region_that_is_taken_down_is_passed_over_at_once(place: Place) -> None:
    """An operator's change of a region's state holds for the next search with its token, and so does its undoing."""
    async with place.control() as control, place.client(world.US) as client, place.client(world.ASIA) as asia:
        try:
            token = await _set_state(control, world.US, entries_pb.REGION_STATE_DOWN)
            down = await client.search("pdb", collections=["debugging"], map_token=token, deadline_s=LONG_S)
        finally:
            token = await _set_state(control, world.US, entries_pb.REGION_STATE_SERVING)
        again = await client.search("pdb", collections=["debugging"], map_token=token, deadline_s=LONG_S)
        far = await asia.search("globe", collections=["world"], map_token=token, deadline_s=LONG_S)
    attempts = {each.region: each.outcome for each in down.trail.collections[0].attempts}
    assert attempts == {world.US: "SKIPPED_STATE", world.EU: "SERVED"}
    assert "SERVED_FROM_OTHER_REGION" in {each.reason for each in down.trail.degradations}
    assert again.trail.collections[0].served_region == world.US
    assert far.trail.collections[0].served_region == world.EU


async def test_tokens_that_cannot_be_met_are_refused(place: Place) -> None:
    """A token of another epoch or of no map at all is a typed refusal; one of the future waits, then says STALE_MAP."""
    from trunkline_map import token as tokens

    state = tokens.decode(place.map_token)
    foreign = tokens.encode(bytes(8 - len(b"other")) + b"other", state.revision)
    future = tokens.encode(state.epoch, state.revision + 1_000_000)
    async with place.client(world.US) as client:
        for token in (foreign, b"no token"):
            with pytest.raises(StaleMap, match="MAP_TOKEN_INVALID"):
                await client.route("anything", map_token=token, deadline_s=4.0)
        with pytest.raises(StaleMap) as stale:
            await client.route("anything", map_token=future, deadline_s=3.0)
    assert stale.value.reason == "STALE_MAP"


async def _set_state(control: ControlClient, region_id: str, state: entries_pb.RegionState.ValueType) -> bytes:
    region = (await control.region(region_id)).value
    region.state = state
    return (await control.put_region(region)).map_token
