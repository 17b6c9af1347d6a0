"""The front door's upstream side: routers of all regions by nearness, and when one is left and used again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from trunkline_local.readiness import split_address
from trunkline_local.spec import Name

ROUTING_SERVICE: Final = "trunkline.routing.v1.RoutingService"
_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"


class FrontRegion(BaseModel):
    """One region as the front door sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region_id: Name
    jurisdiction: Name
    routers: tuple[str, ...] = Field(min_length=1, max_length=64, description="`host:port` of each router.")


class FrontTimes(BaseModel):
    """Times of the front door in seconds; the defaults suit round trips of up to 0.3 s."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connect_s: float = Field(0.5, gt=0, description="For a connection to a router.")
    try_s: float = Field(1.0, gt=0, description="A read that has no answer by then is asked elsewhere too.")
    health_interval_s: float = Field(0.5, gt=0, description="Between two health checks of a router.")
    health_timeout_s: float = Field(0.5, gt=0, description="For a health check; must exceed the longest round trip.")
    ping_s: float = Field(5.0, gt=0, description="Between two pings of a connection, and for their answer.")


def router_cluster(name: str, regions: Sequence[FrontRegion], times: FrontTimes) -> dict[str, Any]:
    """Return the cluster of these regions' routers, each region a priority level in the order given."""
    return {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": seconds(times.connect_s),
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [_locality(priority, region) for priority, region in enumerate(regions)],
        },
        # With no healthy router anywhere (all regions drain, say), all are tried rather than none: residency does not
        # hang on it, because routers themselves refuse what may not reach them.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "health_checks": [_health_check(times)],
        "outlier_detection": _outlier_detection(),
        "circuit_breakers": {"thresholds": [_limits()]},
        "per_connection_buffer_limit_bytes": 1 << 20,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": "600s"},
                "explicit_http_config": {"http2_protocol_options": _http2(times)},
            }
        },
    }


def seconds(value: float) -> str:
    """Return a duration as Envoy reads it."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"


def _locality(priority: int, region: FrontRegion) -> dict[str, Any]:
    return {
        "priority": priority,
        "locality": {"region": region.region_id},
        "lb_endpoints": [{"endpoint": {"address": socket_address(router)}} for router in region.routers],
    }


def socket_address(address: str) -> dict[str, Any]:
    """Return `host:port` as Envoy's message."""
    host, port = split_address(address)
    return {"socket_address": {"address": host, "port_value": port}}


def _health_check(times: FrontTimes) -> dict[str, Any]:
    interval = seconds(times.health_interval_s)
    return {
        # This name says NOT_SERVING when the router's region drains, and Envoy heeds that at once; calls under way go
        # on. Silence counts only when it is repeated.
        "grpc_health_check": {"service_name": ROUTING_SERVICE},
        "timeout": seconds(times.health_timeout_s),
        "interval": interval,
        # The default of 60 s until the first request would leave a dead region first in line for a minute.
        "no_traffic_interval": interval,
        "interval_jitter_percent": 10,
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
    }


def _outlier_detection() -> dict[str, Any]:
    """Eject for silence alone: who says UNAVAILABLE speaks, and it may be overload, or a store that is lost."""
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "1s",
        # A good health check ends it sooner.
        "base_ejection_time": "5s",
        "max_ejection_time": "30s",
        "max_ejection_percent": 100,
    }


def _limits() -> dict[str, Any]:
    return {
        "max_connections": 64,
        "max_pending_requests": 256,
        "max_requests": 2048,
        # Envoy counts repeats under way at one moment, not those of ten seconds: a fifth of the calls under way, or as
        # many as a router that is killed leaves behind at once.
        "retry_budget": {"budget_percent": {"value": 20.0}, "min_retry_concurrency": 32},
    }


def _http2(times: FrontTimes) -> dict[str, Any]:
    return {
        # What the routers allow on a connection.
        "max_concurrent_streams": 100,
        "initial_stream_window_size": 256 << 10,
        "initial_connection_window_size": 1 << 20,
        # A frozen router keeps its connections open. Tries end by their own time and health checks move the traffic;
        # pings end what is left, such as writes. Sooner they would break many tries at once, more than may be repeated.
        "connection_keepalive": {
            "interval": seconds(times.ping_s),
            "timeout": seconds(times.ping_s),
            "interval_jitter": {"value": 10},
        },
    }
