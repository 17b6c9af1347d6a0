"""How searches end, for the audit and for admission's account: every one, allowed or refused, and never its text."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from tests.unit.routing.world import AP, EU, NORTH, TENANT, US, World, scope

from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_mesh import errors
from trunkline_mesh.request import Principal, RequestScope
from trunkline_routing.edge.audited import Asked, Watch
from trunkline_routing.edge.terms import LeftOut
from trunkline_usage.note_bounds import TENANT_BURST

DOWN = errors.BackendUnavailable()


def caller(left_s: float = 5.0, tenant_id: str | None = TENANT) -> RequestScope:
    """Enter a request of `tester`."""
    made = scope(left_s)
    made.principal = Principal("tester", tenant_id, frozenset(), "", 0.0)
    return made


async def search(world: World, text: str = "a gdpr question", **options: Any) -> None:
    caller()
    await world.servicer().Search(routing_pb.SearchRequest(text=text, top_k=3, **options), None)  # type: ignore[arg-type]


def watch_of(world: World) -> Watch:
    """Return what watches the searches of `world`'s router."""
    return Watch(world.map, world.books.sums, world.audit, region_id=EU)


def counted(world: World, tier: str = "pro") -> tuple[int, int]:
    """Return calls and errors since this was last asked."""
    found = world.books.sums.take().tiers.get(tier)
    return (found.calls, found.errors) if found is not None else (0, 0)


async def test_a_search_is_noted_with_the_collections_that_it_searched() -> None:
    """And counted, with its time."""
    world = World()
    await search(world)
    [note] = world.audit.notes
    assert note == {
        "tenant_id": TENANT,
        "caller": "tester",
        "query": "a gdpr question",
        "collections": ["europe"],
        "region": EU,
        "outcome": "allowed",
        "request_id": "request-1",
        "jurisdiction": "eu",
    }
    span = world.books.sums.take()
    assert (span.tiers["pro"].calls, sum(span.tiers["pro"].latency_counts), span.tenants[TENANT].calls) == (1, 1, 1)


async def test_each_query_of_a_batch_is_noted() -> None:
    """It counts as one call, whose time is no search's."""
    world = World()
    caller()
    queries = [routing_pb.SearchRequest(text=text, top_k=1) for text in ("gdpr", "shared topic")]
    await world.servicer().SearchBatch(routing_pb.SearchBatchRequest(queries=queries), None)  # type: ignore[arg-type]
    assert [(note["query"], note["collections"]) for note in world.audit.notes] == [
        ("gdpr", ["europe"]),
        ("shared topic", ["both"]),
    ]
    tier = world.books.sums.take().tiers["pro"]
    assert (tier.calls, sum(tier.latency_counts)) == (1, 0)


async def test_each_query_of_a_refused_batch_is_noted_with_the_collections_that_it_names() -> None:
    """Though the policy came to choose nothing; what is no name is left out."""
    world = World()
    world.quota.failing = errors.QuotaExhausted()
    caller()
    named: list[list[str]] = [["both", "europe"], ["no name!", "both"], []]
    queries = [routing_pb.SearchRequest(text="gdpr", top_k=1, collections=names) for names in named]
    with pytest.raises(errors.DomainError):
        await world.servicer().SearchBatch(routing_pb.SearchBatchRequest(queries=queries), None)  # type: ignore[arg-type]
    assert [note["collections"] for note in world.audit.notes] == [["both", "europe"], ["both"], []]


async def test_a_search_by_vector_is_noted_with_what_tells_it_from_others() -> None:
    """The space and the numbers, as bytes to be hashed; also where the search is refused."""
    world = World()
    for space_id, values in (("minilm", [1.0, 0.5]), ("minilm", [1.0, 0.25]), ("other", [1.0, 0.5]), ("minilm", [])):
        caller()
        vector = vector_pb.QueryVector(space_id=space_id, values=values)
        request = routing_pb.SearchRequest(vector=vector, top_k=1)
        with pytest.raises(errors.FieldInvalid):
            await world.servicer().Search(request, None)  # type: ignore[arg-type]
    hashed = [note["query"] for note in world.audit.notes]
    assert hashed[0] == b"minilm\0" + struct.pack("<2f", 1.0, 0.5)
    assert (len(set(hashed)), hashed[3]) == (4, None)


async def test_an_explained_search_is_noted_and_not_counted() -> None:
    """It executes nothing, and tells where a tenant's data lies."""
    world = World()
    caller()
    await world.servicer().Route(routing_pb.RouteRequest(text="gdpr"), None)  # type: ignore[arg-type]
    assert [note["collections"] for note in world.audit.notes] == [["europe"]]
    assert counted(world) == (0, 0)


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (errors.QuotaExhausted(metadata={"scope": "tenant"}), (0, 0)),
        (errors.QuotaExhausted(metadata={"scope": "key"}), (0, 0)),
        (errors.QuotaExhausted(metadata={"scope": "tier"}), (1, 1)),
        (errors.QuotaExhausted(), (1, 1)),
        (errors.InFlightLimit(), (0, 0)),
        (errors.Overloaded(), (1, 1)),
        (errors.Internal(), (1, 1)),
        (errors.DeadlineExceeded(), (0, 0)),
        (RuntimeError("?"), (1, 1)),
    ],
)
async def test_a_refused_search_is_noted_with_its_reason(error: Any, counts: tuple[int, int]) -> None:
    """It counts as a failure unless it is its caller's, or of the tenant's own limits."""
    world = World()
    world.quota.failing = error
    with pytest.raises(type(error)):
        await search(world, collections=["both"])
    expected = errors.reason_name(error.reason) if isinstance(error, errors.DomainError) else "INTERNAL"
    assert [(note["outcome"], note["collections"]) for note in world.audit.notes] == [(expected, ["both"])]
    assert counted(world) == counts


