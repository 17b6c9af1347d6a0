"""Envoy's whole configuration as a front door: a plain document, written as YAML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import yaml

from trunkline_local.front_cluster import FrontRegion, FrontTimes, router_cluster, socket_address
from trunkline_local.front_listener import ALL_ROUTERS, cluster_of, listener

MAX_CALLERS: Final = 10_000
"""Connections that the front door holds at one time."""


def front_config(
    regions: Sequence[FrontRegion], *, listen: str, admin: str, times: FrontTimes | None = None
) -> dict[str, Any]:
    """Return the configuration for `regions`, nearest first; `listen` and `admin` are `host:port`.

    Regions of the first one's jurisdiction go before all others: where data may lie in one of them, the others cannot
    help. Raises ValueError without regions, or if one is named twice.
    """
    ids = [region.region_id for region in regions]
    if not ids or len(set(ids)) != len(ids):
        raise ValueError("a front door needs regions, each once")
    known = times or FrontTimes()
    ranked = sorted(regions, key=lambda region: region.jurisdiction != regions[0].jurisdiction)
    jurisdictions = list(dict.fromkeys(region.jurisdiction for region in ranked))
    clusters = [router_cluster(ALL_ROUTERS, ranked, known)]
    for jurisdiction in jurisdictions:
        own = [region for region in ranked if region.jurisdiction == jurisdiction]
        clusters.append(router_cluster(cluster_of(jurisdiction), own, known))
    return {
        "admin": {"address": socket_address(admin)},
        "static_resources": {"listeners": [listener(listen, jurisdictions, known)], "clusters": clusters},
        "overload_manager": {"resource_monitors": [_connection_limit()]},
    }


def to_yaml(config: dict[str, Any]) -> str:
    """Return it as Envoy reads it."""
    text: str = yaml.safe_dump(config, sort_keys=False, width=120)
    return text


def _connection_limit() -> dict[str, Any]:
    return {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3"
            ".DownstreamConnectionsConfig",
            "max_active_downstream_connections": MAX_CALLERS,
        },
    }
