"""Entries of the collection map as the command line changes them: what is not named stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_client import ControlClient, Versioned, if_known
from trunkline_client.control import PLAINLY, HowToChange

DEFAULT_SPACE: Final = "minilm"
"""Embedding space of the local stack."""
DEFAULT_TIER: Final = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantChange:
    """What to change of a tenant; None leaves it as it is."""

    jurisdictions: Sequence[str] | None = None
    tier: str | None = None
    suspended: bool | None = None
    quota_tokens_per_s: int | None = None
    """0 for the tier's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionChange:
    """What to change of a collection; None leaves it as it is."""

    placement: Sequence[str] | None = None
    jurisdictions: Sequence[str] | None = None
    """Empty for the tenant's."""
    space: str | None = None
    dedicated: bool | None = None
    """True for a physical collection of its own, False for a shared shard."""
    cluster: bool = False
    """True for a physical collection of its own in stores of the tenant's own."""
    shard: int | None = None
    preference: entries_pb.RegionPreference.ValueType | None = None
    stores: Mapping[str, str] | None = None
    """Region to the name of its store; regions that are not named use their default one."""
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionChange:
    """What to change of a region; None leaves it as it is."""

    state: entries_pb.RegionState.ValueType | None = None
    jurisdiction: str | None = None
    """A region that is not there yet is created if this is given."""
    endpoints: Mapping[str, Sequence[str]] | None = None
    """Kind of service to its addresses; other kinds keep theirs."""
    stores: Sequence[entries_pb.Store] | None = None


async def write_region(
    client: ControlClient, name: str, change: RegionChange, how: HowToChange = PLAINLY
) -> Versioned[entries_pb.Region]:
    """Change a region, or create one, which serves where nothing else is said. Raises TrunklineError."""
    reading = client.region(name)
    found = await reading if change.jurisdiction is None else await if_known(reading)
    entry = entries_pb.Region(region_id=name, state=entries_pb.REGION_STATE_SERVING)
    if found is not None:
        entry.CopyFrom(found.value)
    if change.state is not None:
        entry.state = change.state
    if change.jurisdiction is not None:
        entry.jurisdiction = change.jurisdiction
    for service, addresses in (change.endpoints or {}).items():
        getattr(entry.endpoints, service)[:] = addresses
    if change.stores is not None:
        del entry.stores[:]
        entry.stores.extend(change.stores)
    return await client.put_region(entry, how)


async def write_tenant(
    client: ControlClient, name: str, change: TenantChange, how: HowToChange = PLAINLY
) -> Versioned[entries_pb.Tenant]:
    """Create a tenant (of the lowest tier and active, where nothing else is said) or change one.

    Raises TrunklineError.
    """
    found = await if_known(client.tenant(name))
    entry = entries_pb.Tenant(tenant_id=name, tier=DEFAULT_TIER, state=entries_pb.TENANT_STATE_ACTIVE)
    if found is not None:
        entry.CopyFrom(found.value)
    if change.jurisdictions is not None:
        entry.jurisdictions[:] = change.jurisdictions
    if change.tier is not None:
        entry.tier = change.tier
    if change.suspended is not None:
        entry.state = entries_pb.TENANT_STATE_SUSPENDED if change.suspended else entries_pb.TENANT_STATE_ACTIVE
    if change.quota_tokens_per_s is not None:
        entry.quota_tokens_per_s = change.quota_tokens_per_s
    return await client.put_tenant(entry, how)


async def write_collection(
    client: ControlClient, tenant: str, name: str, change: CollectionChange, how: HowToChange = PLAINLY
) -> Versioned[entries_pb.Collection]:
    """Create a collection (in the local stack's space and a shared shard, where nothing else is said) or change one.

    Raises TrunklineError.
    """
    found = await if_known(client.collection(tenant, name))
    entry = entries_pb.Collection(tenant_id=tenant, collection_id=name, space_id=DEFAULT_SPACE)
    entry.shared_shard.SetInParent()
    if found is not None:
        entry.CopyFrom(found.value)
    if change.placement is not None:
        entry.placement[:] = change.placement
    if change.jurisdictions is not None:
        entry.jurisdictions[:] = change.jurisdictions
    if change.space is not None:
        entry.space_id = change.space
    if change.preference is not None:
        entry.preference = change.preference
    if change.stores is not None:
        entry.region_stores.clear()
        entry.region_stores.update(change.stores)
    if change.description is not None:
        entry.description = change.description
    _set_layout(entry, change)
    return await client.put_collection(entry, how)


def _set_layout(entry: entries_pb.Collection, change: CollectionChange) -> None:
    if change.cluster:
        entry.dedicated_cluster.SetInParent()
    elif change.dedicated:
        entry.dedicated.SetInParent()
    elif change.dedicated is False and entry.WhichOneof("layout") != "shared_shard":
        entry.shared_shard.SetInParent()
    if change.shard is not None:
        entry.shared_shard.shard = change.shard


def split_list(text: str) -> list[str]:
    """Return the items of a list separated by commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def split_given(text: str | None) -> list[str] | None:
    """Return the items of a list separated by commas; None if the option was not given."""
    return None if text is None else split_list(text)
