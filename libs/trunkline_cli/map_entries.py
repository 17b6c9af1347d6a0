"""Entries of the collection map as the command line changes them: what is not named stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_client import ControlClient, Versioned, if_known

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
    description: str | None = None


async def write_tenant(client: ControlClient, name: str, change: TenantChange) -> Versioned[entries_pb.Tenant]:
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
    return await client.put_tenant(entry)


async def write_collection(
    client: ControlClient, tenant: str, name: str, change: CollectionChange
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
    if change.dedicated is not None:
        _set_layout(entry, dedicated=change.dedicated)
    if change.description is not None:
        entry.description = change.description
    return await client.put_collection(entry)


def _set_layout(entry: entries_pb.Collection, *, dedicated: bool) -> None:
    if dedicated:
        entry.dedicated.SetInParent()
    elif entry.WhichOneof("layout") != "shared_shard":
        entry.shared_shard.SetInParent()


def split_list(text: str) -> list[str]:
    """Return the items of a list separated by commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def split_given(text: str | None) -> list[str] | None:
    """Return the items of a list separated by commas; None if the option was not given."""
    return None if text is None else split_list(text)
