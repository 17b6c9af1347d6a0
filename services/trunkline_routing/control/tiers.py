"""What a tenant's tier lets its own admins do with collections. Operators are not bound by it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from trunkline_map.entries import CollectionEntry, Isolation, TenantEntry
from trunkline_map.keys import Kind, folder
from trunkline_map.store import MAX_PAGE_KEYS, StoreUnavailableError, Unchanged
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import TenantSuspended, TierLimit
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import MapState
from trunkline_routing.control.map_store import MapStore, call_timeout_s
from trunkline_routing.control.scans import pages

MAX_FILE_BYTES: Final = 65_536
MAX_TIERS: Final = 64


class TierAllowance(BaseModel):
    """What one tier allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collections: int = Field(ge=0, le=1_000_000)
    """Collections at a time."""
    regions: int = Field(ge=1, le=8)
    """Regions of one placement."""
    isolation: frozenset[Isolation]
    """Isolation classes of collections."""


DEFAULT_TIER: Final = "free"
"""The limits of a tier that is not configured are this one's."""

DEFAULT_ALLOWANCES: Final[Mapping[str, TierAllowance]] = MappingProxyType(
    {
        "free": TierAllowance(collections=10, regions=1, isolation=frozenset({Isolation.SHARED})),
        "pro": TierAllowance(collections=100, regions=3, isolation=frozenset({Isolation.SHARED, Isolation.DEDICATED})),
        "enterprise": TierAllowance(collections=100_000, regions=8, isolation=frozenset(Isolation)),
    }
)

_FILE: Final = TypeAdapter(dict[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")], TierAllowance])


def read_allowances(path: Path | None) -> Mapping[str, TierAllowance]:
    """Return the tiers of a YAML file, or the defaults without one. Raises ValueError for a file that is none."""
    if path is None:
        return DEFAULT_ALLOWANCES
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path}: must be at most {MAX_FILE_BYTES} bytes")
    try:
        tiers = _FILE.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as exc:
        raise ValueError(f"{path}: must map tiers to `collections`, `regions` and `isolation`") from exc
    if DEFAULT_TIER not in tiers or len(tiers) > MAX_TIERS:
        raise ValueError(f"{path}: must have the tier `{DEFAULT_TIER}` and at most {MAX_TIERS} tiers")
    return tiers


def require_active(tenant: TenantEntry, how: How) -> None:
    """Raise TenantSuspended if a suspended tenant's own admin wants to change something."""
    if tenant.suspended and not how.operator:
        raise TenantSuspended


class TierLimits:
    """Checks what a tenant's own admin may do."""

    def __init__(self, maps: MapStore, allowances: Mapping[str, TierAllowance] = DEFAULT_ALLOWANCES) -> None:
        """Allow what `allowances` say, which have the default tier."""
        self._maps = maps
        self._allowances = allowances

    async def require(
        self,
        state: MapState,
        tenant: TenantEntry,
        entry: CollectionEntry,
        before: CollectionEntry | None,
        deadline: Deadline,
    ) -> list[Unchanged]:
        """Return the conditions under which the tier allows `entry` in place of `before`; raise TierLimit.

        What is beyond the limits already, for the tier has changed, may stay as it is, but not grow.
        """
        allowed = self._allowances.get(tenant.tier) or self._allowances[DEFAULT_TIER]
        if len(entry.placement) > max(allowed.regions, len(before.placement) if before else 0):
            raise _limit("regions", str(allowed.regions), tenant)
        if before is not None:
            return []
        if entry.isolation not in allowed.isolation:
            raise _limit("isolation", ",".join(sorted(each.value for each in allowed.isolation)), tenant)
        count, unchanged = await self._count(state, tenant.tenant_id, allowed.collections, deadline)
        if count >= allowed.collections:
            raise _limit("collections", str(allowed.collections), tenant)
        return [unchanged]

    async def _count(self, state: MapState, tenant_id: str, enough: int, deadline: Deadline) -> tuple[int, Unchanged]:
        """Return how many collections there are, at least up to `enough`, and the condition that none was put since.

        Few are counted in the store, which is always right at once; many on the watched map if it is as fresh.
        """
        prefix = folder(Kind.COLLECTION, tenant_id)
        pending = state.pending_collections(tenant_id)
        added = sum(entry is not None and not state.revision_of(key) for key, entry in pending.items())
        added -= sum(entry is None for entry in pending.values())
        if enough < MAX_PAGE_KEYS:
            try:
                page = await self._maps.kv.list_page(prefix, keys_only=True, timeout_s=call_timeout_s(deadline))
            except StoreUnavailableError as exc:
                raise unreachable() from exc
            return len(page.items) + added, Unchanged(prefix, page.revision)
        snapshot = await self._maps.watched(state, deadline, whole=True, fresh=True)
        if snapshot is not None:
            return len(snapshot.collections_of(tenant_id)) + added, Unchanged(prefix, snapshot.revision)
        count = revision = 0
        async for page in pages(self._maps.kv, prefix, deadline, keys_only=True):
            count, revision = count + len(page.items), page.revision
        return count + added, Unchanged(prefix, revision)


def _limit(what: str, allowed: str, tenant: TenantEntry) -> TierLimit:
    return TierLimit(metadata={"limit": what, "allowed": allowed, "tier": tenant.tier})
