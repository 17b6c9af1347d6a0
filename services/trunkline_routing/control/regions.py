"""Use cases of regions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from trunkline_map.entries import CollectionEntry, RegionEntry, RegionState
from trunkline_map.keys import Kind, MapKey
from trunkline_map.store import Unchanged
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import RegionUnknown
from trunkline_routing.control.errors import in_use
from trunkline_routing.control.how import How
from trunkline_routing.control.last_region import require_others_serve
from trunkline_routing.control.listing import EntryPage, list_entries
from trunkline_routing.control.map_state import Change, MapState, Plan, Prepared, entry_of
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.paging import PageRequest
from trunkline_routing.control.scans import scan_collections
from trunkline_routing.control.stage_switches import require_switches
from trunkline_routing.control.two_persons import NOBODY_ELSE, Act, SecondPerson

DEFAULT_RAMP_S: Final = 60.0
"""Over how long a region's share grows after it was drained, unless the operator says otherwise."""

Turn = Callable[[MapState, RegionEntry], Awaitable[Plan]]
"""Decides how a region's state changes."""


class Regions:
    """Regions of the map. All methods raise MapUnwritable and DeadlineExceeded."""

    def __init__(self, maps: MapStore, second: SecondPerson = NOBODY_ELSE) -> None:
        """Work on `maps`; `second` says which acts need a second person."""
        self._maps = maps
        self._second = second

    async def get(self, region_id: str, deadline: Deadline) -> tuple[RegionEntry, bytes]:
        """Return the region and the token of the state that was read; raise RegionUnknown."""
        key = MapKey(Kind.REGION, region_id)
        state = await self._maps.read([key], deadline)
        entry = entry_of(state, key, RegionEntry)
        if entry is None:
            raise RegionUnknown(metadata={"region": region_id})
        return entry, state.token

    async def list(self, page: PageRequest, deadline: Deadline) -> EntryPage[RegionEntry]:
        """Return one page of regions."""
        return await list_entries(self._maps, (Kind.REGION, RegionEntry), page, deadline)

    async def put(self, entry: RegionEntry, how: How, deadline: Deadline) -> tuple[RegionEntry, bytes]:
        """Make `prepare_put`; return the region with the change's token."""
        change = await self._maps.change([self.prepare_put(entry, how, deadline)], how, deadline)
        return change.entry(entry.key, RegionEntry) or entry, change.token

    async def delete(self, region_id: str, revision: int, how: How, deadline: Deadline) -> bytes:
        """Make `prepare_delete`; return the change's token."""
        change = await self._maps.change([self.prepare_delete(region_id, revision, how, deadline)], how, deadline)
        return change.token

    def prepare_put(self, entry: RegionEntry, how: How, deadline: Deadline) -> Prepared:
        """Create or replace a region whose current revision is the entry's.

        When it began to serve is set here. Raises RevisionConflict; FieldInvalid for a stage without a switch;
        EntryInUse where its jurisdiction, or a store that is used, would change under collections placed there;
        LastAllowedRegion where it would serve no longer and a collection has no other; and ApprovalRequired where a
        change of its state needs one.
        """

        async def decide(state: MapState) -> Plan:
            state.require_revision(entry.key, entry.revision)
            before = state.entry(entry.key, RegionEntry) if entry.revision else None
            switched = before.disabled_stages if before is not None else frozenset[int]()
            require_switches("region.disabled_stages", entry.disabled_stages, switched)
            if before is None:
                return Plan(puts=[self._serving_since(entry, None)])
            conditions = await self._require_room(state, before, entry, deadline)
            if before.state is not entry.state:
                self._second.require(Act.PUT_REGION_STATE, f"put region {entry.region_id} {entry.state.value}", how)
            return Plan(puts=[self._serving_since(entry, before)], unchanged=conditions)

        return Prepared(entry.key, [entry.key], decide)

    def prepare_delete(self, region_id: str, revision: int, how: How, deadline: Deadline) -> Prepared:
        """Remove a region; 0 as revision removes whatever is there.

        Raises RegionUnknown, RevisionConflict, EntryInUse where a collection is placed there, and ApprovalRequired.
        """
        key = MapKey(Kind.REGION, region_id)

        async def decide(state: MapState) -> Plan:
            if not state.revision_of(key):
                raise RegionUnknown(metadata={"region": region_id})
            if revision:
                state.require_revision(key, revision)
            unused = await self._require_unused(state, lambda entry: region_id in entry.placement, deadline)
            self._second.require(Act.DELETE_REGION, f"delete region {region_id}", how)
            return Plan(deletes=[key], unchanged=[unused])

        return Prepared(key, [key], decide)

    async def drain(self, region_id: str, how: How, deadline: Deadline) -> tuple[RegionEntry, bytes]:
        """Move traffic away from a region; one that does not serve anyway stays as it is.

        Raises RegionUnknown, LastAllowedRegion where a collection has no other that serves, and ApprovalRequired.
        """

        async def turn(state: MapState, before: RegionEntry) -> Plan:
            if before.state is not RegionState.SERVING:
                return Plan()
            conditions = await require_others_serve(self._maps, state, region_id, deadline)
            self._second.require(Act.DRAIN_REGION, f"drain region {region_id}", how)
            return Plan(puts=[replace(before, state=RegionState.DRAINING)], unchanged=conditions)

        return await self._turn(region_id, turn, how, deadline)

    async def undrain(self, region_id: str, ramp_s: float, how: How, deadline: Deadline) -> tuple[RegionEntry, bytes]:
        """Bring traffic back to a region, growing over `ramp_s`; one that serves already stays as it is.

        Raises RegionUnknown and ApprovalRequired.
        """

        async def turn(_state: MapState, before: RegionEntry) -> Plan:
            if before.state is RegionState.SERVING:
                return Plan()
            self._second.require(Act.UNDRAIN_REGION, f"undrain region {region_id}", how)
            serving = replace(before, state=RegionState.SERVING, ramp_s=ramp_s)
            return Plan(puts=[self._serving_since(serving, before)])

        return await self._turn(region_id, turn, how, deadline)

    async def _turn(self, region_id: str, turn: Turn, how: How, deadline: Deadline) -> tuple[RegionEntry, bytes]:
        key = MapKey(Kind.REGION, region_id)
        seen: RegionEntry | None = None

        async def decide(state: MapState) -> Plan:
            nonlocal seen
            seen = state.entry(key, RegionEntry)
            if seen is None:
                raise RegionUnknown(metadata={"region": region_id})
            return await turn(state, seen)

        change: Change = await self._maps.change([Prepared(key, [key], decide)], how, deadline)
        entry = change.entry(key, RegionEntry) or seen
        assert entry is not None
        return entry, change.token

    def _serving_since(self, entry: RegionEntry, before: RegionEntry | None) -> RegionEntry:
        """Note when it began to serve, if that is now; else keep what was noted."""
        served = before is not None and before.state is RegionState.SERVING
        if entry.state is RegionState.SERVING and not served:
            return replace(entry, serving_since_s=self._maps.now())
        return replace(entry, serving_since_s=0.0 if before is None else before.serving_since_s)

    async def _require_room(
        self, state: MapState, before: RegionEntry, after: RegionEntry, deadline: Deadline
    ) -> Sequence[Unchanged]:
        """Check what would change under collections that are placed here; return the conditions of the answer."""
        conditions: list[Unchanged] = []
        region_id = after.region_id
        if before.jurisdiction != after.jurisdiction:
            conditions.append(await self._require_unused(state, lambda entry: region_id in entry.placement, deadline))
        kept = {store.store_id for store in set(before.stores) & set(after.stores)}
        changed = {store.store_id for store in before.stores} - kept
        if changed:
            conditions.append(
                await self._require_unused(state, lambda entry: entry.store_in(region_id) in changed, deadline)
            )
        if before.state is RegionState.SERVING and after.state is not RegionState.SERVING:
            conditions += await require_others_serve(self._maps, state, region_id, deadline)
        return conditions

    async def _require_unused(
        self, state: MapState, uses: Callable[[CollectionEntry], bool], deadline: Deadline
    ) -> Unchanged:
        scan = await scan_collections(self._maps, state, uses, deadline)
        if scan.users:
            raise in_use(scan.users)
        return scan.unchanged
