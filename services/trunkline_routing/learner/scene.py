"""A tenant as the learner sees it at one revision of the map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trunkline_map.entries import PolicyPointer, SpaceEntry, TenantEntry
from trunkline_map.snapshot import MapSnapshot
from trunkline_mesh.errors import PolicyUnknown, TenantUnknown
from trunkline_policy.model import RoutingPolicy


@dataclass(frozen=True, slots=True)
class Scene:
    """A tenant, its policy's pointer and what the map says of its collections."""

    tenant: TenantEntry
    live: PolicyPointer | None
    """Where its live policy lies; None without one."""
    descriptions: Mapping[str, str]
    """Of every collection, for those whose policy gives none."""
    spaces: Mapping[str, SpaceEntry]
    """Collection to its embedding space."""
    every_space: Mapping[str, SpaceEntry]
    """Spaces by their names."""

    @property
    def tenant_id(self) -> str:
        """The tenant."""
        return self.tenant.tenant_id

    @property
    def pointer(self) -> PolicyPointer:
        """Where the live policy lies; raises PolicyUnknown without one."""
        if self.live is None:
            raise PolicyUnknown
        return self.live

    @property
    def jurisdictions(self) -> frozenset[str]:
        """Where the tenant's content lies."""
        return self.tenant.jurisdictions

    def routing_space(self, policy: RoutingPolicy) -> SpaceEntry | None:
        """Return the space in which the policy decides: its own choice, else that of its first collection by name."""
        if policy.space is not None:
            return self.every_space.get(policy.space)
        return next((self.spaces[name] for name in sorted(policy.collections) if name in self.spaces), None)


def scene_of(snapshot: MapSnapshot, tenant_id: str) -> Scene:
    """Return the tenant's scene. Raises TenantUnknown."""
    tenant = snapshot.tenant(tenant_id)
    if tenant is None:
        raise TenantUnknown
    entries = snapshot.collections_of(tenant_id)
    every_space = {space.space_id: space for space in snapshot.spaces()}
    return Scene(
        tenant=tenant,
        live=snapshot.policy(tenant_id),
        descriptions={entry.collection_id: entry.description for entry in entries},
        spaces={entry.collection_id: every_space[entry.space_id] for entry in entries if entry.space_id in every_space},
        every_space=every_space,
    )
