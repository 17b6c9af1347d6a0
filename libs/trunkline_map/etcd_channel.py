"""One well-configured channel to a member of an etcd cluster."""

from __future__ import annotations

import json
from typing import Final

import grpc

from trunkline_map.etcd_access import check_endpoint

_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    # A frozen etcd is noticed by an unanswered ping, in about 7 s. Keepalive alone takes a minute: the ping timeout is
    # what counts. etcd answers pings more often than every 5 s with GOAWAY too_many_pings.
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),
    # An etcd that comes back is used again within a second, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A page of the largest entries, where smaller ones came before, and an undivided batch of events, fit well.
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 2 << 20),
    # A member that got another address is found within a second, not after gRPC's half minute.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # A write must never be repeated behind our back.
    ("grpc.enable_retries", 0),
    # Connections are not shared with another channel to the same address, whose breaking would break ours.
    ("grpc.use_local_subchannel_pool", 1),
    # Proxies of the environment are for the web, not for a control store.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)


def open_channel(endpoint: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Return a channel to one member (`host:port`), or to all that its name resolves to. Waits for no connection.

    Raises ValueError for what is no endpoint.
    """
    check_endpoint(endpoint)
    # Addresses pass this resolver as they are. Certificates are checked against the host that stands here.
    target = f"dns:///{endpoint}"
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
