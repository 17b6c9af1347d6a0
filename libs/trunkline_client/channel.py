"""Channels to routers, set so that a dead or frozen peer is noticed within seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import grpc

_SERVICE_CONFIG: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})


def channel_options(max_message_bytes: int) -> Sequence[tuple[str, str | int]]:
    """Return the options of a channel to a router."""
    return (
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_timeout_ms", 1000),
        # Without this one a frozen peer is noticed after a minute, whatever the two above say.
        ("grpc.http2.ping_timeout_ms", 1000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        # The defaults back off up to two minutes: a region that is back would stay unused for as long.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # Repeats are this library's alone: one budget, one count of attempts.
        ("grpc.enable_retries", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        # A name with several addresses is a set of replicas, not one server and its spares.
        ("grpc.service_config", _SERVICE_CONFIG),
    )


def open_channel(
    target: str, max_message_bytes: int, credentials: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """Return a channel to `host:port`, with TLS where credentials are given. It connects when first used."""
    options = channel_options(max_message_bytes)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)
