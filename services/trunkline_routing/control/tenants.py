"""Use cases of tenants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trunkline_map.entries import CollectionEntry, PolicyPointer, TenantEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import ResidencyViolation, TenantUnknown, invalid_field
from trunkline_routing.control.errors import in_use
from trunkline_routing.control.how import How
from trunkline_routing.control.listing import EntryPage, list_entries
from trunkline_routing.control.map_state import MapState, Plan, Prepared, entry_of
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.paging import PageRequest
from trunkline_routing.control.policy_blobs import PolicyBlobs
from trunkline_routing.control.scans import scan_collections
from trunkline_routing.control.stage_switches import require_switches
from trunkline_tiers import TierFile, default_tiers


class Tenants:
    """Tenants of the map. All methods raise MapUnwritable and DeadlineExceeded."""

    def __init__(self, maps: MapStore, blobs: PolicyBlobs, tiers: TierFile | None = None) -> None:
        """Work on `maps`; what a tenant's policy points to lies in `blobs`; `tiers` are those that there are."""
        self._maps = maps
        self._blobs = blobs
        self._tiers = tiers or default_tiers()

    async def get(self, tenant_id: str, deadline: Deadline) -> tuple[TenantEntry, bytes]:
        """Return the tenant and the token of the state that was read; raise TenantUnknown."""
        key = MapKey(Kind.TENANT, tenant_id)
        state = await self._maps.read([key], deadline)
        entry = entry_of(state, key, TenantEntry)
        if entry is None:
            raise TenantUnknown
        return entry, state.token

    async def list(self, page: PageRequest, deadline: Deadline) -> EntryPage[TenantEntry]:
        """Return one page of tenants."""
        return await list_entries(self._maps, (Kind.TENANT, TenantEntry), page, deadline)

    async def put(self, entry: TenantEntry, how: How, deadline: Deadline) -> tuple[TenantEntry, bytes]:
        """Make `prepare_put`; return the tenant with the change's token."""
        change = await self._maps.change([self.prepare_put(entry, how, deadline)], how, deadline)
        return change.entry(entry.key, TenantEntry) or entry, change.token

    async def delete(self, tenant_id: str, revision: int, how: How, deadline: Deadline) -> bytes:
        """Make `prepare_delete`; return the change's token."""
        return (await self._maps.change([self.prepare_delete(tenant_id, revision, deadline)], how, deadline)).token

    def prepare_put(self, entry: TenantEntry, how: How, deadline: Deadline) -> Prepared:
        """Create or replace a tenant whose current revision is the entry's; its policy follows into new jurisdictions.

        Raises RevisionConflict, FieldInvalid for what `_require_sense` refuses, ResidencyViolation where a collection
        or the policy would lie outside the new jurisdictions, and BackendUnavailable where the policy cannot be copied.
        """
        policy_key = MapKey(Kind.POLICY, entry.tenant_id)

        async def decide(state: MapState) -> Plan:
            state.require_revision(entry.key, entry.revision)
            before = state.entry(entry.key, TenantEntry) if entry.revision else None
            self._require_sense(entry, before)
            if before is None or before.jurisdictions == entry.jurisdictions:
                return Plan(puts=[entry])
            policy = state.entry(policy_key, PolicyPointer)
            if before.jurisdictions <= entry.jurisdictions:
                return Plan(puts=[entry, *await self._followed(entry, policy, how)])
            return await self._narrow(state, entry, policy, how, deadline)

        return Prepared(entry.key, [entry.key, policy_key], decide)

    def prepare_delete(self, tenant_id: str, revision: int, deadline: Deadline) -> Prepared:
        """Remove a tenant with its policy; 0 as revision removes whatever is there.

        Raises TenantUnknown, RevisionConflict, and EntryInUse while it has collections.
        """
        key, policy_key = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)

        async def decide(state: MapState) -> Plan:
            if not state.revision_of(key):
                raise TenantUnknown
            if revision:
                state.require_revision(key, revision)
            scan = await scan_collections(self._maps, state, _any, deadline, tenant_id=tenant_id)
            if scan.users:
                raise in_use(scan.users)
            return Plan(deletes=[key, policy_key], unchanged=[scan.unchanged])

        return Prepared(key, [key, policy_key], decide)

    def _require_sense(self, entry: TenantEntry, before: TenantEntry | None) -> None:
        """Refuse a tier that there is not, a new override that has ended already, and a stage without a switch.

        What was there before may stay, so that a tenant can be suspended whatever became of the rest.
        """
        if entry.tier not in self._tiers.tiers and (before is None or before.tier != entry.tier):
            raise invalid_field("tenant.tier", f"must be one of {', '.join(self._tiers.by_rank)}")
        old = frozenset(before.overrides) if before is not None else frozenset()
        for index, override in enumerate(entry.overrides):
            if override.ends_at_s <= self._maps.now() and override not in old:
                raise invalid_field(f"tenant.overrides[{index}].end_time", "must be in the future")
        switched = before.disabled_stages if before is not None else frozenset()
        require_switches("tenant.disabled_stages", entry.disabled_stages, switched)

    async def _narrow(
        self, state: MapState, entry: TenantEntry, policy: PolicyPointer | None, how: How, deadline: Deadline
    ) -> Plan:
        """Take jurisdictions away: nothing may be left outside, and the policy is no longer read there."""

        def outside(collection: CollectionEntry) -> bool:
            return not collection.jurisdictions <= entry.jurisdictions

        scan = await scan_collections(self._maps, state, outside, deadline, tenant_id=entry.tenant_id)
        if scan.users:
            raise ResidencyViolation(
                "collections of the tenant may lie outside the new jurisdictions",
                metadata={"collections": ",".join(scan.users)},
            )
        if policy is not None and not policy.jurisdictions & entry.jurisdictions:
            raise ResidencyViolation("the policy lies outside the new jurisdictions; add them first")
        return Plan(puts=[entry, *await self._followed(entry, policy, how)], unchanged=[scan.unchanged])

    async def _followed(self, entry: TenantEntry, policy: PolicyPointer | None, how: How) -> Sequence[PolicyPointer]:
        """Return the policy as it lies in the tenant's jurisdictions, once it was copied there; none if it does."""
        if policy is None or policy.jurisdictions == entry.jurisdictions:
            return ()
        if not how.dry_run:
            await self._blobs.follow(policy, entry.jurisdictions)
        return (replace(policy, jurisdictions=entry.jurisdictions),)


def _any(_collection: CollectionEntry) -> bool:
    return True
