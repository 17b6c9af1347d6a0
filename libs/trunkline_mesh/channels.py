"""Channels to other services: few, kept alive, noticed when they freeze, and closed when least used."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from types import TracebackType
from typing import Final, Self

import grpc

CLOSE_GRACE_S: Final = 5.0
"""A channel that is pushed out may finish its calls for so long."""

MAX_ANSWER_BYTES: Final = 64 << 20
"""Largest answer between our own services. Requests are bounded by each server's `max_message_bytes`."""

_SERVICE_CONFIG: Final = json.dumps(
    {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
)

CLIENT_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    # A frozen peer is noticed by unanswered pings. Keepalive alone takes a minute: the ping timeout is what counts.
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # A region that comes back is used again within a second or two, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A search of many collections in one region brings all their candidates in one answer.
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", 8 << 20),
    # Retries belong to trunkline_client and to failover, which know reasons and budgets.
    ("grpc.enable_retries", 0),
    ("grpc.service_config", _SERVICE_CONFIG),
)

SERVER_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # By default a second process binds the same port silently and takes part of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 100),
    # Allow our own channels' pings; the default answers them with GOAWAY too_many_pings.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
    # A server that was starved of CPU reads several pings at once; the default takes that for abuse and hangs up in the
    # middle of calls (measured on a busy machine). Floods are the business of the proxy before untrusted callers.
    ("grpc.http2.max_ping_strikes", 0),
    # Reconnecting now and then spreads callers over replicas that came later.
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    ("grpc.max_connection_idle_ms", 600_000),
    ("grpc.max_metadata_size", 8192),
)


class ChannelPool:
    """One channel for each target, at most `max_channels`; the least recently used one makes room.

    A target is `host:port`, or several separated by commas, over which calls are spread in turn and unhealthy ones
    left out.
    """

    def __init__(self, *, max_channels: int = 50) -> None:
        """Open nothing yet."""
        self._max_channels = max_channels
        self._channels: OrderedDict[str, grpc.aio.Channel] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, target: str) -> grpc.aio.Channel:
        """Return the target's channel, opening it if need be. Does not wait for a connection."""
        channel = self._channels.get(target)
        if channel is not None:
            self._channels.move_to_end(target)
            return channel
        channel = grpc.aio.insecure_channel(_address(target), options=CLIENT_OPTIONS)
        self._channels[target] = channel
        while len(self._channels) > self._max_channels:
            _, oldest = self._channels.popitem(last=False)
            closing = asyncio.ensure_future(oldest.close(CLOSE_GRACE_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return channel

    def __len__(self) -> int:
        """Return how many channels are open."""
        return len(self._channels)

    async def close(self) -> None:
        """Close every channel at once; calls under way are cancelled."""
        channels, self._channels = list(self._channels.values()), OrderedDict()
        await asyncio.gather(*(channel.close() for channel in channels), *self._closing)

    async def __aenter__(self) -> Self:
        """Use as a context: closed at its end."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close every channel."""
        await self.close()


def _address(target: str) -> str:
    """Several numeric addresses become one `ipv4:` target; anything else is left to gRPC's resolver."""
    return f"ipv4:{target}" if "," in target else target
