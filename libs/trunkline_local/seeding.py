"""Writes a fresh stack's regions and embedding space to the map, through the control role like anybody else.

Repeating it changes nothing: entries that are there and equal are left alone, and keep their revision.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import Message

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_client import Conflict, ControlClient, TrunklineError, Versioned, if_known
from trunkline_local.spec import Service
from trunkline_local.state import RegionRecord, StackState

SPACE_ID: Final = "minilm"
"""Embedding space of the encoder that the local stack serves."""
MODEL_ID: Final = "all-minilm-l6-v2"
MODEL_REVISION: Final = "int8-1"
DIMENSION: Final = 384

_POLICY_TRIES: Final = 4
"""A learner that notes a head between reading and writing changes the entry's revision."""

_EntryT = TypeVar("_EntryT", bound=Message)


@dataclass(frozen=True, slots=True)
class TenantSeed:
    """A tenant to write."""

    tenant_id: str
    tier: str
    jurisdictions: Sequence[str] = ()
    """Where its data may be; empty for everywhere: the jurisdictions of all regions in the map."""
    requests_per_minute: int = 0
    """Lasting rate; 0 for its tier's."""
    requests_per_day: int = 0
    """Requests in its day; 0 for its tier's."""


@dataclass(frozen=True, slots=True)
class CollectionSeed:
    """A collection to write."""

    tenant_id: str
    collection_id: str
    placement: Sequence[str]
    jurisdictions: Sequence[str] = ()
    """Where its data may be; empty for the tenant's when it is created, and for what it has from then on."""
    description: str = ""
    dedicated: bool = False
    shard: int = 0
    by_placement: bool = False
    """Whether its regions are asked in the order of `placement`, rather than the nearest first."""


async def seed_map(
    state: StackState,
    token: str,
    *,
    tenants: Iterable[TenantSeed] = (),
    collections: Iterable[CollectionSeed] = (),
    policies: Mapping[str, str] | None = None,
) -> bytes:
    """Write everything a stack needs to serve, in the order of references; return a map token that covers all of it.

    `token` is an operator's credential. Raises TrunklineError with a reason of the contract.
    """
    async with ControlClient([state.control_endpoint], token) as client:
        everywhere = await _put_regions(client, state)
        last = await _put_space(client)
        for tenant in tenants:
            last = await _put_tenant(client, tenant, everywhere)
        for collection in collections:
            last = await _put_collection(client, collection)
        for tenant_id, yaml in (policies or {}).items():
            last = await _put_policy(client, tenant_id, yaml)
        return last


async def _put_regions(client: ControlClient, state: StackState) -> Sequence[str]:
    """Write the stack's regions; return the jurisdictions of all that the map has.

    Regions of an earlier stack that this one does not have are down: nobody shall wait for where they listened.
    """
    for region in state.regions:
        await _put_region(client, region)
    known = (await client.regions()).value
    for entry in known:
        if state.region(entry.region_id) is None and entry.state != entries_pb.REGION_STATE_DOWN:
            await _put_absent(client, entry)
    return sorted({entry.jurisdiction for entry in known})


async def _put_absent(client: ControlClient, entry: entries_pb.Region) -> None:
    """Take an absent region out of service; one that some collection has no other than stays, without addresses."""
    entry.state = entries_pb.REGION_STATE_DOWN
    try:
        await client.put_region(entry)
    except TrunklineError as exc:
        if exc.reason != "LAST_ALLOWED_REGION":
            raise
        entry.state = entries_pb.REGION_STATE_SERVING
        entry.ClearField("endpoints")
        await client.put_region(entry)


async def _put_region(client: ControlClient, region: RegionRecord) -> bytes:
    """Write one region with the addresses that it has now."""

    def change(entry: entries_pb.Region) -> None:
        entry.jurisdiction = region.jurisdiction
        entry.state = entries_pb.REGION_STATE_SERVING
        entry.endpoints.CopyFrom(_endpoints(region))

    fresh = entries_pb.Region(region_id=region.region_id)
    return await _put(client.region(region.region_id), fresh, change, client.put_region)


async def _put_space(client: ControlClient) -> bytes:
    def change(entry: entries_pb.Space) -> None:
        entry.model_id, entry.model_revision, entry.dimension = MODEL_ID, MODEL_REVISION, DIMENSION

    return await _put(client.space(SPACE_ID), entries_pb.Space(space_id=SPACE_ID), change, client.put_space)


async def _put_tenant(client: ControlClient, seed: TenantSeed, everywhere: Sequence[str]) -> bytes:
    def change(entry: entries_pb.Tenant) -> None:
        entry.tier = seed.tier
        entry.jurisdictions[:] = sorted(seed.jurisdictions) or everywhere  # in the order in which control answers
        entry.state = entries_pb.TENANT_STATE_ACTIVE
        if seed.requests_per_minute or seed.requests_per_day:
            entry.limits.requests_per_minute = seed.requests_per_minute
            entry.limits.requests_per_day = seed.requests_per_day

    fresh = entries_pb.Tenant(tenant_id=seed.tenant_id)
    return await _put(client.tenant(seed.tenant_id), fresh, change, client.put_tenant)


async def _put_collection(client: ControlClient, seed: CollectionSeed) -> bytes:
    def change(entry: entries_pb.Collection) -> None:
        entry.space_id = SPACE_ID
        entry.placement[:] = seed.placement
        if seed.jurisdictions:
            entry.jurisdictions[:] = sorted(seed.jurisdictions)
        entry.description = seed.description
        if seed.by_placement:
            entry.preference = entries_pb.REGION_PREFERENCE_PLACEMENT
        if seed.dedicated:
            entry.dedicated.SetInParent()
        else:
            entry.shared_shard.shard = seed.shard

    fresh = entries_pb.Collection(tenant_id=seed.tenant_id, collection_id=seed.collection_id)
    reading = client.collection(seed.tenant_id, seed.collection_id)
    return await _put(reading, fresh, change, client.put_collection)


async def _put_policy(client: ControlClient, tenant_id: str, yaml: str) -> bytes:
    def change(entry: policies_pb.Policy) -> None:
        entry.yaml = yaml

    for tries_left in reversed(range(_POLICY_TRIES)):
        fresh = policies_pb.Policy(tenant_id=tenant_id)
        try:
            return await _put(client.policy(tenant_id), fresh, change, client.put_policy)
        except Conflict as exc:
            if exc.reason != "REVISION_CONFLICT" or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


async def _put(
    reading: Awaitable[Versioned[_EntryT]],
    fresh: _EntryT,
    change: Callable[[_EntryT], None],
    write: Callable[[_EntryT], Awaitable[Versioned[_EntryT]]],
) -> bytes:
    """Change the entry upon what is there, if that changes anything; return a token of a map that has it."""
    found = await if_known(reading)
    entry = fresh
    if found is not None:
        entry.CopyFrom(found.value)
    change(entry)
    if found is not None and entry == found.value:
        return found.map_token
    return (await write(entry)).map_token


def _endpoints(region: RegionRecord) -> entries_pb.RegionEndpoints:
    endpoints = region.endpoints
    return entries_pb.RegionEndpoints(
        routing=[endpoints[Service.ROUTING]],
        retrieval=[endpoints[Service.RETRIEVAL]],
        rerank=[endpoints[Service.RERANK]],
        inference=[endpoints[Service.INFERENCE]],
        admission=[endpoints[Service.ADMISSION]],
        learning=[region.learning_endpoint] if region.learning_endpoint else [],
    )
