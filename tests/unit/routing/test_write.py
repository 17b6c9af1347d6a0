"""Writes: every region of the placement or no acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.unit.routing.world import AP, EU, NORTH, TENANT, US, World, degradations, outcomes, scope, stage_names

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline_lease.charge import Charge
from trunkline_map import testing as maps
from trunkline_mesh import errors
from trunkline_routing.edge.embedding import MAX_PASSAGES
from trunkline_routing.edge.write_everywhere import Written
from trunkline_usage.records import StageUse

DOWN = errors.BackendUnavailable()


def documents(count: int = 2) -> list[document_pb.Document]:
    return [document_pb.Document(document_id=f"d{number}", text=f"axis {number}") for number in range(count)]


async def upsert(world: World, collection: str = "both", count: int = 2) -> Written:
    return await world.write().upsert(TENANT, collection, documents(count), b"", scope())


async def delete(world: World, *ids: str) -> Written:
    return await world.write().delete(TENANT, "both", ids, b"", scope())


async def test_documents_go_to_every_region_of_the_placement() -> None:
    """Embedded once, as passages, and accounted for."""
    world = World(EU)
    written = await upsert(world)
    assert world.retrieval.written == {US: ["d0", "d1"], EU: ["d0", "d1"]}
    assert [(texts, passages) for _, texts, passages in world.inference.calls] == [(("axis 0", "axis 1"), True)]
    assert [region for region, _ in written.regions] == [US, EU]
    assert outcomes(written.trail.collections[0]) == [(US, "SERVED"), (EU, "SERVED")]
    assert stage_names(written.trail) == ["ADMISSION", "EMBEDDING", "WRITE"]
    assert (written.trail.cost.reserved_tokens, world.quota.charged) == (2, 2)


async def test_deletes_go_everywhere_too() -> None:
    """Without embedding anything."""
    world = World()
    await delete(world, "d1", "d2")
    assert world.retrieval.deleted == {US: ["d1", "d2"], EU: ["d1", "d2"]}
    assert world.inference.calls == []


async def test_a_region_that_fails_leaves_the_write_unacknowledged() -> None:
    """The others have it and are charged; the refusal names where it is missing and asks for a repeat."""
    world = World()
    world.retrieval.failing = {US: DOWN}
    with pytest.raises(errors.WriteIncomplete) as refused:
        await upsert(world)
    assert dict(refused.value.metadata) == {"collection": "both", "failedRegions": US}
    assert refused.value.retryable
    assert refused.value.retry_delay_s is not None
    assert world.retrieval.written == {EU: ["d0", "d1"]}
    assert world.quota.charged == 2


async def test_one_slow_region_does_not_keep_the_others_waiting() -> None:
    """They are written at the same time."""
    world = World()
    world.retrieval.failing = {US: DOWN, EU: DOWN}
    with pytest.raises(errors.WriteIncomplete) as refused:
        await upsert(world)
    assert refused.value.metadata["failedRegions"] == f"{US},{EU}"
    assert world.quota.charged == 2, "no region has it, but a model embedded it"


@pytest.mark.parametrize(
    "error", [errors.FieldInvalid(), errors.SpaceMismatch(), errors.StorageFull(), errors.TenantMismatch()]
)
async def test_what_every_region_says_is_told_as_it_is(error: errors.DomainError) -> None:
    """The caller's fault stays the caller's; a full store is told as such. What was embedded for it is paid."""
    world = World()
    world.retrieval.failing = {"both": error}
    with pytest.raises(type(error)):
        await upsert(world)
    assert world.quota.charged == 2
    with pytest.raises(type(error)):
        await delete(world, "d1")
    assert world.quota.charged == 2


async def test_a_fault_of_one_region_alone_is_incomplete() -> None:
    """A region behind on the map says NOT_PLACED while the others have written."""
    world = World()
    world.retrieval.failing = {US: errors.CollectionNotPlaced()}
    with pytest.raises(errors.WriteIncomplete):
        await upsert(world)


async def test_a_write_that_cannot_be_embedded_costs_nothing() -> None:
    """And writes nothing."""
    world = World()
    world.inference.failing = {EU: DOWN, NORTH: DOWN, US: DOWN}
    with pytest.raises(errors.NoAllowedRegion):
        await upsert(world)
    assert world.retrieval.written == {}
    assert world.quota.charged == 0


async def test_passages_are_embedded_behind_the_wall_of_their_collection() -> None:
    """A document of {eu} never goes to a model in the US."""
    world = World()
    world.inference.failing = {EU: DOWN}
    written = await upsert(world, "europe")
    assert {region for region, _, _ in world.inference.calls} == {EU, NORTH}
    assert degradations(written.trail) == {"EMBEDDED_IN_OTHER_REGION": {NORTH}}


async def test_a_collection_outside_this_router_is_refused_before_it_is_read() -> None:
    """The text of {us} does not pass through the EU."""
    world = World(EU)
    with pytest.raises(errors.ResidencyRouterOutside) as refused:
        await upsert(world, "states")
    assert refused.value.metadata["allowedRegions"] == US
    assert world.inference.calls == []
    assert world.quota.spent == []


@pytest.mark.parametrize("region", [AP, US])
async def test_a_placement_that_reaches_outside_is_not_written_at_all(region: str) -> None:
    """Control allows none such; if one came about, not even the regions inside get a part. The tenant's own wall does
    not suffice: `us` is one of its jurisdictions, but not of this collection's.
    """
    world = World(EU)
    world.map.put(maps.collection(TENANT, "europe", [EU, region], ["eu"]))
    with pytest.raises(errors.ResidencyViolation) as refused:
        await upsert(world, "europe")
    assert dict(refused.value.metadata) == {"collection": "europe", "region": region}
    assert world.retrieval.written == {}
    assert world.quota.spent == []


async def test_a_region_that_left_the_map_leaves_the_write_incomplete() -> None:
    """It may come back; until then nothing is acknowledged."""
    world = World(EU)
    world.map.put(maps.collection(TENANT, "europe", [EU, "gone"], ["eu"]))
    with pytest.raises(errors.WriteIncomplete) as refused:
        await upsert(world, "europe")
    assert refused.value.metadata["failedRegions"] == "gone"


async def test_an_unknown_collection_or_space_is_told() -> None:
    """Before anything is spent."""
    world = World(EU)
    with pytest.raises(errors.CollectionUnknown):
        await upsert(world, "nothing")
    world.map.put(maps.collection(TENANT, "europe", [EU], ["eu"], space_id="gone"))
    with pytest.raises(errors.SpaceUnknown):
        await upsert(world, "europe")
    assert world.quota.spent == []


async def test_a_region_that_keeps_failing_is_rested() -> None:
    """Its breaker answers at once; the write is still not acknowledged."""
    world = World()
    world.retrieval.failing = {US: DOWN}
    for _ in range(6):
        with pytest.raises(errors.WriteIncomplete):
            await upsert(world)
    world.retrieval.failing = {}
    with pytest.raises(errors.WriteIncomplete):
        await upsert(world)
    assert US not in world.retrieval.written


async def test_a_defect_of_ours_is_not_acknowledged() -> None:
    """Nor swallowed, nor charged where nothing was done."""
    world = World()
    world.retrieval.failing = {US: ZeroDivisionError(), EU: DOWN}  # type: ignore[dict-item]  # no domain error is the point
    with pytest.raises(ExceptionGroup):
        await delete(world, "d1")
    assert world.quota.charged == 0


async def given_up(world: World, writing: Coroutine[Any, Any, Written], begun: asyncio.Event) -> None:
    """Hang up as soon as something has begun."""
    task = asyncio.ensure_future(writing)
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_write_given_up_while_a_region_hangs_is_charged() -> None:
    """The other region has it: all was embedded and stored."""
    world = World()
    world.retrieval.hanging = {US}
    await given_up(world, upsert(world, count=50), world.retrieval.hung)
    assert len(world.retrieval.written[EU]) == 50
    assert world.quota.total == Charge(1, 50)
    [record] = world.journal.records
    assert (record.outcome, record.stages) == ("CANCELLED", (StageUse("write", "both", 50, 50, 500),))


async def test_a_delete_given_up_while_all_regions_hang_is_charged() -> None:
    """They were asked, and may do it yet: a rate that hanging up took back would hold nobody back."""
    world = World()
    world.retrieval.hanging = {US, EU}
    await given_up(world, delete(world, "d1", "d2"), world.retrieval.hung)
    assert world.quota.total == Charge(1, 2)


async def test_a_write_given_up_while_it_is_embedded_pays_for_what_a_model_was_asked() -> None:
    """Not for the documents after that; no region was asked."""
    world = World()
    world.inference.hanging = {EU}
    await given_up(world, upsert(world, count=50), world.inference.asked)
    assert world.quota.total == Charge(1, MAX_PASSAGES)
    assert world.journal.records[0].stages == (StageUse("write", "both", MAX_PASSAGES, MAX_PASSAGES, 80),)


async def test_a_write_whose_embedding_failed_midway_pays_for_the_part_before() -> None:
    """The documents that a model has embedded."""
    world = World()
    world.inference.failing_from = 3
    with pytest.raises(errors.NoAllowedRegion):
        await upsert(world, count=50)
    assert world.quota.total == Charge(1, 2 * MAX_PASSAGES)
