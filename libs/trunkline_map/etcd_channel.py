"""One well-configured channel to all members of an etcd cluster."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from typing import Final

import grpc

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
    # A page of 500 of the largest entries, and an undivided batch of events, fit well.
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 2 << 20),
    # A write must never be repeated behind our back.
    ("grpc.enable_retries", 0),
    # Connections are not shared with another channel to the same address, whose breaking would break ours.
    ("grpc.use_local_subchannel_pool", 1),
    # Proxies of the environment are for the web, not for a control store.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)


def open_channel(endpoints: Sequence[str], credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """Return a channel that spreads calls over `endpoints` (`host:port`), leaving out those that are down.

    Does not wait for a connection. Raises ValueError for endpoints that gRPC cannot take together.
    """
    target = target_of(endpoints)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=_OPTIONS)


def target_of(endpoints: Sequence[str]) -> str:
    """Return the gRPC target: one name is resolved by DNS, several must be IP addresses of one family."""
    if not endpoints:
        raise ValueError("no etcd endpoint is given")
    versions = {_ip_version(endpoint) for endpoint in endpoints}
    if versions == {4}:
        return f"ipv4:{','.join(endpoints)}"
    if versions == {6}:
        return f"ipv6:{','.join(endpoints)}"
    if len(endpoints) == 1:
        return f"dns:///{endpoints[0]}"
    raise ValueError("several etcd endpoints must be IP addresses of one family, or one DNS name that lists them all")


def _ip_version(endpoint: str) -> int | None:
    host, colon, port = endpoint.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("an etcd endpoint must be host:port")
    try:
        return ipaddress.ip_address(host.strip("[]")).version
    except ValueError:
        return None
