"""The first question of every request: may this router look at it at all?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from trunkline_map.entries import CollectionEntry, RegionEntry, RegionState, TenantEntry
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_map.token import encode
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapNotReady, ResidencyRouterOutside, StaleMap, TenantSuspended, TenantUnknown
from trunkline_mesh.status import MAX_METADATA_VALUE_CHARS
from trunkline_routing.edge.model import Choice, Gate
from trunkline_routing.edge.terms import Terms, everything

MAP_WAIT_PART: Final = 0.9
"""Of the time left at most this much is spent on waiting for the map: later there would be no time to search, and the
refusal would reach nobody, because gRPC tells us up to 3 % more time than the caller has."""

SUSPENDED_WAIT_S: Final = 0.5
"""Suspension is told within a second, whatever token is sent along."""

TermsOf: TypeAlias = Callable[[TenantEntry, RegionEntry], Terms]
"""Gives what is left out of a tenant's requests in the router's region."""


async def enter(
    source: MapSource,
    *,
    tenant_id: str,
    region_id: str,
    map_token: bytes,
    deadline: Deadline,
    terms_of: TermsOf = everything,
) -> Gate:
    """Return the gate for a tenant's request, resting on a map at least as new as its token.

    Residency comes before everything else: a router outside the tenant's jurisdictions refuses before anything of the
    query is logged, embedded or cached. Raises MapNotReady, StaleMap, MapTokenInvalid, TenantUnknown, TenantSuspended,
    ResidencyRouterOutside.
    """
    snapshot = source.snapshot
    if map_token:
        snapshot = await _caught_up(source, tenant_id, map_token, deadline)
    tenant = snapshot.tenant(tenant_id)
    if tenant is None:
        raise TenantUnknown
    region = snapshot.region(region_id)
    if region is None:
        raise MapNotReady("this router's region is not in the map", retry_delay_s=1.0)
    if region.jurisdiction not in tenant.jurisdictions:
        raise outside(snapshot, tenant.jurisdictions)
    if tenant.suspended:
        raise TenantSuspended
    return Gate(snapshot, tenant, region, token_given=bool(map_token), terms=terms_of(tenant, region))


async def _caught_up(source: MapSource, tenant_id: str, map_token: bytes, deadline: Deadline) -> MapSnapshot:
    """Return a map that reflects the token. Who is suspended by the map at hand waits no longer than the refusal may
    take: only a token of the change that ended it could say otherwise, and that one is not far ahead.
    """
    tenant = source.snapshot.tenant(tenant_id) if source.ready() else None
    wait_s = MAP_WAIT_PART * deadline.remaining_s()
    if tenant is None or not tenant.suspended:
        return await source.at_least(map_token, deadline.within(wait_s))
    try:
        return await source.at_least(map_token, deadline.within(min(wait_s, SUSPENDED_WAIT_S)))
    except StaleMap:
        raise TenantSuspended from None


def token_for(gate: Gate, region: RegionEntry, entries: Iterable[CollectionEntry]) -> bytes:
    """Return the token of the oldest state that holds what this work in `region` rests on, as this router knows it.

    Not of the whole map: a region that is cut off from the control store could do nothing more once anything else had
    changed. What the caller's own token asks for is reflected in these entries, or does not concern them.
    """
    revision = max(gate.tenant.revision, region.revision, *(entry.revision for entry in entries), 1)
    return _token(gate.snapshot.epoch, revision)


_token: Final = lru_cache(maxsize=1024)(encode)


def outside(snapshot: MapSnapshot, jurisdictions: frozenset[str]) -> ResidencyRouterOutside:
    """Return the refusal that names where to ask instead: regions that serve first, those that are down not at all."""
    allowed = [
        region
        for region in snapshot.regions()
        if region.jurisdiction in jurisdictions and region.state is not RegionState.DOWN
    ]
    allowed.sort(key=lambda region: region.state is not RegionState.SERVING)
    return ResidencyRouterOutside(
        metadata={
            "allowedRegions": _listed(region.region_id for region in allowed),
            "allowedEndpoints": _listed(address for region in allowed for address in region.routing_endpoints),
        }
    )


def _listed(values: Iterable[str]) -> str:
    """Join as many values as a refusal's metadata can hold: half an address would be worse than none."""
    joined = ""
    for value in values:
        longer = f"{joined},{value}" if joined else value
        if len(longer) > MAX_METADATA_VALUE_CHARS:
            break
        joined = longer
    return joined


def readable(gate: Gate, entry: CollectionEntry) -> bool:
    """Return True if the collection's data may pass through this router."""
    return gate.region.jurisdiction in entry.jurisdictions and gate.region.jurisdiction in gate.tenant.jurisdictions


def wall(gate: Gate, entries: Iterable[CollectionEntry]) -> frozenset[str]:
    """Return the jurisdictions to which all of the collections' texts and vectors may go."""
    allowed = gate.tenant.jurisdictions
    for entry in entries:
        allowed &= entry.jurisdictions
    return allowed


def refuse_unreadable(gate: Gate, choices: Iterable[Choice]) -> None:
    """Raise ResidencyRouterOutside, naming the regions that may read all of the choices."""
    raise outside(gate.snapshot, wall(gate, (choice.entry for choice in choices)))


def inside(region: RegionEntry, jurisdictions: frozenset[str]) -> bool:
    """Return True if the region lies within the wall."""
    return region.jurisdiction in jurisdictions