@pytest.mark.parametrize(
    ("error", "limit_errors"),
    [(LeftOut(), 1), (errors.QuotaExhausted(metadata={"scope": "tier"}), 1), (errors.Overloaded(), 0)],
)
async def test_what_no_lack_of_capacity_caused_is_told_apart(error: errors.DomainError, limit_errors: int) -> None:
    """It was promised and not kept; but a level that it kept up would never end."""
    world = World()
    world.quota.failing = error
    with pytest.raises(type(error)):
        await search(world, collections=["both"])
    span = world.books.sums.take()
    assert (span.tiers["pro"].errors, span.tiers["pro"].limit_errors, span.tenants[TENANT].errors) == (
        1,
        limit_errors,
        1,
    )


async def test_what_the_limiter_counted_is_not_counted_again() -> None:
    """A search that waited for the map and then found no slot is among its rank's refusals already."""
    world = World()
    world.quota.failing = errors.Overloaded()
    world.quota.failing.counted = True
    with pytest.raises(errors.Overloaded):
        await search(world, collections=["both"])
    assert counted(world) == (0, 0)


async def test_what_is_no_request_is_noted_without_what_it_says() -> None:
    """A name that is none may be anything, also a part of the query; an empty batch is a refusal, too."""
    world = World()
    with pytest.raises(errors.FieldInvalid):
        await search(world, collections=["both", "What is Mr Smith's salary?"])
    assert world.audit.notes[0]["collections"] == ["both"]
    with pytest.raises(errors.FieldInvalid):
        await world.servicer().SearchBatch(routing_pb.SearchBatchRequest(), None)  # type: ignore[arg-type]
    assert [(note["query"], note["outcome"]) for note in world.audit.notes[1:]] == [(None, "FIELD_INVALID")]
    assert counted(world) == (0, 0)


async def test_a_router_outside_notes_that_it_refused_and_nothing_of_the_query() -> None:
    """Not even a hash leaves the jurisdictions."""
    world = World(AP)
    with pytest.raises(errors.ResidencyRouterOutside):
        await search(world, collections=["both"])
    [note] = world.audit.notes
    assert (note["query"], note["collections"]) == (None, ())
    assert (note["outcome"], note["tenant_id"]) == ("RESIDENCY_ROUTER_OUTSIDE", TENANT)


async def test_a_stranger_is_noted_and_not_counted() -> None:
    """A tenant that the map does not have takes no memory of the account."""
    world = World()
    caller(tenant_id="nobody")
    with pytest.raises(errors.TenantUnknown):
        await world.servicer().Search(routing_pb.SearchRequest(text="x", top_k=1), None)  # type: ignore[arg-type]
    assert [note["outcome"] for note in world.audit.notes] == ["TENANT_UNKNOWN"]
    assert world.books.sums.take().tenants == {}


@pytest.mark.parametrize(("promised_s", "counts"), [(60.0, (0, 0)), (0.0, (1, 1))])
async def test_who_gives_up_late_was_not_served_as_promised(
    promised_s: float, counts: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gives up before the promised time has passed says nothing of the region."""
    world = World()
    monkeypatch.setattr(type(world.books.sums), "promised_s", lambda *_: promised_s)
    world.inference.hanging = {EU, NORTH, US}
    asking = asyncio.create_task(search(world, collections=["both"]))
    await world.inference.asked.wait()
    asking.cancel()
    await asyncio.wait((asking,))
    assert [note["outcome"] for note in world.audit.notes] == ["CANCELLED"]
    assert counted(world) == counts


@pytest.mark.parametrize(("promised_s", "counts"), [(60.0, (0, 0)), (0.0, (1, 1))])
async def test_what_makes_room_for_others_is_no_failure(
    promised_s: float, counts: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the promised time had passed; in whatever server it was."""
    world = World()
    monkeypatch.setattr(type(world.books.sums), "promised_s", lambda *_: promised_s)
    world.quota.failing = errors.Preempted()
    with pytest.raises(errors.Preempted):
        await search(world, collections=["both"])
    assert [note["outcome"] for note in world.audit.notes] == ["PREEMPTED"]
    assert counted(world) == counts


async def test_without_an_audit_searches_go_on() -> None:
    """Nothing is noted where no folder is set."""
    world = World()
    object.__setattr__(world.books, "audit", None)
    await search(world)
    assert world.audit.notes == []
    assert counted(world) == (1, 0)


async def test_a_token_of_the_far_future_speaks_not_against_the_region() -> None:
    """Anybody can write one; its caller waits for a state that never comes."""
    world = World()
    caller()
    watched = watch_of(world).search(caller(), (Asked("x", ()),))
    with pytest.raises(errors.StaleMap):
        async with watched:
            raise errors.StaleMap(retry_delay_s=0.1)
    assert counted(world)[1] == 0


async def test_refusals_of_one_tenant_do_not_fill_the_disk() -> None:
    """They cost it nothing; what is answered is always noted."""
    world = World()
    watch = watch_of(world)
    for _ in range(400):
        with pytest.raises(errors.QuotaExhausted):
            async with watch.search(caller(), (Asked("x", ()),)):
                raise errors.QuotaExhausted
    refused = len(world.audit.notes)
    assert TENANT_BURST <= refused < 400
    async with watch.search(caller(), (Asked("x", ()),)):
        pass
    assert len(world.audit.notes) == refused + 1
