"""The front door's downstream side: one listener for gRPC, what is let through, and what is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from trunkline_local.front_cluster import ROUTING_SERVICE, FrontTimes, seconds, socket_address

ALL_ROUTERS: Final = "routers"
JURISDICTION_KEY: Final = "trunkline-jurisdiction"
"""Metadata of a request that may go to routers of this jurisdiction alone."""
MAX_TRIES: Final = 3
LONGEST_CALL: Final = "60s"
"""The largest cap of the contract's methods; a call without a deadline gets it."""

_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"
_MAX_BODY_BYTES: Final = 2 << 20
"""Of a request that is kept for a repeat; the contract bounds requests below it."""
_HEALTH: Final = "/grpc.health.v1.Health/"
_READS: Final = ("Search", "SearchBatch", "Route")


def listener(address: str, jurisdictions: Sequence[str], times: FrontTimes) -> dict[str, Any]:
    """Return the listener on `host:port`."""
    return {
        "name": "front",
        "address": socket_address(address),
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(jurisdictions, times),
                    }
                ]
            }
        ],
    }


def cluster_of(jurisdiction: str) -> str:
    """Return the name of the cluster of one jurisdiction's routers."""
    return f"{ALL_ROUTERS}-{jurisdiction}"


def _connection_manager(jurisdictions: Sequence[str], times: FrontTimes) -> dict[str, Any]:
    return {
        "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "codec_type": "HTTP2",
        "use_remote_address": True,
        "skip_xff_append": True,
        "generate_request_id": False,
        "max_request_headers_kb": 16,
        "request_headers_timeout": "5s",
        # Calls end with their deadline; this is for streams that were opened and say nothing.
        "stream_idle_timeout": "65s",
        "common_http_protocol_options": {"idle_timeout": "600s", "headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 256 << 10,
            "initial_connection_window_size": 1 << 20,
            "connection_keepalive": {"interval": "30s", "timeout": "10s"},
        },
        "access_log": [_access_log()],
        "route_config": {
            "name": "front",
            "virtual_hosts": [{"name": "front", "domains": ["*"], "routes": _routes(jurisdictions, times)}],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_EXTENSIONS}.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
    }


def _routes(jurisdictions: Sequence[str], times: FrontTimes) -> list[dict[str, Any]]:
    """Return what is let through, first match first; any other path is UNIMPLEMENTED."""
    routes = []
    for jurisdiction in jurisdictions:
        only = {"name": JURISDICTION_KEY, "string_match": {"exact": jurisdiction}}
        routes += _methods(cluster_of(jurisdiction), [only], times)
    unknown = {"name": JURISDICTION_KEY, "present_match": True}
    refused = {"status": 403, "body": {"inline_string": "this front door knows no router of that jurisdiction"}}
    routes.append({"match": {"prefix": "/", "headers": [unknown]}, "direct_response": refused})
    return routes + _methods(ALL_ROUTERS, [], times)


def _methods(cluster: str, headers: list[dict[str, Any]], times: FrontTimes) -> list[dict[str, Any]]:
    reads = [f"/{ROUTING_SERVICE}/{method}" for method in _READS]
    found = [_route({"path": path}, cluster, headers, _read_retries(times), hedge=True) for path in reads]
    found.append(_route({"prefix": _HEALTH}, cluster, headers, _read_retries(times), hedge=False))
    found.append(_route({"prefix": f"/{ROUTING_SERVICE}/"}, cluster, headers, _write_retries(), hedge=False))
    return found


def _route(
    path: dict[str, Any], cluster: str, headers: list[dict[str, Any]], retries: dict[str, Any], *, hedge: bool
) -> dict[str, Any]:
    action: dict[str, Any] = {
        "cluster": cluster,
        # No limit of HTTP's: the deadline in grpc-timeout is the limit, and the contract's largest cap bounds it.
        "timeout": "0s",
        "max_stream_duration": {"max_stream_duration": LONGEST_CALL, "grpc_timeout_header_max": LONGEST_CALL},
        "retry_policy": retries,
    }
    if hedge:
        # What took its time may still be right: the first try goes on beside the second, and the first answer wins.
        action["hedge_policy"] = {"hedge_on_per_try_timeout": True}
    match = {**path, "grpc": {}, "headers": headers}
    return {"match": match, "request_body_buffer_limit": _MAX_BODY_BYTES, "route": action}


def _read_retries(times: FrontTimes) -> dict[str, Any]:
    retry_on = "connect-failure,refused-stream,reset-before-request,reset,unavailable"
    return {**_retries(retry_on), "per_try_timeout": seconds(times.try_s)}


def _write_retries() -> dict[str, Any]:
    """Repeat only what no router has seen; the rest is the caller's, who knows whether its request id makes it safe."""
    return _retries("connect-failure,refused-stream,reset-before-request")


def _retries(retry_on: str) -> dict[str, Any]:
    previous = f"{_EXTENSIONS}.retry"
    return {
        "retry_on": retry_on,
        "num_retries": MAX_TRIES - 1,
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
        # Another region first: there is no time to try each router of one that is lost.
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": f"{previous}.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                "update_frequency": 1,
            },
        },
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": f"{previous}.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }


def _access_log() -> dict[str, Any]:
    """Return one JSON line a call: no body, no credential, no address of a caller."""
    fields = {
        "at": "%START_TIME%",
        "method": "%REQ(:PATH)%",
        "request_id": "%REQ(TRUNKLINE-REQUEST-ID)%",
        "grpc_status": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "duration_ms": "%DURATION%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "router": "%UPSTREAM_HOST%",
    }
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": fields},
        },
    }
