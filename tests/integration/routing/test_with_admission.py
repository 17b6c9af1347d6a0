"""The front door with the real admission service and its store: what tenants may spend, and what they are told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.routing.conftest import OpenFrontDoor
from tests.integration.routing.front_door import EU, TENANT, Answer, FrontDoor
from tests.integration.routing.test_hops import eventually

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease.charge import Charge
from trunkline_map.entries import KeyLimit, TenantEntry, TenantLimits


def put(door: FrontDoor, **changes: Any) -> TenantEntry:
    """Change the tenant in the map."""
    tenant = door.map.snapshot.tenant(TENANT)
    assert tenant is not None
    changed = replace(tenant, **changes)
    door.map.put(changed)
    return changed


async def until_refused(door: FrontDoor, **options: Any) -> tuple[int, Answer]:
    """Search until a search is refused; return how many were answered, and the refusal."""
    for count in range(200):
        answer = await door.search("a leak", collections=["both"], **options)
        if answer.reason:
            return count, answer
    raise AssertionError("nothing was refused")


async def test_a_days_requests_are_counted_and_warned_of(fresh: OpenFrontDoor, valkey_url: str) -> None:
    """Not one more than the limit; the refusal says whose limit, over which time, and when to come back."""
    door = await fresh(valkey_url=valkey_url)
    put(door, limits=TenantLimits(requests_per_day=10))
    notes = []
    for _ in range(10):
        answer = await door.search("a leak", collections=["both"])
        assert answer.reason == "", answer.everything
        notes = list(answer.response.trail.limit_notes)
    assert [(note.period, note.unit) for note in notes] == [(quota_pb.LIMIT_PERIOD_DAY, quota_pb.LIMIT_UNIT_REQUESTS)]
    refused = await door.search("a leak", collections=["both"])
    assert (refused.reason, refused.metadata["period"]) == ("QUOTA_EXHAUSTED", "day")


async def test_what_is_refused_before_any_work_takes_nothing_of_the_day(fresh: OpenFrontDoor, valkey_url: str) -> None:
    """Requests go back, and can be spent again."""
    door = await fresh(valkey_url=valkey_url)
    put(door, limits=TenantLimits(requests_per_day=5))
    for _ in range(20):
        assert (await door.search("x", collections=["nothing-like-it"])).reason == "COLLECTION_UNKNOWN"
    answered, refused = await until_refused(door)
    assert (answered, refused.reason) == (5, "QUOTA_EXHAUSTED")


async def test_a_credential_has_limits_of_its_own(fresh: OpenFrontDoor, valkey_url: str) -> None:
    """Its own end is not the tenant's."""
    door = await fresh(valkey_url=valkey_url)
    put(door, key_limits=(KeyLimit("batch-job", requests_per_day=3),))
    answered, refused = await until_refused(door, token=door.identity.mint("batch-job", tenant=TENANT))
    assert (answered, refused.metadata["scope"]) == (3, "key")
    assert (await door.search("a leak", collections=["both"])).reason == ""


async def test_a_suspended_tenant_is_refused_by_the_next_search(fresh: OpenFrontDoor, valkey_url: str) -> None:
    """Whatever it holds."""
    door = await fresh(valkey_url=valkey_url)
    assert (await door.search()).reason == ""
    put(door, suspended=True)
    assert (await door.search()).reason == "TENANT_SUSPENDED"


async def test_too_many_at_a_time_are_refused(fresh: OpenFrontDoor, valkey_url: str) -> None:
    """By credential; the refusal says how many, and everybody else goes on."""
    door = await fresh(valkey_url=valkey_url)
    put(door, tier="free")
    door.regions[EU].hangs = {"Search"}
    asked = [asyncio.ensure_future(door.search("a leak", collections=["europe"], timeout_s=60.0)) for _ in range(7)]
    await eventually(lambda: sum(one.done() for one in asked) >= 3, within_s=30.0)
    refused = [one.result() for one in asked if one.done()]
    assert [(one.reason, one.metadata) for one in refused] == [("IN_FLIGHT_LIMIT", {"limit": "4", "scope": "key"})] * 3
    door.regions[EU].hangs = set()
    for one in asked:
        one.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    async with asyncio.timeout(30):  # the door learns of each caller's end in its own time
        while (reason := (await door.search("a leak", collections=["europe"])).reason) == "IN_FLIGHT_LIMIT":
            pass
    assert reason == ""


async def test_borrowed_work_that_makes_room_is_told_so(fresh: OpenFrontDoor) -> None:
    """It costs nothing, whatever it had done; the one that it made room for is served."""
    door = await fresh(max_concurrency=2)
    put(door, tier="free")
    globex = door.map.snapshot.tenant("globex")
    assert globex is not None
    door.map.put(replace(globex, tier="enterprise"))
    door.regions[EU].hangs = {"Search"}
    borrowing = [asyncio.ensure_future(door.search("a leak", collections=["europe"])) for _ in range(2)]
    await eventually(lambda: len(door.regions[EU].calls("Search")) == 2)
    door.regions[EU].hangs = set()
    served = await door.search("x", collections=["private"], token=door.identity.mint("boss", tenant="globex"))
    assert served.reason == "", served.everything
    done, pending = await asyncio.wait(borrowing, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result().reason for task in done] == ["PREEMPTED"]
    await eventually(lambda: Charge(1, 5) in door.quota.refunded)
    for task in pending:
        task.cancel()
    await eventually(lambda: len(door.quota.refunded) == 2)
    assert door.quota.refunded.count(Charge(1, 5)) == 1, "who gives up pays for what was done"


async def test_what_is_left_goes_back_to_the_authority(fresh: OpenFrontDoor, valkey_url: str) -> None:
    """A router that stops takes nothing of a tenant's day with it."""
    door = await fresh(valkey_url=valkey_url)
    assert door.admission is not None
    await door.search("a leak", collections=["both"])
    held = door.admission.holder.held(TENANT)
    assert held.requests > 0
    assert held != Charge(0, 0)


@pytest.mark.parametrize("tier", ["free", "enterprise"])
async def test_reports_reach_the_real_admission(fresh: OpenFrontDoor, valkey_url: str, tier: str) -> None:
    """And are answered with a level for every tier."""
    door = await fresh(valkey_url=valkey_url)
    assert door.admission is not None
    await door.search()
    told = await door.admission.send(door.books.sums.take())
    assert told.levels[tier] == quota_pb.SERVICE_LEVEL_NORMAL
    assert told.valid_s > 0
