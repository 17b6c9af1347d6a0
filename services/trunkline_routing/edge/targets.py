"""From a region's endpoints to a channel's target."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_mesh.errors import BackendUnavailable


def target_of(endpoints: Sequence[str]) -> str:
    """Return the target that spreads calls over all endpoints; raise BackendUnavailable where the map has none."""
    if not endpoints:
        raise BackendUnavailable("the map names no endpoint of this service in the region")
    return endpoints[0] if len(endpoints) == 1 else ",".join(endpoints)
