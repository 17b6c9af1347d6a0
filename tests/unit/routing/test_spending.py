"""The bill of a request: reserved by estimate, settled with what was used, recorded before the answer leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.unit.routing.test_write import documents
from tests.unit.routing.world import EU, NORTH, TENANT, US, World, axis, query, scope

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease.charge import NOTHING, Charge
from trunkline_map import testing as maps
from trunkline_map.entries import KeyLimit
from trunkline_mesh import errors
from trunkline_mesh.request import Principal, RequestScope
from trunkline_usage.records import StageUse

DOWN = errors.BackendUnavailable()
LABELS = (("team", "search"),)


def request_of(subject: str) -> RequestScope:
    """Enter a request of a credential."""
    made = scope()
    made.principal = Principal(subject, TENANT, frozenset(), "", 0.0)
    return made


async def test_a_search_is_recorded_with_what_it_used() -> None:
    """By stage and collection, with its price; the trail says the same."""
    world = World()
    world.map.put(replace(maps.tenant(TENANT, "us", "eu"), labels=LABELS, time_zone="Europe/Berlin"))
    answer = await world.ask_one(query("axis 0", collections=("both", "europe"), rerank=True))
    [record] = world.journal.records
    assert (record.request_id, record.tenant_id, record.region) == ("request-1", TENANT, EU)
    assert (record.kind, record.outcome, record.labels, record.time_zone) == ("search", "ok", LABELS, "Europe/Berlin")
    assert record.stages == (
        StageUse("search", "both", 1, 1, 0),
        StageUse("search", "europe", 1, 0, 0),
        StageUse("embedding", "", 1, 1, 20),
        StageUse("rerank", "", 1, 3, 100),
    )
    cost = answer.trail.cost
    assert (cost.charged_micros, cost.price_version, cost.charged_tokens) == (120, record.price_version, 5)
    assert world.books.sums.take().tenants[TENANT].cost_micros == 120


async def test_a_batch_is_one_record_of_all_its_queries() -> None:
    """A request for each query; each trail has its own cost."""
    world = World()
    answers = await world.ask(
        query("axis 0", collections=("both",)),
        query("", vectors={"minilm": axis(0)}, collections=("both",)),
    )
    [record] = world.journal.records
    assert record.stages == (StageUse("search", "both", 2, 2, 0), StageUse("embedding", "both", 1, 1, 20))
    assert [answer.trail.cost.charged_micros for answer in answers] == [20, 0]
    assert world.quota.total == Charge(2, 3)


async def test_a_repeat_is_work_again_for_quota_and_one_request_for_the_bill() -> None:
    """Its answer was lost: the records say the same under the same id, of which an account counts one."""
    world = World()
    for _ in range(2):
        await world.ask_one(query("", vectors={"minilm": axis(0)}, collections=("both",)))
    one, repeat = world.journal.records
    assert (one.request_id, one.digest) == (repeat.request_id, repeat.digest)
    assert world.quota.total == Charge(2, 2)


async def test_a_write_is_recorded_once_a_region_has_it() -> None:
    """Also one that is not acknowledged, under its reason; where no region has it, what was embedded for it."""
    world = World()
    written = await world.write().upsert(TENANT, "both", documents(3), b"", scope())
    assert world.journal.records[-1].stages == (StageUse("write", "both", 3, 3, 30),)
    assert (written.trail.cost.charged_micros, world.quota.total) == (30, Charge(1, 3))
    world.retrieval.failing = {US: DOWN}
    with pytest.raises(errors.WriteIncomplete):
        await world.write().upsert(TENANT, "both", documents(2), b"", scope())
    assert (world.journal.records[-1].outcome, world.journal.records[-1].kind) == ("WRITE_INCOMPLETE", "write")
    world.retrieval.failing = {US: DOWN, EU: DOWN}
    with pytest.raises(errors.WriteIncomplete):
        await world.write().upsert(TENANT, "both", documents(2), b"", scope())
    with pytest.raises(errors.WriteIncomplete):
        await world.write().delete(TENANT, "both", ["d1"], b"", scope())
    assert [record.stages[0].count for record in world.journal.records] == [3, 2, 2]
    assert world.quota.total == Charge(3, 7)


async def test_what_failed_before_any_work_costs_nothing_at_all() -> None:
    """The request goes back, too."""
    world = World()
    with pytest.raises(errors.CollectionUnknown):
        await world.ask_one(query(collections=("nothing",)))
    assert (world.quota.total, world.journal.records) == (NOTHING, [])


async def test_what_failed_after_work_pays_for_it() -> None:
    """The request counts, and the record says why."""
    world = World()
    world.retrieval.failing = {"both": DOWN}
    with pytest.raises(errors.NoAllowedRegion):
        await world.ask_one(query(collections=("both",), rerank=True))
    assert world.quota.total == Charge(1, 2)
    assert world.journal.records[0].outcome == "NO_ALLOWED_REGION"


async def test_a_batch_that_failed_counts_the_queries_that_did_something() -> None:
    """Those that were refused before it go back."""
    world = World()
    with pytest.raises(ExceptionGroup):
        await world.ask(query("axis 0", collections=("both",)), query("axis 1", collections=("nothing",)))
    assert world.quota.total == Charge(1, 2)
    assert world.journal.records[0].stages == (
        StageUse("search", "both", 1, 1, 0),
        StageUse("embedding", "both", 1, 1, 20),
    )


async def test_a_search_that_had_to_make_room_costs_nothing() -> None:
    """Here or behind: its capacity was promised to others."""
    world = World()
    world.retrieval.failing = dict.fromkeys((EU, US, NORTH), errors.Preempted(retry_delay_s=0.1))
    with pytest.raises(errors.Preempted):
        await world.ask_one(query(collections=("both",)))
    assert (world.quota.total, world.journal.records) == (NOTHING, [])


class Slot:
    """A slot that notes what the journal had when it was settled."""

    def __init__(self, world: World) -> None:
        self.records: list[int] = []
        self._world = world

    def is_of_this_task(self) -> bool:
        """Never parked here."""
        return False

    def park(self) -> None:
        """Never called."""
        raise AssertionError

    async def resume(self) -> float:
        """Never called."""
        raise AssertionError

    def settle(self) -> None:
        """Note it."""
        self.records.append(len(self._world.journal.records))


async def test_what_is_charged_is_ended_for_nobody_any_more() -> None:
    """Its slot is out of preemption before the record is written; of a call that is cancelled it stays as it is."""
    world, made = World(), scope()
    made.slot = slot = Slot(world)
    await world.search().run(TENANT, [query("axis 0", collections=("both",))], b"", made)
    assert (slot.records, len(world.journal.records)) == ([0], 1)

    world = World()
    world.inference.hanging = {EU}
    asking = asyncio.create_task(world.search().run(TENANT, [query("axis 0", collections=("both",))], b"", made))
    await world.inference.asked.wait()
    asking.cancel()
    await asyncio.wait((asking,))
    assert slot.records == [0]


async def test_a_search_that_its_caller_gave_up_pays_for_what_was_done() -> None:
    """Also for its request, and for the embedding that was under way: a model was asked."""
    world = World()
    world.inference.hanging = {EU}
    asking = asyncio.create_task(world.ask_one(query(collections=("both",))))
    await world.inference.asked.wait()
    asking.cancel()
    await asyncio.wait((asking,))
    assert asking.cancelled()
    assert world.quota.total == Charge(1, 2)
    assert world.journal.records[0].outcome == "CANCELLED"


async def test_a_refused_quota_leaves_nothing_behind() -> None:
    """Nothing is refunded that was not spent; nobody is under way."""
    world = World()
    world.quota.failing = errors.QuotaExhausted(retry_delay_s=1.0)
    with pytest.raises(errors.QuotaExhausted):
        await world.ask_one(query())
    assert (world.quota.refunded, world.journal.records, world.books.in_flight.tracked) == ([], [], 0)


async def test_a_credential_with_limits_of_its_own_is_named() -> None:
    """To the quota, in spending and in giving back; others share the tenant's lease."""
    world = World()
    world.map.put(replace(maps.tenant(TENANT, "us", "eu"), key_limits=(KeyLimit("batch-job", 10),)))
    for number, subject in enumerate(("batch-job", "web")):
        await world.search().run(TENANT, [query(f"axis {number}", collections=("both",))], b"", request_of(subject))
    assert world.quota.keys == ["batch-job", ""]
    world.retrieval.failing = {"both": DOWN}
    asked = [query("axis 0", rerank=True, collections=("both",))]
    with pytest.raises(errors.NoAllowedRegion):
        await world.search().run(TENANT, asked, b"", request_of("batch-job"))
    assert world.quota.keys[2:] == ["batch-job", "batch-job"], "what is given back goes where it came from"


async def test_limits_that_are_nearly_used_up_stand_in_the_trail() -> None:
    """Of a search and of a write."""
    world = World()
    world.quota.notes = (quota_pb.LimitNote(scope=quota_pb.LIMIT_SCOPE_TENANT, used_part=0.9),)
    answer = await world.ask_one(query())
    written = await world.write().delete(TENANT, "both", ["d1"], b"", scope())
    assert list(answer.trail.limit_notes) == list(written.trail.limit_notes) == list(world.quota.notes)


async def test_a_journal_that_fails_stops_no_search() -> None:
    """Health tells."""
    world = World()
    checks = world.books.soft_checks()
    assert {name: check() for name, check in checks.items()} == {"usage-journal": True, "search-audit": True}
    world.journal.healthy = False
    assert (await world.ask_one(query())).hits
    assert not checks["usage-journal"]()
